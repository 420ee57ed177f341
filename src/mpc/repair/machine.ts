/**
 * The repair of a lost share as a pure machine; `types.ts` has the table of its phases.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError, type ErrorShape, isBadMessage, toBzzzError } from '../../base/errors.ts';
import { wipe } from '../keys/sharefile.ts';
import type { SessionInput, Step } from '../types.ts';
import {
  openRepair,
  type Payloads,
  type RepairKind,
  type RepairRefusal,
  type Said,
  sealRepair,
  unpackRepair,
} from './messages.ts';
import type {
  RepairDeps,
  RepairEffect,
  RepairOutcome,
  RepairPhase,
  RepairStart,
  RepairState,
} from './types.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

interface Draft {
  readonly deps: RepairDeps;
  readonly state: Mutable<RepairState> & {
    readonly deltas: Map<number, Said<'delta'>>;
    readonly sigmas: Map<number, Said<'sigma'>>;
  };
  readonly effects: RepairEffect[];
}

/** A session at its beginning: feed it `start`. */
export function createRepair(start: RepairStart, { self }: RepairDeps): RepairState {
  const index = start.key.parties.find(({ peerId }) => peerId === self)?.index ?? 0;
  const { helpers, lost } = start.sealed.proposal;
  const phase = helpers.includes(index) ? 'deltas' : index === lost ? 'sigmas' : 'finishing';
  return {
    ...{ start, phase, index, own: undefined, rebuilt: undefined, culprits: [] },
    ...{ deltas: new Map(), sigmas: new Map(), ended: undefined },
  };
}

/** One step. Bad messages change nothing. */
export function stepRepair(
  state: RepairState,
  input: SessionInput,
  deps: RepairDeps,
): Step<RepairState, RepairEffect> {
  const maps = { deltas: new Map(state.deltas), sigmas: new Map(state.sigmas) };
  const draft: Draft = { deps, effects: [], state: { ...state, ...maps } };
  if (draft.state.phase !== 'over') {
    handle(draft, input);
    advance(draft);
  }
  return { state: draft.state, effects: draft.effects };
}

function handle(draft: Draft, input: SessionInput): void {
  switch (input.type) {
    case 'start':
      begin(draft);
      return;
    case 'message':
      receive(draft, input.from, input.envelope);
      return;
    case 'timer':
      onDeadline(draft);
      return;
    case 'stored':
      onStored(draft);
      return;
    case 'storeFailed':
      wipeRebuilt(draft);
      giveUp(draft, 'disk', input.error);
      return;
    case 'cancel':
      onCancel(draft, input.by, input.reason);
  }
}

function begin(draft: Draft): void {
  const { state, deps, effects } = draft;
  const { sealed, share } = state.start;
  const { helpers, lost, ttlMs } = sealed.proposal;
  effects.push({ type: 'timer', name: 'phase', ms: ttlMs });
  if (state.phase !== 'deltas') return;
  if (share === undefined) throw new BzzzError('INTERNAL', 'helping without a share');
  const parts = deps.suite.repairDeltas(share, helpers, lost, deps.random);
  wipe(share.signingShare);
  for (const [to, part] of parts) {
    if (to === state.index) {
      state.own = part;
      continue;
    }
    send(draft, [peerOf(draft, to)], 'delta', { ...head(draft), to, part });
    wipe(part);
  }
}

function receive(draft: Draft, from: PeerId, packet: Uint8Array): void {
  const { deps, state } = draft;
  const { sid } = state.start.sealed;
  try {
    const { kind, body } = unpackRepair(packet);
    if (kind === 'delta') onDelta(draft, openRepair(deps, sid, kind, body));
    else if (kind === 'sigma') onSigma(draft, openRepair(deps, sid, kind, body));
    else if (kind === 'done') onDone(draft, openRepair(deps, sid, kind, body));
    else onRefusal(draft, openRepair(deps, sid, kind, body));
  } catch (error) {
    if (!(error instanceof BzzzError) || error.code !== 'BAD_MESSAGE') throw error;
    draft.effects.push({ type: 'event', kind: 'bad-message', data: { from, why: error.message } });
  }
}

function onDelta(draft: Draft, said: Said<'delta'>): void {
  const { state } = draft;
  const from = helperOf(draft, said.author);
  const { to, part } = said.payload;
  if (state.phase !== 'deltas' || from === 0 || to !== state.index || from === to) return;
  if (state.deltas.has(from)) return;
  if (isScalar(draft, part)) state.deltas.set(from, said);
  else convict(draft, said);
}

