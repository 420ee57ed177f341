/**
 * The real clock, random source and machine. Only shells import this.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { availableParallelism, loadavg, totalmem } from 'node:os';
import { millis } from '../base/brands.ts';
import type { Clock, Random } from '../base/ports.ts';
import type { Resources } from '../election/score.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  now: () => millis(performance.now()),
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

export const systemRandom: Random = {
  bytes: (length) => new Uint8Array(randomBytes(length)),
};

/** What this host has to spare now; in a container, of what the container may use. */
export function systemResources(): Resources {
  // Without a limit it is 0, or an absurd number, depending on the kernel.
  const limit = process.constrainedMemory();
  const memory = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  const [load1 = 0] = loadavg();
  const freeMemory = Math.min(1, process.availableMemory() / memory);
  return { freeMemory, cpus: availableParallelism(), load1 };
}
