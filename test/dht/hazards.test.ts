/**
 * What kad-dht does by itself, and what it does under the guard: each hazard is first shown on the
 * bare library. If one of the first halves fails after an upgrade, the library mended it.
 */
import { publicKeyToProtobuf } from '@libp2p/crypto/keys';
import type { Ed25519PublicKey } from '@libp2p/interface';
import { Libp2pRecord } from '@libp2p/record';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { steadyClock } from '../support/steady-clock.ts';
import {
  answer,
  type BareNode,
  bareNode,
  barePut,
  cluster,
  content,
  mesh,
  type Node,
  onDisk,
  plant,
  RULES,
  sendPut,
  seqOf,
  sequence,
  stopAll,
  storeNode,
} from './support.ts';

let bare: readonly BareNode[];
let ours: readonly Node[];
const key = RULES.key('n', 'x');
const pack = (at: Uint8Array, value: Uint8Array): Uint8Array =>
  new Libp2pRecord(at, value, new Date()).serialize();
const DAYS = 24 * 3_600_000;

beforeAll(async () => {
  bare = await Promise.all(Array.from({ length: 5 }, () => bareNode()));
  await mesh(bare);
  ours = await cluster(5);
});
afterAll(stopAll);

/** The seqs on the disks of all nodes. */
const seqs = async (nodes: readonly BareNode[], at = key): Promise<(number | undefined)[]> =>
  Promise.all(
    nodes.map(async (node) => {
      const value = await onDisk(node, at);
      return value && seqOf(value);
    }),
  );

describe('an older value', () => {
  it('bare: overwrites a newer one everywhere', async () => {
    await barePut(bare[0]!, key, sequence('x', 10));
    const { acks } = await barePut(bare[1]!, key, sequence('x', 5));
    expect(acks).toBe(4);
    expect(await seqs(bare)).toEqual([5, 5, 5, 5, 5]);
  });

  it('guarded: is absorbed, by the very same message', async () => {
    await ours[0]!.store.put('n', 'x', sequence('x', 10));
    await barePut(ours[1]!, key, sequence('x', 5));
    expect(await seqs(ours)).toEqual([10, 10, 10, 10, 10]);
    await barePut(ours[1]!, key, sequence('x', 11));
    expect(await seqs(ours)).toEqual([11, 11, 11, 11, 11]);
  });
});

describe('a refused write', () => {
  it('bare: is reported as success, and served by the writer', async () => {
    const bad = utf8Bytes('/ucxl/n/bad');
    // `contentRouting.put` resolves although every other node refused.
    await bare[0]!.libp2p.contentRouting.put(bad, new Uint8Array(3));
    expect(await onDisk(bare[0]!, bad)).toEqual(new Uint8Array(3));
    expect(await barePut(bare[0]!, bad, new Uint8Array(3))).toMatchObject({ acks: 0, errors: 4 });
  });

  it('guarded: never leaves the writer, nor its store', async () => {
    const bad = RULES.key('n', 'bad');
    const refused = ours[0]!.store.put('n', 'bad', new Uint8Array(3));
    await expect(refused).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
    await expect(barePut(ours[0]!, bad, new Uint8Array(3))).rejects.toThrow();
    expect(await Promise.all(ours.map((node) => onDisk(node, bad)))).toEqual(
      Array.from({ length: 5 }),
    );
  });

  it('guarded: who refuses is no holder, and 0 acknowledgements are no success', async () => {
    const lonely = await cluster(3);
    for (const node of lonely.slice(1)) {
      answer(node, 'PUT_VALUE', () => Promise.reject(new Error('disk full')));
    }
    const { suffix, value } = content('refused');
    const outcome = await lonely[0]!.store.put('c', suffix, value);
    expect(outcome).toEqual({ ack: 'local', holders: [lonely[0]!.id], pending: 2 });
    const strict = lonely[0]!.store.put('c', suffix, value, { require: 'one' });
    await expect(strict).rejects.toMatchObject({
      code: 'NO_QUORUM',
      details: { ack: 'local', pending: 2, required: 'one' },
    });
    expect(lonely[0]!.counters.get('peerError')).toBeGreaterThanOrEqual(4);
    expect((await lonely[0]!.store.get('c', suffix))?.value).toEqual(value);
    await Promise.all(lonely.map((node) => node.stop()));
  });
});

