/**
 * From addresses to verified bytes and back.
 *
 * Cached: self-proving records and content until evicted, candidate sets for a time (they may still
 * grow), "nothing there" for 5 s. Heads are not: each read of one asks a majority of its holders.
 *
 * Where no record kind stands and no pin is given there would be a head with versions, which this
 * version does not have.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { contentCid } from '../base/codec.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Clock } from '../base/ports.ts';
import { asBlockList, type BlockList } from '../dht/blocks/list.ts';
import type { PutOptions, PutOutcome } from '../dht/store.ts';
import { requireAck } from '../dht/store-errors.ts';
import { type Address, type ConcreteAddress, format, series, type UcxlAddress } from './address.ts';
import { expandSelf, requireWritable, selfAgent } from './agents.ts';
import { both, gather, once, type Pieces, type Source, sized } from './content.ts';
import type { RecordKind } from './kinds.ts';
import { parseConcrete } from './parse.ts';
import { contentPlace, pinnedPlace, placeRecord, recordPlace } from './places.ts';
import {
  type ReadCounters,
  type ReaderDependencies,
  type Reading,
  type ReadOptions,
  VerifiedReader,
} from './reader.ts';
import { type Copy, findKind, type RecordRules, requireKind } from './records.ts';
import {
  expired,
  hasPin,
  notFound,
  requireBare,
  requireUsedBase,
  selectCopy,
  versionOf,
} from './select.ts';

export interface ResolverOptions {
  /** @default true (`BZZZ_CACHE_ENABLED`) */
  readonly cacheEnabled?: boolean;
  /** @default 64 MiB (`BZZZ_CACHE_MAX_BYTES`) */
  readonly cacheMaxBytes?: number;
  /** Life of a cached candidate set. @default 5 min (`BZZZ_CACHE_TTL`) */
  readonly cacheTtlMs?: number;
}

export interface ResolverDependencies extends ReaderDependencies {
  readonly rules: RecordRules;
  /** Whose agent `self` stands for. */
  readonly self: PeerId;
  /** Where content of more than one record is kept; without it such content is refused. */
  readonly pieces?: Pieces;
}

/** What stands at an address, without its bytes. */
export interface ResolvedMeta {
  /** Canonical, as asked for, `self` replaced, without fragment. */
  readonly address: string;
  /** 1 for a self-proving record; null for candidates, heads and bare content. */
  readonly version: number | null;
  /** CIDv1 raw sha2-256 of the bytes; of the list of their pieces where there are several. */
  readonly pin: string;
  readonly type: string;
  readonly size: number;
  readonly writer: PeerId | null;
  /** ISO 8601 UTC. */
  readonly time: string | null;
  readonly source: 'cache' | 'local' | 'dht';
  /**
   * A head past its time, asked for with `?stale`, or one that may have been replaced: no majority
   * of its holders answered. Immutable records never are.
   */
  readonly stale: boolean;
  /** Members whose copy was seen by the read that found it. */
  readonly holders: readonly PeerId[];
}

export interface Resolved extends ResolvedMeta {
  /** The caller's own copy. */
  readonly bytes: Uint8Array;
}

