/**
 * A cache bounded by bytes; what was used longest ago goes first.
 * @module
 */
import type { Millis } from '../base/brands.ts';
import type { Clock } from '../base/ports.ts';

export interface CacheOptions {
  /** Sum of the sizes of all entries; 0 keeps nothing. */
  readonly maxBytes: number;
}

interface Entry<V> {
  readonly value: V;
  readonly bytes: number;
  /** undefined: never. */
  readonly expiresAt: Millis | undefined;
}

/** What an entry costs beside its own bytes: key, objects, map slot. Estimated on the high side. */
const ENTRY_OVERHEAD_BYTES = 512;

/** Least recently used goes first; entries may also have a time to live. */
export class ByteCache<V> {
  readonly #maxBytes: number;
  readonly #clock: Clock;
  /** In order of use: a Map keeps the order of insertion, and use inserts again. */
  readonly #entries = new Map<string, Entry<V>>();
  #bytes = 0;

  constructor(options: CacheOptions, dependencies: { readonly clock: Clock }) {
    this.#maxBytes = options.maxBytes;
    this.#clock = dependencies.clock;
  }

  /** Bytes held, overhead included. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAt !== undefined && entry.expiresAt <= this.#clock.now()) {
      this.delete(key);
      return undefined;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** @param ttlMs life from now; undefined: until evicted. What is larger than all is not kept. */
  set(key: string, value: V, valueBytes: number, ttlMs?: number): void {
    this.delete(key);
    const bytes = valueBytes + ENTRY_OVERHEAD_BYTES;
    if (bytes > this.#maxBytes) return;
    const expiresAt = ttlMs === undefined ? undefined : ((this.#clock.now() + ttlMs) as Millis);
    this.#entries.set(key, { value, bytes, expiresAt });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }
}
