/** R43: a key waits for its parties while discovery itself fails, and only then. */
import { afterEach, describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { forever, TestCluster, type TestNode, until } from './cluster.ts';

const TROUBLE = 'mDNS, announcements and DHT say nothing of 2 missing members';

let cluster: TestCluster;
afterEach(() => cluster.stop());

/** Node 0 and the others do not see each other until a token tells an address. */
async function apart(count: number, trouble: string | undefined): Promise<TestNode> {
  cluster = await TestCluster.start(count);
  cluster.trouble = trouble;
  const [first] = cluster.nodes;
  for (const node of cluster.nodes.slice(1)) {
    cluster.net.cut(cluster.node(0).peerId, node.peerId);
    cluster.unavailable.set(node.peerId, { fresh: false });
  }
  cluster.sighted = (by: PeerId, peer: PeerId, addresses) => {
    if (addresses.length === 0) return;
    cluster.unavailable.delete(by);
    cluster.net.cut(by, peer, false);
  };
  return first as TestNode;
}

const create = (node: TestNode, change = {}, signal = forever()) =>
  node.party.createKey(
    { name: 'late', suite: 'ed25519', threshold: 2, parties: 3, ...change },
    signal,
  );

/** The token of the key that waits on a node. */
async function tokenOf(node: TestNode, name = 'late'): Promise<string> {
  const find = () => node.party.gatherings().find((gathering) => gathering.name === name);
  await until(`${name} waits`, () => find() !== undefined);
  return find()?.token ?? '';
}

const join = (node: TestNode, token: string) => node.party.joinGathering(token, forever());
const code = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: { code: string }) => error.code,
  );

