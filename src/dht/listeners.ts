/**
 * Who wants to hear of something. A listener that throws does not keep the others from hearing.
 * @module
 */
import type { Cancel, Logger } from '../base/ports.ts';

/** Calls back in the order of `add`. */
export class Listeners<T> {
  readonly #log: Logger;
  readonly #all = new Set<(event: T) => void>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @returns what ends it. The same function added twice is called twice. */
  add(listener: (event: T) => void): Cancel {
    const own = (event: T): void => listener(event);
    this.#all.add(own);
    return () => void this.#all.delete(own);
  }

  emit(event: T): void {
    for (const listener of [...this.#all]) {
      try {
        listener(event);
      } catch (err) {
        this.#log.error({ err }, 'a listener of the record store threw');
      }
    }
  }
}
