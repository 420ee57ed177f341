import { afterEach, describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import { sealRetirement } from '../../../src/mpc/keys/retirement.ts';
import {
  type ClusterOptions,
  clusterId,
  forever,
  putBack,
  TestCluster,
  type TestNode,
  until,
} from './cluster.ts';

let cluster: TestCluster;
const start = async (count: number, setup: ClusterOptions = {}): Promise<readonly TestNode[]> => {
  cluster = await TestCluster.start(count, setup);
  return cluster.nodes;
};
afterEach(() => cluster.stop());

const makeKey = (node: TestNode, threshold: number, participants: readonly TestNode[]) =>
  node.party.createKey(
    {
      name: 'release',
      suite: 'ed25519',
      threshold,
      participants: participants.map(({ peerId }) => peerId),
    },
    forever(),
  );
const change = (node: TestNode, wish: object = {}) =>
  node.party.changeKey({ key: 'release', ...wish }, forever());
const sign = (node: TestNode, text: string, more = {}) =>
  node.party.sign({ key: 'release', message: utf8Bytes(text), fresh: false, ...more }, forever());
const ids = (nodes: readonly TestNode[]) => nodes.map(({ peerId }) => peerId);
const standing = (node: TestNode): string => {
  const { status, epoch } = node.party.key('release');
  return `${status} ${epoch}`;
};
const all = (nodes: readonly TestNode[], what: string) =>
  until(`${what}: ${nodes.map(standing).join(', ')}`, () =>
    nodes.every((node) => standing(node) === what),
  );
const onDisk = (node: TestNode, prefix: string): number =>
  [...node.disk.keys()].filter((key) => key.startsWith(`shares!${prefix}/`)).length;
const failure = async (work: Promise<unknown>): Promise<BzzzError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof BzzzError) return error;
  throw new Error(`no failure: ${error}`);
};

describe('a refresh', () => {
  it('waits a moment for a holder that is just connecting, and says who is missing', async () => {
    const nodes = await start(3);
    const [a, , c] = nodes as [TestNode, TestNode, TestNode];
    await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    cluster.net.cut(a.peerId, c.peerId);
    setTimeout(() => cluster.net.cut(a.peerId, c.peerId, false), 300);
    expect((await change(a)).epoch).toBe(1);
    cluster.net.cut(a.peerId, c.peerId);
    const { code, details } = await failure(change(a));
    expect([code, details]).toEqual([
      'INSUFFICIENT_PARTIES',
      { need: 3, have: 2, missing: [c.peerId] },
    ]);
  });

  it('is known to a node that its proposer could not tell of it', async () => {
    const nodes = await start(4);
    const [a, b, c, d] = nodes as [TestNode, TestNode, TestNode, TestNode];
    await makeKey(a, 2, [a, b, c]);
    await until('all know it', () => nodes.every((node) => node.party.keys().length === 1));
    cluster.net.cut(a.peerId, d.peerId);
    await change(a);
    await until('the others told of it', () => standing(d) === 'public 1');
  });

  it('K2: gives every holder a new share of the same key, and the key signs on', async () => {
    const nodes = await start(3);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    const key = await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    const before = new Map(a.disk);
    const { signature } = await sign(b, 'before');
    const fresh = await change(b);
    expect(fresh).toMatchObject({ keyId: key.keyId, publicKey: key.publicKey, epoch: 1 });
    await all(nodes, 'active 1');
    for (const node of nodes) expect([onDisk(node, 'a'), onDisk(node, 'p')]).toEqual([1, 0]);
    const share = `shares!a/${key.keyId}`;
    expect(a.disk.get(share)).not.toEqual(before.get(share));
    expect((await sign(c, 'after')).publicKey).toBe(key.publicKey);
    // What was signed before stands.
    expect(await sign(c, 'before')).toMatchObject({ signature, cached: true });
    expect((await change(a)).epoch).toBe(2);
    await all(nodes, 'active 2');
    expect((await sign(a, 'again')).publicKey).toBe(key.publicKey);
    const { byAddress } = cluster.records;
    expect(byAddress.get(key.address)?.size).toBeGreaterThan(1);
  });

  it('needs every holder, and says who is missing', async () => {
    const nodes = await start(3);
    await makeKey(cluster.node(0), 2, nodes);
    await cluster.kill(cluster.node(2));
    const error = await failure(change(cluster.node(0)));
    expect(error.code).toBe('INSUFFICIENT_PARTIES');
    expect(error.details.missing).toEqual([cluster.node(2).peerId]);
  });

  it('refuses a second change of the same epoch while one is open', async () => {
    const nodes = await start(3);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    const both = await Promise.allSettled([change(a), change(b), change(c)]);
    const done = both.filter(({ status }) => status === 'fulfilled');
    // Each may refuse the others: then the epoch stays. Never are there two.
    expect(done.length).toBeLessThan(3);
    await until('rest', () => nodes.every(({ party }) => party.liveSessions === 0), 20_000);
    const epoch = Math.max(...nodes.map(({ party }) => party.key('release').epoch));
    await all(nodes, `active ${epoch}`);
    const sids = new Set(nodes.map(({ party }) => party.key('release').sessionId));
    expect(sids.size).toBe(1);
    await sign(a, 'after');
  });
});

