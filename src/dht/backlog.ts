/**
 * Records whose copies are not all there, each with the time of its next attempt. Pure: instants
 * and chance come in as arguments.
 * @module
 */

interface Entry {
  readonly key: Uint8Array;
  readonly attempt: number;
  readonly dueAt: number;
}

/** Bounds and pace. Times in ms. */
export interface BacklogOptions {
  readonly limit: number;
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Bounded; the oldest note goes first, because the republisher finds every record again. */
export class Backlog {
  readonly #options: BacklogOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Notes a record; one that is there already keeps its turn.
   * @returns whether another one, the oldest, had to go for it.
   */
  add(name: string, key: Uint8Array, now: number): boolean {
    if (this.#entries.has(name)) return false;
    const full = this.#entries.size >= this.#options.limit;
    if (full) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(name, { key, attempt: 0, dueAt: now + this.#options.firstMs });
    return full;
  }

  /** Up to `max` records whose time has come, oldest note first. */
  due(now: number, max: number): readonly { readonly name: string; readonly key: Uint8Array }[] {
    const due: { name: string; key: Uint8Array }[] = [];
    for (const [name, { key, dueAt }] of this.#entries) {
      if (due.length >= max) break;
      if (dueAt <= now) due.push({ name, key });
    }
    return due;
  }

  /** Instant of the next attempt; undefined when nothing waits. */
  nextAt(): number | undefined {
    let next: number | undefined;
    for (const { dueAt } of this.#entries.values()) {
      if (next === undefined || dueAt < next) next = dueAt;
    }
    return next;
  }

  /** All copies are there, or the record is gone. */
  settle(name: string): void {
    this.#entries.delete(name);
  }

  /** Doubles the wait, up to the limit. @param chance 0..1: spreads nodes that failed together. */
  postpone(name: string, now: number, chance: number): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    const { firstMs, maxMs } = this.#options;
    const attempt = entry.attempt + 1;
    const wait = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
    this.#entries.set(name, { ...entry, attempt, dueAt: now + wait * (0.5 + chance / 2) });
  }
}
