/**
 * Which backend serves a component, and how that changes while the node runs. Pure.
 *
 * One model for every component that has backends (the record store, discovery, ...): an operator
 * sets a backend, for all keys or for a share of them, takes the last step back, or isolates the
 * component. A call asks once which backend it is for and ends on that one; the generation tells
 * the calls of before a change from those of after it.
 *
 * The words are the documented ones: `mock` is the embedded local backend, `real` the network one,
 * `hybrid` the network one that falls back to the local one.
 * @module
 */
import type { Backend } from './backend-words.ts';
import { sha256, utf8Bytes } from './bytes.ts';
import { BzzzError } from './errors.ts';
import { LIMITS } from './limits.ts';
import type { Cancel } from './ports.ts';

export { BACKEND_SYNONYMS, BACKENDS, type Backend } from './backend-words.ts';

/** @property percent share of the keys that use `backend`; the others use `mock`. 0 to 100. */
export interface Choice {
  readonly backend: Backend;
  readonly percent: number;
}

/** Where a switch stands. */
export interface SwitchState {
  readonly chosen: Choice;
  /** What was chosen before, the last one last; at most `LIMITS.switchHistory`. */
  readonly previous: readonly Choice[];
  /** Everything is served by `mock`, whatever is chosen. */
  readonly isolated: boolean;
  /** Grows by one with every change. */
  readonly generation: number;
}

export type SwitchCommand =
  | { readonly kind: 'set'; readonly choice: Choice }
  | { readonly kind: 'rollback' }
  | { readonly kind: 'isolate' };

/** A switch that was never touched. */
export const initialState = (chosen: Choice): SwitchState => ({
  chosen,
  previous: [],
  isolated: false,
  generation: 0,
});

const sameChoice = (a: Choice, b: Choice): boolean =>
  a.backend === b.backend && a.percent === b.percent;

/**
 * The state after a command; the same object when it changes nothing.
 *
 * | command  | does                                                             |
 * | -------- | ---------------------------------------------------------------- |
 * | set      | chooses; ends an isolation                                       |
 * | isolate  | serves all from `mock` until the next `set` or `rollback`        |
 * | rollback | ends an isolation, else takes the last `set` back, then the next |
 *
 * @throws BAD_REQUEST for a percentage outside 0 to 100, CONFLICT when nothing is left to undo.
 */
export function step(state: SwitchState, command: SwitchCommand): SwitchState {
  const generation = state.generation + 1;
  if (command.kind === 'isolate') {
    return state.isolated ? state : { ...state, isolated: true, generation };
  }
  if (command.kind === 'set') {
    const { choice } = command;
    requirePercent(choice.percent);
    const same = sameChoice(choice, state.chosen);
    if (same && !state.isolated) return state;
    const previous = same ? state.previous : [...state.previous, state.chosen];
    const kept = previous.slice(-LIMITS.switchHistory);
    return { chosen: choice, previous: kept, isolated: false, generation };
  }
  if (state.isolated) return { ...state, isolated: false, generation };
  const chosen = state.previous.at(-1);
  if (chosen === undefined) {
    throw new BzzzError('CONFLICT', 'there is no earlier backend to go back to', {
      why: 'nothing was switched since the start, or all of it was taken back',
      hint: '`bzzz backend show` shows what is chosen',
    });
  }
  return { chosen, previous: state.previous.slice(0, -1), isolated: false, generation };
}

function requirePercent(percent: number): void {
  if (Number.isInteger(percent) && percent >= 0 && percent <= 100) return;
  throw new BzzzError('BAD_REQUEST', `${percent} is no percentage`, {
    why: 'a whole number from 0 to 100 is expected',
  });
}

const BUCKETS = 100;

/** Where a key stands among 0..99: by its hash, so the same on every run and every host. */
export function bucketOf(key: string): number {
  const hash = sha256(utf8Bytes(key));
  return new DataView(hash.buffer, hash.byteOffset).getUint32(0) % BUCKETS;
}

/**
 * The backend that serves `key`. More percent only moves keys to the chosen backend, fewer only
 * moves them away.
 */
export function backendFor(state: SwitchState, key: string): Backend {
  const { backend, percent } = state.chosen;
  if (state.isolated || backend === 'mock' || percent === 0) return 'mock';
  return percent === 100 || bucketOf(key) < percent ? backend : 'mock';
}

/** The backend of calls that have no key. */
export const mainBackend = ({ isolated, chosen }: SwitchState): Backend =>
  isolated || chosen.percent === 0 ? 'mock' : chosen.backend;

/** What happened to a switch, for the event log. */
export interface SwitchChange {
  readonly component: string;
  readonly command: SwitchCommand['kind'];
  readonly before: SwitchState;
  readonly after: SwitchState;
}

/** A switch in use: the state, and who is told of its changes. */
export class Switch {
  readonly component: string;
  readonly #listeners = new Set<(change: SwitchChange) => void>();
  #state: SwitchState;

  constructor(component: string, chosen: Choice) {
    requirePercent(chosen.percent);
    this.component = component;
    this.#state = initialState(chosen);
  }

  get state(): SwitchState {
    return this.#state;
  }

  /** The backend that serves `key` now; ask once a call. */
  backendFor(key: string): Backend {
    return backendFor(this.#state, key);
  }

  /** Effective for the next call when it returns. @throws as {@link step}. */
  apply(command: SwitchCommand): SwitchState {
    const before = this.#state;
    const after = step(before, command);
    if (after === before) return after;
    this.#state = after;
    const change = { component: this.component, command: command.kind, before, after };
    for (const listener of [...this.#listeners]) listener(change);
    return after;
  }

  /** Calls back after each change, before `apply` returns. The listener must not throw. */
  onChange(listener: (change: SwitchChange) => void): Cancel {
    const own = (change: SwitchChange): void => listener(change);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }
}
