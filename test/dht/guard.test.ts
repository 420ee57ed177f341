/** The guard before every record on the disk, over a real Level database. */
import { Libp2pRecord } from '@libp2p/record';
import type { Batch, Key } from 'interface-datastore';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { Counters } from '../../src/dht/counters.ts';
import { type GuardDeps, type GuardOptions, RecordGuard } from '../../src/dht/guard.ts';
import { probeValue } from '../../src/dht/probe.ts';
import { datastoreKey } from '../../src/dht/rules.ts';
import { quietLogger, type TestClock, testClock } from '../support/world.ts';
import { content, openDisk, RULES, seqOf, sequence } from './support.ts';

const asKey = (text: string): Key => ({ toString: () => text }) as Key;
const at = (key: Uint8Array): Key => asKey(datastoreKey('/dht', key));
const packed = (key: Uint8Array, value: Uint8Array): Uint8Array =>
  new Libp2pRecord(key, value, new Date(0)).serialize();

let disk: Awaited<ReturnType<typeof openDisk>>;
let clock: TestClock;
let counters: Counters;
let guard: RecordGuard;
const reopen = (options: GuardOptions = {}, waiting?: GuardDeps['waiting']): void => {
  counters = new Counters();
  const deps = {
    ...{ rules: RULES, clock, log: quietLogger, counters },
    ...(waiting === undefined ? {} : { waiting }),
  };
  guard = new RecordGuard(disk.store.db, options, deps);
};
/** As kad-dht's handler of PUT_VALUE does it. */
const put = (key: Uint8Array, value: Uint8Array) => guard.put(at(key), packed(key, value));
const held = async (key: Uint8Array): Promise<number | undefined> => {
  const value = await guard.load(key);
  return value && seqOf(value);
};

beforeEach(async () => {
  disk = await openDisk();
  clock = testClock();
  reopen();
});
afterEach(() => disk.remove());

