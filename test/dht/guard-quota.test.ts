/** What one writer may take of the record store. */

import { Libp2pRecord } from '@libp2p/record';
import fc from 'fast-check';
import type { Key } from 'interface-datastore';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { Counters } from '../../src/dht/counters.ts';
import { RecordGuard } from '../../src/dht/guard.ts';
import { Quota } from '../../src/dht/quota.ts';
import { createRules, datastoreKey } from '../../src/dht/rules.ts';
import type { Namespace } from '../../src/dht/store.ts';
import { quietLogger, testClock } from '../support/world.ts';
import { openDisk } from './support.ts';

const one = (writer: string, bytes: number) => ({ writers: [writer], bytes, records: 1 as const });

/** Writes until refused. @returns how many bytes were taken. */
function flood(quota: Quota, writer: string, bytes: number): number {
  for (let taken = 0; ; taken += bytes) {
    try {
      quota.take(one(writer, bytes));
    } catch {
      return taken;
    }
  }
}

describe('the share of a writer', () => {
  it('is what is still free: floods take a half, a quarter, an eighth', () => {
    const quota = new Quota({ maxBytes: 1_000, maxRecords: 1_000 });
    expect(flood(quota, 'a', 1)).toBe(500);
    expect(flood(quota, 'b', 1)).toBe(250);
    expect(flood(quota, 'c', 1)).toBe(125);
    // And whoever floods gets nothing more from waiting.
    expect(flood(quota, 'a', 1)).toBe(0);
    expect(() => quota.take(one('a', 1))).toThrow('a has 500 bytes here, and only 124 are free');
  });

  it('counts records as it does bytes, and the error names the quota', () => {
    const quota = new Quota({ maxBytes: 1_000_000, maxRecords: 10 });
    for (let i = 0; i < 5; i++) quota.take(one('a', 1));
    const details = (work: () => unknown): unknown => {
      try {
        return work();
      } catch (thrown) {
        return (thrown as { details: unknown }).details;
      }
    };
    const of = (quotaName: string) => ({ refusal: 'quota', quota: quotaName });
    expect(details(() => quota.take(one('a', 1)))).toEqual(of('writerRecords'));
    expect(details(() => quota.take(one('b', 999_000)))).toEqual(of('writerBytes'));
    expect(details(() => quota.take(one('b', 9_999_000)))).toEqual(of('totalBytes'));
    // This node itself is bound by the whole alone.
    for (let i = 0; i < 5; i++) quota.take({ writers: [], bytes: 1, records: 1 });
    expect(details(() => quota.take(one('c', 1)))).toEqual(of('totalRecords'));
    quota.take({ writers: ['a'], bytes: 0, records: 0 });
  });

  it('of a record of several is borne by those who have room', () => {
    const quota = new Quota({ maxBytes: 1_000, maxRecords: 1_000 });
    flood(quota, 'a', 1);
    quota.take({ writers: ['a', 'b'], bytes: 10, records: 0 });
    expect(quota.heldBy('a').bytes).toBe(500);
    expect(quota.heldBy('b').bytes).toBe(10);
  });

  it('leaves room for another one, whoever wrote what before', () => {
    const write = fc.record({ writer: fc.constantFrom('a', 'b', 'c'), bytes: fc.nat({ max: 90 }) });
    fc.assert(
      fc.property(fc.array(write, { maxLength: 200 }), (writes) => {
        const quota = new Quota({ maxBytes: 1_000, maxRecords: 1_000 });
        const undo: (() => void)[] = [];
        for (const { writer, bytes } of writes) {
          try {
            undo.push(quota.take(one(writer, bytes)));
          } catch {
            // Refused: that is the rule at work.
          }
        }
        // Three writers that take all they can leave an eighth.
        expect(quota.bytes).toBeLessThanOrEqual(875);
        expect(() => quota.take(one('d', 62))).not.toThrow();
        for (const back of undo) back();
        expect(quota.bytes).toBe(62);
        expect(quota.heldBy('a')).toEqual({ bytes: 0, records: 0 });
      }),
    );
  });
});

describe('the guard', () => {
  const A = 'peer a' as PeerId;
  const B = 'peer b' as PeerId;
  /** 50 bytes; the first one says who wrote it. */
  const signed: Namespace = {
    ...{ name: 's', maxBytes: 50, validate: () => {}, merge: (_suffix, a) => a },
    writers: (_suffix, value) => [value[0] === 1 ? A : B],
  };
  const plain: Namespace = { ...signed, name: 'p', writers: () => [] };
  const rules = createRules([signed, plain]);
  const value = (author: number): Uint8Array => new Uint8Array(50).fill(author);

  async function scene(maxBytes: number) {
    const disk = await openDisk();
    const counters = new Counters();
    const deps = { rules, clock: testClock(), log: quietLogger, counters };
    const guard = new RecordGuard(disk.store.db, { maxBytes }, deps);
    /** As kad-dht's handler does for a peer. */
    const put = async (from: PeerId, namespace: string, name: string, author: number) => {
      const key = rules.key(namespace, name);
      const at = { toString: () => datastoreKey('/dht', key) } as Key;
      const raw = new Libp2pRecord(key, value(author), new Date(0)).serialize();
      await guard.sentBy(from, () => guard.put(at, raw));
    };
    const many = async (from: PeerId, namespace: string, name: string, author: number) => {
      const writes = Array.from({ length: 60 }, (_, i) =>
        put(from, namespace, `${name}${i}`, author),
      );
      return (await Promise.allSettled(writes)).filter((w) => w.status === 'fulfilled').length;
    };
    return { disk, counters, guard, put, many };
  }

  it('charges who wrote a record, whoever brought it', async () => {
    const { disk, counters, guard, put, many } = await scene(4_000);
    const taken = await many(B, 's', 'flood', 1);
    expect(taken).toBeLessThan(60);
    expect(await guard.usedBytes()).toBeLessThanOrEqual(2_000);
    expect(counters.get('quotaWriter')).toBe(60 - taken);
    expect(counters.get('refused.quota')).toBe(60 - taken);
    await expect(put(B, 's', 'more', 1)).rejects.toMatchObject({
      details: { refusal: 'quota', quota: 'writerBytes' },
    });
    // The one who brought the flood writes as if nothing had been.
    await put(B, 's', 'own', 2);
    expect(await guard.load(rules.key('s', 'own'))).toEqual(value(2));
    await disk.remove();
  });

  it('charges who sent it where a record names nobody', async () => {
    const { disk, guard, put, many } = await scene(4_000);
    expect(await many(A, 'p', 'flood', 0)).toBeLessThan(60);
    expect(await guard.usedBytes()).toBeLessThanOrEqual(2_000);
    await put(B, 'p', 'honest', 0);
    // This node's own copies are bound by the whole store alone.
    await guard.store(rules.key('p', 'own'), value(0));
    await disk.remove();
  });

  it('leaves room after a restart as well, though it forgets who wrote what', async () => {
    const { disk, many, put } = await scene(4_000);
    await many(A, 'p', 'flood', 0);
    const counters = new Counters();
    const deps = { rules, clock: testClock(), log: quietLogger, counters };
    const again = new RecordGuard(disk.store.db, { maxBytes: 4_000 }, deps);
    const used = await again.usedBytes();
    expect(used).toBeGreaterThan(1_500);
    expect(await again.records()).toBeGreaterThan(10);
    await put(B, 'p', 'honest', 0);
    await disk.remove();
  });
});
