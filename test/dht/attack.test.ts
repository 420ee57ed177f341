/**
 * Members that attack the record store. What is a hazard of the bare library is shown on it first;
 * where a first half fails after an upgrade, the library mended it. More of its hazards, met
 * without an attacker, stand in hazards.test.ts.
 */
import { Libp2pRecord } from '@libp2p/record';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
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

const GUARD_BYTES = 60_000;
let bare: readonly BareNode[];
let ours: readonly Node[];
beforeAll(async () => {
  bare = await Promise.all(Array.from({ length: 4 }, () => bareNode()));
  await mesh(bare);
  ours = await cluster(5, { guard: { maxBytes: GUARD_BYTES }, graceMs: 1_000 });
}, 60_000);
afterAll(stopAll);

const pack = (key: Uint8Array, value: Uint8Array): Uint8Array =>
  new Libp2pRecord(key, value, new Date()).serialize();
const key = (suffix: string): Uint8Array => RULES.key('n', suffix);
const heldSeqs = (nodes: readonly BareNode[], suffix: string) =>
  Promise.all(
    nodes.map(async (node) => {
      const value = await onDisk(node, key(suffix));
      return value && seqOf(value);
    }),
  );
/** What a reader of the bare library gets. */
async function bareGet(node: BareNode, at: Uint8Array, ms = 3_000): Promise<Uint8Array> {
  return node.libp2p.contentRouting.get(at, { signal: AbortSignal.timeout(ms) });
}

describe('an older head, sent to everybody who has a newer one', () => {
  it('bare: takes its place', async () => {
    await barePut(bare[0]!, key('roll'), sequence('roll', 10));
    for (const node of bare.slice(1)) {
      const old = pack(key('roll'), sequence('roll', 2));
      expect(await sendPut(bare[0]!, node, key('roll'), old)).toBe('stored');
    }
    expect(await heldSeqs(bare.slice(1), 'roll')).toEqual([2, 2, 2]);
  });

  it('ours: is absorbed, and readers get the newer one', async () => {
    await ours[1]!.store.put('n', 'roll', sequence('roll', 10));
    for (const node of ours.slice(1)) {
      const old = pack(key('roll'), sequence('roll', 2));
      expect(await sendPut(ours[0]!, node, key('roll'), old)).toBe('stored');
    }
    expect(await heldSeqs(ours, 'roll')).toEqual([10, 10, 10, 10, 10]);
  });

  it('ours: is no answer either, told by a minority however often', async () => {
    await ours[1]!.store.put('n', 'told', sequence('told', 10));
    const restore = ours.slice(3).map((liar) =>
      answer(liar, 'GET_VALUE', async (message) => {
        return { ...message, record: pack(key('told'), sequence('told', 2)) };
      }),
    );
    for (let i = 0; i < 5; i++) {
      const found = await ours[0]!.store.get('n', 'told', { merge: true });
      expect(found && seqOf(found.value)).toBe(10);
    }
    for (const undo of restore) undo();
    expect(await heldSeqs(ours.slice(0, 3), 'told')).toEqual([10, 10, 10]);
  });
});

describe('the valid record of another key as an answer', () => {
  const wanted = utf8Bytes('/ucxl/n/wanted');

  it('bare: is turned away by this version of the library, when it reads', async () => {
    const restore = bare.slice(1).map((liar) =>
      answer(liar, 'GET_VALUE', async (message) => {
        return { ...message, record: pack(key('other'), sequence('other', 99)) };
      }),
    );
    await expect(bareGet(bare[0]!, wanted)).rejects.toThrow();
    for (const undo of restore) undo();
    // But not when it stores: the same record sent under another key is kept under its own.
    const swapped = pack(key('victim'), sequence('other', 99));
    expect(await sendPut(bare[0]!, bare[1]!, wanted, swapped)).toBe('stored');
    expect(await heldSeqs([bare[1]!], 'victim')).toEqual([99]);
  });

  it('ours: is rubbish, and a miss stays a miss', async () => {
    const before = ours[0]!.counters.get('rubbish');
    const restore = ours.slice(1).map((liar) =>
      answer(liar, 'GET_VALUE', async (message) => {
        return { ...message, record: pack(key('other'), sequence('other', 99)) };
      }),
    );
    expect(await ours[0]!.store.get('n', 'wanted', { timeoutMs: 3_000 })).toBeUndefined();
    const merged = await ours[0]!.store.get('n', 'wanted', { merge: true, timeoutMs: 3_000 });
    expect(merged).toBeUndefined();
    for (const undo of restore) undo();
    expect(ours[0]!.counters.get('rubbish') - before).toBeGreaterThanOrEqual(8);
  });
});

