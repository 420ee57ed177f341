/** Octets from the control socket: how long a reader waits for them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../../src/node/control/client.ts';

const PART_MS = 150;
const LIMIT_MS = 500;
const PARTS = 6;

let folder: string;
let server: Server;
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await rm(folder, { recursive: true });
});

async function serve(answer: (response: ServerResponse) => Promise<void>): Promise<ControlClient> {
  folder = await mkdtemp(join(tmpdir(), 'bzzz-octets-'));
  const socketPath = join(folder, 's');
  server = createServer((_request, response) => void answer(response));
  await new Promise<void>((done) => server.listen(socketPath, done));
  return new ControlClient({ socketPath, timeoutMs: LIMIT_MS });
}

async function read(client: ControlClient): Promise<number> {
  let parts = 0;
  for await (const part of client.octets('/v1/records/content')) parts += part.length;
  return parts;
}

describe('octets', () => {
  it('may take longer than the time-out, as long as some come', async () => {
    const client = await serve(async (response) => {
      for (let i = 0; i < PARTS; i++) {
        response.write('x');
        await sleep(PART_MS);
      }
      response.end();
    });
    const begun = performance.now();
    expect(await read(client)).toBe(PARTS);
    expect(performance.now() - begun).toBeGreaterThan(LIMIT_MS);
  });

  it('end with TIMEOUT when nothing comes any more', async () => {
    const client = await serve(async (response) => void response.write('x'));
    await expect(read(client)).rejects.toMatchObject({ code: 'TIMEOUT' });
  });
});
