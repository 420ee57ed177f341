/** Content of megabytes through real daemons: it outlives its writer. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bzzzPath, Cluster, run, type TestNode } from '../support/cluster.ts';

interface Put {
  address: string;
  pin: string;
  ack: string;
  holders: string[];
  pending: number;
}

const SIZE = 5 * 1_048_576 + 17;

let cluster: Cluster;
let folder: string;
let file: string;
let bytes: Buffer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bzzz-content-'));
  file = join(folder, 'film.bin');
  bytes = Buffer.alloc(SIZE);
  for (let at = 0; at < SIZE; at += 32) {
    createHash('sha256').update(`film ${at}`).digest().copy(bytes, at);
  }
  await writeFile(file, bytes);
  // Two holders of three, so that one of the others has to fetch it.
  cluster = await Cluster.start(3, { BZZZ_REPLICATION: '2' });
  await cluster.meshed();
});
afterAll(async () => {
  await cluster?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** What `bzzz get` writes to a file. */
async function got(node: TestNode, address: string): Promise<Buffer> {
  const to = join(folder, `${node.name}.out`);
  const script = `exec ${bzzzPath} get "$1" > "$2"`;
  const ran = await run('sh', ['-c', script, 'sh', address, to], { env: node.env });
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  return readFile(to);
}

it('5 MiB put on one: another gets them, and both others after the writer was killed', async () => {
  const [writer, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
  const address = 'ucxl://self:films@lab:holidays/beach.bin';
  const started = performance.now();
  const put = await writer.json<Put>(['put', address, '--file', file, '--ack', 'quorum']);
  const putMs = Math.round(performance.now() - started);
  expect(put).toMatchObject({ ack: 'quorum', pending: 0 });
  const meta = await second.json<{ size: number; pin: string }>(['resolve', put.address]);
  expect(meta).toMatchObject({ size: SIZE, pin: put.pin });
  const before = performance.now();
  expect(Buffer.compare(await got(second, put.address), bytes)).toBe(0);
  const getMs = Math.round(performance.now() - before);

  await writer.kill();
  for (const node of [second, third]) {
    expect(Buffer.compare(await got(node, put.address), bytes)).toBe(0);
  }
  process.stderr.write(`5 MiB: put ${putMs} ms, get ${getMs} ms\n`);

  await writer.start();
  expect(Buffer.compare(await got(writer, put.address), bytes)).toBe(0);
});

it('too large for JSON, or for anything, is said in words', async () => {
  const node = cluster.node(1);
  const { address } = await node.json<Put>(['put', 'ucxl://self:a@lab:b/c', '--file', file]);
  const asJson = await node.cli(['get', address, '--json']);
  expect(asJson.code).toBe(2);
  expect(JSON.parse(asJson.stdout || asJson.stderr)).toMatchObject({
    error: { code: 'TOO_LARGE' },
  });
  const huge = join(folder, 'huge.bin');
  await writeFile(huge, Buffer.alloc(65 * 1_048_576));
  const refused = await node.cli(['put', 'ucxl://self:a@lab:b/d', '--file', huge]);
  expect(refused).toMatchObject({ code: 2 });
  expect(refused.stderr).toContain('67108864');
});
