/**
 * N1 on real daemons: every share that leaves one is collected, and no commitment is in two of them,
 * whatever happens to the disks: copied and run twice at once, put back to an earlier day, restored
 * from a backup.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ClusterId } from '../../src/base/brands.ts';
import { isTerminal } from '../../src/mpc/sessions/fold.ts';
import type { SessionState } from '../../src/mpc/types.ts';
import { Cluster, TestNode, until } from '../support/cluster.ts';
import { collectShares, tapped } from '../support/frames/frames.ts';
import { freePort } from '../support/free-port.ts';

const dir = mkdtempSync(join(tmpdir(), 'bzzz-frames-'));
let cluster: Cluster;
let clusterId: ClusterId;
let twin: TestNode | undefined;
let texts = 0;
/** Texts with a signature. */
let signatures = 0;

beforeAll(async () => {
  cluster = await Cluster.start(3, tapped(dir));
  ({ clusterId } = await cluster.founder.get<{ clusterId: ClusterId }>('/v1/status'));
  const make = ['key', 'create', 'main', '--suite', 'ed25519', '--threshold', '2'];
  await cluster.founder.json([...make, '--parties', '3']);
  for (const node of cluster.nodes) {
    await until('all hold it', async () => {
      const { status } = await node.get<{ status: string }>('/v1/keys/main');
      return status === 'active';
    });
  }
});
afterAll(async () => {
  if (twin?.running) await twin.kill();
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Signs; with two hosts of one identity about, a request may also end with a reason. */
async function sign(node: TestNode): Promise<string> {
  const message = `text ${texts++}`;
  const body = { key: 'main', message, encoding: 'utf8', fresh: true, timeoutMs: 8_000 };
  try {
    await node.post('/v1/sign', body);
    signatures++;
    return 'signed';
  } catch (error) {
    const { code } = error as { readonly code?: string };
    if (code === undefined) throw error;
    return code;
  }
}

const burst = async (nodes: readonly TestNode[], each = 4): Promise<readonly string[]> =>
  Promise.all(nodes.flatMap((node) => Array.from({ length: each }, () => sign(node))));

/** With owners and modes, as whoever clones a host does it. */
const copyDisk = (from: string, to: string): void => void execFileSync('cp', ['-a', from, to]);

const signed = (ends: readonly string[]): number => ends.filter((end) => end === 'signed').length;

interface Session {
  readonly state: SessionState;
}

interface Part {
  readonly component: string;
  readonly reason?: string;
}

/**
 * Two runs of one identity may have used one commitment each, which proves that identity faulty.
 * Its host takes part again when an operator, who has stopped the other one, starts it anew.
 */
async function lookedAfter(): Promise<void> {
  let open = 'no answer';
  await until(
    () => `sessions are over: ${open}`,
    async () => {
      const lists = cluster.nodes.map((node) => node.get<readonly Session[]>('/v1/sessions'));
      const going = (await Promise.all(lists)).flat().filter(({ state }) => !isTerminal(state));
      open = JSON.stringify(going);
      return going.length === 0;
    },
  );
  for (const node of cluster.nodes) {
    const parts = await node.get<readonly Part[]>('/v1/health');
    const mpc = parts.find(({ component }) => component === 'mpc');
    if (mpc?.reason?.startsWith('proven faulty') !== true) continue;
    console.log(`${node.name} is started again: ${mpc.reason}`);
    await node.kill();
    await node.start();
  }
  await cluster.meshed();
}

/**
 * No signature of two of three comes about before a share has left a host.
 * @param witness is stopped for it, and runs again behind it.
 */
async function expectOneShareEach(what: string, witness: TestNode) {
  await witness.kill();
  const found = await collectShares(dir, clusterId, witness);
  const under = `${found.shares} shares under ${found.commitments / 2} commitments`;
  console.log(`${what}: ${signatures} signatures, ${under}`);
  expect(found.violations).toEqual([]);
  expect(found.orphans).toBe(0);
  expect(found.shares).toBeGreaterThanOrEqual(signatures);
  expect(found.commitments).toBe(2 * found.shares);
  await witness.start();
  await lookedAfter();
}

it('N1: a data directory that is copied, and runs twice at once', async () => {
  const [a, b, c] = cluster.nodes as [TestNode, TestNode, TestNode];
  await burst(cluster.nodes);
  await b.kill();
  const home = join(cluster.home, 'twin');
  mkdirSync(home, { mode: 0o700 });
  const copy = new TestNode('twin', home, await freePort(), tapped(dir));
  twin = copy;
  copyDisk(b.dataDir, copy.dataDir);
  await Promise.all([b.start(), copy.start()]);
  // The others talk to one of the two, whichever that is; the other one may hear nobody.
  await cluster.meshed(300_000, [a, c]);
  const ends: string[] = [];
  for (let round = 0; round < 3; round++) ends.push(...(await burst([a, b, copy, c])));
  console.log(`copied: ${signed(ends)} of ${ends.length} requests signed`);
  await copy.kill();
  await lookedAfter();
  expect(signed(await burst([a, c]))).toBe(8);
  await expectOneShareEach('copied', a);
});

it('N1: a disk that goes back to an earlier day', async () => {
  const [a, b] = cluster.nodes as [TestNode, TestNode];
  const old = join(cluster.home, 'old');
  await b.kill();
  copyDisk(b.dataDir, old);
  await b.start();
  await cluster.meshed();
  await burst(cluster.nodes);
  await b.kill();
  rmSync(b.dataDir, { recursive: true });
  copyDisk(old, b.dataDir);
  await b.start();
  await cluster.meshed();
  const ends = await burst(cluster.nodes);
  expect(signed(ends)).toBe(ends.length);
  await expectOneShareEach('gone back', a);
});

it('N1: a disk that comes from a backup, while its nonces were with the others', async () => {
  const [a, , c] = cluster.nodes as [TestNode, TestNode, TestNode];
  const passphrase = join(cluster.home, 'passphrase');
  writeFileSync(passphrase, 'five random words are better\n', { mode: 0o600 });
  const file = join(cluster.home, 'third.backup');
  await c.json(['backup', file, '--passphrase-file', passphrase]);
  await burst(cluster.nodes);
  await c.kill();
  rmSync(c.dataDir, { recursive: true });
  await c.json(['restore', file, '--passphrase-file', passphrase]);
  await c.start();
  await cluster.meshed();
  const ends = await burst(cluster.nodes);
  expect(signed(ends)).toBe(ends.length);
  await expectOneShareEach('restored', a);
});
