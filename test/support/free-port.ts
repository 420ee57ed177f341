/** Ports for tests: free now, below the ephemeral range, so that no outgoing socket takes them. */
import { createServer } from 'node:net';

const FIRST = 20_000;
const LAST = 32_000;
let next = FIRST + (process.pid % 100) * 100;

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 1_000; tries++) {
    next = next >= LAST ? FIRST : next + 1;
    const candidate = next;
    if (await isFree(candidate)) return candidate;
  }
  throw new Error('no free port between 20000 and 32000');
}