function onSigma(draft: Draft, said: Said<'sigma'>): void {
  const { state } = draft;
  const from = helperOf(draft, said.author);
  if (state.phase !== 'sigmas' || from === 0 || state.sigmas.has(from)) return;
  if (isScalar(draft, said.payload.part)) state.sigmas.set(from, said);
  else convict(draft, said);
}

/** Only the loser knows that its share is back. */
function onDone(draft: Draft, { author }: Said<'done'>): void {
  if (author === loserOf(draft)) conclude(draft, { state: 'completed' });
}

function onRefusal(draft: Draft, { author, payload }: Said<'refusal'>): void {
  if (!everybody(draft).includes(author)) return;
  const { reason, evidence } = payload;
  const culprit = evidence === null ? undefined : guilty(draft, author, evidence);
  const error: ErrorShape = {
    code: reason === 'deadline' ? 'SESSION_EXPIRED' : 'SESSION_FAILED',
    message: `${author} ended the repair: ${reason}`,
    details: { party: author, reason },
  };
  if (culprit !== undefined) draft.state.culprits = [culprit];
  conclude(draft, failure(draft, reason, error));
}

/** Who signed the evidence, if it proves what the accuser says. */
function guilty(draft: Draft, accuser: PeerId, evidence: Uint8Array): PeerId | undefined {
  const { sid } = draft.state.start.sealed;
  for (const kind of ['delta', 'sigma'] as const) {
    try {
      const { author, payload } = openRepair(draft.deps, sid, kind, evidence);
      const isHelper = helperOf(draft, author) !== 0 && author !== accuser;
      return isHelper && !isScalar(draft, payload.part) ? author : undefined;
    } catch (error) {
      // It may be of the other kind.
      if (!(error instanceof BzzzError) || error.code !== 'BAD_MESSAGE') throw error;
    }
  }
  return undefined;
}

function convict(draft: Draft, { author, envelope }: Said<'delta' | 'sigma'>): void {
  draft.state.culprits = [author];
  const message = `party ${author} broke the protocol: bad-part`;
  const details = { culprit: author, crime: 'bad-part' };
  draft.effects.push({ type: 'event', kind: 'culprit', data: { party: author, ...details } });
  giveUp(draft, 'bad-part', { code: 'SESSION_FAILED', message, details }, envelope);
}

/** Moves on as far as what is here allows. */
function advance(draft: Draft): void {
  const { state, deps } = draft;
  const { helpers } = state.start.sealed.proposal;
  if (state.phase === 'deltas' && state.own !== undefined) {
    if (state.deltas.size < helpers.length - 1) return;
    const parts = [...state.deltas].map(([i, { payload }]) => [i, payload.part] as const);
    const part = deps.suite.repairSigma(new Map([...parts, [state.index, state.own]]));
    forget(draft);
    enter(draft, 'finishing');
    send(draft, [loserOf(draft)], 'sigma', { ...head(draft), part });
    wipe(part);
  } else if (state.phase === 'sigmas' && state.sigmas.size === helpers.length) rebuild(draft);
}

function enter(draft: Draft, phase: RepairPhase): void {
  draft.state.phase = phase;
  draft.effects.push({ type: 'event', kind: 'phase', data: { phase } });
}

function rebuild(draft: Draft): void {
  const { state, deps, effects } = draft;
  const { key, sealed } = state.start;
  const sigmas = new Map([...state.sigmas].map(([i, { payload }]) => [i, payload.part]));
  try {
    const share = deps.suite.repairFinish(key, sealed.proposal.lost, sigmas);
    enter(draft, 'storing');
    state.rebuilt = share;
    effects.push({ type: 'store', name: 'share', share });
  } catch (thrown) {
    const error = toBzzzError(thrown);
    if (error.code !== 'BAD_MESSAGE') throw thrown;
    giveUp(draft, 'mismatch', {
      code: 'SESSION_FAILED',
      message: 'the parts of the helpers are not the lost share',
      why: 'one of them has lied or holds another share; which one cannot be told',
    });
  }
  forget(draft);
}

function onStored(draft: Draft): void {
  if (draft.state.phase !== 'storing') return;
  wipeRebuilt(draft);
  send(draft, others(draft), 'done', head(draft));
  conclude(draft, { state: 'completed' });
}

