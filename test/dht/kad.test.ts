/** The record store over five real nodes: acknowledgements, reads, deaths, liars, repair. */
import { Libp2pRecord } from '@libp2p/record';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { compareText, sha256, toHex } from '../../src/base/bytes.ts';
import {
  answer,
  cluster,
  content,
  inside,
  mesh,
  type Node,
  onDisk,
  plant,
  RULES,
  sequence,
  stopAll,
  storeNode,
  until,
} from './support.ts';

let five: readonly Node[];
beforeAll(async () => {
  // No pass of the republisher may do the work that a test looks for.
  five = await cluster(5, { republishSoonMs: 600_000 });
});
afterAll(stopAll);

/** Who holds the value for others, by their disks and not by their word. */
async function holding(nodes: readonly Node[], key: Uint8Array, value: Uint8Array) {
  const holders: PeerId[] = [];
  for (const node of nodes) {
    const held = await onDisk(node, key);
    if (held !== undefined && Buffer.compare(held, value) === 0) holders.push(node.id);
  }
  return holders.sort();
}
const stopped = (nodes: readonly Node[]) => Promise.all(nodes.map((node) => node.stop()));
const stall = (): Promise<undefined> => new Promise(() => {});

describe('a put', () => {
  it('answers with exactly the members whose disks hold the record (R, ack)', async () => {
    const { suffix, value } = content('five copies');
    const outcome = await five[1]!.store.put('c', suffix, value, { require: 'quorum' });
    expect(outcome.ack).toBe('quorum');
    expect(outcome.pending).toBe(0);
    const key = RULES.key('c', suffix);
    expect([...outcome.holders].sort()).toEqual(await holding(five, key, value));
    expect(outcome.holders).toHaveLength(5);
  });

  it('keeps at most `replication` copies, nearest to the key', async () => {
    const three = await cluster(5, { replication: 3 });
    const { suffix, value } = content('three copies');
    const outcome = await three[0]!.store.put('c', suffix, value);
    expect(outcome).toMatchObject({ ack: 'quorum', pending: 0 });
    const held = await holding(three, RULES.key('c', suffix), value);
    expect([...outcome.holders].sort()).toEqual(held);
    expect(held).toHaveLength(3);
    // Everybody finds it, holder or not.
    for (const node of three) {
      expect((await node.store.get('c', suffix))?.value).toEqual(value);
    }
    await stopped(three);
  });

  it('of a node alone reaches its quorum at once: r is 1', async () => {
    const [alone] = await cluster(1);
    const { suffix, value } = content('alone');
    const outcome = await alone!.store.put('c', suffix, value, { require: 'quorum' });
    expect(outcome).toEqual({ ack: 'quorum', holders: [alone!.id], pending: 0 });
    expect(await alone!.store.probe()).toMatchObject({ status: 'healthy', backend: 'real' });
    await alone!.stop();
  });

  it('does not count peers that are no members', async () => {
    const members: PeerId[] = [];
    const one = await storeNode(() => members);
    const stranger = await storeNode(() => members);
    const away = five[0]!.id;
    members.push(one.id, away);
    await mesh([one, stranger]);
    const { suffix, value } = content('no stranger');
    const outcome = await one.store.put('c', suffix, value);
    expect(outcome).toEqual({ ack: 'local', holders: [one.id], pending: 1 });
    expect(await onDisk(stranger, RULES.key('c', suffix))).toBeUndefined();
    const theirs = content('of a stranger');
    await plant(stranger, RULES.key('c', theirs.suffix), theirs.value);
    expect(await one.store.get('c', theirs.suffix, { timeoutMs: 1_000 })).toBeUndefined();
    await stopped([one, stranger]);
  });

  it('spreads the union of what it had and what it got', async () => {
    await plant(five[2]!, RULES.key('u', 'set'), Uint8Array.of(1, 2));
    await five[2]!.store.put('u', 'set', Uint8Array.of(3));
    expect(await onDisk(five[4]!, RULES.key('u', 'set'))).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('of two nodes at once loses nothing', async () => {
    await Promise.all(five.map((node, i) => node.store.put('u', 'race', Uint8Array.of(i + 1))));
    const found = await five[0]!.store.get('u', 'race', { merge: true });
    expect(found?.value).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
  });

  it('in masses is served, with the requests under way bounded', async () => {
    const all = Array.from({ length: 60 }, (_, i) => content(`mass ${i}`));
    const outcomes = await Promise.all(
      all.map(({ suffix, value }) => five[0]!.store.put('c', suffix, value, { timeoutMs: 60_000 })),
    );
    expect(outcomes.filter(({ ack }) => ack === 'quorum')).toHaveLength(60);
    expect(five[0]!.counters.get('busy')).toBe(0);
  });
});

describe('a get', () => {
  it('takes the local copy first, the network otherwise, and says so', async () => {
    const { suffix, value } = content('where from');
    const key = RULES.key('c', suffix);
    await plant(five[3]!, key, value);
    const far = await five[0]!.store.get('c', suffix);
    expect(far).toEqual({ value, source: 'dht', holders: [five[3]!.id] });
    const near = await five[3]!.store.get('c', suffix);
    expect(near).toEqual({ value, source: 'local', holders: [five[3]!.id] });
  });

  it('of this node’s own copies only asks nobody, also when told to merge', async () => {
    const { suffix, value } = content('here or nowhere');
    await plant(five[3]!, RULES.key('c', suffix), value);
    expect(await five[0]!.store.get('c', suffix, { localOnly: true })).toBeUndefined();
    const here = await five[3]!.store.get('c', suffix, { localOnly: true, merge: true });
    expect(here).toEqual({ value, source: 'local', holders: [five[3]!.id] });
  });

  it('of what nobody has is undefined, with or without merging', async () => {
    const { suffix } = content('nowhere');
    expect(await five[0]!.store.get('c', suffix)).toBeUndefined();
    expect(await five[0]!.store.get('c', suffix, { merge: true })).toBeUndefined();
  });

  it('of a damaged local copy goes to the network', async () => {
    const { suffix, value } = content('damaged');
    const key = RULES.key('c', suffix);
    await five[1]!.store.put('c', suffix, value);
    await plant(five[0]!, key, content('other').value);
    expect(await five[0]!.store.get('c', suffix)).toMatchObject({ value, source: 'dht' });
    expect(five[0]!.counters.get('localCorrupt')).toBe(1);
  });

  it('merges what several holders have, and repairs the stale ones behind the answer', async () => {
    const key = RULES.key('u', 'candidates');
    for (const [i, node] of five.entries()) {
      if (i < 4) await plant(node, key, Uint8Array.of(i + 1));
    }
    await five[4]!.store.start();
    const found = await five[4]!.store.get('u', 'candidates', { merge: true });
    const union = Uint8Array.of(1, 2, 3, 4);
    expect(found?.value).toEqual(union);
    expect(found?.source).toBe('dht');
    await until(async () => (await holding(five, key, union)).length === 5);
    await until(() => five[4]!.store.backlog === 0);
    await five[4]!.store.stop();
  });

  it('takes a peer that fails for one that did not answer, not that has nothing', async () => {
    const nodes = await cluster(3);
    for (const node of nodes.slice(1)) {
      answer(node, 'GET_VALUE', () => Promise.reject(new Error('broken')));
    }
    const { suffix } = content('nowhere');
    expect(await nodes[0]!.store.get('c', suffix, { timeoutMs: 1_000 })).toBeUndefined();
    expect(nodes[0]!.counters.get('peerError')).toBe(2);
    await stopped(nodes);
  });

  it('refuses a key that cannot exist', async () => {
    for (const [namespace, suffix] of [
      ['nope', 'x'],
      ['c', 'a/b'],
      ['c', ''],
      ['__proto__', 'x'],
    ]) {
      await expect(five[0]!.store.get(namespace!, suffix!)).rejects.toMatchObject({
        code: 'BAD_MESSAGE',
      });
    }
  });

  it('asks peers of peers, nearer to the key, when it knows too few itself', async () => {
    const members: PeerId[] = [];
    const all = await Promise.all(Array.from({ length: 5 }, () => storeNode(() => members)));
    members.push(...all.map(({ id }) => id));
    const { suffix, value } = content('two hops away');
    const key = RULES.key('c', suffix);
    // A walk only goes nearer, so the one in the middle is the farthest of those it leads to.
    const distance = (node: Node): string => {
      const id = sha256(node.libp2p.peerId.toMultihash().bytes);
      return toHex(sha256(key).map((byte, n) => byte ^ id[n]!));
    };
    const [asker, ...others] = all;
    const [middle, ...holders] = others.sort((a, b) => compareText(distance(b), distance(a)));
    await mesh([middle!, ...holders]);
    for (const node of holders) await plant(node, key, value);
    await asker!.libp2p.dial(middle!.libp2p.getMultiaddrs());
    await until(() => inside(asker!.dht).routingTable.size > 0);
    expect((await asker!.store.get('c', suffix))?.value).toEqual(value);
    await stopped(all);
  });
});

describe('with two of five members dead', () => {
  it('reads answer, puts reach a quorum, and the missing copies are pending', async () => {
    const nodes = await cluster(5);
    const { suffix, value } = content('before the deaths');
    await nodes[4]!.store.put('c', suffix, value, { require: 'quorum' });
    await stopped(nodes.slice(3));

    const found = await nodes[0]!.store.get('c', suffix, { merge: true });
    expect(found?.value).toEqual(value);
    const next = content('after the deaths');
    const outcome = await nodes[0]!.store.put('c', next.suffix, next.value, { require: 'quorum' });
    expect(outcome).toMatchObject({ ack: 'quorum', pending: 2 });
    expect([...outcome.holders].sort()).toEqual(
      nodes
        .slice(0, 3)
        .map(({ id }) => id)
        .sort(),
    );
    expect(await nodes[1]!.store.probe()).toMatchObject({ status: 'healthy' });

    // A third one dies: no quorum any more, and nobody pretends.
    await nodes[2]!.stop();
    const third = content('two of five left');
    const weak = await nodes[0]!.store.put('c', third.suffix, third.value);
    expect(weak).toMatchObject({ ack: 'one', pending: 3 });
    const strict = nodes[0]!.store.put('c', third.suffix, third.value, { require: 'quorum' });
    await expect(strict).rejects.toMatchObject({ code: 'NO_QUORUM' });
    const health = await nodes[0]!.store.probe();
    expect(health).toMatchObject({ status: 'degraded', component: 'dht' });
    expect(health.reason).toBe('2 of 5 copies reached, 3 needed');
    expect(health.error_count).toBeGreaterThan(0);
    await stopped(nodes);
  });
});

describe('a malicious member', () => {
  it('that answers everything with rubbish changes no result', async () => {
    const nodes = await cluster(5);
    const liar = nodes[2]!;
    const rubbish = new Libp2pRecord(RULES.key('n', 'z'), sequence('z', 1), new Date()).serialize();
    let turn = 0;
    answer(liar, 'GET_VALUE', async (message) => {
      const forged = new Libp2pRecord(message.key!, new Uint8Array(500), new Date()).serialize();
      const records = [rubbish, forged, new Uint8Array([255, 1, 2]), new Uint8Array(300_000)];
      return { ...message, record: records[turn++ % records.length]! };
    });
    // It says that it stored, and does not.
    answer(liar, 'PUT_VALUE', async (message) => message);

    for (let i = 0; i < 4; i++) {
      const { suffix, value } = content(`among rubbish ${i}`);
      const outcome = await nodes[0]!.store.put('c', suffix, value);
      expect(outcome).toMatchObject({ ack: 'quorum', pending: 1 });
      expect(outcome.holders).not.toContain(liar.id);
      const elsewhere = content(`held by one ${i}`);
      await plant(nodes[4]!, RULES.key('c', elsewhere.suffix), elsewhere.value);
      const found = await nodes[0]!.store.get('c', elsewhere.suffix);
      expect(found).toMatchObject({ value: elsewhere.value, holders: [nodes[4]!.id] });
      const merged = await nodes[1]!.store.get('c', suffix, { merge: true });
      expect(merged?.holders).not.toContain(liar.id);
    }
    expect(nodes[0]!.counters.get('falseAck')).toBeGreaterThan(0);
    expect(nodes[0]!.counters.get('rubbish')).toBeGreaterThan(0);
    await stopped(nodes);
  });

  it('that never answers delays no write that reaches a quorum, and no read', async () => {
    // With a time-out and a request limit of a minute, waiting for it would fail the test.
    const slow = { timeoutMs: 60_000, requestMs: 60_000, graceMs: 300 };
    const nodes = await cluster(5, slow);
    const silent = nodes[3]!;
    for (const type of ['PUT_VALUE', 'GET_VALUE', 'FIND_NODE'] as const) {
      answer(silent, type, stall);
    }
    for (let i = 0; i < 2; i++) {
      const { suffix, value } = content(`beside silence ${i}`);
      const outcome = await nodes[0]!.store.put('c', suffix, value);
      expect(outcome.ack).toBe('quorum');
      expect(outcome.holders).not.toContain(silent.id);
      await nodes[1]!.guard.drop(RULES.key('c', suffix));
      expect((await nodes[1]!.store.get('c', suffix))?.value).toEqual(value);
      expect((await nodes[2]!.store.get('c', suffix, { merge: true }))?.value).toEqual(value);
    }
    // A miss is told before the silent one ran into its time-out, which would be counted.
    expect(await nodes[4]!.store.get('c', content('absent').suffix)).toBeUndefined();
    expect(nodes[4]!.counters.get('peerError')).toBe(0);
    expect(await nodes[0]!.store.probe()).toMatchObject({ status: 'healthy' });
    await stopped(nodes);
  });

  it('majority that never answers costs a call its time and no more', async () => {
    const nodes = await cluster(3, { timeoutMs: 300, requestMs: 200 });
    for (const node of nodes.slice(1)) {
      for (const type of ['PUT_VALUE', 'GET_VALUE'] as const) answer(node, type, stall);
    }
    const { suffix, value } = content('silence all round');
    const outcome = await nodes[0]!.store.put('c', suffix, value);
    expect(outcome).toMatchObject({ ack: 'local', pending: 2 });
    expect(await nodes[0]!.store.get('c', content('absent').suffix)).toBeUndefined();
    expect(nodes[0]!.counters.get('peerError')).toBeGreaterThanOrEqual(2);
    await stopped(nodes);
  });
});

describe('background work', () => {
  it('replicates a record, written alone, to the members that come', async () => {
    const members: PeerId[] = [];
    const pace = { retryMs: 50, republishSoonMs: 60_000 };
    const nodes = await Promise.all([0, 1, 2].map(() => storeNode(() => members, pace)));
    members.push(...nodes.map(({ id }) => id));
    await nodes[0]!.store.start();
    const { suffix, value } = content('written alone');
    const key = RULES.key('c', suffix);
    expect(await nodes[0]!.store.put('c', suffix, value)).toMatchObject({ ack: 'local' });
    expect(nodes[0]!.store.backlog).toBe(1);
    await mesh(nodes);
    await until(async () => (await holding(nodes, key, value)).length === 3);
    await until(() => nodes[0]!.store.backlog === 0);
    expect(nodes[0]!.counters.get('replicated')).toBe(1);
    await stopped(nodes);
  });

  it('republishes what is journalled and what is held, after the start', async () => {
    const nodes = await cluster(3, { republishSoonMs: 20 });
    const own = content('journalled');
    const held = content('held');
    const lost = content('journalled, and lost by the guard');
    await nodes[0]!.store.put('c', own.suffix, own.value);
    await nodes[0]!.store.put('c', lost.suffix, lost.value);
    for (const { suffix } of [own, lost]) {
      for (const node of nodes.slice(1)) await node.guard.drop(RULES.key('c', suffix));
    }
    await nodes[0]!.guard.drop(RULES.key('c', lost.suffix));
    await plant(nodes[0]!, RULES.key('c', held.suffix), held.value);
    await nodes[0]!.store.start();
    for (const { suffix, value } of [own, held, lost]) {
      const key = RULES.key('c', suffix);
      await until(async () => (await holding(nodes, key, value)).length === 3);
    }
    await until(() => nodes[0]!.counters.get('republished') >= 3);
    await stopped(nodes);
  });

  it('gives a new member its copies soon', async () => {
    const members: PeerId[] = [];
    const pace = { republishSoonMs: 20 };
    const nodes = await Promise.all([0, 1].map(() => storeNode(() => members, pace)));
    members.push(nodes[0]!.id);
    const { suffix, value } = content('before it came');
    await nodes[0]!.store.put('c', suffix, value, { require: 'quorum' });
    await nodes[0]!.store.start();
    await until(() => nodes[0]!.counters.get('republished') === 1);
    await mesh(nodes);
    members.push(nodes[1]!.id);
    nodes[0]!.store.membersChanged();
    await until(async () => (await onDisk(nodes[1]!, RULES.key('c', suffix))) !== undefined);
    await stopped(nodes);
  });

  it('pushes no record that the disk damaged', async () => {
    const nodes = await cluster(2, { republishSoonMs: 10 });
    const { suffix } = content('original');
    await plant(nodes[0]!, RULES.key('c', suffix), content('damaged').value);
    await nodes[0]!.store.start();
    await until(() => nodes[0]!.counters.get('localCorrupt') > 0);
    await nodes[0]!.store.stop();
    expect(await onDisk(nodes[1]!, RULES.key('c', suffix))).toBeUndefined();
    await stopped(nodes);
  });
});

describe('the probe', () => {
  it('is healthy only after a value went out and came back, and cleans up', async () => {
    const before = five[0]!.store.health;
    expect(before).toMatchObject({ status: 'degraded', reason: 'not probed yet' });
    const health = await five[0]!.store.probe();
    expect(health).toMatchObject({ component: 'dht', backend: 'real', status: 'healthy' });
    expect(health.reason).toBeUndefined();
    expect(Date.parse(health.last_check)).toBeGreaterThan(0);
    const key = RULES.key('probe', five[0]!.id);
    expect(await onDisk(five[0]!, key)).toBeUndefined();
    expect(await onDisk(five[1]!, key)).toHaveLength(24);
    expect(five[0]!.store.health).toBe(health);
  });

  it('is degraded, with the reason, where the own store is full', async () => {
    const nodes = await cluster(2, { guard: { maxBytes: 10 } });
    const health = await nodes[0]!.store.probe();
    expect(health).toMatchObject({ status: 'degraded' });
    expect(health.reason).toContain('cannot store');
    // The journal still takes what this node writes, and serves it.
    const { suffix, value } = content('journal only');
    expect(await nodes[0]!.store.put('c', suffix, value)).toMatchObject({ ack: 'local' });
    expect((await nodes[0]!.store.get('c', suffix))?.value).toEqual(value);
    await stopped(nodes);
  });

  it('is failed where the disk is gone (P5)', async () => {
    const [node] = await cluster(1);
    const { db } = node!.level;
    const put = db.put.bind(db);
    db.put = () => Promise.reject(new Error('no space left'));
    const { suffix, value } = content('no room');
    const refused = node!.store.put('c', suffix, value);
    await expect(refused).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(await node!.store.probe()).toMatchObject({ status: 'failed', reason: 'no space left' });
    db.put = put;
    expect(await node!.store.probe()).toMatchObject({ status: 'healthy' });
    await node!.stop();
  });
});
