/**
 * Requests for signatures wait here for their turn: so many of a key at a time, the others in the
 * order of their coming. Thirty sessions at once finish no sooner than eight, and each of them
 * later; and what waits must have an end somewhere.
 * @module
 */
import type { KeyId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { Slots } from '../../base/slots.ts';

/** @property parallel sessions of a key at once. @property waiting requests behind them. */
export interface QueueLimits {
  readonly parallel: number;
  readonly waiting: number;
}

/** The default: eight sessions keep two cores busy. */
export const QUEUE_LIMITS: QueueLimits = { parallel: 8, waiting: 256 };

/** One line a key. A line that nobody stands in is forgotten. */
export class RequestQueue {
  readonly #limits: QueueLimits;
  readonly #lines = new Map<KeyId, Slots>();
  #dropped = 0;

  constructor(limits: QueueLimits = QUEUE_LIMITS) {
    this.#limits = limits;
  }

  /** Requests that found the line full. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Requests that wait, over all keys. */
  get waiting(): number {
    return [...this.#lines.values()].reduce((sum, { waiting }) => sum + waiting, 0);
  }

  /**
   * Waits for a turn.
   * @returns what ends the turn; harmless when called again.
   * @throws BUSY when the line is full; INTERRUPTED when the client goes while it waits.
   */
  async enter(keyId: KeyId, signal: AbortSignal): Promise<() => void> {
    const { parallel, waiting } = this.#limits;
    const line = this.#lines.get(keyId) ?? new Slots(parallel, waiting);
    this.#lines.set(keyId, line);
    const entry = await line.enter(signal);
    if (entry === 'gone') {
      this.#forget(keyId, line);
      throw new BzzzError('INTERRUPTED', 'the request was withdrawn');
    }
    if (entry === 'full') {
      this.#dropped++;
      throw new BzzzError('BUSY', `${line.waiting} requests for this key are waiting`, {
        hint: 'try again in a moment, or ask another holder of the key',
        details: { waiting: line.waiting },
      });
    }
    let left = false;
    return () => {
      if (left) return;
      left = true;
      line.leave();
      this.#forget(keyId, line);
    };
  }

  #forget(keyId: KeyId, line: Slots): void {
    if (line.inside === 0 && this.#lines.get(keyId) === line) this.#lines.delete(keyId);
  }
}
