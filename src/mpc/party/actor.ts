/**
 * Runs one session machine: one input at a time, its effects strictly in order, each awaited. All
 * that the session holds (timers, inputs that wait) ends with {@link SessionActor.close}.
 * @module
 */
import type { Cancel, Clock } from '../../base/ports.ts';
import type { Step } from '../types.ts';

/** Inputs that may wait while a store is awaited; further messages are dropped and counted. */
const QUEUE = 1_024;

/** How the actor's owner carries out what the machine wants. */
export interface ActorDeps<S, I, E> {
  readonly clock: Clock;
  readonly step: (state: S, input: I) => Step<S, E>;
  /** Carries out one effect; what it returns is the next input, before everything that waits. */
  readonly perform: (effect: E) => I | undefined | Promise<I | undefined>;
  readonly timerInput: (name: string) => I;
  /**
   * Waited for when a timer has run out: on a busy machine what the timer waits for may have come
   * and lie unread. Absent where that makes no difference.
   */
  readonly beforeTimer?: () => Promise<void>;
  /** The machine or an effect threw what it must not: the session cannot go on. */
  readonly onCrash: (error: unknown) => void;
}

/** The single writer of a session. */
export class SessionActor<S, I extends object, E> {
  readonly #deps: ActorDeps<S, I, E>;
  readonly #abort = new AbortController();
  readonly #timers = new Map<string, Cancel>();
  readonly #urgent: I[] = [];
  readonly #queue: I[] = [];
  #state: S;
  #busy = false;
  #dropped = 0;

  constructor(state: S, deps: ActorDeps<S, I, E>) {
    this.#state = state;
    this.#deps = deps;
  }

  /** Aborts when the session is closed. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get state(): S {
    return this.#state;
  }

  /** Running timers; a test holds that none outlives its session. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Inputs lost because too many waited. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Queues an input. It is worked on at once unless another is. */
  feed(input: I): void {
    if (this.#abort.signal.aborted) return;
    if (this.#queue.length >= QUEUE) {
      this.#dropped++;
      return;
    }
    this.#queue.push(input);
    this.#drain();
  }

  /** Goes on from a step that was taken elsewhere: a machine resumed from the disk. */
  begin(state: S, effects: readonly E[]): void {
    this.#state = state;
    this.#busy = true;
    try {
      this.#continue(this.#perform(effects));
    } catch (error) {
      this.#crash(error);
    }
  }

  setTimer(name: string, ms: number): void {
    this.clearTimer(name);
    if (this.#abort.signal.aborted) return;
    let open = true;
    const ended = (): void => {
      if (!open) return;
      this.#timers.delete(name);
      this.feed(this.#deps.timerInput(name));
    };
    const { beforeTimer } = this.#deps;
    const stop = this.#deps.clock.after(ms, () => {
      if (beforeTimer === undefined) ended();
      else void beforeTimer().then(ended);
    });
    this.#timers.set(name, () => {
      open = false;
      stop();
    });
  }

  clearTimer(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }

  /** Ends everything that the session holds; inputs that wait are dropped. */
  close(): void {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#queue.length = 0;
    this.#urgent.length = 0;
  }

  #drain(): void {
    // Without a store to wait for, a whole exchange runs without leaving this loop.
    while (!this.#busy) {
      const input = this.#urgent.shift() ?? this.#queue.shift();
      if (input === undefined) return;
      this.#busy = true;
      let work: Promise<void> | undefined;
      try {
        const { state, effects } = this.#deps.step(this.#state, input);
        this.#state = state;
        work = this.#perform(effects);
      } catch (error) {
        this.#crash(error);
        return;
      }
      if (work !== undefined) {
        this.#continue(work);
        return;
      }
      this.#busy = false;
    }
  }

  #continue(work: Promise<void> | undefined): void {
    const next = (): void => {
      this.#busy = false;
      this.#drain();
    };
    if (work === undefined) next();
    else work.then(next, (error) => this.#crash(error));
  }

  /** @returns undefined when nothing had to be awaited. */
  #perform(effects: readonly E[]): Promise<void> | undefined {
    for (const [i, effect] of effects.entries()) {
      if (this.#abort.signal.aborted) return undefined;
      const done = this.#deps.perform(effect);
      if (done instanceof Promise) {
        return done.then((input) => {
          this.#follow(input);
          return this.#perform(effects.slice(i + 1));
        });
      }
      this.#follow(done);
    }
    return undefined;
  }

  #follow(input: I | undefined): void {
    if (input !== undefined && !this.#abort.signal.aborted) this.#urgent.push(input);
  }

  #crash(error: unknown): void {
    // After the end nobody waits for what was under way; its failure ends nothing more.
    if (this.#abort.signal.aborted) return;
    this.close();
    this.#deps.onCrash(error);
  }
}
