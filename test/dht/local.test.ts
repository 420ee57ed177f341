/** The journal and the backend that is nothing else: what this node has, without a network. */
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { KeyValue, WriteOptions } from '../../src/base/ports.ts';
import { Counters } from '../../src/dht/counters.ts';
import { Journal } from '../../src/dht/journal.ts';
import { LocalRecords } from '../../src/dht/local-records.ts';
import { memoryKeyValue, quietLogger, testClock, testRandom } from '../support/world.ts';
import { content, contentKey, NOTHING_HELD, openDisk, RULES, sequence } from './support.ts';

const self = 'self' as PeerId;
const make = (disk: KeyValue = memoryKeyValue(), guard = NOTHING_HELD) => {
  const counters = new Counters();
  const shared = { rules: RULES, random: testRandom('x'), log: quietLogger, counters };
  const journal = new Journal({ disk, ...shared });
  const members = (): readonly PeerId[] => [self, 'other' as PeerId];
  const deps = { self, members, journal, guard, clock: testClock() };
  const store = new LocalRecords({ ...deps, ...shared });
  return { store, journal, counters };
};

describe('the local backend', () => {
  it('gives back what was put, also after a restart', async () => {
    const disk = await openDisk();
    const { suffix, value } = content('kept');
    await make(disk.store.root.sub('journal')).store.put('c', suffix, value);
    const { store } = make(disk.store.root.sub('journal'));
    const found = await store.get('c', suffix);
    expect(found && [...found.value]).toEqual([...value]);
    expect(found).toMatchObject({ source: 'local', holders: [self] });
    expect(await store.get('c', content('other').suffix)).toBeUndefined();
    await disk.remove();
  });

  it('is on the disk before it says so (A7)', async () => {
    const options: (WriteOptions | undefined)[] = [];
    const memory = memoryKeyValue();
    const spy: KeyValue = {
      ...memory,
      put: (key, value, given) => {
        options.push(given);
        return memory.put(key, value);
      },
    };
    const { suffix, value } = content('kept');
    await make(spy).store.put('c', suffix, value);
    expect(options).toEqual([{ sync: true }]);
  });

  it('merges, concurrent writes included, and never goes back', async () => {
    const { store } = make();
    await Promise.all([3, 1, 2, 5, 4].map((n) => store.put('u', 's', Uint8Array.of(n))));
    expect((await store.get('u', 's'))?.value).toEqual(Uint8Array.of(1, 2, 3, 4, 5));
    await store.put('n', 'x', sequence('x', 9));
    await store.put('n', 'x', sequence('x', 3));
    expect((await store.get('n', 'x'))?.value).toEqual(sequence('x', 9));
  });

  it('refuses what does not belong under the key, and journals nothing of it', async () => {
    const { store, journal } = make();
    const bad = store.put('c', content('a').suffix, content('b').value);
    await expect(bad).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
    await expect(store.put('nope', 'x', Uint8Array.of(1))).rejects.toMatchObject({
      code: 'BAD_MESSAGE',
    });
    expect(await journal.keys()).toEqual([]);
  });

  it('reaches `local` only, and says so when more is required', async () => {
    const { store } = make();
    const { suffix, value } = content('x');
    expect(await store.put('c', suffix, value)).toMatchObject({ ack: 'local' });
    const strict = store.put('c', suffix, value, { require: 'one' });
    await expect(strict).rejects.toMatchObject({ code: 'NO_QUORUM', exit: 5 });
    expect(await store.get('c', suffix)).toBeDefined();
  });

  it('does not serve a value that the disk changed, and takes a good one over it', async () => {
    const map = new Map<string, Uint8Array>();
    const { store, counters } = make(memoryKeyValue(map));
    await store.put('n', 'x', sequence('x', 9));
    map.set('n/x', sequence('y', 99));
    expect(await store.get('n', 'x')).toBeUndefined();
    expect(counters.get('localCorrupt')).toBe(1);
    await store.put('n', 'x', sequence('x', 1));
    expect((await store.get('n', 'x'))?.value).toEqual(sequence('x', 1));
  });

  it('lists what it holds', async () => {
    const { store, journal } = make();
    await store.put('n', 'x', sequence('x', 1));
    await store.probe();
    expect(await journal.keys()).toEqual([RULES.key('n', 'x')]);
  });

  it('is failed, with a reason, when the disk is (P5)', async () => {
    const full: KeyValue = {
      ...memoryKeyValue(),
      put: () => Promise.reject(new BzzzError('DISK_FAILED', 'no space left')),
    };
    const { store } = make(full);
    expect(await store.probe()).toMatchObject({
      component: 'dht',
      backend: 'mock',
      status: 'failed',
      error_count: 1,
      reason: 'no space left',
    });
    const { suffix, value } = content('x');
    await expect(store.put('c', suffix, value)).rejects.toMatchObject({ code: 'DISK_FAILED' });
    const lying: KeyValue = { ...memoryKeyValue(), get: async () => Uint8Array.of(1) };
    expect(await make(lying).store.probe()).toMatchObject({ status: 'failed' });
    expect(await make().store.probe()).toMatchObject({ status: 'healthy', error_count: 0 });
  });

  it('bounds what waits for a slow disk, and takes more when it is done (P3)', async () => {
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const memory = memoryKeyValue();
    const slow: KeyValue = {
      ...memory,
      put: async (key, value) => {
        await gate;
        await memory.put(key, value);
      },
    };
    const { store } = make(slow);
    const value = (i: number) => new Uint8Array(32_768).fill(i % 251, i % 100);
    const writes = Array.from({ length: 2_048 }, (_, i) =>
      store.put('c', contentKey(value(i)), value(i)),
    );
    const refused = store.put('n', 'x', sequence('x', 1));
    await expect(refused).rejects.toMatchObject({ code: 'BUSY', http: 503 });
    release();
    expect(await Promise.all(writes)).toHaveLength(2_048);
    expect(await store.put('n', 'x', sequence('x', 1))).toMatchObject({ ack: 'local' });
  });

  it('is well again when the disk is, and has all that it acknowledged (P5)', async () => {
    let full = false;
    const memory = memoryKeyValue();
    const disk: KeyValue = {
      ...memory,
      put: (key, value) =>
        full ? Promise.reject(new BzzzError('DISK_FAILED', 'full')) : memory.put(key, value),
    };
    const { store } = make(disk);
    await store.put('u', 's', Uint8Array.of(1));
    full = true;
    const refused = store.put('u', 's', Uint8Array.of(2));
    await expect(refused).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect((await store.get('u', 's'))?.value).toEqual(Uint8Array.of(1));
    full = false;
    await store.put('u', 's', Uint8Array.of(3));
    expect((await store.get('u', 's'))?.value).toEqual(Uint8Array.of(1, 3));
    expect(await store.probe()).toMatchObject({ status: 'healthy' });
  });

  it('stores what it checked, whatever becomes of the caller’s bytes', async () => {
    const { store } = make();
    const { suffix, value } = content('mine');
    const before = new Uint8Array(value);
    const writing = store.put('c', suffix, value);
    value.fill(0);
    await writing;
    expect((await store.get('c', suffix))?.value).toEqual(before);
  });
});
