/**
 * Pieces of large contents on this node's disk. A content is *pinned* by its list; a piece stays as
 * long as a pinned list, or a content that is being written, names it.
 *
 * ```
 * b/<cid>      the bytes of a piece          h/<cid>   its size, 32-bit big-endian: the index
 * p/<root>     {owner, list}                 who asked for the content, and the list itself
 * ```
 *
 * A piece and its index entry are one synced batch. A start reads the index and the pins, never the
 * pieces, and deletes pieces that nothing names: a writer that died left them.
 * @module
 */
import { z } from 'zod';
import type { PeerId } from '../../base/brands.ts';
import { contentCid, decode, encode, field } from '../../base/codec.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { KeyValue, Logger } from '../../base/ports.ts';
import { type BlockList, chunkSize, decodeBlockList, rootOf } from './list.ts';

export interface BlockStoreOptions {
  /** @default LIMITS.blockStoreBytes */
  readonly maxBytes?: number;
  /** Of one owner other than this node. @default LIMITS.blockShareBytes */
  readonly shareBytes?: number;
}

export interface BlockStoreDeps {
  readonly self: PeerId;
  /** A namespace of its own. */
  readonly disk: KeyValue;
  readonly log: Logger;
}

/** A content that this node holds or is about to. */
export interface Pin extends BlockList {
  readonly root: string;
  readonly list: Uint8Array;
  readonly owner: PeerId;
}

interface Entry {
  /** 0 while the piece is not here. */
  size: number;
  refs: number;
  /** Set while the disk is at it: the piece counts already, and is not to be read yet. */
  writing?: Promise<void>;
}

const pinSchema = z.strictObject({
  owner: field.peerId,
  list: field.bytesUpTo(LIMITS.contentBytes),
});
const PIN_BYTES = LIMITS.contentBytes + 256;

/** `open` it first. */
export class BlockStore {
  readonly #maxBytes: number;
  readonly #shareBytes: number;
  readonly #deps: BlockStoreDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #pins = new Map<string, Pin>();
  #usedBytes = 0;
  #damaged = 0;

  constructor(options: BlockStoreOptions, deps: BlockStoreDeps) {
    this.#maxBytes = options.maxBytes ?? LIMITS.blockStoreBytes;
    this.#shareBytes = options.shareBytes ?? LIMITS.blockShareBytes;
    this.#deps = deps;
  }

  /** Bytes of all pieces. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Pieces that the disk gave back changed, since the start; they are fetched again. */
  get damaged(): number {
    return this.#damaged;
  }