describe('the guard', () => {
  const key = RULES.key('n', 'x');

  it('never lets an older value replace a newer one (A1)', async () => {
    await put(key, sequence('x', 10));
    await put(key, sequence('x', 5));
    expect(await held(key)).toBe(10);
    expect(counters.get('absorbed')).toBe(1);
    await put(key, sequence('x', 11));
    expect(await held(key)).toBe(11);
  });

  it('stores what the merge says, not what came', async () => {
    const set = RULES.key('u', 's');
    await put(set, Uint8Array.of(1, 3));
    await put(set, Uint8Array.of(2, 3));
    expect(await guard.load(set)).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('keeps the standing value when the union would be too large', async () => {
    const set = RULES.key('u', 's');
    await put(set, Uint8Array.of(1, 2, 3, 4, 5));
    await expect(put(set, Uint8Array.of(6, 7, 8, 9))).rejects.toThrow('at most 8');
    expect(await guard.load(set)).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    expect(counters.get('refused.size')).toBe(1);
  });

  it('loses none of 40 concurrent writes of one key', async () => {
    const set = RULES.key('u', 's');
    const bytes = Array.from({ length: 40 }, (_, i) => 1 + (i % 8));
    await Promise.all(bytes.map((byte) => put(set, Uint8Array.of(byte))));
    expect(await guard.load(set)).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  });

  it('serves what waits for its place as if it were stored, and stores nothing of it', async () => {
    const set = RULES.key('u', 's');
    const waits = new Map([['u/s', Uint8Array.of(2, 3)]]);
    reopen({}, ({ namespace, suffix }) => waits.get(`${namespace.name}/${suffix}`));
    const served = async () => Libp2pRecord.deserialize(await guard.get(at(set))).value;
    expect(await guard.load(set)).toEqual(Uint8Array.of(2, 3));
    expect(await served()).toEqual(Uint8Array.of(2, 3));
    expect(await guard.isStored(set)).toBe(false);
    await put(set, Uint8Array.of(1));
    expect(await guard.load(set)).toEqual(Uint8Array.of(1, 2, 3));
    expect(await served()).toEqual(Uint8Array.of(1, 2, 3));
    waits.clear();
    expect(await guard.load(set)).toEqual(Uint8Array.of(1));
    expect(await guard.isStored(set)).toBe(true);
    expect(await guard.load(key)).toBeUndefined();
    // Anybody may ask for anything.
    for (const foreign of ['/pk/abc', '/other/x', 'rubbish']) {
      await expect(guard.get(at(utf8Bytes(foreign)))).rejects.toMatchObject({
        name: 'NotFoundError',
      });
    }
  });

  it('binds the key inside the record to where it is stored', async () => {
    const other = RULES.key('n', 'y');
    await expect(guard.put(at(other), packed(key, sequence('x', 1)))).rejects.toThrow('another');
    expect(await guard.load(other)).toBeUndefined();
    expect(await guard.load(key)).toBeUndefined();
    expect(counters.get('refused.key')).toBe(1);
  });

  it.each([
    ['a key with one slash', 'ucxl', 'refused.key'],
    ['a foreign namespace', '/nope/x', 'refused.namespace'],
    ['an unknown namespace', '/ucxl/zz/x', 'refused.namespace'],
    ['a public key', '/pk/x', 'refused.namespace'],
  ] as const)('refuses %s', async (_what, text, counter) => {
    const foreign = utf8Bytes(text);
    await expect(put(foreign, sequence('x', 1))).rejects.toThrow();
    expect(await disk.store.db.get(datastoreKey('/dht', foreign))).toBeUndefined();
    expect(counters.get(counter)).toBe(1);
  });

  it('refuses another key’s valid value, a large one, and bytes that are no record', async () => {
    await expect(put(key, sequence('y', 1))).rejects.toThrow('bound');
    await expect(put(key, new Uint8Array(1_000_000))).rejects.toThrow('at most 200');
    await expect(guard.put(at(key), Uint8Array.of(255, 255, 255))).rejects.toThrow('malformed');
    expect(
      [...'key size invalid'.split(' ')].map((n) => counters.get(`refused.${n}` as never)),
    ).toEqual([1, 1, 1]);
    expect(await guard.load(key)).toBeUndefined();
  });

  it('shuts the way round it through a batch', async () => {
    const batch: Batch = guard.batch();
    expect(() => batch.put(at(key), packed(key, sequence('x', 1)))).toThrow('batches');
    batch.put(asKey('/peers/x'), Uint8Array.of(1));
    await batch.commit();
    expect([...(await guard.get(asKey('/peers/x')))]).toEqual([1]);
  });

  it('replaces a copy that the disk damaged, and does not serve it', async () => {
    await disk.store.db.put(datastoreKey('/dht', key), packed(key, sequence('y', 99)));
    await put(key, sequence('x', 1));
    expect(await held(key)).toBe(1);
    expect(counters.get('localCorrupt')).toBe(1);
    await disk.store.db.put(datastoreKey('/dht', key), Uint8Array.of(255, 255));
    await expect(guard.get(at(key))).rejects.toMatchObject({ name: 'NotFoundError' });
  });
});

describe('the quota', () => {
  it('refuses what does not fit, counts what is there, and frees what is dropped', async () => {
    reopen({ maxBytes: 400 });
    const stored: Uint8Array[] = [];
    for (let i = 0; i < 10; i++) {
      const key = RULES.key('n', `key${i}`);
      await put(key, sequence(`key${i}`, 1)).then(
        () => stored.push(key),
        () => {},
      );
    }
    expect(stored.length).toBeGreaterThan(2);
    expect(stored.length).toBeLessThan(10);
    expect(counters.get('refused.quota')).toBe(10 - stored.length);
    expect(await guard.usedBytes()).toBeLessThanOrEqual(400);

    // A full store still takes a newer value of the same size, and survives a restart.
    await put(stored[0]!, sequence('key0', 2));
    const before = await guard.usedBytes();
    reopen({ maxBytes: 400 });
    expect(await guard.usedBytes()).toBe(before);

    await Promise.all(stored.map((key) => guard.drop(key)));
    expect(await guard.usedBytes()).toBe(0);
  });

  it('is not overrun by concurrent writes', async () => {
    reopen({ maxBytes: 400 });
    const writes = Array.from({ length: 30 }, (_, i) =>
      put(RULES.key('n', `key${i}`), sequence(`key${i}`, 1)),
    );
    await Promise.allSettled(writes);
    expect(await guard.usedBytes()).toBeLessThanOrEqual(400);
    let bytes = 0;
    for await (const [at, raw] of disk.store.db.iterator()) {
      if (at.startsWith('/dht/')) bytes += raw.length;
    }
    expect(bytes).toBe(await guard.usedBytes());
  });

  it('bounds provider records by number and size, and lets the peer store pass', async () => {
    reopen({ maxProviders: 2 });
    const provider = (name: string) => asKey(`/dht/provider/cid/${name}`);
    await guard.put(provider('a'), Uint8Array.of(1));
    await guard.put(provider('b'), Uint8Array.of(1));
    await guard.put(provider('a'), Uint8Array.of(2));
    await expect(guard.put(provider('c'), Uint8Array.of(1))).rejects.toThrow('provider');
    await guard.delete(provider('b'));
    await guard.put(provider('c'), Uint8Array.of(1));
    await expect(guard.put(provider('a'), new Uint8Array(17))).rejects.toThrow('provider');
    reopen({ maxProviders: 2 });
    await expect(guard.put(provider('d'), Uint8Array.of(1))).rejects.toThrow('provider');
    expect(counters.get('providerRefused')).toBe(1);
    await guard.put(asKey('/peers/x'), new Uint8Array(5_000));
  });
});

describe('life', () => {
  const owner = (i: number): string =>
    `12D3KooW${String(i).padStart(44, '1').replaceAll('0', 'A')}`;
  const probe = (i: number): Uint8Array => RULES.key('probe', owner(i));
  const value = probeValue(1, new Uint8Array(16));

  it('of an immutable record has no end: every read presents it as just received', async () => {
    const { suffix, value: body } = content('old');
    const key = RULES.key('c', suffix);
    await put(key, body);
    clock.advance(7 * 24 * 3_600_000);
    const record = Libp2pRecord.deserialize(await guard.get(at(key)));
    expect(record.timeReceived.getTime()).toBe(clock.wallMs());
    expect(record.value).toEqual(body);
  });

  it('of a probe ends after 60 s, on the monotonic clock', async () => {
    await put(probe(1), value);
    clock.advance(59_999);
    expect(await guard.load(probe(1))).toEqual(value);
    clock.advance(1);
    expect(await guard.load(probe(1))).toBeUndefined();
    await expect(guard.get(at(probe(1)))).rejects.toMatchObject({ name: 'NotFoundError' });
    expect(await guard.usedBytes()).toBe(0);
  });

  it('of a probe does not outlast a restart', async () => {
    await put(probe(1), value);
    reopen();
    expect(await guard.usedBytes()).toBe(0);
    expect(await guard.load(probe(1))).toBeUndefined();
  });

  it('leaves room for a bounded number of probes, whoever invents owners', async () => {
    reopen({ maxMortal: 3 });
    for (const i of [1, 2, 3]) await put(probe(i), value);
    await expect(put(probe(4), value)).rejects.toThrow('too many probes');
    clock.advance(60_000);
    await put(probe(4), value);
    expect(await guard.load(probe(4))).toEqual(value);
  });

  it('pages through the lasting records only, each once', async () => {
    const keys = new Set<string>();
    for (let i = 0; i < 7; i++) await put(RULES.key('n', `k${i}`), sequence(`k${i}`, 1));
    await put(probe(1), value);
    let from: string | undefined = '';
    while (from !== undefined) {
      const page: Awaited<ReturnType<RecordGuard['page']>> = await guard.page(from, 3);
      for (const key of page.keys) {
        const text = Buffer.from(key).toString();
        expect(keys.has(text)).toBe(false);
        keys.add(text);
      }
      from = page.next;
    }
    expect(keys.size).toBe(7);
  });
});
