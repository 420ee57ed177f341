/**
 * Verified reads over the store and the cache. Nothing that the store answers is believed: key
 * binding, form and proof are checked again. What fails is logged and counted, and is no answer.
 *
 * Concurrent reads of one place are one read. A write drops what is cached of its place, and what a
 * read that was under way meanwhile finds is not cached, so a node reads its own writes.
 * @module
 */
import { type BzzzError, toBzzzError } from '../base/errors.ts';
import type { Clock, Logger } from '../base/ports.ts';
import type { Found, GetOptions, PutOptions, PutOutcome, RecordStore } from '../dht/store.ts';
import { ByteCache } from './cache.ts';
import { type Place, placeKey } from './places.ts';
import type { Copy } from './records.ts';

export interface ReaderOptions {
  /** 0 switches the cache off. */
  readonly cacheMaxBytes: number;
  /** Life of what may still change. */
  readonly cacheTtlMs: number;
}

export interface ReaderDependencies {
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ReadOptions {
  readonly timeoutMs?: number;
  /** Asks the store although the cache has an answer. */
  readonly fresh?: boolean;
  /**
   * Asks the network although a local copy exists.
   * @default true for candidate sets and heads, false for what is the same everywhere.
   */
  readonly merge?: boolean;
  /** Only what this node has stored; never cached. */
  readonly localOnly?: boolean;
}

/** Valid copies by rising CID; none when nothing, or nothing valid, was found. */
export interface Reading {
  readonly copies: readonly Copy[];
  readonly source: 'cache' | Found['source'];
  readonly holders: Found['holders'];
  /**
   * Of what may be replaced: whether a majority of those that should hold it was asked for it and
   * answered. Absent where only the first copy was asked for, or this node's own.
   */
  readonly majority?: boolean;
  /** Why the copy that was found is no answer. */
  readonly refusal?: BzzzError;
}

/** For metrics; since the reader was made. */
export interface ReadCounters {
  readonly hits: number;
  readonly misses: number;
  /** Copies that the store answered and the check here refused. */
  readonly refused: number;
}

/** "Nothing there" is soon wrong: somebody may be writing it. */
const NEGATIVE_TTL_MS = 5_000;

/** Reads and writes places of the store; what it returns was verified after the store. */
export class VerifiedReader {
  readonly #deps: ReaderDependencies;
  readonly #cache: ByteCache<Reading>;
  readonly #ttlMs: number;
  /** Reads under way: place, then the options that make two reads different ones. */
  readonly #flights = new Map<string, Map<string, Promise<Reading>>>();
  readonly #counters = { hits: 0, misses: 0, refused: 0 };

  constructor(options: ReaderOptions, dependencies: ReaderDependencies) {
    this.#deps = dependencies;
    this.#cache = new ByteCache({ maxBytes: options.cacheMaxBytes }, dependencies);
    this.#ttlMs = options.cacheTtlMs;
  }

  get counters(): ReadCounters {
    return { ...this.#counters };
  }

  /** @throws what the store throws. */
  async write(place: Place, value: Uint8Array, options: PutOptions): Promise<PutOutcome> {
    try {
      return await this.#deps.store.put(place.namespace, place.suffix, value, options);
    } finally {
      // Also after a failure: the value may have reached the journal.
      this.#cache.delete(placeKey(place));
      this.#flights.delete(placeKey(place));
    }
  }

  /** @throws what the store throws. */
  async read(place: Place, options: ReadOptions): Promise<Reading> {
    if (options.localOnly === true) return this.#fetch(place, { localOnly: true });
    const cached = options.fresh === true ? undefined : this.#cache.get(placeKey(place));
    if (cached !== undefined) {
      this.#counters.hits++;
      return { ...cached, source: 'cache' };
    }
    this.#counters.misses++;
    const merge = options.merge ?? place.changes !== 'never';
    const variant = `${merge}/${options.timeoutMs}`;
    const flights = this.#flights.get(placeKey(place)) ?? new Map<string, Promise<Reading>>();
    this.#flights.set(placeKey(place), flights);
    const running = flights.get(variant);
    if (running !== undefined) return running;
    const flight = this.#fetch(place, {
      ...(merge ? { merge } : {}),
      ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    });
    flights.set(variant, flight);
    try {
      const reading = await flight;
      const overtakenByWrite = this.#flights.get(placeKey(place)) !== flights;
      if (!overtakenByWrite) this.#keep(place, merge, reading);
      return reading;
    } finally {
      flights.delete(variant);
      if (flights.size === 0 && this.#flights.get(placeKey(place)) === flights) {
        this.#flights.delete(placeKey(place));
      }
    }
  }

  async #fetch(place: Place, options: GetOptions): Promise<Reading> {
    const { namespace, suffix } = place;
    const found = await this.#deps.store.get(namespace, suffix, options);
    if (found === undefined) return { copies: [], source: 'local', holders: [] };
    const { source, holders } = found;
    // A backend without a network says nothing of majorities: it has asked nobody.
    const majority = options.merge === true ? { majority: found.majority === true } : {};
    try {
      // Copied: what a store hands out may be a view into a buffer that lives on.
      return { copies: place.open(new Uint8Array(found.value)), source, holders, ...majority };
    } catch (thrown) {
      const refusal = toBzzzError(thrown);
      this.#counters.refused++;
      this.#deps.logger.warn({ namespace, suffix, source, holders, err: refusal }, 'copy refused');
      return { copies: [], source, holders, refusal };
    }
  }

  #keep(place: Place, merge: boolean, reading: Reading): void {
    // The next read may meet an honest holder.
    if (reading.refusal !== undefined) return;
    // Nobody tells this node when a head was replaced, and a leader of before is no answer.
    if (place.changes === 'replaced') return;
    // Part of a set is good for who asked for no more, not for those who ask for all there is.
    if (place.changes === 'grows' && !merge) return;
    const bytes = reading.copies.reduce((sum, copy) => sum + copy.bytes.length, 0);
    const positiveTtlMs = place.changes === 'grows' ? this.#ttlMs : undefined;
    const ttlMs = reading.copies.length === 0 ? NEGATIVE_TTL_MS : positiveTtlMs;
    this.#cache.set(placeKey(place), reading, bytes, ttlMs);
  }
}
