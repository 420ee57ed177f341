/**
 * A step in the making: a mutable copy of the state and the effects so far. Only `machine.ts` makes
 * and freezes drafts; the files of the phases work on them.
 * @module
 */
import type { PeerId, SessionId } from '../../base/brands.ts';
import { BzzzError, type ErrorShape } from '../../base/errors.ts';
import type { Failure } from '../types.ts';
import { openMessage, type Payloads, type Said, type SignedKind, sealMessage } from './messages.ts';
import type { KeygenDeps, KeygenEffect, KeygenOutcome, KeygenState } from './types.ts';

type Mutable<T> = {
  -readonly [K in keyof T]: T[K] extends ReadonlyMap<infer A, infer B>
    ? Map<A, B>
    : T[K] extends ReadonlySet<infer A>
      ? Set<A>
      : T[K];
};

/** One running step. */
export interface Draft {
  readonly deps: KeygenDeps;
  readonly state: Mutable<KeygenState>;
  readonly effects: KeygenEffect[];
}

/** Copies what the step may change; entries of the maps are never changed. */
export const openDraft = (state: KeygenState, deps: KeygenDeps): Draft => ({
  deps,
  effects: [],
  state: {
    ...state,
    round1: new Map(state.round1),
    echoes: new Map(state.echoes),
    round2: new Map(state.round2),
    statements: new Map(state.statements),
    culprits: new Set(state.culprits),
    refusedFrom: new Set(state.refusedFrom),
  },
});

/** Everybody with a seat, in order. */
export const seatsOf = ({ state }: Draft): readonly PeerId[] => state.dealing.seats;

/** Seats that deal, ascending. */
export const dealersOf = ({ state }: Draft): readonly number[] => state.dealing.dealers;

/** Whether this party gets a share. */
export const receives = ({ state }: Draft): boolean =>
  state.index > 0 && state.index <= state.dealing.receivers;

/** The peer on a seat. @throws INTERNAL for a seat outside 1..n. */
export function peerOf(draft: Draft, index: number): PeerId {
  const peer = seatsOf(draft)[index - 1];
  if (peer === undefined) throw new BzzzError('INTERNAL', `no party has index ${index}`);
  return peer;
}

/** The seat of a peer; 0 for who has none. */
export const indexOf = (draft: Draft, peer: PeerId): number => seatsOf(draft).indexOf(peer) + 1;

/** All other seats. */
export const othersOf = (draft: Draft): readonly number[] =>
  seatsOf(draft)
    .map((_, i) => i + 1)
    .filter((index) => index !== draft.state.index);

/** Everybody but this party, and the proposer, who may hold no share but wants to know the end. */
function audience(draft: Draft): readonly PeerId[] {
  const all = new Set([...seatsOf(draft), draft.state.sealed.proposal.proposer]);
  all.delete(draft.deps.self);
  return [...all];
}

/** The fields that every message of this session begins with. */
export const head = ({ state }: Draft): { readonly v: 1; readonly sid: SessionId } => ({
  v: 1,
  sid: state.sealed.sid,
});

/** Signs a message as this party. */
export const seal = <K extends SignedKind>(
  { deps }: Draft,
  kind: K,
  payload: Payloads[K],
): Uint8Array => sealMessage(deps.clusterId, deps.signer, kind, payload);

/** Opens an envelope as one kind. @throws BAD_MESSAGE. */
export const open = <K extends SignedKind>(draft: Draft, kind: K, envelope: Uint8Array): Said<K> =>
  openMessage(draft.deps.clusterId, draft.deps.open, kind, envelope);

/** Sends to the other parties. */
export function sendParties(draft: Draft, packet: Uint8Array): void {
  const to = othersOf(draft).map((index) => peerOf(draft, index));
  draft.effects.push({ type: 'send', to, envelope: packet });
}

/** Sends to the other parties and the proposer. */
export const sendAll = (draft: Draft, packet: Uint8Array): void =>
  void draft.effects.push({ type: 'send', to: audience(draft), envelope: packet });

/** Sends to one peer. */
export const sendTo = (draft: Draft, to: PeerId, packet: Uint8Array): void =>
  void draft.effects.push({ type: 'send', to: [to], envelope: packet });

/** Reports something; `data` never holds a secret. */
export const event = (
  draft: Draft,
  kind: string,
  data: Readonly<Record<string, unknown>> = {},
): void => void draft.effects.push({ type: 'event', kind, data });

/** Each of round1, echo, round2 and attested gets a quarter of the proposal's life. */
export const phaseMs = ({ state }: Draft): number =>
  Math.max(1, Math.floor(state.sealed.proposal.ttlMs / 4));

/** Moves on, reports it and starts the phase's deadline. */
export function enter(
  draft: Draft,
  phase: 'round1' | 'echo' | 'round2' | 'attested' | 'watching',
  ms: number = phaseMs(draft),
): void {
  draft.state.phase = phase;
  event(draft, 'phase', { phase });
  draft.effects.push({ type: 'timer', name: 'phase', ms });
}

/** Peer ids of a set of indices, in index order. */
export const peersOf = (draft: Draft, indices: Iterable<number>): readonly PeerId[] =>
  [...indices].sort((a, b) => a - b).map((index) => peerOf(draft, index));

/** Builds the end of a session that did not complete; culprits are those known now. */
export function failureOf(
  draft: Draft,
  state: Failure['state'],
  error: ErrorShape,
  silent: Iterable<number> = [],
): Failure {
  const { culprits } = draft.state;
  return {
    state,
    error,
    culprits: peersOf(draft, culprits),
    silent: peersOf(
      draft,
      [...silent].filter((index) => !culprits.has(index)),
    ),
  };
}

/**
 * Reports the end. A terminal state stays what it was, unless a certificate turns it to completed;
 * later news can add culprits or free the pending share.
 */
export function conclude(draft: Draft, outcome: KeygenOutcome, pending: boolean): void {
  const { state } = draft;
  const before = state.ended;
  let now = outcome;
  if (before !== undefined) {
    if (before.state === 'completed') return;
    if (outcome.state !== 'completed') {
      now = { ...before, culprits: peersOf(draft, state.culprits) };
      const known = now.culprits.length === before.culprits.length;
      if (known && pending === state.pending) return;
    }
  }
  state.ended = now;
  state.pending = pending;
  draft.effects.push({ type: 'done', outcome: now, pending });
}

/** Forgets what the dealers gave this party; all of it together is most of the share. */
export function dropSubshares({ state }: Draft): void {
  for (const { payload } of state.round2.values()) payload.subshare.fill(0);
  state.round2.clear();
}

/** Nothing more is waited for. */
export function close(draft: Draft): void {
  const { state } = draft;
  state.phase = 'over';
  if (state.secret !== undefined) state.dealing.wipe(state.secret);
  state.secret = undefined;
  state.share?.signingShare.fill(0);
  state.share = undefined;
  dropSubshares(draft);
  for (const name of ['phase', 'inquire']) draft.effects.push({ type: 'clearTimer', name });
}
