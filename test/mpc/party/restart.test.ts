import { afterEach, describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import type { KeyValue } from '../../../src/base/ports.ts';
import { type ClusterOptions, forever, TestCluster, type TestNode, until } from './cluster.ts';

let cluster: TestCluster;
const start = async (count: number, setup: ClusterOptions = {}): Promise<TestCluster> => {
  cluster = await TestCluster.start(count, setup);
  return cluster;
};
afterEach(() => cluster.stop());

const makeKey = (node: TestNode, threshold: number, parties: number, change = {}) =>
  node.party.createKey(
    { name: 'release', suite: 'ed25519', threshold, parties, ...change },
    forever(),
  );
const sign = (node: TestNode, text: string, change = {}) =>
  node.party.sign({ key: 'release', message: utf8Bytes(text), fresh: false, ...change }, forever());
const statuses = (): string[] =>
  cluster.nodes.flatMap(({ party }) => party.keys().map(({ status }) => status));
const pendingOnDisk = (node: TestNode): number =>
  [...node.disk.keys()].filter((key) => key.startsWith('shares!p/')).length;
const restart = async (node: TestNode): Promise<void> => {
  await cluster.kill(node);
  await cluster.boot(node);
};

describe('party service after a restart', () => {
  it('R32: all nodes restart from their disks and sign with the same key', async () => {
    await start(3);
    const key = await makeKey(cluster.node(0), 2, 3);
    await until('active', () => statuses().join() === 'active,active,active');
    for (const node of cluster.nodes) await restart(node);
    expect(statuses()).toEqual(['active', 'active', 'active']);
    expect(cluster.node(1).party.key('release')).toEqual({ ...key, createdAt: expect.anything() });
    expect(cluster.node(0).party.session(key.sessionId).state).toBe('completed');
    expect((await sign(cluster.node(2), 'after')).publicKey).toBe(key.publicKey);
  });

  it('K2, K4: a party that died after its statement gets the certificate when it returns', async () => {
    await start(3);
    const [a, , c] = cluster.nodes as [TestNode, TestNode, TestNode];
    // c hears nothing of the end: every statement and certificate on the way to it is lost.
    cluster.net.tamper = ({ to, topic }) =>
      to === c.peerId && pendingOnDisk(c) > 0 && topic !== 'mpc/propose' ? 'drop' : 'pass';
    const key = await makeKey(a, 2, 3);
    expect(pendingOnDisk(c)).toBe(1);
    expect(c.party.key('release').status).toBe('pending');
    await cluster.kill(c);
    cluster.net.tamper = () => 'pass';
    await cluster.boot(c);
    await until('c is active', () => statuses().join() === 'active,active,active');
    expect(pendingOnDisk(c)).toBe(0);
    expect(c.party.session(key.sessionId).state).toBe('completed');
  });

  it('K2, K4: a party that died before anyone heard its statement attests again', async () => {
    await start(3);
    const [a, b, c] = cluster.nodes as [TestNode, TestNode, TestNode];
    cluster.net.tamper = ({ from, to }) =>
      (from === c.peerId || to === c.peerId) && pendingOnDisk(c) > 0 ? 'drop' : 'pass';
    const making = makeKey(a, 2, 3);
    await until('c stored its share', () => pendingOnDisk(c) === 1);
    await cluster.kill(c);
    expect([a, b].flatMap((n) => n.party.keys().map(({ status }) => status))).not.toContain(
      'active',
    );
    cluster.net.tamper = () => 'pass';
    await cluster.boot(c);
    const key = await making;
    await until('all active', () => statuses().join() === 'active,active,active');
    expect((await sign(b, 'whole')).publicKey).toBe(key.publicKey);
  });

  it('K4: a party that died before it stored a share refuses when it returns; no key, no share', async () => {
    await start(3);
    const [a, , c] = cluster.nodes as [TestNode, TestNode, TestNode];
    // c takes part, and its second round is never heard: nobody can finish.
    let accepted = false;
    cluster.net.tamper = ({ from, to }) => {
      if (to === c.peerId) accepted = true;
      return from === c.peerId && accepted && c.party.liveSessions > 0 ? 'drop' : 'pass';
    };
    const making = makeKey(a, 2, 3).catch((error: unknown) => error);
    await until('c joined', () =>
      c.party.sessions().some(({ parties }) => parties.some(({ state }) => state === 'running')),
    );
    await cluster.kill(c);
    cluster.net.tamper = () => 'pass';
    await cluster.boot(c);
    const error = await making;
    expect(error).toMatchObject({ code: 'SESSION_FAILED' });
    await until('all ended', () => cluster.nodes.every((n) => n.party.liveSessions === 0));
    expect(statuses()).toEqual([]);
    expect(cluster.nodes.map(pendingOnDisk)).toEqual([0, 0, 0]);
    // It refused durably: one more restart says the same.
    await restart(c);
    expect(c.party.sessions()[0]).toMatchObject({ state: 'failed' });
  });

  it('S3: a holder that dies and returns during a request joins it again', async () => {
    await start(2);
    const [a, b] = cluster.nodes as [TestNode, TestNode];
    await makeKey(a, 2, 2);
    await until('active', () => statuses().join() === 'active,active');
    cluster.net.tamper = ({ from }) => (from === b.peerId ? 'drop' : 'pass');
    const signing = sign(a, 'patience');
    await until('b joined', () => b.party.liveSessions === 1);
    await cluster.kill(b);
    cluster.net.tamper = () => 'pass';
    await cluster.boot(b);
    const signed = await signing;
    expect(signed.signers).toEqual([a.peerId, b.peerId].sort());
    await until('b has it', () => b.party.liveSessions === 0);
    expect(b.party.session(signed.sessionId).state).toBe('completed');
  });

  it('S1: a session that a restart left alone ends all the same', async () => {
    await start(3);
    const [a, b] = cluster.nodes as [TestNode, TestNode, TestNode];
    await makeKey(a, 3, 3);
    await until('active', () => statuses().join() === 'active,active,active');
    cluster.net.tamper = ({ topic }) => (topic === 'mpc/msg' ? 'drop' : 'pass');
    const lost = sign(a, 'left alone', { timeoutMs: 1_000 }).catch((error: unknown) => error);
    await until('b joined', () => b.party.liveSessions === 1);
    // Nobody brings it the session again.
    cluster.net.tamper = ({ topic }) => (topic.startsWith('mpc/') ? 'drop' : 'pass');
    await restart(b);
    expect(await lost).toMatchObject({ code: 'SESSION_EXPIRED' });
    const ended = (): string | undefined =>
      b.party.sessions().find(({ kind }) => kind === 'sign')?.state;
    await until('b gave it up', () => ended() === 'expired', 12_000);
    expect(b.clock.running()).toBe(0);
  });

  it('K1: a disk that fails stops the key with a reason, and nobody uses a share of it', async () => {
    let broken = false;
    const kv = (name: string, inner: KeyValue): KeyValue => {
      const wrap = (one: KeyValue): KeyValue => ({
        ...one,
        put: async (key, value, options) => {
          if (broken && name === 'node2' && key.startsWith('p/')) {
            throw new BzzzError('DISK_FAILED', 'no space left on device');
          }
          await one.put(key, value, options);
        },
        sub: (sub) => wrap(one.sub(sub)),
      });
      return wrap(inner);
    };
    await start(3, { kv });
    broken = true;
    const error = await makeKey(cluster.node(0), 2, 3).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'SESSION_FAILED',
      message: expect.stringContaining('disk'),
    });
    await until('all ended', () => cluster.nodes.every((n) => n.party.liveSessions === 0));
    // Who attested keeps its share: it cannot know what the third one told the others.
    expect(pendingOnDisk(cluster.node(2))).toBe(0);
    expect(statuses()).toEqual([]);
    broken = false;
    const key = await makeKey(cluster.node(0), 2, 3);
    expect(key.status).toBe('active');
  });

  it('never refuses for a share that it cannot read: it may have attested it', async () => {
    await start(3);
    const [a, , c] = cluster.nodes as [TestNode, TestNode, TestNode];
    cluster.net.tamper = ({ from, to }) =>
      (from === c.peerId || to === c.peerId) && pendingOnDisk(c) > 0 ? 'drop' : 'pass';
    const making = makeKey(a, 2, 3).catch((error: unknown) => error);
    await until('c stored its share', () => pendingOnDisk(c) === 1);
    await cluster.kill(c);
    for (const [key, value] of c.disk) {
      if (key.startsWith('shares!p/'))
        c.disk.set(
          key,
          value.map((byte, i) => (i === 200 ? byte ^ 1 : byte)),
        );
    }
    cluster.net.tamper = () => 'pass';
    cluster.net.frames.length = 0;
    await cluster.boot(c);
    await until('told', () => c.log.some((line) => line.includes('SHARE_CORRUPT')));
    expect([...c.disk.keys()].filter((key) => key.startsWith('sessions!r/'))).toEqual([]);
    expect(pendingOnDisk(c)).toBe(1);
    await a.party.cancel(a.party.sessions()[0]!.sessionId);
    expect(await making).toMatchObject({ code: 'CANCELLED' });
    expect(pendingOnDisk(a)).toBe(1);
  });

  it('S4: a session without progress is reported, once', async () => {
    await start(2, { options: { stallMs: 50 } });
    await makeKey(cluster.node(0), 2, 2);
    await until('active', () => statuses().join() === 'active,active');
    cluster.net.tamper = ({ topic }) => (topic === 'mpc/msg' ? 'drop' : 'pass');
    const stuck = sign(cluster.node(0), 'stuck', { timeoutMs: 1_500 }).catch((e: unknown) => e);
    await stuck;
    const stalls = cluster.node(1).events.filter(({ kind }) => kind === 'session.stalled');
    expect(stalls.length).toBeGreaterThan(0);
    expect(stalls[0]?.data).toMatchObject({ idleMs: expect.any(Number) });
  });
});
