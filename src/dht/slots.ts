/**
 * A bound on work under way: so many at once, so many waiting, more are refused.
 * @module
 */
import { BzzzError } from '../base/errors.ts';

/** First come, first served. */
export class Slots {
  readonly #parallel: number;
  readonly #maxWaiting: number;
  readonly #onBusy: () => void;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  /** @param onBusy is called for each piece of work refused because too many wait. */
  constructor(parallel: number, maxWaiting: number, onBusy: () => void) {
    this.#parallel = parallel;
    this.#maxWaiting = maxWaiting;
    this.#onBusy = onBusy;
  }

  /** @throws TIMEOUT when `signal` aborts before the turn comes or too many wait. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#enter(signal);
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new BzzzError('TIMEOUT', 'the time is up');
    if (this.#running < this.#parallel) {
      this.#running++;
      return;
    }
    if (this.#waiting.size >= this.#maxWaiting) {
      this.#onBusy();
      throw new BzzzError('TIMEOUT', 'too many record requests are waiting');
    }
    await new Promise<void>((resolve, reject) => {
      const turn = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = (): void => {
        this.#waiting.delete(turn);
        reject(new BzzzError('TIMEOUT', 'the time is up'));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.add(turn);
    });
  }

  /** The place goes to whoever waits longest; only without anyone it becomes free. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
