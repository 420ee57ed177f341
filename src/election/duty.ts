/**
 * The life of a leader's duty: at most one runner at a time, started when this node begins to lead,
 * stopped when it does not any more. The term is the fencing token. Pure: `stepDuty(state, input)`.
 *
 * | state    | input                        | next     | effects                        |
 * | -------- | ---------------------------- | -------- | ------------------------------ |
 * | idle     | promote                      | running  | run                            |
 * | running  | progress                     | running  | -                              |
 * | running  | demote                       | stopping | abort                          |
 * | running  | promote, of a later term     | stopping | abort (noted: run that next)   |
 * | running  | ended                        | pausing  | report: nobody told it to      |
 * | running  | tick, no progress for a bound| running  | report, once                   |
 * | stopping | promote                      | stopping | - (noted: run that next)       |
 * | stopping | demote of the noted term     | stopping | - (nothing follows)            |
 * | stopping | ended                        | idle, running | run what was noted        |
 * | stopping | tick, after a bound          | stopping | report, once                   |
 * | pausing  | tick, after the pause        | running  | run                            |
 * | pausing  | demote                       | idle     | -                              |
 * | pausing  | promote, of a later term     | running  | run                            |
 *
 * Promotions and demotions of a term that is not above all seen before are late: they change
 * nothing, and a promotion that comes after its demotion starts nothing.
 * @module
 */
import { type Millis, millis, type Term } from '../base/brands.ts';
import { type BzzzError, toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock, Logger } from '../base/ports.ts';

/** Times in ms. */
export interface DutyBounds {
  /** From the start of a run to its first sign of progress. */
  readonly startMs: number;
  /** Between two signs of progress. */
  readonly stallMs: number;
  /** From the abort to the end of a run. */
  readonly stopMs: number;
  /** Before a run that ended by itself is tried again. */
  readonly pauseMs: number;
}

export const DUTY_BOUNDS: DutyBounds = {
  startMs: 5_000,
  stallMs: 10_000,
  stopMs: 2_000,
  pauseMs: 1_000,
};

interface Seen {
  /** The highest term that was promoted or demoted. */
  readonly floor: Term;
}

export type DutyState = Seen &
  (
    | { readonly at: 'idle' }
    | {
        readonly at: 'running';
        readonly term: Term;
        readonly progressAt: Millis;
        readonly started: boolean;
        readonly stalled: boolean;
      }
    | {
        readonly at: 'stopping';
        readonly term: Term;
        readonly since: Millis;
        readonly next: Term | null;
        readonly late: boolean;
      }
    | { readonly at: 'pausing'; readonly term: Term; readonly until: Millis }
  );

export type DutyInput =
  | { readonly type: 'promote'; readonly term: Term }
  | { readonly type: 'demote'; readonly term: Term }
  | { readonly type: 'progress' }
  | { readonly type: 'ended' }
  | { readonly type: 'tick' };

/** What an operator should hear of. */
export type DutyFault = 'late start' | 'stalled' | 'late stop' | 'ended by itself';

export type DutyEffect =
  | { readonly type: 'run'; readonly term: Term }
  | { readonly type: 'abort' }
  | { readonly type: 'report'; readonly fault: DutyFault; readonly term: Term };

export interface DutyStep {
  readonly state: DutyState;
  readonly effects: readonly DutyEffect[];
}

export const DUTY_IDLE: DutyState = { at: 'idle', floor: 0 as Term };

/** One step at the monotonic instant `now`. */
export function stepDuty(
  bounds: DutyBounds,
  state: DutyState,
  input: DutyInput,
  now: Millis,
): DutyStep {
  switch (input.type) {
    case 'promote':
      return input.term <= state.floor ? stay(state) : promote(state, input.term, now);
    case 'demote':
      return demote({ ...state, floor: higher(state.floor, input.term) }, input.term, now);
    case 'progress':
      if (state.at !== 'running') return stay(state);
      return stay({ ...state, progressAt: now, started: true, stalled: false });
    case 'ended':
      return ended(bounds, state, now);
    case 'tick':
      return tick(bounds, state, now);
  }
}

const stay = (state: DutyState): DutyStep => ({ state, effects: [] });
const higher = (a: Term, b: Term): Term => (a > b ? a : b);

const run = (floor: Term, term: Term, now: Millis): DutyStep => ({
  state: { at: 'running', floor, term, progressAt: now, started: false, stalled: false },
  effects: [{ type: 'run', term }],
});

const abort = (floor: Term, term: Term, next: Term | null, now: Millis): DutyStep => ({
  state: { at: 'stopping', floor, term, since: now, next, late: false },
  effects: [{ type: 'abort' }],
});

function promote(state: DutyState, term: Term, now: Millis): DutyStep {
  if (state.at === 'running') return abort(term, state.term, term, now);
  if (state.at === 'stopping') return stay({ ...state, floor: term, next: term });
  return run(term, term, now);
}

function demote(state: DutyState, term: Term, now: Millis): DutyStep {
  if (state.at === 'running' && state.term <= term)
    return abort(state.floor, state.term, null, now);
  if (state.at === 'stopping' && state.next !== null && state.next <= term) {
    return stay({ ...state, next: null });
  }
  if (state.at === 'pausing' && state.term <= term) return stay({ at: 'idle', floor: state.floor });
  return stay(state);
}

function ended({ pauseMs }: DutyBounds, state: DutyState, now: Millis): DutyStep {
  if (state.at === 'stopping') {
    if (state.next !== null) return run(state.floor, state.next, now);
    return stay({ at: 'idle', floor: state.floor });
  }
  if (state.at !== 'running') return stay(state);
  const { floor, term } = state;
  return {
    state: { at: 'pausing', floor, term, until: millis(now + pauseMs) },
    effects: [{ type: 'report', fault: 'ended by itself', term }],
  };
}

