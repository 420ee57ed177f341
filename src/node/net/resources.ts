/**
 * What this host says of itself, for the order of candidacies.
 * @module
 */
import { availableParallelism, freemem, loadavg, totalmem } from 'node:os';
import type { Resources } from '../../election/score.ts';

export const ownResources = (): Resources => ({
  freeMemory: freemem() / totalmem(),
  cpus: availableParallelism(),
  load1: loadavg()[0] ?? 0,
});