describe('keys that nothing validates', () => {
  it('bare: are stored by a peer as soon as their prefix is known, whatever the value', async () => {
    const odd = utf8Bytes('/ucxl/anything/at all');
    expect(await sendPut(bare[0]!, bare[1]!, odd, pack(odd, new Uint8Array(9)))).toBe('stored');
  });

  it.each([
    ['no slash', 'odd'],
    ['one slash', '/odd'],
    ['a foreign namespace', '/ipns/x'],
    ['a namespace within ours that nobody registered', '/ucxl/anything/x'],
    ['a suffix with a slash', '/ucxl/n/a/b'],
    ['a suffix with a blank', '/ucxl/n/at all'],
    ['no suffix', '/ucxl/n/'],
    ['a prototype', '/ucxl/__proto__/x'],
    ['a long suffix', `/ucxl/n/${'x'.repeat(200)}`],
  ])('ours: with %s are refused', async (_what, text) => {
    const odd = utf8Bytes(text);
    expect(await sendPut(ours[0]!, ours[1]!, odd, pack(odd, sequence('x', 1)))).toBe('refused');
    expect(await onDisk(ours[1]!, odd)).toBeUndefined();
  });
});

describe('forged and oversized records', () => {
  it('bare: are stored, whoever they claim to be of, and however large', async () => {
    const forged = pack(key('forged'), sequence('someone', 1));
    expect(await sendPut(bare[0]!, bare[1]!, key('forged'), forged)).toBe('stored');
    const mega = pack(key('mega'), new Uint8Array(1_000_000));
    expect(await sendPut(bare[0]!, bare[1]!, key('mega'), mega)).toBe('stored');
  });

  it('ours: are refused, counted by the reason, and leave nothing behind', async () => {
    const { counters } = ours[1]!;
    const counts = () =>
      (['invalid', 'size', 'key'] as const).map((reason) => counters.get(`refused.${reason}`));
    const before = counts();
    const used = await ours[1]!.guard.usedBytes();
    const send = (at: Uint8Array, record: Uint8Array) => sendPut(ours[0]!, ours[1]!, at, record);
    const wrongHash = RULES.key('c', content('a').suffix);
    expect(await send(wrongHash, pack(wrongHash, content('b').value))).toBe('refused');
    expect(await send(key('forged'), pack(key('forged'), sequence('someone', 1)))).toBe('refused');
    expect(await send(key('mega'), pack(key('mega'), new Uint8Array(1_000_000)))).toBe('refused');
    expect(await send(key('bytes'), new Uint8Array([255, 1, 2, 3]))).toBe('refused');
    expect(await send(key('empty'), new Uint8Array(0))).toBe('refused');
    const after = counts().map((n, i) => n - before[i]!);
    expect(after[0]).toBe(2);
    expect(after[1]).toBe(1);
    expect(await ours[1]!.guard.usedBytes()).toBe(used);
  });
});

describe('a flood of valid records by one member', () => {
  const SIZE = 400;
  const flood = (n: number) => content(`flood ${n} ${'.'.repeat(SIZE)}`);

  it('bare: is all stored', async () => {
    const { dht } = bare[0]!;
    expect(dht).toBeDefined();
    for (let i = 0; i < 20; i++) {
      const at = key(`flood${i}`);
      const value = sequence(`flood${i}`, 1);
      expect(await sendPut(bare[0]!, bare[1]!, at, pack(at, value))).toBe('stored');
    }
  });

  it('ours: stops at its share, and the others write on', async () => {
    const victim = ours[2]!;
    const send = async (n: number): Promise<'stored' | 'refused'> => {
      const { suffix, value } = flood(n);
      const at = RULES.key('c', suffix);
      return sendPut(ours[0]!, victim, at, pack(at, value));
    };
    const outcomes: string[] = [];
    for (let i = 0; i < 160; i++) outcomes.push(await send(i));
    expect(outcomes.slice(0, 40)).not.toContain('refused');
    expect(outcomes.slice(-40)).not.toContain('stored');
    expect(await victim.guard.usedBytes()).toBeLessThan(GUARD_BYTES * 0.6);
    expect(victim.counters.get('quotaWriter')).toBeGreaterThanOrEqual(40);
    // The flooded member still is one of five holders of what another one writes.
    for (let i = 0; i < 5; i++) {
      const { suffix, value } = content(`honest ${i} ${'.'.repeat(SIZE)}`);
      const outcome = await ours[1]!.store.put('c', suffix, value, { require: 'quorum' });
      expect(outcome.holders).toContain(victim.id);
    }
  });
});