function tick(bounds: DutyBounds, state: DutyState, now: Millis): DutyStep {
  if (state.at === 'pausing' && now >= state.until) return run(state.floor, state.term, now);
  if (state.at === 'running' && !state.stalled) {
    const bound = state.started ? bounds.stallMs : bounds.startMs;
    if (now - state.progressAt < bound) return stay(state);
    const fault = state.started ? 'stalled' : 'late start';
    return {
      state: { ...state, stalled: true },
      effects: [{ type: 'report', fault, term: state.term }],
    };
  }
  if (state.at === 'stopping' && !state.late && now - state.since >= bounds.stopMs) {
    const report = { type: 'report', fault: 'late stop', term: state.term } as const;
    return { state: { ...state, late: true }, effects: [report] };
  }
  return stay(state);
}

/** What is wrong with the duty in this state; undefined when nothing is. */
export function dutyFault(state: DutyState): DutyFault | undefined {
  if (state.at === 'pausing') return 'ended by itself';
  if (state.at === 'stopping' && state.late) return 'late stop';
  if (state.at === 'running' && state.stalled) return state.started ? 'stalled' : 'late start';
  return undefined;
}

// -- the shell

/** Something that a leader does all the time. */
export interface Duty {
  readonly name: string;
  /**
   * Runs until `signal` aborts, and then ends soon.
   * @param progress to be called at every turn of its loop; silence is a fault.
   */
  run(term: Term, signal: AbortSignal, progress: () => void): Promise<void>;
}

export interface DutyDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface DutyHealth {
  readonly name: string;
  readonly status: 'healthy' | 'degraded';
  /** The term of the run; null when none runs. */
  readonly term: Term | null;
  /** Faults since the start of the process. */
  readonly errors: number;
  readonly reason?: string;
}

/** Runs one duty. */
export class DutyRunner {
  readonly #bounds: DutyBounds;
  readonly #deps: DutyDeps;
  readonly #duty: Duty;
  #state: DutyState = DUTY_IDLE;
  #controller = new AbortController();
  #cancel: Cancel | undefined;
  #errors = 0;
  #failure: BzzzError | undefined;
  #idle: (() => void)[] = [];

  constructor(duty: Duty, deps: DutyDeps, bounds: DutyBounds = DUTY_BOUNDS) {
    this.#duty = duty;
    this.#deps = deps;
    this.#bounds = bounds;
  }

  /** This node leads in `term`. The run begins as soon as an earlier one has ended. */
  promote(term: Term): void {
    this.#feed({ type: 'promote', term });
  }

  /** This node leads in `term` no more. @returns when no run of that term or an earlier is left. */
  async demote(term: Term): Promise<void> {
    this.#feed({ type: 'demote', term });
    while (this.#state.at !== 'idle' && this.#state.term <= term) {
      await new Promise<void>((resolve) => void this.#idle.push(resolve));
    }
  }

  health(): DutyHealth {
    const fault = dutyFault(this.#state);
    return {
      name: this.#duty.name,
      status: fault === undefined ? 'healthy' : 'degraded',
      term: this.#state.at === 'idle' ? null : this.#state.term,
      errors: this.#errors,
      ...(fault === undefined ? {} : { reason: this.#reason(fault) }),
    };
  }

  #reason(fault: DutyFault): string {
    const failure = fault === 'ended by itself' ? this.#failure : undefined;
    return `${this.#duty.name}: ${fault}${failure === undefined ? '' : `: ${failure.message}`}`;
  }

  #feed(input: DutyInput): void {
    const { state, effects } = stepDuty(this.#bounds, this.#state, input, this.#deps.clock.now());
    this.#state = state;
    for (const effect of effects) {
      if (effect.type === 'run') this.#run(effect.term);
      else if (effect.type === 'abort') this.#controller.abort();
      else this.#report(effect.fault, effect.term);
    }
    this.#watch();
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #run(term: Term): void {
    const controller = new AbortController();
    this.#controller = controller;
    // A turn later: the state is set before the duty can say anything, and may be another by then.
    const over = Promise.resolve().then(async () => {
      if (controller.signal.aborted) return;
      await this.#duty.run(term, controller.signal, () => {
        if (this.#controller === controller) this.#feed({ type: 'progress' });
      });
    });
    over.then(
      () => this.#feed({ type: 'ended' }),
      (thrown: unknown) => {
        const error = toBzzzError(thrown);
        this.#failure = error;
        this.#deps.logger.warn({ duty: this.#duty.name, term, err: error }, 'a duty failed');
        this.#feed({ type: 'ended' });
      },
    );
  }

  #report(fault: DutyFault, term: Term): void {
    this.#errors++;
    this.#deps.logger.warn(
      { duty: this.#duty.name, term, fault },
      'a duty of the leader is in trouble',
    );
  }

  /** Looks after the bounds while there is something to look after. */
  #watch(): void {
    if (this.#state.at === 'idle') {
      this.#cancel?.();
      this.#cancel = undefined;
      return;
    }
    if (this.#cancel !== undefined) return;
    const { startMs, stallMs, stopMs, pauseMs } = this.#bounds;
    const every = Math.max(1, Math.min(startMs, stallMs, stopMs, pauseMs) / 4);
    this.#cancel = this.#deps.clock.after(every, () => {
      this.#cancel = undefined;
      this.#feed({ type: 'tick' });
    });
  }
}
