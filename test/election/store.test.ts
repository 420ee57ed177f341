/** What the election keeps on the disk: hard state, fence, history of terms. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Epoch, PeerId, Term } from '../../src/base/brands.ts';
import { encode } from '../../src/base/codec.ts';
import type { KeyValue, WriteOptions } from '../../src/base/ports.ts';
import { Fence } from '../../src/election/fence.ts';
import { TermHistory } from '../../src/election/history.ts';
import { loadHard, NO_HARD, saveHard } from '../../src/election/store.ts';
import type { Hard } from '../../src/election/types.ts';
import { memoryKeyValue, quietLogger, testClock, testSigner } from '../support/world.ts';

let ada: PeerId;
let ben: PeerId;
const term = (n: number): Term => n as Term;

beforeAll(async () => {
  ada = (await testSigner('ada')).peerId;
  ben = (await testSigner('ben')).peerId;
});

const hardOf = (over: Partial<Hard> = {}): Hard => ({
  ...{ term: term(4), votedFor: ada },
  accepted: {
    ballot: term(4),
    body: {
      ...{ v: 1, epoch: 3 as Epoch, term: term(2), prev: new Uint8Array(32).fill(1) },
      ...{ change: { kind: 'promote', peer: ben }, time: 5 },
    },
  },
  ...over,
});

describe('the hard state', () => {
  it('comes back as it was, with and without a vote or an entry', async () => {
    const map = new Map<string, Uint8Array>();
    const store = memoryKeyValue(map);
    expect(await loadHard(store)).toEqual(NO_HARD);
    for (const hard of [hardOf(), hardOf({ votedFor: null }), hardOf({ accepted: null })]) {
      await saveHard(store, hard);
      expect(await loadHard(memoryKeyValue(map))).toEqual(hard);
    }
  });

  it('is synced with every write (E2, E3)', async () => {
    const synced: (boolean | undefined)[] = [];
    const store: KeyValue = {
      ...memoryKeyValue(),
      put: async (_key: string, _value: Uint8Array, options?: WriteOptions) =>
        void synced.push(options?.sync),
    };
    await saveHard(store, hardOf());
    expect(synced).toEqual([true]);
  });

  it('that is damaged stops the node instead of letting it vote twice', async () => {
    const bytes = encode({ v: 1, term: 4, votedFor: ada, accepted: null });
    const flipped = new Uint8Array(bytes);
    flipped[0] = 0xff;
    for (const damaged of [
      flipped,
      bytes.subarray(0, -1),
      new Uint8Array(),
      encode({ v: 1, term: 4, votedFor: ada }),
      encode({ v: 1, term: -4, votedFor: ada, accepted: null }),
    ]) {
      const store = memoryKeyValue(new Map([['hard', damaged]]));
      await expect(loadHard(store)).rejects.toMatchObject({
        code: 'DISK_FAILED',
        hint: expect.stringContaining('vote twice'),
      });
    }
  });

  it('of a newer program is not touched', async () => {
    const store = memoryKeyValue(new Map([['hard', encode({ v: 2, terms: [] })]]));
    await expect(loadHard(store)).rejects.toMatchObject({ code: 'SCHEMA_TOO_NEW' });
  });
});

describe('the fence', () => {
  it('lets the highest term pass and refuses what is below, also after a restart (E5)', async () => {
    const map = new Map<string, Uint8Array>();
    const fence = await Fence.open(memoryKeyValue(map), term(3));
    await fence.pass(term(3));
    await expect(fence.pass(term(2))).rejects.toMatchObject({
      code: 'STALE_TERM',
      details: { term: 2, highest: 3 },
    });
    await fence.pass(term(5));
    await expect(fence.pass(term(4))).rejects.toMatchObject({ code: 'STALE_TERM' });
    const again = await Fence.open(memoryKeyValue(map), term(3));
    expect(again.term).toBe(5);
    await expect(again.pass(term(4))).rejects.toMatchObject({ code: 'STALE_TERM' });
  });

  it('follows the machine', async () => {
    const fence = await Fence.open(memoryKeyValue(), term(0));
    fence.reached(term(6));
    fence.reached(term(5));
    expect(fence.term).toBe(6);
    await expect(fence.pass(term(5))).rejects.toMatchObject({ code: 'STALE_TERM' });
  });

  it('refuses an act that a newer leader overtook while the disk was written', async () => {
    let written: () => void = () => undefined;
    const store: KeyValue = {
      ...memoryKeyValue(),
      put: () =>
        new Promise<void>((resolve) => {
          written = resolve;
        }),
    };
    const fence = await Fence.open(store, term(1));
    const [older, newer] = [fence.pass(term(2)), fence.pass(term(3))];
    const refused = expect(older).rejects.toMatchObject({ code: 'STALE_TERM' });
    await Promise.resolve();
    fence.reached(term(3));
    written();
    await refused;
    await newer;
    expect(fence.term).toBe(3);
  });

  it('that is damaged stops the node', async () => {
    const store = memoryKeyValue(new Map([['fence', Uint8Array.of(1, 2)]]));
    await expect(Fence.open(store, term(1))).rejects.toMatchObject({ code: 'DISK_FAILED' });
  });
});

describe('the history of terms', () => {
  const open = (map: Map<string, Uint8Array>, clock = testClock(1_000)) =>
    TermHistory.open({ store: memoryKeyValue(map), clock, logger: quietLogger });

  it('tells who led from when to when and why, newest first, also after a restart', async () => {
    const map = new Map<string, Uint8Array>();
    const clock = testClock(1_000);
    const history = await open(map, clock);
    history.begin({ leader: ada, term: term(1) }, 'start');
    clock.advance(50);
    history.end();
    history.end();
    clock.advance(50);
    history.begin({ leader: ben, term: term(3) }, 'closed');
    const told = [
      { term: 3, leader: ben, since: 1_100, until: null, trigger: 'closed' },
      { term: 1, leader: ada, since: 1_000, until: 1_050, trigger: 'start' },
    ];
    expect(history.records).toEqual(told);
    await history.flush();
    clock.advance(400);
    const again = await open(map, clock);
    expect(again.records).toEqual([{ ...told[0], until: 1_500 }, told[1]]);
    again.begin({ leader: ben, term: term(3) }, 'start');
    expect(again.records).toEqual(told);
  });

  it('goes on with a leader that was out of sight', async () => {
    const clock = testClock(1_000);
    const history = await open(new Map(), clock);
    history.begin({ leader: ada, term: term(1) }, 'start');
    clock.advance(50);
    history.end();
    history.begin({ leader: ada, term: term(1) }, 'timeout');
    expect(history.records).toEqual([
      { term: 1, leader: ada, since: 1_000, until: null, trigger: 'start' },
    ]);
  });

  it('is bounded in memory and on the disk', async () => {
    const map = new Map<string, Uint8Array>();
    const history = await open(map);
    for (let n = 1; n <= 300; n++) history.begin({ leader: ada, term: term(n) }, 'timeout');
    await history.flush();
    expect(history.records).toHaveLength(256);
    expect(map.size).toBe(256);
    expect((await open(map)).records[0]?.term).toBe(300);
  });

  it('leaves a damaged line out, and outlives a disk that fails', async () => {
    const map = new Map([['0000000001', Uint8Array.of(9)]]);
    expect((await open(map)).records).toEqual([]);
    const failing: KeyValue = {
      ...memoryKeyValue(),
      batch: () => Promise.reject(new Error('no space')),
    };
    const warned: string[] = [];
    const logger = {
      ...quietLogger,
      warn: (_fields: object, message: string) => void warned.push(message),
    };
    const history = await TermHistory.open({ store: failing, clock: testClock(), logger });
    history.begin({ leader: ada, term: term(1) }, 'start');
    await history.flush();
    expect(history.records).toHaveLength(1);
    expect(warned).toHaveLength(1);
  });
});
