/**
 * The machine of a signing session: one input, one step, its effects. See types.ts for the states.
 * @module
 */

import type { PeerId } from '../../base/brands.ts';
import { equalBytes, sha256 } from '../../base/bytes.ts';
import { BzzzError, isBadMessage } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { requestIdOf } from '../result.ts';
import { onApproved } from './approval.ts';
import type { Standing } from './arbiter.ts';
import { onCommitRequest } from './commit.ts';
import { beginStep, type Context, clearTimer, endStep, event, send, setTimer } from './draft.ts';
import {
  onCommitment,
  onDriveTimer,
  onSignerGone,
  onSpent,
  onStoodBack,
  pursue,
  startAttempt,
} from './drive.ts';
import { onBlame } from './evidence.ts';
import { acceptResult, expire, fail, failIfTooFew, tellResult } from './finish.ts';
import {
  openMessage,
  type Received,
  type SigningMessage,
  shortReason,
  shortRefusal,
  unpackResult,
} from './messages.ts';
import { rankHolders } from './rank.ts';
import {
  AGGREGATE,
  finishHeld,
  onAggregateTimer,
  onPackage,
  onShare,
  onShareTimer,
  onSignOwn,
  SHARE,
} from './share.ts';
import type {
  Refusal,
  Session,
  SigningDeps,
  SigningInput,
  SigningStart,
  SigningState,
  SigningStep,
} from './types.ts';
import { NonceVault } from './vault.ts';

/**
 * A session before its `start`. Everything that the proposal binds is held against the key and the
 * message here, once (S2).
 * @throws BAD_MESSAGE naming what does not fit; TOO_LARGE for the message.
 */
export function openSigning(start: SigningStart, deps: SigningDeps): SigningState {
  checkStart(start, deps);
  const session = openSession(start, deps);
  return {
    session,
    phase: 'ready',
    turn: session.rank,
    vault: new NonceVault((nonces) => deps.suite.wipeNonces(nonces)),
    drive: undefined,
    counter: 0,
    attempts: new Map(),
    packages: 0,
    early: new Map(),
    refused: new Map(),
    culprits: new Map(),
    silent: new Set(),
    aside: new Set(),
    yields: 0,
    waits: 0,
    supersededBy: undefined,
    bound: false,
    progress: new Map(),
    timers: new Set(),
    result: undefined,
  };
}

function checkStart({ sealed, key, message, share }: SigningStart, deps: SigningDeps): void {
  const { proposal } = sealed;
  const refuse = (what: string): never => {
    throw new BzzzError('BAD_MESSAGE', `signing proposal ${sealed.sid}: ${what}`);
  };
  if (message.length > LIMITS.signMessageBytes) {
    const text = `message of ${message.length} bytes, at most ${LIMITS.signMessageBytes}`;
    throw new BzzzError('TOO_LARGE', text);
  }
  if (proposal.clusterId !== deps.clusterId) refuse('of another cluster');
  if (
    proposal.keyId !== key.keyId ||
    proposal.keyEpoch !== key.epoch ||
    proposal.suite !== key.suite ||
    proposal.threshold !== key.threshold ||
    deps.suite.name !== key.suite
  ) {
    refuse('for another key, or another form of it');
  }
  if (proposal.purpose !== key.purpose) refuse('for another purpose');
  if (!equalBytes(sha256(message), proposal.messageHash)) refuse('with another message');
  if (requestIdOf(proposal) !== proposal.requestId) refuse('with another request id');
  const index = key.parties.find(({ peerId }) => peerId === deps.self)?.index;
  if (share !== undefined && share.index !== index) refuse('with a share of another party');
  if (index === undefined && proposal.proposer !== deps.self) refuse('no business of this node');
}

function openSession(start: SigningStart, { self }: SigningDeps): Session {
  const { proposer, requestId } = start.sealed.proposal;
  const holders = new Map(start.key.parties.map(({ peerId, index }) => [peerId, index]));
  const ranked = rankHolders(requestId, proposer, holders.keys());
  const rank = self === proposer ? 0 : ranked.indexOf(self) + 1;
  const members = [...new Set([...holders.keys(), proposer])];
  return { sid: start.sealed.sid, start, proposer, holders, members, ranked, rank };
}

/**
 * One step. Pure but for the vault and the injected randomness: the state that was passed in stays
 * as it was, except that used nonces are gone from both.
 */
export function stepSigning(
  state: SigningState,
  input: SigningInput,
  deps: SigningDeps,
): SigningStep {
  const context = beginStep(state, deps);
  try {
    handle(context, input);
    failIfTooFew(context);
    pursue(context);
    return endStep(context);
  } catch (error) {
    if (!isBadMessage(error)) throw error;
    // Refused, blaming nobody: what the handler began is dropped with the draft.
    const from = input.type === 'message' || input.type === 'refused' ? input.from : deps.self;
    return { state, effects: [{ type: 'ignored', from, reason: error.message }] };
  }
}

