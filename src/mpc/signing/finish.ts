/**
 * How a session ends. A failure is an end until evidence says otherwise: a verifying signature
 * turns any end into a completion, and nothing else changes an end (S1).
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { compareText } from '../../base/bytes.ts';
import { BzzzError, type ErrorCode, type ErrorShape } from '../../base/errors.ts';
import {
  compareResults,
  openResult,
  sealResult,
  toSignatureResult,
  type VerifiedResult,
  verifyResult,
} from '../result.ts';
import type { Failure } from '../types.ts';
import { type Context, clearTimer, event, sendSealed, signersOf, usableHolders } from './draft.ts';
import { packResult } from './messages.ts';
import type { Attempt } from './types.ts';

/**
 * Takes a sealed result from anyone.
 * @throws BAD_MESSAGE unless it is a valid result of this request; for a request that asked for a
 * fresh signature, of this very session.
 */
export function acceptResult(context: Context, envelope: Uint8Array): void {
  const { state, deps } = context;
  const { start, sid } = state.session;
  const { proposal } = start.sealed;
  const opened = openResult(envelope, deps.clusterId, deps.open);
  if (opened.record.requestId !== proposal.requestId) {
    throw new BzzzError('BAD_MESSAGE', 'result of another request');
  }
  if (proposal.fresh && opened.record.sid !== sid) {
    throw new BzzzError('BAD_MESSAGE', 'result of an earlier session; a fresh one was asked for');
  }
  const { key, message } = start;
  const result = verifyResult(opened, { key, message, suite: deps.suite });
  if (state.result !== undefined && compareResults(result, state.result) >= 0) return;
  const first = state.phase !== 'completed';
  state.result = result;
  context.effects.push({ type: 'record', result });
  if (first) complete(context, result);
}

function complete(context: Context, result: VerifiedResult): void {
  const { state } = context;
  closeDown(context);
  state.phase = 'completed';
  event(context, 'result', { author: result.author, sid: result.record.sid });
  context.effects.push({
    type: 'done',
    outcome: {
      state: 'completed',
      result: toSignatureResult(result),
      record: result.envelope,
      attempts: Math.max(1, state.packages),
      culprits: culpritList(context),
    },
  });
}

/** Seals the signature of an attempt as a holder, completes with it, and tells everyone. */
export function releaseSignature(context: Context, attempt: Attempt, signature: Uint8Array): void {
  const { session } = context.state;
  const { key, sealed } = session.start;
  const { requestId, messageHash, clusterId } = sealed.proposal;
  const { keyId, suite, purpose, groupKey } = key;
  const signers = signersOf(attempt);
  const { sid } = session;
  const record = sealResult(
    {
      v: 1,
      requestId,
      clusterId,
      keyId,
      sid,
      suite,
      purpose,
      messageHash,
      groupKey,
      signature,
      signers,
    },
    context.deps.signer,
  );
  acceptResult(context, record);
  tellResult(context, session.members);
}

/** Sends the result to those who may not have it. */
export function tellResult(context: Context, to: readonly PeerId[]): void {
  const { result } = context.state;
  if (result !== undefined) sendSealed(context, to, packResult(result.envelope));
}

/** Ends without a result. */
export function fail(
  context: Context,
  state: Failure['state'],
  error: ErrorShape,
  silent: readonly PeerId[] = [],
): void {
  closeDown(context);
  context.state.phase = state;
  const culprits = culpritList(context);
  context.effects.push({ type: 'done', outcome: { state, error, culprits, silent } });
}

/** Ends when fewer than threshold-many holders are left that could sign. */
export function failIfTooFew(context: Context): void {
  const { state } = context;
  const { key } = state.session.start;
  const left = usableHolders(context).length;
  if (state.phase !== 'running' || left >= key.threshold) return;
  const refused = [...state.refused].map(([peerId, refusal]) => ({ peerId, ...refusal }));
  const code: ErrorCode = refused.length > 0 ? 'REFUSED_BY_POLICY' : 'SESSION_FAILED';
  const said = refused.flatMap(({ peerId, reason }) =>
    reason === undefined ? [] : [`${peerId}: ${reason}`],
  );
  const [rule, ...rules] = new Set(refused.flatMap((one) => one.rule ?? []));
  const error = new BzzzError(code, `${left} of ${key.parties.length} holders can sign`, {
    why: [
      `${refused.length} refused, ${state.culprits.size} proven faulty; ${key.threshold} needed`,
      ...said,
    ].join('; '),
    details: {
      refused,
      culprits: culpritList(context),
      ...(rule === undefined || rules.length > 0 ? {} : { rule }),
    },
  });
  fail(context, 'failed', error.toShape());
}

/** Ends at the deadline, telling who was silent. */
export function expire(context: Context): void {
  const silent = silentParties(context);
  const { proposal } = context.state.session.start.sealed;
  const by = context.state.supersededBy;
  const error = new BzzzError('SESSION_EXPIRED', `no signature within ${proposal.ttlMs} ms`, {
    why: by === undefined ? `silent: ${silent.join(', ') || 'nobody'}` : `stood back for ${by}`,
    details: { silent },
  });
  fail(context, 'expired', error.toShape(), silent);
}

/** Who owes this party an answer. Faulty and refusing parties have their own lists. */
function silentParties({ state, deps }: Context): readonly PeerId[] {
  const { drive, session } = state;
  const silent = new Set(state.silent);
  if (drive === undefined) {
    if (!state.progress.has(session.proposer)) silent.add(session.proposer);
  } else {
    const attempt = state.attempts.get(drive.attempt ?? '');
    for (const [peer, index] of session.holders) {
      const member = attempt?.members.some((one) => one.author === peer) ?? false;
      const owes = attempt === undefined ? !drive.commitments.has(peer) : member;
      if (owes && !(attempt?.shares.has(index) ?? false)) silent.add(peer);
    }
  }
  return [...silent]
    .filter((peer) => peer !== deps.self && !state.culprits.has(peer) && !state.refused.has(peer))
    .sort(compareText);
}

const culpritList = ({ state }: Context): readonly PeerId[] =>
  [...state.culprits.keys()].sort(compareText);

/** Everything that a session holds ends with it: nonces, timers, attempts. */
function closeDown(context: Context): void {
  const { state } = context;
  state.vault.wipe();
  for (const name of [...state.timers]) clearTimer(context, name);
  state.drive = undefined;
  state.supersededBy = undefined;
  state.bound = false;
  state.attempts.clear();
  state.early.clear();
  state.progress.clear();
  state.silent.clear();
  state.aside.clear();
}