describe('a change that a host has left unfinished for good', () => {
  it('K4: blocks the epoch until that host is off the roster, and no longer', async () => {
    // Those who deal are the first by their ids: d is none of them.
    const nodes = [...(await start(4))].sort((x, y) => (x.peerId < y.peerId ? -1 : 1));
    const [a, b, c, d] = nodes as [TestNode, TestNode, TestNode, TestNode];
    await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    // What d attests, and every later word of its, is lost; then its disk burns. It may well have
    // had the certificate, from everybody's statements and its own.
    let silent = false;
    cluster.net.tamper = ({ from }) => {
      silent ||= onDisk(d, 'p') > 0;
      return silent && from === d.peerId ? 'drop' : 'pass';
    };
    await failure(change(a, { timeoutMs: 6_000 }));
    await until('the others wait', () => [a, b, c].every((node) => onDisk(node, 'p') === 1));
    await cluster.kill(d);
    cluster.net.tamper = () => 'pass';
    await sign(b, 'the old epoch signs');
    const wish = { participants: ids([a, b, c]), threshold: 2 };
    await until('the first has ended', () => a.party.liveSessions === 0);
    expect((await failure(change(a, wish))).code).toBe('CONFLICT');
    cluster.nodes.splice(cluster.nodes.indexOf(d), 1);
    const { epoch } = await change(a, wish);
    expect(epoch).toBe(1);
    await all([a, b, c], 'active 1');
    for (const node of [a, b, c]) expect([onDisk(node, 'a'), onDisk(node, 'p')]).toEqual([1, 0]);
    await sign(c, 'the new epoch signs');
  });
});