function handle(context: Context, input: SigningInput): void {
  switch (input.type) {
    case 'start':
      onStart(context);
      break;
    case 'message':
      onMessage(context, input.from, input.envelope);
      break;
    case 'timer':
      onTimer(context, input.name);
      break;
    case 'signOwn':
      onSignOwn(context, input.attempt);
      break;
    case 'gone':
      onGone(context, input.peer);
      break;
    case 'superseded':
      onSuperseded(context, input);
      break;
    case 'resumed':
      onResumed(context);
      break;
    case 'cancel':
      onCancel(context, input.by, input.reason);
      break;
    case 'withdraw':
      onWithdraw(context, input);
      break;
    case 'approved':
      onApproved(context, input.share);
      break;
    case 'refused':
      onRefuse(context, input.from, input);
      break;
    case 'result':
      onForeignResult(context, input.record);
      break;
    // A signing session stores nothing before it ends.
    case 'stored':
    case 'storeFailed':
      break;
  }
}

function onStart(context: Context): void {
  const { state } = context;
  const { start, rank } = state.session;
  if (state.phase !== 'ready') return;
  state.phase = 'running';
  event(context, 'started', { rank });
  if (start.result !== undefined && isKnown(context, start.result)) return;
  setTimer(context, 'deadline', start.sealed.proposal.ttlMs);
  if (state.supersededBy === undefined) takeTurn(context);
}

/** Whether the node's own copy of a result ends the session. A bad copy must not stop it. */
function isKnown(context: Context, record: Uint8Array): boolean {
  try {
    onForeignResult(context, record);
    return true;
  } catch (error) {
    if (!isBadMessage(error)) throw error;
    context.effects.push({ type: 'ignored', from: context.deps.self, reason: error.message });
    return false;
  }
}

/** The proposer drives at once, the others when nobody else gets on. */
function takeTurn(context: Context): void {
  const { session, turn } = context.state;
  if (session.rank === 0) startAttempt(context);
  else setTimer(context, 'takeover', turn * context.deps.timing.rankMs);
}

function onMessage(context: Context, from: PeerId, envelope: Uint8Array): void {
  const { state, deps } = context;
  if (!state.session.members.includes(from)) {
    throw new BzzzError('BAD_MESSAGE', `${from} has no part in this session`);
  }
  if (state.phase === 'ready') {
    throw new BzzzError('BAD_MESSAGE', 'the session has not started');
  }
  const record = unpackResult(envelope);
  if (record !== undefined) {
    acceptResult(context, record);
    return;
  }
  const received = openMessage(state.session.sid, envelope, deps);
  if (received.author !== from) {
    throw new BzzzError('BAD_MESSAGE', `message of ${received.author} brought by ${from}`);
  }
  if (state.phase === 'running') onRunning(context, received);
  else onEnded(context, received);
}

function onRunning(context: Context, received: Received): void {
  const { state } = context;
  const { author, message } = received;
  // What proves itself is welcome from anyone, also from a party that is proven faulty.
  if (message.kind !== 'blame' && state.culprits.has(author)) {
    throw new BzzzError('BAD_MESSAGE', `${author} is proven faulty (${message.kind})`);
  }
  switch (message.kind) {
    case 'blame':
      onBlame(context, message.evidence);
      break;
    case 'commitRequest':
      onCommitRequest(context, { ...received, message });
      break;
    case 'commitment':
      onCommitment(context, { ...received, message });
      break;
    case 'package':
    case 'pooled':
      onPackage(context, { ...received, message });
      break;
    case 'spent':
      onSpent(context, { ...received, message });
      break;
    case 'share':
      onShare(context, { ...received, message });
      break;
    case 'refuse':
      onRefuse(context, author, message);
      break;
    case 'cancel':
      onCancel(context, author, message.reason);
      break;
    case 'superseded':
      onStoodBack(context, { ...received, message });
      break;
  }
}

/** An ended session takes evidence, and a completed one helps those who missed the result. */
function onEnded(context: Context, { author, message }: Received): void {
  if (message.kind === 'blame') onBlame(context, message.evidence);
  else if (asksForResult(message.kind)) tellResult(context, [author]);
}

/** Whether a driver that sends this to an ended session missed its end. */
export const asksForResult = (kind: SigningMessage['kind']): boolean =>
  kind === 'commitRequest' || kind === 'package' || kind === 'pooled';

