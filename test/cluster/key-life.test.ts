/** The life of keys on real daemons: refresh, reshare, repair of a lost share, retirement. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import { loseShare } from '../support/lost-share.ts';

interface Key {
  readonly keyId: string;
  readonly publicKey: string;
  readonly epoch: number;
  readonly threshold: number;
  readonly status: string;
  readonly address: string;
  readonly parties: readonly { readonly peerId: string }[];
}
interface Signed {
  readonly publicKey: string;
  readonly signers: readonly string[];
}

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(5);
});
afterAll(() => cluster?.stop());

const peers = (nodes: readonly TestNode[]): string => nodes.map(({ peerId }) => peerId).join(',');
const show = (node: TestNode, name: string) => node.json<Key>(['key', 'show', name]);
const sign = (node: TestNode, name: string, message: string) =>
  node.json<Signed>(['sign', name, '--message', message]);
const shows = (nodes: readonly TestNode[], name: string, status: string, epoch: number) =>
  Promise.all(
    nodes.map((node) =>
      until(`${node.name} shows ${name} ${status} in epoch ${epoch}`, async () => {
        const now = await node.get<Key>(`/v1/keys/${name}`);
        return now.status === status && now.epoch === epoch ? now : undefined;
      }),
    ),
  );
/** Hosts that were started a moment ago may still have to be heard of. */
const create = (name: string, nodes: readonly TestNode[], threshold: number): Promise<Key> => {
  const wish = ['--threshold', String(threshold), '--parties', String(nodes.length)];
  const [first] = nodes as [TestNode];
  return until(`key ${name}`, async () => {
    const args = ['key', 'create', name, ...wish, '--participants', peers(nodes), '--json'];
    const ran = await first.cli(args);
    if (ran.code !== 0 && ran.code !== 5) throw new Error(ran.stderr);
    return ran.code === 0 ? (JSON.parse(ran.stdout) as Key) : undefined;
  });
};

describe('five daemons', () => {
  it('K2: refresh a key of 2 of 3, restart its holders, and sign', async () => {
    const holders = cluster.nodes.slice(0, 3);
    const [a, b, c] = holders as [TestNode, TestNode, TestNode];
    const key = await create('fresh', holders, 2);
    await shows(holders, 'fresh', 'active', 0);
    const fresh = await b.json<Key>(['key', 'refresh', 'fresh']);
    expect(fresh).toMatchObject({ keyId: key.keyId, publicKey: key.publicKey, epoch: 1 });
    await shows(holders, 'fresh', 'active', 1);
    expect((await sign(c, 'fresh', 'one')).publicKey).toBe(key.publicKey);
    for (const node of holders) await node.kill();
    for (const node of holders) await node.start();
    await shows(holders, 'fresh', 'active', 1);
    expect((await sign(a, 'fresh', 'two')).publicKey).toBe(key.publicKey);
    // The newest epoch stands at the key's address, for hosts without a part in it too.
    const other = cluster.nodes[4] as TestNode;
    const { bytes } = await until('the address tells', async () => {
      const ran = await other.cli(['get', key.address]);
      return ran.code === 0 ? { bytes: ran.stdout.length } : undefined;
    });
    expect(bytes).toBeGreaterThan(0);
  });

  it('K2: hand a key of 2 of 3 on to 3 of 3, two of them new; the others are out', async () => {
    const old = cluster.nodes.slice(0, 3);
    const next = [...cluster.nodes.slice(3), cluster.nodes[0] as TestNode];
    const [a, b] = old as [TestNode, TestNode];
    const key = await create('moving', old, 2);
    await shows(old, 'moving', 'active', 0);
    const wish = ['--threshold', '3', '--participants', peers(next)];
    const moved = await a.json<Key>(['key', 'reshare', 'moving', ...wish]);
    expect(moved).toMatchObject({ publicKey: key.publicKey, threshold: 3, epoch: 1 });
    await shows(next, 'moving', 'active', 1);
    await shows(old.slice(1), 'moving', 'public', 1);
    const refused = await b.cli(['sign', 'moving', '--message', 'x']);
    expect(refused.code).toBe(7);
    const [d] = next as [TestNode];
    const { signers } = await sign(d, 'moving', 'x');
    expect([...signers].sort()).toEqual(next.map(({ peerId }) => peerId).sort());
    expect((await show(d, 'moving')).parties).toHaveLength(3);
  });

  it('K1: rebuild the share that a disk has lost, and sign with it', async () => {
    const holders = cluster.nodes.slice(0, 3);
    const [a, b, c] = holders as [TestNode, TestNode, TestNode];
    const key = await create('mended', holders, 2);
    await shows(holders, 'mended', 'active', 0);
    await loseShare(c, key.keyId);
    await shows([c], 'mended', 'lost', 0);
    const { warnings } = await c.get<{ warnings: string[] }>('/v1/status');
    expect(warnings.join()).toMatch(/share of key mended here is lost/);
    await until('the others see it again', async () => {
      const ran = await a.cli(['key', 'repair', 'mended', c.peerId]);
      return ran.code === 0 ? true : undefined;
    });
    await shows([c], 'mended', 'active', 0);
    // Only with the rebuilt share are there two holders now.
    await b.kill();
    const { publicKey, signers } = await sign(c, 'mended', 'with the rebuilt share');
    expect(publicKey).toBe(key.publicKey);
    expect([...signers].sort()).toEqual([a.peerId, c.peerId].sort());
    await b.start();
  });

  it('retire a key: no holder signs any more, also not one that was away', async () => {
    const holders = cluster.nodes.slice(0, 3);
    const [a, , c] = holders as [TestNode, TestNode, TestNode];
    await create('over', holders, 2);
    await shows(holders, 'over', 'active', 0);
    await c.kill();
    expect(await a.json<Key>(['key', 'retire', 'over'])).toMatchObject({ status: 'retired' });
    await c.start();
    await shows(holders, 'over', 'retired', 0);
    for (const node of holders) {
      const ran = await node.cli(['sign', 'over', '--message', 'x']);
      expect(ran.code).toBe(7);
      expect(ran.stderr).toMatch(/was retired/);
    }
  });

  it('the leader has an old key refreshed, as its setting says', async () => {
    const [founder] = cluster.nodes as [TestNode];
    const holders = cluster.nodes.slice(0, 2);
    const key = await create('weekly', holders, 2);
    for (const node of cluster.nodes) node.setEnv({ BZZZ_KEY_REFRESH: '20s' });
    for (const node of cluster.nodes) await node.kill('SIGTERM');
    await Promise.all(cluster.nodes.map((node) => node.start()));
    const now = await until(
      'it was refreshed',
      async () => {
        const shown = await founder.get<Key>('/v1/keys/weekly');
        return shown.epoch > 0 ? shown : undefined;
      },
      120_000,
    );
    expect(now.publicKey).toBe(key.publicKey);
    const jobs = await founder.json<{ kind: string; state: string; subject: string }[]>([
      'job',
      'ls',
    ]);
    const mine = jobs.filter(({ subject }) => subject === `${key.keyId}@0`);
    expect(mine.filter(({ state }) => state === 'done')).not.toEqual([]);
  });
});
