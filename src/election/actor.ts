/**
 * Runs the election machine: one input at a time, its effects in order, a write awaited before what
 * follows from it. A change of the roster is told before anything else.
 *
 * A timer that fires says that time went by here, not that the others were silent: what they sent
 * may wait in the sockets behind a busy event loop. So a tick waits for a turn of the loop, more of
 * them when it is late, and goes behind everything that has arrived by then.
 * @module
 */
import type { Cancel, Clock } from '../base/ports.ts';
import { beginElection, stepElection, wakeAt } from './machine.ts';
import type {
  ElectionContext,
  ElectionEffect,
  ElectionInput,
  ElectionState,
  Hard,
  RosterFacts,
} from './types.ts';

/** Messages that may wait while a write is awaited; more are dropped and counted. */
const MESSAGES = 1_024;
/** Everything together: what this node itself asks for finds room when messages do not. */
const INPUTS = 2 * MESSAGES;
/** A timer that is later than this fired in a loop that was held up. */
const LATE_MS = 20;
const LATE_TURNS = 3;

type Next = ElectionInput | undefined;

export interface ActorDeps {
  readonly clock: Clock;
  /** Resolves when input that has arrived was handed over: one turn of the event loop. */
  readonly nextTurn: () => Promise<void>;
  /** The same object until the roster changes. */
  readonly facts: () => RosterFacts;
  readonly context: (roster: RosterFacts) => ElectionContext;
  /** Carries an effect out; what it returns is the next input. */
  readonly perform: (effect: ElectionEffect) => Next | Promise<Next>;
  /** The machine or an effect threw: nothing more happens here. */
  readonly onCrash: (error: unknown) => void;
}

/** The single writer of the election's state. */
export class ElectionActor {
  readonly #deps: ActorDeps;
  readonly #urgent: ElectionInput[] = [];
  readonly #queue: ElectionInput[] = [];
  #state: ElectionState;
  #facts: RosterFacts;
  #timer: Cancel | undefined;
  #timerAt = 0;
  /** The timer fired and the turns before its tick are not over. */
  #waking = false;
  #tickDue = false;
  #busy = true;
  #closed = false;
  #work: Promise<void> | undefined;
  #dropped = 0;

  #first: readonly ElectionEffect[];

  /** Takes the machine's first step; {@link start} carries it out. */
  constructor(hard: Hard, deps: ActorDeps) {
    this.#deps = deps;
    this.#facts = deps.facts();
    const { state, effects } = beginElection(hard, deps.context(this.#facts));
    this.#state = state;
    this.#first = effects;
  }

  /** Nothing happens before; call once. */
  start(): void {
    const effects = this.#first;
    this.#first = [];
    this.#carryOut(effects);
  }

  get state(): ElectionState {
    return this.#state;
  }

  /** Messages lost because too many waited (P3). */
  get dropped(): number {
    return this.#dropped;
  }

  /** Inputs that wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Worked on at once unless another input is. @returns false when there is no room. */
  feed(input: ElectionInput): boolean {
    if (this.#closed) return false;
    if (this.#queue.length >= (input.type === 'message' ? MESSAGES : INPUTS)) {
      this.#dropped++;
      return false;
    }
    this.#queue.push(input);
    this.#drain();
    return true;
  }

  /** The roster may have changed. */
  poke(): void {
    this.#drain();
  }

  /** Drops what waits; resolves when the effect under way has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.();
    this.#timer = undefined;
    this.#queue.length = 0;
    this.#urgent.length = 0;
    await this.#work;
  }

  #drain(): void {
    while (!this.#busy && !this.#closed) {
      const input = this.#next();
      if (input === undefined) break;
      this.#step(input);
    }
    this.#arm();
  }

  #next(): Next {
    const facts = this.#deps.facts();
    if (facts !== this.#facts) {
      this.#facts = facts;
      return { type: 'roster' };
    }
    const input = this.#urgent.shift() ?? this.#queue.shift();
    if (input !== undefined || !this.#tickDue) return input;
    this.#tickDue = false;
    return this.#isDue() ? { type: 'tick' } : undefined;
  }

  #step(input: ElectionInput): void {
    this.#busy = true;
    try {
      const context = this.#deps.context(this.#facts);
      const { state, effects } = stepElection(this.#state, input, context);
      this.#state = state;
      this.#carryOut(effects);
    } catch (error) {
      this.#crash(error);
    }
  }

  #carryOut(effects: readonly ElectionEffect[]): void {
    const work = this.#perform(effects, 0);
    if (work === undefined) {
      this.#free();
      return;
    }
    this.#work = work.then(
      () => this.#free(),
      (error) => this.#crash(error),
    );
  }

  #free(): void {
    this.#work = undefined;
    this.#busy = false;
    this.#drain();
  }

  /** @returns undefined when nothing had to be awaited. */
  #perform(effects: readonly ElectionEffect[], from: number): Promise<void> | undefined {
    for (const [i, effect] of effects.entries()) {
      if (i < from) continue;
      if (this.#closed) return undefined;
      const done = this.#deps.perform(effect);
      if (done instanceof Promise) {
        return done.then((input) => {
          this.#follow(input);
          return this.#perform(effects, i + 1);
        });
      }
      this.#follow(done);
    }
    return undefined;
  }

  #follow(input: Next): void {
    if (input !== undefined && !this.#closed) this.#urgent.push(input);
  }

  #isDue(): boolean {
    return this.#deps.clock.now() >= wakeAt(this.#state);
  }

  /** Each beat moves the time on; one timer that fires too early is cheaper than many. */
  #arm(): void {
    const at = wakeAt(this.#state);
    if (this.#closed || this.#waking || this.#tickDue || at === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== undefined && this.#timerAt <= at) return;
    this.#timer?.();
    this.#timerAt = at;
    const ms = Math.max(0, Math.ceil(at - this.#deps.clock.now()));
    this.#timer = this.#deps.clock.after(ms, () => this.#fired());
  }

  #fired(): void {
    this.#timer = undefined;
    if (!this.#isDue()) {
      this.#arm();
      return;
    }
    const late = this.#deps.clock.now() - this.#timerAt > LATE_MS;
    this.#waking = true;
    this.#wake(late ? LATE_TURNS : 1).catch((error: unknown) => this.#crash(error));
  }

  async #wake(turns: number): Promise<void> {
    for (let i = 0; i < turns; i++) await this.#deps.nextTurn();
    this.#waking = false;
    this.#tickDue = true;
    this.#drain();
  }

  #crash(error: unknown): void {
    if (this.#closed) return;
    this.#work = undefined;
    void this.close();
    this.#deps.onCrash(error);
  }
}