describe('a reshare', () => {
  it('hands 2 of 3 on to 3 of 5 others; the old holders cannot sign any more', async () => {
    const nodes = await start(8);
    const old = nodes.slice(0, 3);
    const next = nodes.slice(3);
    const [a] = old as [TestNode];
    const key = await makeKey(a, 2, old);
    await sign(a, 'first');
    await until('all know it', () => nodes.every(({ party }) => party.keys().length === 1));
    const moved = await change(a, { threshold: 3, participants: ids(next) });
    expect(moved).toMatchObject({ keyId: key.keyId, publicKey: key.publicKey, threshold: 3 });
    await all(next, 'active 1');
    await all(old, 'public 1');
    for (const node of old) expect([onDisk(node, 'a'), onDisk(node, 'p')]).toEqual([0, 0]);
    for (const node of old) await cluster.kill(node);
    const [d] = next as [TestNode];
    const { publicKey, signers } = await sign(d, 'second');
    expect(publicKey).toBe(key.publicKey);
    expect(signers.every((peer) => ids(next).includes(peer as never))).toBe(true);
    // An old holder may have kept its share: whoever takes it off the roster is told.
    expect(d.party.keysHeldBy(a.peerId)).toEqual(['release']);
    // The result of the old holders stands.
    expect((await sign(d, 'first')).cached).toBe(true);
  });

  it('leaves out a holder that is away, and says so in the certificate', async () => {
    const nodes = await start(4);
    const [a, b, c, d] = nodes as [TestNode, TestNode, TestNode, TestNode];
    await makeKey(a, 2, [a, b, c]);
    await all([a, b, c], 'active 0');
    await cluster.kill(c);
    await change(a, { participants: ids([a, b, d]) });
    await all([a, b, d], 'active 1');
    // It comes back with its old share, learns that it is out, and wipes it.
    await cluster.boot(c);
    await until('c has learned it', () => standing(c) === 'public 1' && onDisk(c, 'a') === 0);
    expect((await failure(sign(c, 'mine'))).code).toBe('REFUSED_BY_POLICY');
    await sign(d, 'ours');
  });

  it('is refused without a majority of the holders', async () => {
    const nodes = await start(5);
    const [a, b] = nodes as [TestNode, TestNode];
    await makeKey(a, 2, nodes);
    for (const node of nodes.slice(2)) await cluster.kill(node);
    const error = await failure(change(a, { participants: ids([a, b]) }));
    expect(error).toMatchObject({ code: 'REFUSED_BY_POLICY', details: { rule: 'majority' } });
  });
});

describe('a restored backup', () => {
  it('K2: a share of an older epoch is stale, says so, and never signs', async () => {
    const nodes = await start(3);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    const backup = new Map(c.disk);
    await change(a);
    await all(nodes, 'active 1');
    await cluster.kill(c);
    putBack(c, backup);
    await cluster.kill(b);
    await cluster.boot(c);
    await until('stale', () => standing(c) === 'stale 1');
    expect(c.events.some(({ kind }) => kind === 'key.stale')).toBe(true);
    const error = await failure(sign(a, 'with the old one', { timeoutMs: 1_500 }));
    // It refused; it was not found out by a share that does not fit.
    const { culprits = [] } = error.details as { culprits?: unknown[] };
    expect(culprits).toEqual([]);
  });
});