describe('a peer that answers nothing', () => {
  const mute = (nodes: readonly BareNode[]) =>
    nodes.flatMap((node) =>
      (['GET_VALUE', 'PUT_VALUE', 'FIND_NODE'] as const).map((type) =>
        answer(node, type, () => new Promise(() => {})),
      ),
    );

  it('bare: holds up a read for as long as the reader has patience', async () => {
    await barePut(bare[0]!, key('mute'), sequence('mute', 1));
    const restore = mute(bare.slice(3));
    const started = performance.now();
    await bareGet(bare[0]!, key('mute'), 1_500).catch(() => {});
    const ms = performance.now() - started;
    for (const undo of restore) undo();
    expect(ms).toBeGreaterThan(1_400);
  });

  it('ours: holds up no read, and a write for its grace alone', async () => {
    const { suffix, value } = content('beside the mute');
    await plant(ours[1]!, RULES.key('c', suffix), value);
    const restore = mute(ours.slice(4));
    let started = steadyClock.now();
    expect((await ours[0]!.store.get('c', suffix))?.value).toEqual(value);
    // A request has ten seconds here.
    expect(steadyClock.now() - started).toBeLessThan(2_000);
    const next = content('written beside the mute');
    started = steadyClock.now();
    const outcome = await ours[1]!.store.put('c', next.suffix, next.value);
    expect(outcome).toMatchObject({ ack: 'quorum', pending: 1 });
    expect(steadyClock.now() - started).toBeLessThan(4_000);
    for (const undo of restore) undo();
  });
});

describe('a peer that answers everything with rubbish', () => {
  const rubbish = (nodes: readonly BareNode[]) => {
    let turn = 0;
    return nodes.flatMap((node) => [
      // It says that it stored.
      answer(node, 'PUT_VALUE', async (message) => message),
      answer(node, 'FIND_NODE', async (message) => ({
        ...message,
        closer: [{ id: 'x' }] as never,
      })),
      answer(node, 'GET_VALUE', async (message) => {
        const records = [
          new Uint8Array([255, 1, 2]),
          pack(message.key!, new Uint8Array(500)),
          pack(key('another'), sequence('another', 1)),
          new Uint8Array(300_000),
        ];
        return { ...message, record: records[turn++ % records.length]! };
      }),
    ]);
  };

  it('bare: is believed that it stored', async () => {
    const restore = bare.slice(1).map((liar) => answer(liar, 'PUT_VALUE', async (m) => m));
    const { acks } = await barePut(bare[0]!, key('kept'), sequence('kept', 1));
    for (const undo of restore) undo();
    expect(acks).toBeGreaterThan(0);
    expect((await heldSeqs(bare.slice(1), 'kept')).every((seq) => seq === undefined)).toBe(true);
  });

  it('ours: two of five change no result, and are no holders', async () => {
    const liars = ours.slice(3);
    const restore = rubbish(liars);
    for (let i = 0; i < 6; i++) {
      const { suffix, value } = content(`beside rubbish ${i}`);
      const { ack, holders } = await ours[1]!.store.put('c', suffix, value);
      expect(ack).toBe('quorum');
      for (const { id } of liars) expect(holders).not.toContain(id);
      expect((await ours[0]!.store.get('c', suffix, { merge: true }))?.value).toEqual(value);
    }
    for (const undo of restore) undo();
    expect(ours[1]!.counters.get('falseAck')).toBeGreaterThanOrEqual(6);
  });

  it('ours: a majority of them makes a write fail, and never a false success', async () => {
    const members: PeerId[] = [];
    const nodes = await Promise.all([0, 1, 2].map(() => storeNode(() => members)));
    members.push(...nodes.map(({ id }) => id));
    await mesh(nodes);
    rubbish(nodes.slice(1));
    const { suffix, value } = content('alone among liars');
    const put = nodes[0]!.store.put('c', suffix, value, { require: 'quorum' });
    await expect(put).rejects.toMatchObject({ code: 'NO_QUORUM' });
    await Promise.all(nodes.map((node) => node.stop()));
  });
});