function onDeadline(draft: Draft): void {
  if (draft.state.phase === 'storing') return;
  const waitedFor = silent(draft);
  giveUp(draft, 'deadline', {
    code: 'SESSION_EXPIRED',
    message: `repair: ${draft.state.phase} was not through in time`,
    details: { phase: draft.state.phase, silent: waitedFor },
  });
}

function silent(draft: Draft): readonly PeerId[] {
  const { phase, deltas, sigmas, index, start } = draft.state;
  if (phase === 'finishing') return [loserOf(draft)];
  const here = phase === 'deltas' ? deltas : sigmas;
  const { helpers } = start.sealed.proposal;
  return helpers.filter((i) => i !== index && !here.has(i)).map((i) => peerOf(draft, i));
}

function onCancel(draft: Draft, by: PeerId, reason: string): void {
  if (by !== draft.state.start.sealed.proposal.proposer && by !== draft.deps.self) return;
  giveUp(draft, 'cancelled', { code: 'CANCELLED', message: reason, details: { by } });
}

/** Ends the session here, and says so to all. */
function giveUp(
  draft: Draft,
  reason: RepairRefusal,
  error: ErrorShape,
  evidence: Uint8Array | null = null,
): void {
  send(draft, others(draft), 'refusal', { ...head(draft), reason, evidence });
  conclude(draft, failure(draft, reason, error));
}

const failure = (draft: Draft, reason: RepairRefusal, error: ErrorShape): RepairOutcome => ({
  state: reason === 'deadline' ? 'expired' : reason === 'cancelled' ? 'cancelled' : 'failed',
  error,
  culprits: draft.state.culprits,
  silent: reason === 'deadline' ? silent(draft) : [],
});

function conclude(draft: Draft, outcome: RepairOutcome): void {
  const { state, effects } = draft;
  if (state.ended !== undefined) return;
  forget(draft);
  wipeRebuilt(draft);
  if (state.start.share !== undefined) wipe(state.start.share.signingShare);
  state.phase = 'over';
  state.ended = outcome;
  effects.push({ type: 'clearTimer', name: 'phase' }, { type: 'done', outcome });
}

/** Nothing of the parts is needed any more. */
function forget({ state }: Draft): void {
  for (const { payload } of state.deltas.values()) wipe(payload.part);
  for (const { payload } of state.sigmas.values()) wipe(payload.part);
  if (state.own !== undefined) wipe(state.own);
  state.own = undefined;
  state.deltas.clear();
  state.sigmas.clear();
}

function wipeRebuilt({ state }: Draft): void {
  if (state.rebuilt !== undefined) wipe(state.rebuilt.signingShare);
  state.rebuilt = undefined;
}

/** Whether the suite can add the part up at all. */
function isScalar({ deps }: Draft, part: Uint8Array): boolean {
  try {
    wipe(deps.suite.repairSigma(new Map([[1, part]])));
    return true;
  } catch (error) {
    if (isBadMessage(error)) return false;
    throw error;
  }
}

const head = ({ state }: Draft) => ({ v: 1 as const, sid: state.start.sealed.sid });

function peerOf({ state }: Draft, index: number): PeerId {
  const party = state.start.key.parties[index - 1];
  if (party === undefined) throw new BzzzError('INTERNAL', `no party has index ${index}`);
  return party.peerId;
}

const loserOf = (draft: Draft): PeerId => peerOf(draft, draft.state.start.sealed.proposal.lost);

/** The index of a helper; 0 for anybody else. */
function helperOf({ state }: Draft, peer: PeerId): number {
  const { helpers } = state.start.sealed.proposal;
  const index = state.start.key.parties.find(({ peerId }) => peerId === peer)?.index ?? 0;
  return helpers.includes(index) ? index : 0;
}

/** Everybody with a part, and the proposer. */
function everybody(draft: Draft): readonly PeerId[] {
  const { helpers, lost, proposer } = draft.state.start.sealed.proposal;
  return [...new Set([...[...helpers, lost].map((i) => peerOf(draft, i)), proposer])];
}

const others = (draft: Draft): readonly PeerId[] =>
  everybody(draft).filter((peer) => peer !== draft.deps.self);

function send<K extends RepairKind>(
  draft: Draft,
  to: readonly PeerId[],
  kind: K,
  payload: Payloads[K],
): void {
  if (to.length === 0) return;
  draft.effects.push({ type: 'send', to, envelope: sealRepair(draft.deps, kind, payload) });
}