describe('a repair', () => {
  const repair = (node: TestNode, lost: TestNode) =>
    node.party.repairKey({ key: 'release', peer: lost.peerId }, forever());
  const lose = async (node: TestNode): Promise<void> => {
    await cluster.kill(node);
    for (const key of node.disk.keys()) if (key.startsWith('shares!a/')) node.disk.delete(key);
    await cluster.boot(node);
  };

  it('rebuilds a lost share for its holder, which signs again', async () => {
    const nodes = await start(3);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    const key = await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    await lose(c);
    await until('lost', () => standing(c) === 'lost 0');
    expect(c.events.some(({ kind }) => kind === 'key.lost')).toBe(true);
    await repair(a, c);
    expect(standing(c)).toBe('active 0');
    await cluster.kill(b);
    const { signers, publicKey } = await sign(a, 'with the new one');
    expect(publicKey).toBe(key.publicKey);
    expect([...signers].sort()).toEqual(ids([a, c]).sort());
    // It is on the disk, not in memory only.
    await cluster.kill(c);
    await cluster.boot(c);
    expect(standing(c)).toBe('active 0');
  });

  it('takes another helper when the first one is dead and nobody knows', async () => {
    const nodes = await start(4);
    const [a, , , d] = nodes as [TestNode, TestNode, TestNode, TestNode];
    const { parties } = await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    await lose(d);
    await until('lost', () => standing(d) === 'lost 0');
    const peerId = parties
      .map((party) => party.peerId)
      .find((id) => id !== a.peerId && id !== d.peerId);
    let unheard = 0;
    cluster.net.tamper = ({ from, to }) => {
      if (from !== peerId && to !== peerId) return 'pass';
      unheard++;
      return 'drop';
    };
    await a.party.repairKey({ key: 'release', peer: d.peerId, timeoutMs: 6_000 }, forever());
    expect(standing(d)).toBe('active 0');
    expect(unheard, 'it was asked').toBeGreaterThan(0);
  });

  it('rebuilds a share that the disk lost under a running node, which remembers it', async () => {
    const nodes = await start(3);
    const [a, , c] = nodes as [TestNode, TestNode, TestNode];
    await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    await sign(c, 'opens the share');
    for (const key of c.disk.keys()) if (key.startsWith('shares!a/')) c.disk.delete(key);
    await repair(a, c);
    expect([standing(c), onDisk(c, 'a')]).toEqual(['active 0', 1]);
  });

  it('makes a stale share good, asked for by its own holder', async () => {
    const nodes = await start(3);
    const [a, , c] = nodes as [TestNode, TestNode, TestNode];
    await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    const backup = new Map(c.disk);
    await change(a);
    await all(nodes, 'active 1');
    await cluster.kill(c);
    putBack(c, backup);
    await cluster.boot(c);
    await until('stale', () => standing(c) === 'stale 1');
    await repair(c, c);
    expect(standing(c)).toBe('active 1');
    await cluster.kill(cluster.node(1));
    await sign(c, 'again');
  });

  it('is refused where nothing is lost, and without enough helpers', async () => {
    const nodes = await start(3);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    expect((await failure(repair(a, c))).code).toBe('CONFLICT');
    await lose(c);
    await cluster.kill(b);
    expect((await failure(repair(a, c))).code).toBe('INSUFFICIENT_PARTIES');
    expect(standing(c)).toBe('lost 0');
  });
});

describe('a retired key', () => {
  it('signs no more, on any holder, also on one that was away; shares stay until wiped', async () => {
    const nodes = await start(3);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    await makeKey(a, 2, nodes);
    await all(nodes, 'active 0');
    await sign(a, 'before');
    await cluster.kill(c);
    const { status } = await b.party.retireKey({ key: 'release' });
    expect(status).toBe('retired');
    await all([a, b], 'retired 0');
    await cluster.boot(c);
    await all(nodes, 'retired 0');
    expect(c.events.some(({ kind }) => kind === 'key.retired')).toBe(true);
    for (const node of nodes) {
      const error = await failure(sign(node, 'after'));
      expect(error).toMatchObject({ code: 'REFUSED_BY_POLICY', details: { rule: 'retired' } });
      expect((await failure(change(node))).code).toBe('REFUSED_BY_POLICY');
      expect(onDisk(node, 'a')).toBe(1);
    }
    await a.party.retireKey({ key: 'release', wipe: true });
    expect([onDisk(a, 'a'), onDisk(b, 'a')]).toEqual([0, 1]);
    // It stands after a restart, and nothing is called lost.
    await cluster.kill(a);
    await cluster.boot(a);
    expect(standing(a)).toBe('retired 0');
    expect(a.events.some(({ kind }) => kind === 'key.lost')).toBe(false);
  });

  it('is retired by those who may use it or made it, and by nobody else', async () => {
    const nodes = await start(4);
    const [a, b, c, d] = nodes as [TestNode, TestNode, TestNode, TestNode];
    await makeKey(a, 2, [a, b, c]);
    await until('d knows it', () => d.party.keys().length === 1);
    expect((await failure(d.party.retireKey({ key: 'release' }))).code).toBe('REFUSED_BY_POLICY');
    await sign(a, 'still in use');
    // A forged statement is refused by every node that hears it.
    const entry = a.deps.keyring.get('release');
    const forged = sealRetirement({ ...entry, creator: d.peerId }, 0, clusterId, d.signer);
    await expect(a.deps.keyring.retire(entry.key.keyId, forged)).rejects.toThrow(/retirement of/);
  });
});
