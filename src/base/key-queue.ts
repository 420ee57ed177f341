/**
 * One piece of work after the other for each key, different keys side by side.
 * @module
 */

/** Bounded by what its callers have under way. */
export class KeyQueue {
  /** The last work of each key that has some. */
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Resolves when what was asked for the key so far has ended, well or badly. */
  async settled(key: string): Promise<void> {
    await Promise.allSettled([this.#tails.get(key)]);
  }

  /** Runs `work` after what was asked for the same key before. @throws what `work` throws. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    // The outcome before belongs to whoever asked for it.
    const run = before.then(work, work);
    this.#tails.set(key, run);
    try {
      return await run;
    } finally {
      if (this.#tails.get(key) === run) this.#tails.delete(key);
    }
  }
}
