/**
 * What every backend of the record store does alike. The acknowledgement and its holders are all
 * that may differ, so they are what a backend under test says of itself.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { Acknowledgement, HealthStatus, RecordStore, Stored } from '../../src/dht/store.ts';
import { CONTENT, content, sequence } from './support.ts';

/** A backend on a node. */
export interface Bench {
  readonly store: RecordStore;
  readonly self: PeerId;
  readonly backend: HealthStatus['backend'];
  /** What a put reaches when all is well. */
  readonly ack: Acknowledgement;
  /** Everybody whose copy it then reads back. */
  readonly holders: readonly PeerId[];
  /** Ends all but the store itself. */
  stop(): Promise<void>;
}

const CID = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';
const UNKNOWN_CID = 'bafkreiem4twkqzsq2aj4shbycd4yvoj2cx72vezicletlhi7dijjciqpui';
/** The CID of nothing under SHA-1. */
const SHA1_CID = 'bafkrdwq4fkdaq6z3tmuqojg7kqjrgcbaw7gphqagj';
const RANK: readonly Acknowledgement[] = ['local', 'one', 'quorum'];

const refusedAs = (refusal: string) => ({ code: 'BAD_MESSAGE', details: { refusal } });
async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

/** @param open is called once; the last test closes the store. */
export function contract(title: string, open: () => Promise<Bench>): void {
  describe(title, () => {
    let bench: Bench;
    let store: RecordStore;
    beforeAll(async () => {
      bench = await open();
      store = bench.store;
    });
    afterAll(() => bench?.stop());

    values(() => bench);
    refusals(() => store);
    listeners(() => store);
    providers(() => bench);

    it('probes itself, in the documented words, and leaves nothing behind', async () => {
      const health = await store.probe();
      expect(health).toMatchObject({
        ...{ component: 'dht', backend: bench.backend, status: 'healthy', error_count: 0 },
        last_check: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        latency_ms: expect.any(Number),
      });
      expect(health).not.toHaveProperty('reason');
    });

    it('says that it is closed, in every call after `close`', async () => {
      const { suffix, value } = content('too late');
      await store.put('c', suffix, value);
      await store.close();
      await store.close();
      const closed = { code: 'DRAINING', message: 'the record store is closed' };
      await expect(store.put('c', suffix, value)).rejects.toMatchObject(closed);
      await expect(store.get('c', suffix)).rejects.toMatchObject(closed);
      await expect(store.provide(CID)).rejects.toMatchObject(closed);
      await expect(all(store.findProviders(CID))).rejects.toMatchObject(closed);
      await expect(store.probe()).rejects.toMatchObject(closed);
      store.subscribe(() => {})();
    });
  });
}

function values(of: () => Bench): void {
  it('gives back what was put, and tells exactly whose copies were read back', async () => {
    const { store, ack, holders } = of();
    const { suffix, value } = content('kept');
    const outcome = await store.put('c', suffix, value);
    expect({ ...outcome, holders: [...outcome.holders].sort() }).toEqual({
      ...{ ack, pending: 0 },
      holders: [...holders].sort(),
    });
    const found = await store.get('c', suffix);
    expect(found).toMatchObject({ value, source: 'local' });
    expect(found?.holders).toContain(of().self);
    expect(await store.get('c', suffix, { localOnly: true })).toMatchObject({ value });
    const merged = await store.get('c', suffix, { merge: true });
    expect(merged).toMatchObject({ value, source: 'local' });
  });

  it('has no answer, and no error, for what nobody has', async () => {
    const { store } = of();
    const { suffix } = content('nowhere');
    expect(await store.get('c', suffix)).toBeUndefined();
    expect(await store.get('c', suffix, { merge: true })).toBeUndefined();
    expect(await store.get('c', suffix, { localOnly: true })).toBeUndefined();
  });

  it('hands out copies: what the caller does to one changes nothing', async () => {
    const { store } = of();
    await store.put('u', 'copies', Uint8Array.of(1, 2));
    (await store.get('u', 'copies'))?.value.fill(9);
    expect((await store.get('u', 'copies'))?.value).toEqual(Uint8Array.of(1, 2));
  });

  it('merges, and never goes back', async () => {
    const { store } = of();
    for (const seq of [3, 9, 5]) await store.put('n', 'x', sequence('x', seq));
    expect((await store.get('n', 'x'))?.value).toEqual(sequence('x', 9));
    await store.put('u', 'set', Uint8Array.of(1));
    await store.put('u', 'set', Uint8Array.of(3));
    const merged = await store.get('u', 'set', { merge: true });
    expect(merged?.value).toEqual(Uint8Array.of(1, 3));
  });

  it('says of a merging read whether a majority was heard', async () => {
    const { store, ack } = of();
    await store.put('n', 'heard', sequence('heard', 1));
    const found = await store.get('n', 'heard', { merge: true });
    expect(found?.majority).toBe(ack === 'quorum');
  });

  it('loses none of several puts of one key at once', async () => {
    const { store } = of();
    const puts = [5, 3, 1, 4, 2].map((n) => store.put('u', 'race', Uint8Array.of(n)));
    await Promise.all(puts);
    for (const options of [{}, { merge: true }, { localOnly: true }]) {
      const found = await store.get('u', 'race', options);
      expect(found?.value).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    }
  });

  it('fails below the acknowledgement that was required, and keeps the value', async () => {
    const { store, ack } = of();
    for (const required of RANK) {
      const { suffix, value } = content(`required ${required}`);
      const put = store.put('c', suffix, value, { require: required });
      if (RANK.indexOf(required) <= RANK.indexOf(ack)) {
        expect((await put).ack).toBe(ack);
      } else {
        const details = { ack, required, holders: of().holders };
        await expect(put).rejects.toMatchObject({ code: 'NO_QUORUM', exit: 5, details });
      }
      expect(await store.get('c', suffix, { localOnly: true })).toMatchObject({ value });
    }
  });

  it('journals a put in the background before it answers', async () => {
    const { store, self } = of();
    const { suffix, value } = content('behind the answer');
    const outcome = await store.put('c', suffix, value, { background: true });
    expect(outcome.holders).toEqual([self]);
    expect(await store.get('c', suffix, { localOnly: true })).toMatchObject({ value });
  });
}

