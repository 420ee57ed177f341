/**
 * A bound on work under way: so many at once, so many waiting, more find it full.
 * @module
 */

/** What came of asking for a place: `in` has one, and gives it back with `leave`. */
export type Entry = 'in' | 'full' | 'gone';

/** First come, first served. */
export class Slots {
  readonly #parallel: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<() => void>();
  #inside = 0;

  constructor(parallel: number, maxWaiting: number) {
    this.#parallel = parallel;
    this.#maxWaiting = maxWaiting;
  }

  /** Those with a place. */
  get inside(): number {
    return this.#inside;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** @param signal ends the wait for a place: `gone`. */
  async enter(signal: AbortSignal): Promise<Entry> {
    if (signal.aborted) return 'gone';
    if (this.#inside < this.#parallel) {
      this.#inside++;
      return 'in';
    }
    if (this.#waiting.size >= this.#maxWaiting) return 'full';
    return new Promise((resolve) => {
      const turn = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve('in');
      };
      const giveUp = (): void => {
        this.#waiting.delete(turn);
        resolve('gone');
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.add(turn);
    });
  }

  /** The place goes to whoever waits longest; only without anyone it becomes free. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inside--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