describe('a key without two slashes', () => {
  const odd = utf8Bytes('odd');
  const record = pack(odd, new Uint8Array(3));

  it('bare: is stored by the writer, unchecked', async () => {
    await barePut(bare[0]!, odd, new Uint8Array(3));
    expect(await onDisk(bare[0]!, odd)).toEqual(new Uint8Array(3));
  });

  it('guarded: is stored nowhere', async () => {
    await expect(barePut(ours[0]!, odd, new Uint8Array(3))).rejects.toThrow();
    expect(await sendPut(ours[0]!, ours[1]!, odd, record)).toBe('refused');
    expect(await onDisk(ours[0]!, odd)).toBeUndefined();
    expect(await onDisk(ours[1]!, odd)).toBeUndefined();
  });
});

describe('a namespace that nobody registered', () => {
  const foreign = [utf8Bytes('/nope/x'), utf8Bytes('/ucxl/zz/x')];
  // A public key record, valid for kad-dht: this one is of the sender itself.
  const pk = async (node: BareNode): Promise<readonly [Uint8Array, Uint8Array]> => {
    const { publicKey } = node.libp2p.peerId;
    const key = Buffer.concat([utf8Bytes('/pk/'), node.libp2p.peerId.toMultihash().bytes]);
    return [new Uint8Array(key), publicKeyToProtobuf(publicKey as Ed25519PublicKey)];
  };

  it('bare: public keys are stored for everybody', async () => {
    const [key, value] = await pk(bare[0]!);
    expect(await sendPut(bare[0]!, bare[1]!, key, pack(key, value))).toBe('stored');
  });

  it('guarded: everything is refused and counted', async () => {
    const before = ours[1]!.counters.get('refused.namespace');
    for (const key of foreign) {
      expect(await sendPut(ours[0]!, ours[1]!, key, pack(key, sequence('x', 1)))).toBe('refused');
    }
    const [key, value] = await pk(ours[0]!);
    expect(await sendPut(ours[0]!, ours[1]!, key, pack(key, value))).toBe('refused');
    // kad-dht itself turns `/nope/` away before anything of ours is asked.
    expect(ours[1]!.counters.get('refused.namespace')).toBe(before + 2);
    for (const at of [...foreign, key]) expect(await onDisk(ours[1]!, at)).toBeUndefined();
  });
});

describe('a record under another key than the message names', () => {
  const bait = RULES.key('n', 'bait');
  const victim = RULES.key('n', 'victim');

  it('bare: overwrites the record of the key inside', async () => {
    await barePut(bare[0]!, victim, sequence('victim', 1));
    const swapped = pack(victim, sequence('bait', 99));
    expect(await sendPut(bare[0]!, bare[1]!, bait, swapped)).toBe('stored');
    expect(await seqs([bare[1]!], victim)).toEqual([99]);
  });

  it('guarded: is refused unless it belongs under the key inside', async () => {
    await ours[0]!.store.put('n', 'victim', sequence('victim', 1));
    const swapped = pack(victim, sequence('bait', 99));
    expect(await sendPut(ours[0]!, ours[1]!, bait, swapped)).toBe('refused');
    expect(await seqs([ours[1]!], victim)).toEqual([1]);
    expect(await onDisk(ours[1]!, bait)).toBeUndefined();
  });

  it('guarded: is no answer to a read, although it is valid under its own key', async () => {
    const { suffix, value } = content('asked for');
    const other = content('another');
    const target = RULES.key('c', suffix);
    const liar = new Libp2pRecord(RULES.key('c', other.suffix), other.value, new Date());
    const forged = new Libp2pRecord(target, other.value, new Date());
    const five = await cluster(5);
    answer(five[1]!, 'GET_VALUE', async (m) => ({ ...m, record: liar.serialize() }));
    answer(five[2]!, 'GET_VALUE', async (m) => ({ ...m, record: forged.serialize() }));
    answer(five[3]!, 'GET_VALUE', async (m) => ({ ...m, record: liar.serialize() }));
    await plant(five[4]!, target, value);
    const found = await five[0]!.store.get('c', suffix);
    expect(found).toEqual({ value, source: 'dht', holders: [five[4]!.id] });
    const merged = await five[0]!.store.get('c', suffix, { merge: true });
    expect(merged?.value).toEqual(value);
    // Also where the value itself does not name its key.
    const swapped = pack(RULES.key('u', 'theirs'), Uint8Array.of(7));
    answer(five[1]!, 'GET_VALUE', async (m) => ({ ...m, record: swapped }));
    await plant(five[4]!, RULES.key('u', 'asked'), Uint8Array.of(1));
    const union = await five[0]!.store.get('u', 'asked', { merge: true });
    expect(union?.value).toEqual(Uint8Array.of(1));
    expect(five[0]!.counters.get('rubbish')).toBeGreaterThanOrEqual(3);
    await Promise.all(five.map((node) => node.stop()));
  });
});