function onTimer(context: Context, name: string): void {
  const { state } = context;
  // A timer that was cleared may have been on its way.
  if (state.phase !== 'running' || !state.timers.delete(name)) return;
  if (name === 'deadline') expire(context);
  else if (name === 'drive') onDriveTimer(context);
  else if (name === 'takeover') onTakeover(context);
  else if (name.startsWith(SHARE)) onShareTimer(context, name.slice(SHARE.length));
  else if (name.startsWith(AGGREGATE)) onAggregateTimer(context, name.slice(AGGREGATE.length));
}

function onTakeover(context: Context): void {
  const { state, deps } = context;
  const idle = state.drive === undefined && state.supersededBy === undefined;
  // A holder that waits for its operator leaves the driving to those who may sign.
  const able = state.session.start.share !== undefined || deps.self === state.session.proposer;
  if (!idle || !able || state.culprits.has(deps.self)) return;
  // Whoever drove so far is silent now, or too slow: others sign first.
  for (const peer of [state.session.proposer, ...state.progress.keys()]) state.aside.add(peer);
  startAttempt(context);
}

/** The driver's signer is replaced at once; without its driver the next holder goes on soon. */
function onGone(context: Context, peer: PeerId): void {
  const { state, deps } = context;
  if (state.phase !== 'running') return;
  if (state.drive !== undefined) {
    onSignerGone(context, peer);
    return;
  }
  const drove = peer === state.session.proposer || state.progress.has(peer);
  if (!drove || !state.timers.has('takeover')) return;
  setTimer(context, 'takeover', state.turn * deps.timing.goneMs);
}

/** Stands back: stops driving and answers no driver. Nonces that were committed stay unused. */
function onSuperseded(context: Context, { by, bound }: Standing): void {
  const { state } = context;
  if (state.phase !== 'ready' && state.phase !== 'running') return;
  state.bound = bound;
  if (!bound && finishHeld(context)) return;
  if (state.supersededBy === by) return;
  state.supersededBy = by;
  state.drive = undefined;
  clearTimer(context, 'drive');
  clearTimer(context, 'takeover');
  event(context, 'superseded', { by });
}

/** The other session ended without a result. */
function onResumed(context: Context): void {
  const { state } = context;
  if (state.supersededBy === undefined) return;
  state.supersededBy = undefined;
  state.bound = false;
  event(context, 'resumed');
  if (state.phase === 'running' && !finishHeld(context)) takeTurn(context);
}

/** Only the proposer may cancel; anyone else who is asked to can but withdraw itself. */
function onCancel(context: Context, by: PeerId, reason: string): void {
  const { state, deps } = context;
  const { proposer, members, sid } = state.session;
  if (state.phase !== 'running') return;
  if (by === deps.self && by !== proposer) {
    onWithdraw(context, { code: 'CANCELLED' });
    return;
  }
  if (by !== proposer) {
    throw new BzzzError('BAD_MESSAGE', `${by} is not the proposer and cannot cancel`);
  }
  if (by === deps.self) send(context, members, { kind: 'cancel', reason: shortReason(reason) });
  const error = new BzzzError('CANCELLED', `session ${sid} was cancelled by its proposer`, {
    why: shortReason(reason),
  });
  fail(context, 'cancelled', error.toShape());
}

/** This party takes no part any more, and says so. */
function onWithdraw(context: Context, refusal: Refusal): void {
  const { state, deps } = context;
  const { proposer, members, sid } = state.session;
  if (state.phase !== 'running' && state.phase !== 'ready') return;
  const { code, rule, reason } = shortRefusal(refusal);
  if (deps.self === proposer) {
    onCancel(context, proposer, `withdrawn: ${reason ?? code}`);
    return;
  }
  send(context, members, { kind: 'refuse', ...shortRefusal(refusal) });
  const error = new BzzzError(code, `this node withdrew from session ${sid}`, {
    ...(reason === undefined ? {} : { why: reason }),
    ...(rule === undefined ? {} : { details: { rule } }),
  });
  fail(context, 'failed', error.toShape());
}

function onRefuse(context: Context, from: PeerId, refusal: Refusal): void {
  const { state, deps } = context;
  if (!state.session.holders.has(from) || from === deps.self) {
    throw new BzzzError('BAD_MESSAGE', `refusal of ${from}, who holds no other share`);
  }
  if (state.phase !== 'running' || state.refused.has(from)) return;
  state.refused.set(from, shortRefusal(refusal));
  event(context, 'refused', { peerId: from, ...shortRefusal(refusal) });
}

/** A result that another session or the store brought: the proposer may have no other way to it. */
function onForeignResult(context: Context, record: Uint8Array): void {
  const { state } = context;
  const before = state.result;
  acceptResult(context, record);
  if (state.result !== before) tellResult(context, [state.session.proposer]);
}
