/** Content of any size through the resolver: one record, or pieces behind a list. */
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { contentCid } from '../../src/base/codec.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { asBlockList, cut, decodeBlockList, encodeBlockList } from '../../src/dht/blocks/list.ts';
import type { PutOutcome } from '../../src/dht/store.ts';
import { executorsOf } from '../../src/node/executors.ts';
import { selfAgent } from '../../src/ucxl/agents.ts';
import { both, gather, type Pieces, sized } from '../../src/ucxl/content.ts';
import { Resolver } from '../../src/ucxl/resolver.ts';
import { quietLogger, testClock } from '../support/world.ts';
import { CLUSTER, errorOf, MemoryStore, rules, signers } from './support.ts';

const ADDRESS = `ucxl://self:notes@${CLUSTER}:handbook/film.bin`;
const self = signers[0]!.peerId;
const OUTCOME: PutOutcome = { ack: 'quorum', holders: [self], pending: 0 };

/** Pieces in memory; `outcome` is what placing them reaches. */
class MemoryPieces implements Pieces {
  readonly chunks = new Map<string, Uint8Array>();
  readonly roots = new Set<string>();
  outcome: PutOutcome = OUTCOME;
  largest = 0;
  readonly ensured: (readonly [string, Uint8Array | undefined])[] = [];
  /** Pieces that were read. */
  reads = 0;

  async add(source: Parameters<Pieces['add']>[0]) {
    const chunks: string[] = [];
    let size = 0;
    for await (const piece of cut(source)) {
      const cid = contentCid(piece).toString();
      this.chunks.set(cid, piece);
      chunks.push(cid);
      size += piece.length;
      this.largest = Math.max(this.largest, piece.length);
    }
    const list = encodeBlockList({ size, chunks });
    const root = contentCid(list).toString();
    const isNew = !this.roots.has(root);
    this.roots.add(root);
    return { root, list, size, isNew };
  }
  async ensure(root: string, list?: Uint8Array) {
    this.ensured.push([root, list]);
    return this.outcome;
  }
  async *read(list: Uint8Array) {
    for (const cid of decodeBlockList(list).chunks) {
      this.reads++;
      yield this.chunks.get(cid)!;
    }
  }
  has = (root: string): boolean => this.roots.has(root);
  async drop(root: string) {
    this.roots.delete(root);
  }
}

function world(pieces?: MemoryPieces) {
  const store = new MemoryStore();
  const resolver = new Resolver(
    {},
    {
      ...{ store, rules, clock: testClock(), logger: quietLogger, self },
      ...(pieces === undefined ? {} : { pieces }),
    },
  );
  return { store, resolver };
}

const bytesOf = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i * 7);
async function* parts(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  // One buffer, used again and again, as a socket's may be.
  const buffer = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size);
    buffer.set(part);
    yield buffer.subarray(0, part.length);
  }
}