describe('a correction that fails', () => {
  const at = utf8Bytes('/ucxl/n/fix');
  const scene = async (nodes: readonly BareNode[]): Promise<void> => {
    for (const node of nodes.slice(1, 4)) await plant(node, at, sequence('fix', 20));
    await plant(nodes[4]!, at, sequence('fix', 1));
    answer(nodes[4]!, 'PUT_VALUE', () => Promise.reject(new Error('disk full')));
  };

  it('bare: makes the read throw although the value is known', async () => {
    await scene(bare);
    await expect(bare[0]!.libp2p.contentRouting.get(at)).rejects.toThrow();
    const seen: number[] = [];
    const read = async (): Promise<void> => {
      for await (const event of bare[0]!.dht.get(at)) {
        if (event.name === 'VALUE') throw new Error('the value came after all');
        if (event.name === 'PEER_RESPONSE' && event.record) seen.push(seqOf(event.record.value));
      }
    };
    await expect(read()).rejects.toThrow('correction');
    expect(seen).toContain(20);
  });

  it('guarded: changes nothing for the reader', async () => {
    const five = await cluster(5);
    await scene(five);
    const found = await five[0]!.store.get('n', 'fix', { merge: true });
    expect(found && seqOf(found.value)).toBe(20);
    await Promise.all(five.map((node) => node.stop()));
  });
});

describe('a value older than 48 h', () => {
  const week = new Date(Date.now() - 7 * DAYS);
  it('bare: is forgotten by the read, and deleted', async () => {
    const old = utf8Bytes('/ucxl/n/old');
    await plant(bare[1]!, old, sequence('old', 1), week);
    await expect(
      bare[0]!.libp2p.contentRouting.get(old, { signal: AbortSignal.timeout(3_000) }),
    ).rejects.toThrow();
    expect(await onDisk(bare[1]!, old)).toBeUndefined();
  });

  it('guarded: is found, and stays', async () => {
    const { suffix, value } = content('a week old');
    const old = RULES.key('c', suffix);
    await plant(ours[1]!, old, value, week);
    const found = await ours[0]!.store.get('c', suffix);
    expect(found).toEqual({ value, source: 'dht', holders: [ours[1]!.id] });
    expect(await onDisk(ours[1]!, old)).toEqual(value);
  });
});

describe('an empty routing table', () => {
  it('bare: hangs until the caller gives up', async () => {
    const lonely = await bareNode();
    const started = performance.now();
    const get = lonely.libp2p.contentRouting.get(key, { signal: AbortSignal.timeout(700) });
    await expect(get).rejects.toThrow();
    expect(performance.now() - started).toBeGreaterThan(600);
    await lonely.stop();
  });

  it('guarded: is answered at once, and a put stands in the journal', async () => {
    // Five members, and none of the others is there.
    const lonely = await storeNode(() => ours.map(({ id }) => id));
    const { suffix, value } = content('alone');
    const started = steadyClock.now();
    expect(await lonely.store.get('c', suffix)).toBeUndefined();
    expect(await lonely.store.get('c', suffix, { merge: true })).toBeUndefined();
    const outcome = await lonely.store.put('c', suffix, value);
    expect(outcome).toEqual({ ack: 'local', holders: [lonely.id], pending: 4 });
    expect((await lonely.store.probe()).status).toBe('degraded');
    // Its default time-out is 3 s a call; four calls came back long before one would.
    expect(steadyClock.now() - started).toBeLessThan(1_500);
    await lonely.stop();
  });
});

describe('a large value', () => {
  const mega = new Uint8Array(1_000_000);

  it('bare: a megabyte is stored at every node', async () => {
    const { acks } = await barePut(bare[0]!, utf8Bytes('/ucxl/n/mega'), mega);
    // One node refuses everything since the failed correction above.
    expect(acks).toBe(3);
  });

  it('guarded: is refused by the writer and, sent all the same, by the receiver', async () => {
    await expect(ours[0]!.store.put('n', 'mega', mega)).rejects.toThrow('at most 200');
    const key = RULES.key('n', 'mega');
    const before = ours[1]!.counters.get('refused.size');
    expect(await sendPut(ours[0]!, ours[1]!, key, pack(key, mega))).toBe('refused');
    expect(ours[1]!.counters.get('refused.size')).toBe(before + 1);
    expect(await onDisk(ours[1]!, key)).toBeUndefined();
  });
});
