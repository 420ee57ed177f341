/** Runs every program in a process of its own: `npm run bench`. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

for (const program of ['sessions.ts', 'node.ts', 'failover.ts', 'records.ts']) {
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, program)], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exitCode = 1;
}
