/** Pieces on the disk: what survives a restart, a damaged disk, a full one. */
import { afterEach, describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { contentCid } from '../../src/base/codec.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { KeyValue } from '../../src/base/ports.ts';
import { chunkSize, cut, decodeBlockList, encodeBlockList } from '../../src/dht/blocks/list.ts';
import { ranked } from '../../src/dht/blocks/placement.ts';
import { BlockStore } from '../../src/dht/blocks/store.ts';
import { quietLogger } from '../support/world.ts';
import { noise } from './blocks-support.ts';
import { openDisk } from './support.ts';

const self = '12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA' as PeerId;
const other = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp' as PeerId;

let remove: (() => Promise<void>) | undefined;
afterEach(async () => {
  await remove?.();
  remove = undefined;
});

async function disk(): Promise<KeyValue> {
  const { store, remove: end } = await openDisk();
  remove = end;
  return store.root.sub('blocks');
}

async function opened(at: KeyValue, maxBytes?: number): Promise<BlockStore> {
  const store = new BlockStore(maxBytes === undefined ? {} : { maxBytes }, {
    ...{ self, disk: at, log: quietLogger },
  });
  await store.open();
  return store;
}

interface Content {
  readonly list: Uint8Array;
  readonly pieces: ReadonlyMap<string, Uint8Array>;
}
async function content(seed: string, size: number): Promise<Content> {
  const pieces = new Map<string, Uint8Array>();
  for await (const piece of cut([noise(seed, size)])) {
    pieces.set(contentCid(piece).toString(), piece);
  }
  return { list: encodeBlockList({ size, chunks: [...pieces.keys()] }), pieces };
}

async function keysOf(at: KeyValue, prefix: string): Promise<number> {
  let count = 0;
  for await (const _entry of at.entries(prefix)) count++;
  return count;
}

describe('a restart', () => {
  it('finds what was pinned, knows what is missing of it, and lets the rest go', async () => {
    const at = await disk();
    const before = await opened(at);
    const { list, pieces } = await content('half', 3 * LIMITS.chunkBytes);
    const { root } = await before.pin(list, other);
    const [first = ''] = pieces.keys();
    await before.put(first, pieces.get(first)!);
    // A writer that was killed: claimed and stored, and never pinned.
    const lost = noise('lost', 1_000);
    const cid = contentCid(lost).toString();
    before.claim(cid, lost.length);
    await before.put(cid, lost);
    expect(await keysOf(at, 'b/')).toBe(2);

    const after = await opened(at);
    expect(after.pinned(root)).toMatchObject({ owner: other, size: 3 * LIMITS.chunkBytes });
    expect(after.missing(after.pinned(root)!)).toEqual([1, 2]);
    expect(after.complete(root)).toBe(false);
    expect([after.has(first), after.has(cid)]).toEqual([true, false]);
    expect(after.usedBytes).toBe(LIMITS.chunkBytes);
    expect([await keysOf(at, 'b/'), await keysOf(at, 'h/')]).toEqual([1, 1]);
    for (const [name, piece] of pieces) await after.put(name, piece);
    expect(after.complete(root)).toBe(true);
    await after.unpin(root);
    expect(after.usedBytes).toBe(0);
    expect(await keysOf(at, '')).toBe(0);
  });

  it('passes over a damaged pin', async () => {
    const at = await disk();
    const { list } = await content('pin', 100);
    const { root } = await (await opened(at)).pin(list, self);
    await at.put(`p/${root}`, Uint8Array.of(1, 2, 3));
    const after = await opened(at);
    expect(after.pins()).toEqual([]);
    expect(await keysOf(at, 'p/')).toBe(0);
  });
});

describe('a piece', () => {
  it('that the disk changed is missing from then on, and may come again', async () => {
    const at = await disk();
    const store = await opened(at);
    const { list, pieces } = await content('damage', 1_000);
    const pin = await store.pin(list, self);
    const [[cid, piece] = ['', new Uint8Array()]] = pieces;
    await store.put(cid, piece);
    await at.put(`b/${cid}`, new Uint8Array(1_000));
    expect(await store.get(cid)).toBeUndefined();
    expect([store.damaged, store.usedBytes]).toEqual([1, 0]);
    expect(store.missing(pin)).toEqual([0]);
    await store.put(cid, piece);
    expect(new Uint8Array((await store.get(cid))!)).toEqual(piece);
  });

  it('of other bytes than its name, or that nothing names, is refused', async () => {
    const store = await opened(await disk());
    const { list, pieces } = await content('names', 10);
    const [[cid, piece] = ['', new Uint8Array()]] = pieces;
    await expect(store.put(cid, piece)).rejects.toMatchObject({ code: 'INTERNAL' });
    await store.pin(list, self);
    const wrong = store.put(cid, Uint8Array.of(1));
    await expect(wrong).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
    expect(store.has(cid)).toBe(false);
  });

  it('is not there before the disk has it, and counts once however often it is put', async () => {
    const at = await disk();
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const batch: KeyValue['batch'] = async (ops, options) => {
      await gate;
      await at.batch(ops, options);
    };
    const store = await opened({ ...at, batch });
    const { list, pieces } = await content('slow', 500);
    await store.pin(list, self);
    const [[cid, piece] = ['', new Uint8Array()]] = pieces;
    const puts = [store.put(cid, piece), store.put(cid, piece)];
    expect(store.has(cid)).toBe(false);
    const read = store.get(cid);
    release();
    await Promise.all(puts);
    expect(new Uint8Array((await read)!)).toEqual(piece);
    expect(store.usedBytes).toBe(500);
  });
});

describe('P5: a disk that fails', () => {
  it('fails the put with its name, and nothing is said to be there', async () => {
    const at = await disk();
    let full = false;
    const fails = <A extends unknown[]>(write: (...args: A) => Promise<void>) => {
      return async (...args: A): Promise<void> => {
        if (full) throw new BzzzError('DISK_FAILED', 'ENOSPC');
        await write(...args);
      };
    };
    const store = await opened({ ...at, put: fails(at.put), batch: fails(at.batch) });
    const { list, pieces } = await content('full', 800);
    const [[cid, piece] = ['', new Uint8Array()]] = pieces;
    full = true;
    await expect(store.pin(list, self)).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(store.pins()).toEqual([]);
    full = false;
    const { root } = await store.pin(list, self);
    full = true;
    await expect(store.put(cid, piece)).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect([store.has(cid), store.usedBytes]).toEqual([false, 0]);
    full = false;
    await store.put(cid, piece);
    expect(store.complete(root)).toBe(true);
  });

  it('has no room beyond its limit, also for what is only promised', async () => {
    const store = await opened(await disk(), 1_500);
    await store.pin((await content('a', 1_000)).list, self);
    const more = (await content('b', 501)).list;
    await expect(store.pin(more, self)).rejects.toMatchObject({ code: 'TOO_LARGE' });
    await store.pin((await content('c', 500)).list, self);
    expect(() => store.claim(contentCid(noise('d', 9)).toString(), 1_501)).toThrow('no room');
  });
});

describe('the home of a content', () => {
  const members = Array.from({ length: 9 }, (_, i) => `${i}${self.slice(1)}` as PeerId);

  it('is the same to everybody, and only what a member held moves when it goes', () => {
    const firsts = new Map<PeerId, number>();
    for (let i = 0; i < 200; i++) {
      const order = ranked(`content ${i}`, members);
      expect(ranked(`content ${i}`, [...members].reverse())).toEqual(order);
      const gone = order[3]!;
      const without = ranked(
        `content ${i}`,
        members.filter((peer) => peer !== gone),
      );
      expect(without).toEqual(order.filter((peer) => peer !== gone));
      firsts.set(order[0]!, (firsts.get(order[0]!) ?? 0) + 1);
    }
    // 200 among 9: each is the first for about 22.
    expect(Math.min(...firsts.values())).toBeGreaterThan(8);
    expect(firsts.size).toBe(9);
  });

  it('a list tells the size of each piece', async () => {
    const { list } = await content('sizes', LIMITS.chunkBytes + 7);
    const blocks = decodeBlockList(list);
    expect([chunkSize(blocks, 0), chunkSize(blocks, 1)]).toEqual([LIMITS.chunkBytes, 7]);
  });
});