/** The same with its bytes to be read as they come. */
export interface Opened extends ResolvedMeta {
  /** Verified piece by piece. @throws NOT_FOUND when a piece is not to be had. */
  read(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface Published extends PutOutcome {
  /** Resolves to what was written: the series of a record, the pinned address of content. */
  readonly address: string;
  readonly version: number | null;
  readonly pin: string;
}

/** What a read found. */
interface Standing {
  /** Undefined for content. */
  readonly kind: RecordKind | undefined;
  readonly meta: ResolvedMeta;
  /** Of the record: those of the list where the content is in pieces. */
  readonly bytes: Uint8Array;
  readonly list: BlockList | undefined;
}

const CACHE_BYTES = 64 * 1_048_576;
const CACHE_TTL_MS = 300_000;

/** Resolves and publishes records by their address. */
export class Resolver {
  readonly #rules: RecordRules;
  readonly #reader: VerifiedReader;
  readonly #own: string;
  readonly #clock: Clock;
  readonly #pieces: Pieces | undefined;

  constructor(options: ResolverOptions, dependencies: ResolverDependencies) {
    const { cacheEnabled = true, cacheMaxBytes = CACHE_BYTES, cacheTtlMs = CACHE_TTL_MS } = options;
    const readerOptions = { cacheMaxBytes: cacheEnabled ? cacheMaxBytes : 0, cacheTtlMs };
    this.#rules = dependencies.rules;
    this.#reader = new VerifiedReader(readerOptions, dependencies);
    this.#own = selfAgent(dependencies.self);
    this.#clock = dependencies.clock;
    this.#pieces = dependencies.pieces;
  }

  get counters(): ReadCounters {
    return this.#reader.counters;
  }

  /**
   * Verifies a record and stores it at the address of its kind.
   * @throws INVALID_ADDRESS; NOT_FOUND where no kind stands; BAD_MESSAGE for a record that its kind
   * refuses; NO_QUORUM below `options.require`.
   */
  async publish(
    address: Address | string,
    body: Uint8Array,
    options: PutOptions = {},
  ): Promise<Published> {
    const target = this.#concrete(address);
    requireBare(target, []);
    const { kind, copy, place, value } = placeRecord(this.#rules, target, new Uint8Array(body));
    const outcome = await this.#reader.write(place, value, options);
    return { address: series(target), version: versionOf(kind), pin: copy.pin, ...outcome };
  }

  /**
   * Stores bytes under their hash. The answer's address is `address` pinned to them.
   * @param source up to 64 MiB; as a stream it is never whole in memory.
   * @throws INVALID_ADDRESS for a temporal other than a pin; BAD_REQUEST for a pin of other bytes;
   * REFUSED_BY_POLICY for another's agent; TOO_LARGE; NO_QUORUM below `options.require`.
   */
  async putContent(
    address: Address | string,
    source: Source,
    options: PutOptions = {},
  ): Promise<Published> {
    const target = this.#concrete(address);
    requireBare(target, ['pin']);
    requireWritable(target, this.#own);
    this.#requireUnclaimed(target);
    const content = await sized(source);
    const { pin, outcome } =
      content.form === 'small'
        ? await this.#putSmall(target, content.bytes, options)
        : await this.#putLarge(target, content.parts, options);
    const pinned = format({ ...target, temporal: { form: 'pin', cid: pin }, fragment: '' });
    return { address: pinned, version: null, pin, ...outcome };
  }

  /**
   * What stands at an address, verified.
   * @throws INVALID_ADDRESS also for a pattern; NOT_FOUND, also for a head past its time unless the
   * address says `?stale`; TEMPORAL_OUT_OF_RANGE; what the store throws.
   */
  async resolve(address: Address | string, options: ReadOptions = {}): Promise<Resolved> {
    const { read, ...meta } = await this.open(address, options);
    return { ...meta, bytes: await gather(read(), meta.size) };
  }

  /** As `resolve`, for content of any size: the bytes are fetched as they are read. */
  async open(address: Address | string, options: ReadOptions = {}): Promise<Opened> {
    const target = this.#concrete(address);
    const { meta, bytes, list } = await this.#find(target, options);
    if (list !== undefined) return this.#openLarge(target, meta, bytes, list, options);
    return { ...meta, read: () => once(new Uint8Array(bytes)) };
  }

  /**
   * Reads what stands at an address and stands it there again, read back. Of large content that is
   * its list; its pieces stay where they are, and come where they are missing.
   * @throws as `resolve`, and as `publish` without `require`.
   */
  async repair(address: Address | string): Promise<PutOutcome> {
    const target = this.#concrete(address);
    const { kind, meta, bytes, list } = await this.#find(target, {});
    if (kind !== undefined) return this.publish(target, bytes);
    // The pin proves the content, so it does not matter whose name stands before it.
    const written = await this.#reader.write(contentPlace(meta.pin), bytes, {});
    if (list === undefined) return written;
    return both(written, await this.#requirePieces(target).ensure(meta.pin, bytes));
  }

  async #find(target: ConcreteAddress, options: ReadOptions): Promise<Standing> {
    requireUsedBase(target);
    const kind = findKind(this.#rules.kinds, target);
    const reading = await this.#readFor(target, kind, options);
    if (reading.copies.length === 0) throw notFound(target, refusalText(reading));
    const { copy, version } = selectCopy(target, reading.copies, kind);
    const isOver = copy.expires !== null && Date.parse(copy.expires) <= this.#clock.wallMs();
    if (isOver && target.query.stale !== true) throw expired(target, copy);
    const stale = isOver || (kind?.copies === 'newest' && reading.majority === false);
    const meta: ResolvedMeta = {
      address: format({ ...target, fragment: '' }),
      version,
      pin: copy.pin,
      type: copy.type,
      size: copy.bytes.length,
      writer: copy.writer,
      time: copy.time,
      source: reading.source,
      stale,
      holders: reading.holders,
    };
    const list = kind === undefined ? asBlockList(copy.bytes) : undefined;
    return { kind, meta, bytes: copy.bytes, list };
  }

  /**
   * Every valid copy of a record, smallest CID first; empty when there is none. The caller picks.
   * @throws INVALID_ADDRESS; NOT_FOUND where no kind stands; what the store throws.
   */
  async candidates(address: Address | string, options: ReadOptions = {}): Promise<readonly Copy[]> {
    const target = this.#concrete(address);
    requireBare(target, []);
    const place = recordPlace(this.#rules, requireKind(this.#rules, target), target);
    const { copies } = await this.#reader.read(place, options);
    return copies.map((copy) => ({ ...copy, bytes: new Uint8Array(copy.bytes) }));
  }

  async #putSmall(target: ConcreteAddress, content: Uint8Array, options: PutOptions) {
    const pin = contentCid(content).toString();
    requireSamePin(target, pin);
    const outcome = await this.#reader.write(contentPlace(pin), content, options);
    return { pin, outcome };
  }

  /** The pieces first: a list whose pieces nobody has would be a promise that nobody keeps. */
  async #putLarge(target: ConcreteAddress, parts: AsyncIterable<Uint8Array>, options: PutOptions) {
    const pieces = this.#pieces;
    if (pieces === undefined) throw contentTooLarge();
    const { root, list, isNew } = await pieces.add(parts);
    try {
      requireSamePin(target, root);
    } catch (thrown) {
      if (isNew) await pieces.drop(root);
      throw thrown;
    }
    const placed = await pieces.ensure(root);
    const { require: required, ...unconditional } = options;
    const written = await this.#reader.write(contentPlace(root), list, unconditional);
    const outcome = both(written, placed);
    const why = `${outcome.holders.length} members hold all of it`;
    return { pin: root, outcome: requireAck(`content ${root}`, outcome, required, why) };
  }

  #requirePieces(target: ConcreteAddress): Pieces {
    if (this.#pieces !== undefined) return this.#pieces;
    throw notFound(target, 'this node keeps no content in pieces');
  }

  #openLarge(
    target: ConcreteAddress,
    meta: ResolvedMeta,
    bytes: Uint8Array,
    { size }: BlockList,
    options: ReadOptions,
  ): Opened {
    const pieces = this.#requirePieces(target);
    const isHere = pieces.has(meta.pin);
    if (options.localOnly === true && !isHere) throw notFound(target, 'its pieces are not here');
    const source = isHere ? 'local' : 'dht';
    return { ...meta, size, source, read: (signal) => pieces.read(bytes, signal) };
  }

  #concrete(address: Address | UcxlAddress | string): ConcreteAddress {
    const text = typeof address === 'string' ? address : format(address);
    return expandSelf(parseConcrete(text), this.#own);
  }

  async #readFor(
    target: ConcreteAddress,
    kind: RecordKind | undefined,
    options: ReadOptions,
  ): Promise<Reading> {
    if (kind === undefined) return this.#reader.read(pinnedPlace(target), options);
    const place = recordPlace(this.#rules, kind, target);
    const reading = await this.#reader.read(place, options);
    // A set may have grown since it was cached: before a pin is said to be missing, look again.
    const mayBeOld = place.changes === 'grows' && reading.source === 'cache';
    if (!mayBeOld || hasPin(target, reading.copies)) return reading;
    return this.#reader.read(place, { ...options, fresh: true });
  }

  #requireUnclaimed(address: Address): void {
    const kind = findKind(this.#rules.kinds, address);
    if (kind === undefined) return;
    throw new BzzzError('REFUSED_BY_POLICY', `${series(address)} holds only its ${kind.name}`, {
      hint: 'choose another path',
    });
  }
}

const refusalText = ({ refusal }: Reading): string | undefined =>
  refusal === undefined ? undefined : `a copy was found and refused: ${refusal.message}`;

const contentTooLarge = (): BzzzError =>
  new BzzzError('TOO_LARGE', `content of more than ${LIMITS.contentBytes} bytes is not kept here`, {
    hint: 'store it elsewhere and put its digest',
  });

function requireSamePin(target: ConcreteAddress, pin: string): void {
  if (target.temporal.form !== 'pin' || target.temporal.cid === pin) return;
  throw new BzzzError('BAD_REQUEST', `the content is not what ${format(target)} names`, {
    why: `its pin is ${pin}`,
    hint: 'leave the pin away; the answer has the right one',
    details: { given: target.temporal.cid, pin },
  });
}