function refusals(of: () => RecordStore): void {
  it('refuses the same values and keys with the same errors, and stores nothing of them', async () => {
    const store = of();
    const told: Stored[] = [];
    const stop = store.subscribe((stored) => void told.push(stored));
    const { suffix, value } = content('refused');
    const big = new Uint8Array(CONTENT.maxBytes + 1);
    await expect(store.put('c', suffix, big)).rejects.toMatchObject(refusedAs('size'));
    const other = store.put('c', suffix, content('another').value);
    await expect(other).rejects.toMatchObject(refusedAs('invalid'));
    const foreign = store.put('nope', suffix, value);
    await expect(foreign).rejects.toMatchObject(refusedAs('namespace'));
    await expect(store.put('c', 'a/b', value)).rejects.toMatchObject(refusedAs('key'));
    await expect(store.get('nope', suffix)).rejects.toMatchObject(refusedAs('namespace'));
    await expect(store.get('c', '')).rejects.toMatchObject(refusedAs('key'));
    expect(await store.get('c', suffix)).toBeUndefined();
    expect(told).toEqual([]);
    stop();
  });

  it('refuses a union that is too large, and keeps what stands', async () => {
    const store = of();
    const eight = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    await store.put('u', 'full', eight);
    const ninth = store.put('u', 'full', Uint8Array.of(9));
    await expect(ninth).rejects.toMatchObject(refusedAs('size'));
    expect((await store.get('u', 'full', { merge: true }))?.value).toEqual(eight);
  });
}

function listeners(of: () => RecordStore): void {
  it('tells of every new value after it stands, and of no other', async () => {
    const store = of();
    const { suffix, value } = content('told');
    const told: Stored[] = [];
    const broken = store.subscribe(() => {
      throw new Error('a listener that throws');
    });
    const stop = store.subscribe((stored) => void told.push(stored));
    await store.put('c', suffix, value);
    expect(told).toContainEqual({ namespace: 'c', suffix });
    expect(new Set(told.map((stored) => `${stored.namespace}/${stored.suffix}`)).size).toBe(1);
    const before = told.length;
    await store.put('c', suffix, value);
    await store.probe();
    expect(told).toHaveLength(before);
    stop();
    broken();
    await store.put('c', content('untold').suffix, content('untold').value);
    expect(told).toHaveLength(before);
  });
}

function providers(of: () => Bench): void {
  it('finds who provides a content, each once, and nobody for another', async () => {
    const { store, self } = of();
    const soon = { timeoutMs: 2_000 };
    await store.provide(CID, soon);
    await store.provide(CID, soon);
    expect(await all(store.findProviders(CID, soon))).toEqual([self]);
    expect(await all(store.findProviders(UNKNOWN_CID, soon))).toEqual([]);
  });

  it('refuses what no provider record can name', async () => {
    const { store } = of();
    for (const wrong of ['', 'not a cid', SHA1_CID, 'b'.repeat(10_000)]) {
      const refusal = { code: 'BAD_MESSAGE' };
      await expect(store.provide(wrong)).rejects.toMatchObject(refusal);
      const found = all(store.findProviders(wrong));
      await expect(found).rejects.toBeInstanceOf(BzzzError);
      await expect(found).rejects.toMatchObject(refusal);
    }
  });
}
