/**
 * The bound on record requests under way. One that finds no place in time fails as one that got no
 * answer in time does.
 * @module
 */
import { BzzzError } from '../base/errors.ts';
import { Slots } from '../base/slots.ts';

/** First come, first served. */
export class RequestSlots {
  readonly #slots: Slots;
  readonly #onBusy: () => void;

  /** @param onBusy is called for each piece of work refused because too many wait. */
  constructor(parallel: number, maxWaiting: number, onBusy: () => void) {
    this.#slots = new Slots(parallel, maxWaiting);
    this.#onBusy = onBusy;
  }

  /** @throws TIMEOUT when `signal` aborts before the turn comes or too many wait. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const entry = await this.#slots.enter(signal);
    if (entry === 'gone') throw new BzzzError('TIMEOUT', 'the time is up');
    if (entry === 'full') {
      this.#onBusy();
      throw new BzzzError('TIMEOUT', 'too many record requests are waiting');
    }
    try {
      return await work();
    } finally {
      this.#slots.leave();
    }
  }
}
