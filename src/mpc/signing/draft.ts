/**
 * One step in the making: a copy of the state that handlers change, and the effects they ask for.
 * If a handler throws, the copy is dropped and the state stays as it was.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { type Draftable, sealMessage } from './messages.ts';
import type {
  Attempt,
  SigningDeps,
  SigningEffect,
  SigningEvent,
  SigningState,
  SigningStep,
  Slot,
} from './types.ts';

type Mutable<T> =
  T extends ReadonlyMap<infer K, infer V> ? Map<K, V> : T extends ReadonlySet<infer V> ? Set<V> : T;

/** A state whose own maps and sets may be changed; what is inside them may not. */
export type Draft = { -readonly [K in keyof SigningState]: Mutable<SigningState[K]> };

/** What every handler gets. */
export interface Context {
  readonly state: Draft;
  readonly deps: SigningDeps;
  readonly effects: SigningEffect[];
}

/** Begins a step. */
export function beginStep(state: SigningState, deps: SigningDeps): Context {
  const draft: Draft = {
    ...state,
    attempts: new Map(state.attempts),
    early: new Map(state.early),
    refused: new Map(state.refused),
    culprits: new Map(state.culprits),
    silent: new Set(state.silent),
    aside: new Set(state.aside),
    progress: new Map(state.progress),
    timers: new Set(state.timers),
  };
  return { state: draft, deps, effects: [] };
}

/** Ends a step. */
export const endStep = ({ state, effects }: Context): SigningStep => ({ state, effects });

/** Sends to those of `to` that are not this party itself. @returns the sealed message. */
export function send(context: Context, to: Iterable<PeerId>, body: Draftable): Uint8Array {
  const envelope = sealMessage(context.state.session.sid, body, context.deps);
  sendSealed(context, to, envelope);
  return envelope;
}

/** Sends what is signed already. */
export function sendSealed(
  { deps, effects }: Context,
  to: Iterable<PeerId>,
  envelope: Uint8Array,
): void {
  const others = [...new Set(to)].filter((peer) => peer !== deps.self);
  if (others.length > 0) effects.push({ type: 'send', to: others, envelope });
}

/** Starts a timer, or starts a running one of that name again. */
export function setTimer({ state, effects }: Context, name: string, ms: number): void {
  state.timers.add(name);
  effects.push({ type: 'timer', name, ms });
}

/** Stops a timer; harmless when none of that name runs. */
export function clearTimer({ state, effects }: Context, name: string): void {
  if (state.timers.delete(name)) effects.push({ type: 'clearTimer', name });
}

/** Tells what happened. Never a secret, never more than fits a log line. */
export function event(
  { effects }: Context,
  kind: SigningEvent,
  data: Readonly<Record<string, unknown>> = {},
): void {
  effects.push({ type: 'event', kind, data });
}

/** Whether this party holds a share with which it may sign now. */
export const canSign = ({ state, deps }: Context): boolean =>
  state.session.start.share !== undefined &&
  state.phase === 'running' &&
  state.supersededBy === undefined &&
  !state.culprits.has(deps.self);

/** In index order. */
export const signersOf = ({ members }: Pick<Attempt, 'members'>): readonly PeerId[] =>
  members.map(({ author }) => author);

/** Holders that may still sign, in index order: not proven faulty, and they have not refused. */
export const usableHolders = ({ state }: Context): readonly PeerId[] =>
  [...state.session.holders.keys()].filter(
    (peer) => !state.culprits.has(peer) && !state.refused.has(peer),
  );

/** A slot as text, for events and sets. */
export const slotName = ({ boot, counter }: Slot): string => `${boot}/${counter}`;
