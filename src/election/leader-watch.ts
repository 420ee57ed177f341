/**
 * Who leads, as this node knows it, and who waits for that to change.
 * @module
 */
import type { BzzzError } from '../base/errors.ts';
import type { Cancel, Clock } from '../base/ports.ts';
import type { Leadership } from './types.ts';

type Holds = (leadership: Leadership | undefined) => boolean;
type Listener = (leadership: Leadership | undefined) => void;

/** Listeners are called in order of their subscription. */
export class LeaderWatch {
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();
  readonly #waits = new Set<(held: boolean) => void>();
  readonly #failed: (error: unknown) => void;
  #current: Leadership | undefined;
  #ended: BzzzError | undefined;

  /** @param failed told of a listener that threw. */
  constructor(clock: Clock, failed: (error: unknown) => void) {
    this.#clock = clock;
    this.#failed = failed;
  }

  get current(): Leadership | undefined {
    return this.#current;
  }

  /** Why nothing changes any more. */
  get ended(): BzzzError | undefined {
    return this.#ended;
  }

  /** Nobody is told anything any more; who waits, waits no longer. */
  end(reason: BzzzError): void {
    this.#ended ??= reason;
    this.#current = undefined;
    for (const end of [...this.#waits]) end(false);
    this.#listeners.clear();
  }

  set(leadership: Leadership | undefined): void {
    this.#current = leadership;
    for (const listener of [...this.#listeners]) {
      try {
        listener(this.#current);
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  onChange(listener: Listener): Cancel {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves with true as soon as `holds`, with false after `ms` or at the end. */
  until(holds: Holds, ms: number): Promise<boolean> {
    return this.wait(holds, ms).held;
  }

  /** The same, for a wait that may be given up: it never ends then. */
  wait(holds: Holds, ms: number): { readonly held: Promise<boolean>; cancel(): void } {
    const already = holds(this.#current);
    if (already || this.#ended !== undefined) {
      return { held: Promise.resolve(already), cancel: () => undefined };
    }
    let resolve: (held: boolean) => void;
    const held = new Promise<boolean>((settle) => {
      resolve = settle;
    });
    const cancel = (): void => {
      this.#waits.delete(end);
      unsubscribe();
      stop();
    };
    const end = (value: boolean): void => {
      cancel();
      resolve(value);
    };
    const unsubscribe = this.onChange((leadership) => {
      if (holds(leadership)) end(true);
    });
    this.#waits.add(end);
    const stop = this.#clock.after(Math.max(0, ms), () => end(false));
    return { held, cancel };
  }
}