describe('content', () => {
  it.each([0, 1, LIMITS.contentBytes])('of %d bytes is one record', async (size) => {
    const pieces = new MemoryPieces();
    const { resolver } = world(pieces);
    const bytes = bytesOf(size);
    const { pin, address } = await resolver.putContent(ADDRESS, parts(bytes, 1_000));
    expect(pin).toBe(contentCid(bytes).toString());
    expect((await resolver.resolve(address)).bytes).toEqual(bytes);
    expect(pieces.roots.size).toBe(0);
  });

  it.each([LIMITS.contentBytes + 1, LIMITS.chunkBytes, 3 * LIMITS.chunkBytes + 5])(
    'of %d bytes is pieces behind a list',
    async (size) => {
      const pieces = new MemoryPieces();
      const { resolver } = world(pieces);
      const bytes = bytesOf(size);
      const streamed = await resolver.putContent(ADDRESS, parts(bytes, 10_007));
      expect(await resolver.putContent(ADDRESS, bytes)).toEqual(streamed);
      expect(streamed).toMatchObject({ pin: [...pieces.roots][0], version: null, ...OUTCOME });
      expect(pieces.largest).toBeLessThanOrEqual(LIMITS.chunkBytes);
      const { read, ...meta } = await resolver.open(streamed.address);
      expect(meta).toMatchObject({ pin: streamed.pin, size, source: 'local', version: null });
      expect(Buffer.compare(await gather(read(), size), bytes)).toBe(0);
      expect((await resolver.resolve(streamed.address)).size).toBe(size);
    },
  );

  it('that looks like a list comes back as it was put', async () => {
    const { resolver } = world(new MemoryPieces());
    const list = encodeBlockList({ size: 5, chunks: [contentCid(bytesOf(5)).toString()] });
    expect(asBlockList(list)).toBeDefined();
    const { address, pin } = await resolver.putContent(ADDRESS, list);
    expect(pin).not.toBe(contentCid(list).toString());
    expect((await resolver.resolve(address)).bytes).toEqual(list);
  });

  it('reaches what both its list and its pieces reached', async () => {
    const pieces = new MemoryPieces();
    const { resolver, store } = world(pieces);
    const other = signers[1]!.peerId;
    pieces.outcome = { ack: 'one', holders: [self, other], pending: 3 };
    const bytes = bytesOf(LIMITS.chunkBytes);
    expect(await resolver.putContent(ADDRESS, bytes)).toMatchObject({
      ...{ ack: 'one', holders: [self], pending: 3 },
    });
    const error = await errorOf(() => resolver.putContent(ADDRESS, bytes, { require: 'quorum' }));
    expect(error).toMatchObject({ code: 'NO_QUORUM', exit: 5, details: { required: 'quorum' } });
    // The list was not refused for what its pieces reached: it is there for a later try.
    expect(store.values.size).toBe(1);
    await expect(resolver.putContent(ADDRESS, bytes, { require: 'one' })).resolves.toBeDefined();
  });

  it('under the pin of other bytes is refused, and what was there stays', async () => {
    const pieces = new MemoryPieces();
    const { resolver } = world(pieces);
    const { address, pin } = await resolver.putContent(ADDRESS, bytesOf(LIMITS.chunkBytes));
    const other = bytesOf(2 * LIMITS.chunkBytes);
    const error = await errorOf(() => resolver.putContent(address, other));
    expect(error.code).toBe('BAD_REQUEST');
    expect([...pieces.roots]).toEqual([pin]);
    await expect(resolver.putContent(address, bytesOf(LIMITS.chunkBytes))).resolves.toBeDefined();
  });

  it('is not large without a place for pieces, and not local without them', async () => {
    const { resolver } = world();
    const error = await errorOf(() => resolver.putContent(ADDRESS, bytesOf(40_000)));
    expect(error.code).toBe('TOO_LARGE');
    const pieces = new MemoryPieces();
    const whole = world(pieces).resolver;
    const { address, pin } = await whole.putContent(ADDRESS, bytesOf(40_000));
    await pieces.drop(pin);
    expect((await whole.open(address)).source).toBe('dht');
    const away = await errorOf(() => whole.open(address, { localOnly: true }));
    expect(away.code).toBe('NOT_FOUND');
  });

  it('that a job repairs is not read where it is large: its holders are', async () => {
    const pieces = new MemoryPieces();
    const { resolver, store } = world(pieces);
    const { address, pin } = await resolver.putContent(ADDRESS, bytesOf(3 * LIMITS.chunkBytes));
    const list = new Uint8Array([...store.values.values()][0]!);
    pieces.chunks.clear();
    pieces.roots.clear();
    pieces.ensured.length = 0;
    store.puts.length = 0;
    const other = signers[1]!.peerId;
    pieces.outcome = { ack: 'one', holders: [self, other], pending: 3 };
    // Whoever gets the job need not be who wrote it.
    const theirs = address.replace(/ucxl:\/\/[^:]+/, `ucxl://${selfAgent(other)}`);
    const { repair } = executorsOf(
      { resolver },
      () => expect.fail('no key is concerned'),
      () => expect.fail('no holder is concerned'),
    );
    const byAddress = repair as (address: string) => Promise<string>;
    expect(await byAddress(theirs)).toBe('one: 1 holders');
    expect(pieces.ensured).toEqual([[pin, list]]);
    expect([pieces.reads, pieces.roots.size, store.puts.length]).toEqual([0, 0, 1]);
  });

  it('that a job repairs is stored again where it is small', async () => {
    const { resolver, store } = world(new MemoryPieces());
    const { address } = await resolver.putContent(ADDRESS, bytesOf(10));
    expect(await resolver.repair(address)).toEqual(OUTCOME);
    expect(store.puts).toHaveLength(2);
    expect(store.puts[1]).toEqual(store.puts[0]);
  });

  it('that ends early or late is an error, not an answer', async () => {
    const bytes = bytesOf(10);
    await expect(gather(parts(bytes, 3), 11)).rejects.toThrow('10 of 11');
    await expect(gather(parts(bytes, 3), 9)).rejects.toThrow('more than 9');
  });

  it('whose source fails is not stored, and the failure passes', async () => {
    const pieces = new MemoryPieces();
    const { resolver, store } = world(pieces);
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield bytesOf(100_000);
      throw new Error('gone');
    };
    await expect(resolver.putContent(ADDRESS, failing())).rejects.toThrow('gone');
    expect([store.values.size, pieces.roots.size]).toEqual([0, 0]);
    await expect(sized(failing())).resolves.toMatchObject({ form: 'large' });
  });
});

describe('a list', () => {
  const cid = contentCid(bytesOf(3)).toString();

  it('has as many links as its size asks for, and no other kind of link', () => {
    const forms = [
      { size: LIMITS.chunkBytes + 1, chunks: [cid] },
      { size: 5, chunks: [cid, cid] },
      { size: 0, chunks: [cid] },
      { size: 5, chunks: ['bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'] },
      { size: LIMITS.chunkedBytes + 1, chunks: Array.from({ length: 257 }, () => cid) },
    ];
    for (const form of forms) expect(asBlockList(encodeBlockList(form))).toBeUndefined();
    expect(asBlockList(encodeBlockList({ size: 5, chunks: [cid] }))).toBeDefined();
  });

  it('of the largest content fits one record', () => {
    const chunks = Array.from({ length: LIMITS.chunkedBytes / LIMITS.chunkBytes }, () => cid);
    const list = encodeBlockList({ size: LIMITS.chunkedBytes, chunks });
    expect(list.length).toBeLessThanOrEqual(LIMITS.contentBytes);
    expect(decodeBlockList(list).chunks).toEqual(chunks);
  });

  it('and its pieces together have the weaker outcome, in either order', () => {
    const a: PutOutcome = { ack: 'one', holders: ['p1', 'p2'] as PeerId[], pending: 1 };
    const b: PutOutcome = { ack: 'quorum', holders: ['p2', 'p3'] as PeerId[], pending: 0 };
    expect(both(a, b)).toEqual({ ack: 'one', holders: ['p2'], pending: 1 });
    expect(both(b, a)).toEqual(both(a, b));
  });
});