  /** Reads what is there. @throws DISK_FAILED. */
  async open(): Promise<void> {
    const { disk, log } = this.#deps;
    for await (const [key, value] of disk.entries('p/')) {
      try {
        this.#adopt(pinOf(key.slice(2), value));
      } catch (err) {
        // The content is lost here, not elsewhere: whoever ensures it asks this node to hold it.
        log.warn({ err, key }, 'a damaged pin is dropped');
        await disk.del(key);
      }
    }
    for await (const [key, value] of disk.entries('h/')) {
      const cid = key.slice(2);
      const entry = this.#entries.get(cid);
      if (entry === undefined) await this.#delete(cid);
      else {
        entry.size = new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0);
        this.#usedBytes += entry.size;
      }
    }
  }

  /** Every content pinned here, complete or not. */
  pins(): readonly Pin[] {
    return [...this.#pins.values()];
  }

  pinned(root: string): Pin | undefined {
    return this.#pins.get(root);
  }

  has(cid: string): boolean {
    const entry = this.#entries.get(cid);
    return entry !== undefined && entry.size > 0 && entry.writing === undefined;
  }

  /** Indexes of the pieces of a content that are not here, rising; of equal pieces the first. */
  missing({ chunks }: BlockList): readonly number[] {
    const first = new Map<string, number>();
    for (const [i, cid] of chunks.entries()) {
      if (!first.has(cid) && !this.has(cid)) first.set(cid, i);
    }
    return [...first.values()];
  }

  /** @returns whether the content is pinned and all of it is here. */
  complete(root: string): boolean {
    const pin = this.#pins.get(root);
    return pin !== undefined && this.missing(pin).length === 0;
  }

  /**
   * Keeps a content from now on; its pieces come by `put`. Pinned already: nothing changes.
   * @throws BAD_MESSAGE; TOO_LARGE when there is no room, or its owner has no more; DISK_FAILED.
   */
  async pin(list: Uint8Array, owner: PeerId): Promise<Pin> {
    const root = rootOf(list);
    const known = this.#pins.get(root);
    if (known !== undefined) return known;
    const pin: Pin = { root, list, owner, ...decodeBlockList(list) };
    this.#requireRoom(pin);
    this.#adopt(pin);
    try {
      await this.#deps.disk.put(`p/${root}`, encode({ owner, list }), { sync: true });
    } catch (thrown) {
      await this.unpin(root);
      throw thrown;
    }
    return pin;
  }

  /** Lets a content go, and every piece that nothing else names. @throws DISK_FAILED. */
  async unpin(root: string): Promise<void> {
    const pin = this.#pins.get(root);
    if (pin === undefined) return;
    this.#pins.delete(root);
    await this.#deps.disk.del(`p/${root}`, { sync: true });
    await this.release(pin.chunks);
  }

  /**
   * Stores a piece that a pin or a `claim` names, synced.
   * @throws BAD_MESSAGE: other bytes than `cid` names; INTERNAL: nothing names it; DISK_FAILED.
   */
  async put(cid: string, bytes: Uint8Array): Promise<void> {
    if (contentCid(bytes).toString() !== cid) {
      throw new BzzzError('BAD_MESSAGE', `the piece is not ${cid}`);
    }
    const entry = this.#entries.get(cid);
    if (entry === undefined) throw new BzzzError('INTERNAL', `nothing names the piece ${cid}`);
    if (entry.size > 0) return entry.writing;
    // Taken before the first await, so that two writers of one piece count it once.
    entry.size = bytes.length;
    this.#usedBytes += bytes.length;
    entry.writing = this.#write(cid, bytes);
    try {
      await entry.writing;
    } catch (thrown) {
      this.#forget(entry);
      throw toBzzzError(thrown, 'DISK_FAILED');
    } finally {
      delete entry.writing;
    }
  }

  /** A piece, its hash checked; a damaged one is dropped and missing from then on. */
  async get(cid: string): Promise<Uint8Array | undefined> {
    const entry = this.#entries.get(cid);
    await entry?.writing;
    if (entry === undefined || entry.size === 0) return undefined;
    const bytes = await this.#deps.disk.get(`b/${cid}`);
    if (bytes !== undefined && contentCid(bytes).toString() === cid) return bytes;
    this.#damaged++;
    this.#forget(entry);
    this.#deps.log.warn({ cid }, 'a damaged piece is dropped, to be fetched again');
    await this.#delete(cid);
    return undefined;
  }

  /**
   * Names a piece for a content whose list is not complete yet; `release` it, or pin and release.
   * @throws TOO_LARGE when there is no room for it.
   */
  claim(cid: string, size: number): void {
    if (!this.has(cid) && this.#usedBytes + size > this.#maxBytes) throw full(this.#maxBytes);
    this.#entry(cid).refs++;
  }

  /** Takes claims back; pieces that nothing else names go. @throws DISK_FAILED. */
  async release(cids: readonly string[]): Promise<void> {
    for (const cid of cids) {
      const entry = this.#entries.get(cid);
      if (entry === undefined || --entry.refs > 0) continue;
      this.#entries.delete(cid);
      if (entry.size === 0) continue;
      this.#forget(entry);
      await this.#delete(cid);
    }
  }

  #requireRoom(pin: Pin): void {
    if (this.#pins.size >= LIMITS.blockPins) {
      throw new BzzzError('TOO_LARGE', `this node holds ${LIMITS.blockPins} contents already`);
    }
    let wantedBytes = 0;
    let ownedBytes = pin.size;
    for (const i of this.missing(pin)) wantedBytes += chunkSize(pin, i);
    for (const other of this.#pins.values()) {
      for (const i of this.missing(other)) wantedBytes += chunkSize(other, i);
      if (other.owner === pin.owner) ownedBytes += other.size;
    }
    if (this.#usedBytes + wantedBytes > this.#maxBytes) throw full(this.#maxBytes);
    if (pin.owner !== this.#deps.self && ownedBytes > this.#shareBytes) {
      throw new BzzzError('TOO_LARGE', `${pin.owner} has no more room here`, {
        why: `one member's contents have at most ${this.#shareBytes} bytes`,
      });
    }
  }

  #adopt(pin: Pin): void {
    this.#pins.set(pin.root, pin);
    for (const cid of pin.chunks) this.#entry(cid).refs++;
  }

  #entry(cid: string): Entry {
    const entry = this.#entries.get(cid) ?? { size: 0, refs: 0 };
    this.#entries.set(cid, entry);
    return entry;
  }

  #forget(entry: Entry): void {
    this.#usedBytes -= entry.size;
    entry.size = 0;
  }

  async #write(cid: string, bytes: Uint8Array): Promise<void> {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, bytes.length);
    await this.#deps.disk.batch(
      [
        { type: 'put', key: `b/${cid}`, value: bytes },
        { type: 'put', key: `h/${cid}`, value: size },
      ],
      { sync: true },
    );
  }

  async #delete(cid: string): Promise<void> {
    await this.#deps.disk.batch([
      { type: 'del', key: `b/${cid}` },
      { type: 'del', key: `h/${cid}` },
    ]);
  }
}

function pinOf(root: string, bytes: Uint8Array): Pin {
  const { owner, list } = decode('pin', pinSchema, bytes, PIN_BYTES);
  if (rootOf(list) !== root) throw new BzzzError('BAD_MESSAGE', `the list is not ${root}`);
  return { root, list, owner, ...decodeBlockList(list) };
}

const full = (maxBytes: number): BzzzError =>
  new BzzzError('TOO_LARGE', 'there is no room for more large content on this host', {
    why: `at most ${maxBytes} bytes are kept`,
  });
