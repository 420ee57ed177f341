import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import type { KeyId } from '../../../src/base/brands.ts';
import { fromHex, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { opensslAccepts } from '../../support/ed25519.ts';
import { steadyClock } from '../../support/steady-clock.ts';
import {
  type ClusterOptions,
  forever,
  keyEverywhere,
  TestCluster,
  type TestNode,
  until,
} from './cluster.ts';

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

/** Verifies with node:crypto, from nothing but hex. */
function opensslSays(publicKey: string, text: string, signature: string): boolean {
  const [key, bytes] = [Buffer.from(publicKey, 'hex'), Buffer.from(signature, 'hex')];
  return opensslAccepts(key, Buffer.from(text), bytes);
}

describe('party service', () => {
  it('R22: three idle nodes, one call: a 2-of-3 key that all hold and list alike', async () => {
    const { nodes } = await start(3);
    const key = await makeKey(cluster.node(0), 2, 3, { purpose: 'releases' });
    expect(key).toMatchObject({ name: 'release', threshold: 2, status: 'active', epoch: 0 });
    expect(key.parties.map(({ index }) => index)).toEqual([1, 2, 3]);
    await keyEverywhere(cluster);
    for (const node of nodes) {
      expect(node.party.key('release')).toMatchObject({ keyId: key.keyId, status: 'active' });
      expect(node.party.session(key.sessionId)).toMatchObject({ state: 'completed' });
      expect(node.party.key(key.keyId).publicKey).toBe(key.publicKey);
    }
    expect(cluster.records.byAddress.has(key.address)).toBe(true);
  });

  it('signs with a 3-of-5 key from any holder, and a standard tool accepts it', async () => {
    const { nodes } = await start(5);
    const key = await makeKey(cluster.node(1), 3, 5);
    await keyEverywhere(cluster);
    for (const [i, node] of nodes.entries()) {
      const text = `message ${i}`;
      const signed = await sign(node, text);
      expect(opensslSays(key.publicKey, text, signed.signature)).toBe(true);
      expect(opensslSays(key.publicKey, 'another', signed.signature)).toBe(false);
      expect(signed).toMatchObject({ cached: false, suite: 'ed25519', publicKey: key.publicKey });
      expect(signed.signers).toHaveLength(3);
      expect(signed.messageHash).toBe(createHash('sha256').update(text).digest('hex'));
      expect(node.party.verify('release', utf8Bytes(text), fromHex(signed.signature)!)).toBe(true);
      const through = node.party
        .session(signed.sessionId)
        .parties.filter(({ state }) => state === 'completed');
      expect(through.map(({ peerId }) => peerId).sort()).toEqual([...signed.signers].sort());
    }
  });

  it('makes and uses a secp256k1-tr key', async () => {
    await start(3);
    await makeKey(cluster.node(0), 2, 3, { suite: 'secp256k1-tr' });
    await keyEverywhere(cluster);
    const signed = await sign(cluster.node(2), 'taproot');
    const ok = cluster
      .node(1)
      .party.verify('release', utf8Bytes('taproot'), fromHex(signed.signature)!);
    expect(ok).toBe(true);
  });

  it('S6: answers the same request from its result, without a session', async () => {
    const { nodes } = await start(3);
    await makeKey(cluster.node(0), 2, 3);
    await keyEverywhere(cluster);
    const first = await sign(cluster.node(0), 'once');
    await until('sessions ended', () => nodes.every((n) => n.party.liveSessions === 0));
    for (const node of nodes) {
      const frames = cluster.net.frames.filter(({ topic }) => topic === 'mpc/propose').length;
      const sessions = node.party.sessions().length;
      const again = await sign(node, 'once');
      expect(again).toMatchObject({ cached: true, attempts: 0, signature: first.signature });
      expect(again.sessionId).toBe(first.sessionId);
      expect(node.party.sessions()).toHaveLength(sessions);
      expect(cluster.net.frames.filter(({ topic }) => topic === 'mpc/propose')).toHaveLength(
        frames,
      );
    }
    const fresh = await sign(cluster.node(1), 'once', { fresh: true });
    expect(fresh.cached).toBe(false);
    expect(fresh.sessionId).not.toBe(first.sessionId);
  });

  it('S6: two nodes and two clients ask at once: one result', async () => {
    const { nodes } = await start(3);
    await makeKey(cluster.node(0), 2, 3);
    await keyEverywhere(cluster);
    const answers = await Promise.all([
      sign(cluster.node(0), 'race'),
      sign(cluster.node(0), 'race'),
      sign(cluster.node(1), 'race'),
      sign(cluster.node(2), 'race'),
    ]);
    await until('sessions ended', () => nodes.every((n) => n.party.liveSessions === 0));
    const settled = await Promise.all(nodes.map((node) => sign(node, 'race')));
    expect(new Set(settled.map(({ signature }) => signature)).size).toBe(1);
    expect(new Set(answers.slice(0, 2).map(({ sessionId }) => sessionId)).size).toBe(1);
  });

  it('S6: a holder that makes the signature while another session opens there makes no second', async () => {
    await start(3);
    await makeKey(cluster.node(0), 2, 3);
    await keyEverywhere(cluster);
    const [first, second, holder] = [cluster.node(0), cluster.node(1), cluster.node(2)];
    cluster.net.cut(first.peerId, second.peerId);
    let goOn: () => void = () => {};
    const looked = new Promise<void>((resolve) => (goOn = resolve));
    let looks = 0;
    cluster.records.slow = async (node) => {
      if (node === holder.name && ++looks === 1) await looked;
    };
    const late = sign(second, 'race');
    await until('the holder looks for a result', () => looks === 1);
    const early = await sign(first, 'race');
    await until('the holder has it', () => holder.party.liveSessions === 0);
    goOn();
    expect(await late).toMatchObject({ signature: early.signature, sessionId: early.sessionId });
  });

  it('refuses a requester that the key does not name: an observer cannot sign', async () => {
    await start(4, { roles: ['persistent', 'persistent', 'persistent', 'observer'] });
    await makeKey(cluster.node(0), 2, 3);
    const observer = cluster.node(3);
    await until('learned', () => observer.party.keys().length === 1);
    expect(observer.party.key('release')).toMatchObject({ status: 'public', createdAt: null });
    const before = cluster.net.frames.length;
    await expect(sign(observer, 'x')).rejects.toMatchObject({ code: 'REFUSED_BY_POLICY', exit: 7 });
    expect(cluster.net.frames).toHaveLength(before);
    expect(observer.party.sessions().every(({ kind }) => kind === 'keygen')).toBe(true);
  });

  it('lets a named requester without a share drive, and everyone else is refused', async () => {
    const { nodes } = await start(4, {
      roles: ['persistent', 'persistent', 'persistent', 'observer'],
    });
    const observer = cluster.node(3);
    const key = await makeKey(cluster.node(0), 2, 3, { requesters: [observer.peerId] });
    await keyEverywhere(cluster);
    const signed = await sign(observer, 'mine');
    expect(opensslSays(key.publicKey, 'mine', signed.signature)).toBe(true);
    expect(signed.signers).not.toContain(observer.peerId);
    await expect(sign(cluster.node(0), 'theirs')).rejects.toMatchObject({
      code: 'REFUSED_BY_POLICY',
    });
    await until('sessions ended', () => nodes.every((n) => n.party.liveSessions === 0));
    const again = await sign(observer, 'mine');
    expect(again).toMatchObject({ cached: true, signature: signed.signature });
  });

  it('R36, R39: too few persistent parties fail at once, and nothing was sent or kept', async () => {
    await start(4, { roles: ['persistent', 'persistent', 'observer', 'delegate'] });
    const node = cluster.node(0);
    const frames = cluster.net.frames.length;
    const writes = node.disk.size;
    const startedAt = steadyClock.now();
    await expect(makeKey(node, 2, 3)).rejects.toMatchObject({
      code: 'INSUFFICIENT_PERSISTENT_PARTIES',
      exit: 5,
      details: { need: 3, have: 2, byRole: { persistent: { need: 3, have: 2 } } },
    });
    expect(steadyClock.now() - startedAt).toBeLessThan(1_000);
    expect(cluster.net.frames).toHaveLength(frames);
    expect(node.disk.size).toBe(writes);
    expect(node.party.sessions()).toEqual([]);
    expect(node.clock.running()).toBe(0);
  });

  it('refuses bad requests for a key with their own errors, before anything is sent', async () => {
    await start(3);
    const node = cluster.node(0);
    const frames = cluster.net.frames.length;
    const cases: [object, string][] = [
      [{ name: 'Release' }, 'BAD_REQUEST'],
      [{ name: '' }, 'BAD_REQUEST'],
      [{ suite: 'ed448' }, 'UNSUPPORTED_SUITE'],
      [{ threshold: 1 }, 'INVALID_THRESHOLD'],
      [{ threshold: 4 }, 'INVALID_THRESHOLD'],
      [{ composition: {} }, 'INVALID_COMPOSITION'],
      [{ limits: { messageBytes: 0 } }, 'BAD_REQUEST'],
      [{ limits: { perMinute: 60_001 } }, 'BAD_REQUEST'],
      [{ purpose: 'a\nb' }, 'BAD_REQUEST'],
      [{ purpose: 'x'.repeat(129) }, 'BAD_REQUEST'],
      [{ requesters: ['12D3KooWnobody'] }, 'NOT_A_MEMBER'],
      [{ participants: ['a', 'b', 'c'] }, 'NOT_A_MEMBER'],
      [{ timeoutMs: 0 }, 'BAD_REQUEST'],
      [{ timeoutMs: 1e9 }, 'BAD_REQUEST'],
    ];
    for (const [change, code] of cases) {
      await expect(makeKey(node, 2, 3, change), JSON.stringify(change)).rejects.toMatchObject({
        code,
      });
    }
    expect(cluster.net.frames).toHaveLength(frames);
    expect(node.party.sessions()).toEqual([]);
  });

  it('a name in use is a conflict, here and at the parties', async () => {
    const { nodes } = await start(3);
    const both = await Promise.allSettled([
      makeKey(cluster.node(0), 2, 3),
      makeKey(cluster.node(1), 2, 3),
    ]);
    expect(both.filter(({ status }) => status === 'fulfilled').length).toBeLessThanOrEqual(1);
    for (const result of both) {
      if (result.status === 'rejected') expect(result.reason.code).toBe('CONFLICT');
    }
    await until('settled', () => nodes.every((n) => n.party.liveSessions === 0));
    if (nodes.every((n) => n.party.keys().length === 0)) await makeKey(cluster.node(2), 2, 3);
    await expect(makeKey(cluster.node(2), 2, 2)).rejects.toMatchObject({
      code: 'CONFLICT',
      exit: 8,
    });
  });

  it('refuses a message over 1 MiB with the advice to sign a digest; 1 MiB is signed', async () => {
    await start(2);
    await makeKey(cluster.node(0), 2, 2);
    await keyEverywhere(cluster);
    const request = (size: number) => ({
      key: 'release',
      message: new Uint8Array(size),
      fresh: false,
    });
    await expect(cluster.node(0).party.sign(request(1_048_577), forever())).rejects.toMatchObject({
      code: 'TOO_LARGE',
      hint: expect.stringContaining('digest'),
    });
    const signed = await cluster.node(0).party.sign(request(1_048_576), forever());
    expect(signed.signature).toHaveLength(128);
  });

  it('ends at once with the reason when a key would need a party that refuses', async () => {
    await start(3);
    cluster.node(2).party.drain(0);
    await expect(makeKey(cluster.node(0), 2, 3)).rejects.toMatchObject({
      code: 'DRAINING',
      details: expect.objectContaining({ party: cluster.node(2).peerId }),
    });
    const [session] = cluster.node(0).party.sessions();
    expect(session).toMatchObject({ state: 'failed', error: { code: 'DRAINING' } });
    await until('all ended', () => cluster.nodes.every((n) => n.party.liveSessions === 0));
    expect(cluster.nodes.flatMap((n) => n.party.keys())).toEqual([]);
  });

  it('ends with the reasons when too many holders refuse to sign', async () => {
    await start(3);
    await makeKey(cluster.node(0), 3, 3);
    await keyEverywhere(cluster);
    cluster.node(1).party.drain(0);
    await expect(sign(cluster.node(0), 'x')).rejects.toMatchObject({
      code: 'REFUSED_BY_POLICY',
      details: { refused: [{ peerId: cluster.node(1).peerId, code: 'DRAINING' }] },
    });
  });

  it('S3: signs on when a holder has died, and says so at once when too few are left', async () => {
    await start(3);
    const key = await makeKey(cluster.node(0), 2, 3);
    await keyEverywhere(cluster);
    await cluster.kill(cluster.node(2));
    const signed = await sign(cluster.node(0), 'two left');
    expect(opensslSays(key.publicKey, 'two left', signed.signature)).toBe(true);
    await cluster.kill(cluster.node(1));
    await expect(sign(cluster.node(0), 'alone')).rejects.toMatchObject({
      code: 'INSUFFICIENT_PARTIES',
      exit: 5,
      details: { need: 2, have: 1 },
    });
  });

  it('S3: a request outlives its proposer, and a holder that had no proposal joins', async () => {
    const { nodes } = await start(4);
    const key = await makeKey(cluster.node(0), 2, 4);
    await keyEverywhere(cluster);
    const proposer = cluster.node(0);
    // Only node 1 gets the proposal; the proposer dies before it can do more.
    let reached = false;
    cluster.net.tamper = ({ from, to, topic }) => {
      if (from !== proposer.peerId && to !== proposer.peerId) return 'pass';
      const first = topic === 'mpc/propose' && to === cluster.node(1).peerId;
      if (first) reached = true;
      return first ? 'pass' : 'drop';
    };
    const gone = new AbortController();
    const lost = sign(proposer, 'outlive').catch((error: unknown) => error);
    await until('proposed', () => reached);
    await cluster.kill(proposer);
    cluster.net.tamper = () => 'pass';
    gone.abort();
    const survivors = nodes.slice(1);
    await until('completed by others', () =>
      survivors.every((n) =>
        n.party.sessions().some(({ kind, state }) => kind === 'sign' && state === 'completed'),
      ),
    );
    const again = await sign(cluster.node(3), 'outlive');
    expect(again.cached).toBe(true);
    expect(opensslSays(key.publicKey, 'outlive', again.signature)).toBe(true);
    void lost;
  });

  it('cancels a session of its own; a party only withdraws itself', async () => {
    await start(3);
    const [a, b] = [cluster.node(0), cluster.node(1)];
    cluster.net.tamper = ({ topic }) => (topic === 'mpc/msg' ? 'drop' : 'pass');
    const making = makeKey(a, 2, 3).catch((error: unknown) => error);
    await until('known to b', () => b.party.liveSessions === 1);
    const [session] = a.party.sessions();
    cluster.net.tamper = () => 'pass';
    const cancelled = await a.party.cancel(session!.sessionId);
    expect(cancelled.state).toBe('cancelled');
    expect(await making).toMatchObject({ code: 'CANCELLED' });
    await until('b heard', () => b.party.session(session!.sessionId).state === 'cancelled');
    await expect(a.party.cancel(session!.sessionId)).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(a.party.cancel('ff'.repeat(32))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('a client that goes away cancels its session and nothing stays behind (R55)', async () => {
    await start(3);
    await makeKey(cluster.node(0), 3, 3);
    await keyEverywhere(cluster);
    cluster.net.tamper = ({ topic }) => (topic === 'mpc/msg' ? 'drop' : 'pass');
    const client = new AbortController();
    const request = { key: 'release', message: utf8Bytes('gone'), fresh: false };
    const asked = cluster.node(0).party.sign(request, client.signal);
    await until('under way', () => cluster.node(0).party.liveSessions === 1);
    client.abort();
    await expect(asked).rejects.toMatchObject({ code: 'INTERRUPTED', exit: 130 });
    expect(cluster.node(0).party.liveSessions).toBe(0);
    cluster.net.tamper = () => 'pass';
  });

  it('every node sees the session, also one that holds no share', async () => {
    const { nodes } = await start(4, {
      roles: ['persistent', 'persistent', 'persistent', 'observer'],
    });
    const key = await makeKey(cluster.node(0), 2, 3);
    const onlooker = cluster.node(3);
    await until('seen', () => onlooker.party.sessions().length === 1);
    await until('everyone said completed', () =>
      onlooker.party.session(key.sessionId).parties.every(({ state }) => state === 'completed'),
    );
    expect(onlooker.events.map(({ kind }) => kind)).toContain('session.completed');
    expect(nodes[0]!.events.map(({ kind }) => kind)).toContain('key.created');
  });

  it('R53: a signature is completed for a host without a part, as others report', async () => {
    await start(4, { roles: ['persistent', 'persistent', 'persistent', 'observer'] });
    await makeKey(cluster.node(0), 2, 3);
    const onlooker = cluster.node(3);
    await until('the key is known', () => onlooker.party.keys().length === 1);
    const { sessionId } = await sign(cluster.node(0), 'm');
    const seen = () => onlooker.party.sessions().find((one) => one.sessionId === sessionId);
    await until('ended', () => ![undefined, 'proposed', 'running'].includes(seen()?.state));
    expect(onlooker.party.session(sessionId)).toMatchObject({ state: 'completed', reported: true });
    expect(cluster.node(1).party.session(sessionId)).not.toHaveProperty('reported');
  });

  it('a signature that took a moment is told of by its proposer alone, and ends for all', async () => {
    const { nodes } = await start(3);
    await makeKey(cluster.node(0), 2, 3);
    await keyEverywhere(cluster);
    const { sessionId } = await sign(cluster.node(1), 'a moment');
    for (const node of nodes) {
      const shown = () => node.party.sessions().find((one) => one.sessionId === sessionId);
      await until('ended here', () => shown()?.state === 'completed');
      await until('told', () => (shown()?.events.length ?? 0) > 0);
      const own = shown()?.parties.find(({ peerId }) => peerId === node.peerId);
      expect(own?.state).toBe('completed');
      // Whoever did not tell of the beginning, because there was an end already, tells of neither.
      const events = shown()?.events ?? [];
      for (const { author } of events.filter(({ kind }) => kind === 'completed')) {
        const began = events.some((one) => one.author === author && one.kind === 'joined');
        expect(began || author === cluster.node(1).peerId).toBe(true);
      }
    }
  });

  it('R16: a draining node refuses new work and lets running sessions end', async () => {
    await start(3);
    await makeKey(cluster.node(0), 2, 3);
    await keyEverywhere(cluster);
    // Otherwise it might be over before anybody looks.
    cluster.net.tamper = ({ topic }) => (topic === 'mpc/msg' ? 'drop' : 'pass');
    const signing = sign(cluster.node(0), 'last');
    await until('under way', () => cluster.node(0).party.liveSessions === 1);
    const drained = cluster.node(0).party.drain(5_000);
    cluster.net.tamper = () => 'pass';
    await drained;
    expect((await signing).signature).toHaveLength(128);
    expect(cluster.node(0).party.liveSessions).toBe(0);
    await expect(sign(cluster.node(0), 'more')).rejects.toMatchObject({ code: 'DRAINING' });
    expect(cluster.node(0).party.unready()).toContain('draining');
  });

  it('K3: no plaintext share in any stored value, frame, event or log line', async () => {
    const { nodes } = await start(3);
    const key = await makeKey(cluster.node(0), 2, 3);
    await keyEverywhere(cluster);
    await sign(cluster.node(1), 'canary');
    await until('ended', () => nodes.every((n) => n.party.liveSessions === 0));
    const shares: string[] = [];
    for (const node of nodes) {
      const stored = await node.deps.keystore.share(key.keyId as KeyId);
      shares.push(toHex(stored?.share.signingShare ?? new Uint8Array()));
    }
    expect(shares.every((share) => share.length === 64)).toBe(true);
    const base64 = shares.map((share) => Buffer.from(share, 'hex').toString('base64').slice(0, 40));
    const places: string[] = [
      ...nodes.flatMap(({ disk }) => [...disk.values()].map(toHex)),
      ...cluster.net.frames.map(({ body }) => toHex(body)),
      ...nodes.flatMap(({ events }) => events.map((event) => JSON.stringify(event))),
      ...nodes.flatMap(({ log }) => log),
      ...[...cluster.records.byAddress.values()].flatMap((all) => [...all.keys()]),
    ];
    expect(places.length).toBeGreaterThan(100);
    for (const place of places) {
      for (const canary of [...shares, ...base64]) expect(place.includes(canary)).toBe(false);
    }
  });

  it('R27: a message is in no gossip frame, and goes to holders only', async () => {
    const { nodes } = await start(4, {
      roles: ['persistent', 'persistent', 'persistent', 'observer'],
    });
    await makeKey(cluster.node(0), 2, 3);
    await keyEverywhere(cluster);
    const text = 'a message that nobody else may read';
    await sign(cluster.node(0), text);
    await until('ended', () => nodes.every((n) => n.party.liveSessions === 0));
    await until('gossip', () => cluster.node(3).party.sessions().length === 2);
    const needle = toHex(utf8Bytes(text));
    const seen = cluster.net.frames.filter(({ body }) => toHex(body).includes(needle));
    expect(seen.length).toBeGreaterThan(0);
    for (const { to, topic } of seen) {
      expect(topic).toBe('mpc/propose');
      expect(to).not.toBe(cluster.node(3).peerId);
    }
  });

  it('R55: 100 failed sessions leave no timer and no session behind', async () => {
    const { nodes } = await start(2);
    await makeKey(cluster.node(0), 2, 2);
    await keyEverywhere(cluster);
    cluster.net.tamper = ({ topic }) => (topic === 'mpc/msg' ? 'drop' : 'pass');
    const failures = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        sign(cluster.node(0), `fail ${i}`, { timeoutMs: 400 }).catch((e: unknown) => e),
      ),
    );
    for (const failure of failures) expect(failure).toMatchObject({ code: 'SESSION_EXPIRED' });
    await until('all ended', () => nodes.every((n) => n.party.liveSessions === 0));
    await until('no timer', () => nodes.every((n) => n.clock.running() === 0));
    for (const node of nodes) expect(node.party.timers).toBe(0);
  });
});
