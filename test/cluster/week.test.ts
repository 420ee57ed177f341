/** Everybody is off for a week, and starts again at once. */
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { Cluster, projectRoot, type TestNode, until } from '../support/cluster.ts';
import { haveVoters } from '../support/election.ts';

const WEEK_MS = 7 * 24 * 3_600_000;
const HEAD = 'ucxl://leader:slurp@lab:election/current';

interface Resolved {
  readonly stale: boolean;
  readonly pin: string;
  readonly source: string;
}

let cluster: Cluster;
afterEach(() => cluster?.stop());

const shifted = {
  NODE_OPTIONS: `--import ${join(projectRoot, 'test/support/clock-shift.mjs')}`,
  TEST_CLOCK_SHIFT_MS: String(WEEK_MS),
} as const;

const resolve = (node: TestNode, address: string): Promise<Resolved> =>
  node.get(`/v1/records/resolve?${new URLSearchParams({ address })}`);

async function startAll(env: NodeJS.ProcessEnv): Promise<void> {
  await Promise.all(cluster.nodes.map((node) => node.start(env)));
  await cluster.meshed();
}

it('A3: after a week off everything that proves itself resolves, and no old head passes for fresh', async () => {
  cluster = await Cluster.start(3);
  await haveVoters(cluster.nodes, 3);
  const [n1, n2, n3] = cluster.nodes as [TestNode, TestNode, TestNode];
  const { address: certificate } = await n1.json<{ address: string }>([
    ...['key', 'create', 'old', '--suite', 'ed25519', '--threshold', '2', '--parties', '3'],
  ]);
  const message = ['--message', 'signed a week ago'];
  const { address: result, signature } = await n2.json<{ address: string; signature: string }>([
    ...['sign', 'old', ...message],
  ]);
  const content = await n3.post<{ address: string }>('/v1/records/put', {
    ...{ address: 'ucxl://self:test@lab:week/note', bytes: 'c0ffee', encoding: 'hex' },
    ack: 'quorum',
  });
  const lasting = [certificate, result, content.address];
  const before = await until('all of it resolves', async () => {
    const found = await Promise.all([...lasting, HEAD].map((address) => resolve(n1, address)));
    return found.every(({ stale }) => !stale) && found;
  });
  await Promise.all(cluster.nodes.map((node) => node.kill('SIGKILL')));

  // With nobody leading, nobody makes a new head.
  await startAll({ ...shifted, BZZZ_ELECTION_ENABLED: 'false' });
  const day = Date.parse((await n1.get<{ last_check: string }[]>('/v1/health'))[0]!.last_check);
  expect(day - Date.now()).toBeGreaterThan(WEEK_MS - 600_000);
  for (const node of cluster.nodes) {
    for (const [i, address] of lasting.entries()) {
      const found = await until(`${address} at ${node.name}`, () => resolve(node, address));
      expect(found).toMatchObject({ stale: false, pin: before[i]!.pin });
    }
    await expect(resolve(node, HEAD)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const old = await resolve(node, `${HEAD}?stale`);
    expect(old).toMatchObject({ stale: true, pin: before[3]!.pin });
    const again = await node.json<{ cached: boolean; signature: string }>([
      'sign',
      'old',
      ...message,
    ]);
    expect(again).toMatchObject({ cached: true, signature });
  }
  await Promise.all(cluster.nodes.map((node) => node.kill('SIGKILL')));

  // And with a leader there is a new one.
  await startAll(shifted);
  const fresh = await until('a new head', async () => {
    const found = await resolve(n3, HEAD);
    return !found.stale && found;
  });
  expect(fresh.pin).not.toBe(before[3]!.pin);
});