describe('R43: a key that waits while discovery fails', () => {
  it('discovery down: is made with the members that join by token, and used', async () => {
    const proposer = await apart(4, TROUBLE);
    const key = create(proposer);
    const token = await tokenOf(proposer);
    expect(token).toMatch(/^bzzz-join1[a-z2-7]+$/);
    expect(proposer.events).toContainEqual({
      kind: 'session.gathering',
      data: { name: 'late', token, reason: TROUBLE, need: 3, have: 1 },
    });
    expect(proposer.log.join('\n')).not.toContain(token);
    const joiners = [cluster.node(1), cluster.node(3)];
    expect(await join(cluster.node(1), ` ${token.slice(0, 40)}\n${token.slice(40)}`)).toEqual({
      name: 'late',
      suite: 'ed25519',
      threshold: 2,
      proposer: proposer.peerId,
      need: 3,
      have: 2,
    });
    expect(proposer.party.gatherings()).toMatchObject([{ joined: [cluster.node(1).peerId] }]);
    expect(await join(cluster.node(1), token)).toMatchObject({ have: 2 });
    // By its connection alone the key has all it needs; its ask comes after that.
    expect(await join(cluster.node(3), token)).toMatchObject({ need: 3, have: 3 });
    const made = await key;
    const parties = [proposer, ...joiners].map(({ peerId }) => peerId).sort();
    expect(made.parties.map(({ peerId }) => peerId)).toEqual(parties);
    expect(made).toMatchObject({ threshold: 2, status: 'active' });
    expect(proposer.party.gatherings()).toEqual([]);
    for (const node of joiners) {
      await until('the key there', () =>
        node.party.keys().some(({ status }) => status === 'active'),
      );
    }
    expect(await code(join(cluster.node(2), token))).toBe('SESSION_EXPIRED');
    await until('no timers of it', () => proposer.party.liveSessions === 0);
  });

  it('merely too few: the old error at once, and nothing waits', async () => {
    const proposer = await apart(3, undefined);
    expect(await code(create(proposer))).toBe('INSUFFICIENT_PERSISTENT_PARTIES');
    expect(proposer.party.gatherings()).toEqual([]);
    expect(proposer.events).toEqual([]);
  });

  it.each([
    ['more parties than the roster has members', { parties: 4 }],
    ['a role that nobody has', { composition: { persistent: 2, delegate: 1 } }],
    ['a request that names its participants', { parties: undefined, participants: 'all' }],
  ])('discovery down, but %s: the error at once', async (_, change) => {
    const proposer = await apart(3, TROUBLE);
    const all = cluster.nodes.map(({ peerId }) => peerId);
    const asked = 'participants' in change ? { ...change, participants: all } : change;
    expect(await code(create(proposer, asked))).toMatch(/^INSUFFICIENT_/);
    expect(proposer.events).toEqual([]);
  });

  it('R39: what is wrong with the request is said before anything waits', async () => {
    const proposer = await apart(3, TROUBLE);
    const stranger = 'stranger';
    expect(await code(create(proposer, { requesters: [stranger] }))).toBe('NOT_A_MEMBER');
    expect(await code(create(proposer, { threshold: 5 }))).toBe('INVALID_THRESHOLD');
    expect(proposer.party.gatherings()).toEqual([]);
  });

  it('the deadline: the old error, with what is wrong with discovery', async () => {
    const proposer = await apart(3, TROUBLE);
    const timers = proposer.clock.running();
    // Long enough for a host to join on a machine that does other things too.
    const failure = create(proposer, { timeoutMs: 3_000 }).catch((thrown: unknown) => thrown);
    await join(cluster.node(1), await tokenOf(proposer));
    const error = await failure;
    expect(error).toMatchObject({
      code: 'INSUFFICIENT_PERSISTENT_PARTIES',
      message: '3 persistent parties needed, 2 available',
      details: { need: 3, have: 2, trouble: TROUBLE },
    });
    expect((error as { why: string }).why).toContain(TROUBLE);
    expect(proposer.party.gatherings()).toEqual([]);
    expect(proposer.clock.running()).toBe(timers);
  });

  it('the name is taken while it waits, and free after the client has gone', async () => {
    const proposer = await apart(3, TROUBLE);
    const client = new AbortController();
    const timers = proposer.clock.running();
    const key = code(create(proposer, {}, client.signal));
    await tokenOf(proposer);
    expect(await code(create(proposer))).toBe('CONFLICT');
    client.abort();
    expect(await key).toBe('INTERRUPTED');
    expect(proposer.clock.running()).toBe(timers);
    const again = code(create(proposer, { timeoutMs: 100 }));
    await tokenOf(proposer);
    expect(await again).toBe('INSUFFICIENT_PERSISTENT_PARTIES');
  });

  it('one that joined and is gone: another takes its place', async () => {
    const proposer = await apart(4, TROUBLE);
    const key = create(proposer);
    const token = await tokenOf(proposer);
    await join(cluster.node(1), token);
    await cluster.kill(cluster.node(1));
    expect(await join(cluster.node(2), token)).toMatchObject({ have: 2 });
    await join(cluster.node(3), token);
    const parties = [0, 2, 3].map((i) => cluster.node(i).peerId).sort();
    expect((await key).parties.map(({ peerId }) => peerId)).toEqual(parties);
  });

  it('draining ends it', async () => {
    const proposer = await apart(3, TROUBLE);
    const key = code(create(proposer));
    await tokenOf(proposer);
    await proposer.party.drain(1_000);
    expect(await key).toBe('DRAINING');
  });

  it('two keys wait at once: each token is for its own', async () => {
    const proposer = await apart(4, TROUBLE);
    const [early, late] = [create(proposer, { name: 'early', parties: 2 }), create(proposer)];
    const [a, b] = [await tokenOf(proposer, 'early'), await tokenOf(proposer)];
    expect(a).not.toBe(b);
    expect(await join(cluster.node(1), a)).toMatchObject({ name: 'early' });
    expect((await early).parties).toHaveLength(2);
    expect(await code(join(cluster.node(2), a))).toBe('SESSION_EXPIRED');
    expect(await join(cluster.node(2), b)).toMatchObject({ name: 'late' });
    expect((await late).parties).toHaveLength(3);
  });

  it('a host that cannot be reached: PEER_UNREACHABLE, and no timer is left', async () => {
    const proposer = await apart(3, TROUBLE);
    cluster.sighted = () => {};
    const key = code(create(proposer, { timeoutMs: 300 }));
    const node = cluster.node(1);
    const timers = node.clock.running();
    expect(await code(join(node, await tokenOf(proposer)))).toBe('PEER_UNREACHABLE');
    expect(node.clock.running()).toBe(timers);
    expect(await key).toBe('INSUFFICIENT_PERSISTENT_PARTIES');
  });
});
