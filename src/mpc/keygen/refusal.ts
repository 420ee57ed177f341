/**
 * Giving up. Before a party attests it may refuse: it stores the refusal, then says it, then wipes.
 * After that it cannot. Another's refusal ends the session for it, but does not make it wipe: who
 * refuses here may have attested there, and then the certificate exists and names this share.
 * @module
 */
import { BzzzError, type ErrorShape } from '../../base/errors.ts';
import type { Failure } from '../types.ts';
import { judgeComplaint } from './complaint.ts';
import {
  close,
  conclude,
  type Draft,
  event,
  failureOf,
  head,
  indexOf,
  peersOf,
  seal,
  sendAll,
} from './draft.ts';
import { pack, type RefusalReason, type Said } from './messages.ts';

/**
 * Ends the session for this party without success.
 * @param complaint envelope of the complaint that says why, for those who did not hear it.
 */
export function giveUp(
  draft: Draft,
  reason: RefusalReason,
  failure: Failure,
  complaint: Uint8Array | null = null,
): void {
  const { state } = draft;
  switch (state.phase) {
    case 'watching':
      close(draft);
      conclude(draft, failure, false);
      return;
    case 'attested':
    case 'certifying':
      conclude(draft, failure, true);
      return;
    case 'refusing':
      return;
    case 'over':
      conclude(draft, failure, state.pending);
      return;
    default:
      refuse(draft, failure, seal(draft, 'refusal', { ...head(draft), reason, complaint }));
  }
}

/** Stores what ends the session; nothing is said or wiped before `stored`. */
function refuse(draft: Draft, failure: Failure, refusal: Uint8Array): void {
  const { state, effects } = draft;
  state.phase = 'refusing';
  state.failure = failure;
  state.refusal = refusal;
  if (state.secret !== undefined) state.dealing.wipe(state.secret);
  state.secret = undefined;
  for (const name of ['phase', 'inquire']) effects.push({ type: 'clearTimer', name });
  effects.push({ type: 'store', name: 'refusal', refusal });
}

/**
 * The refusal is on the disk: say it (or pass another's on) and end. Only the promise of this party
 * itself, never to attest, makes sure that no certificate names its share.
 */
export function onRefusalStored(draft: Draft): void {
  const { state } = draft;
  if (state.phase !== 'refusing') return;
  if (state.refusal === undefined || state.failure === undefined) {
    throw new BzzzError('INTERNAL', 'refusing without a refusal');
  }
  sendAll(draft, pack('refusal', state.refusal));
  if (!state.attested) draft.effects.push({ type: 'wipe' });
  close(draft);
  conclude(draft, { ...state.failure, culprits: peersOf(draft, state.culprits) }, false);
}

/**
 * A refusal that is not on the disk must not be said: the share, if it is stored, could still be
 * attested after a restart. The session ends here in silence; {@link refuseLate} when peers ask.
 */
export function onRefusalFailed(draft: Draft, error: ErrorShape): void {
  const { state } = draft;
  if (state.phase !== 'refusing' || state.failure === undefined) return;
  event(draft, 'disk', { what: 'refusal', code: error.code });
  const { failure } = state;
  state.refusal = undefined;
  if (!state.attested) {
    close(draft);
    conclude(draft, failure, false);
    return;
  }
  state.phase = 'attested';
  draft.effects.push({ type: 'timer', name: 'inquire', ms: state.inquireMs });
  conclude(draft, failure, true);
}

/**
 * A party asks whose share waits, and this one ended without a refusal because the disk took none:
 * it tries again. It has not attested, and an ended session never will.
 */
export function refuseLate(draft: Draft): void {
  const { attested, ended, index, phase, refusal } = draft.state;
  if (phase !== 'over' || attested || index === 0 || refusal !== undefined) return;
  if (ended === undefined || ended.state === 'completed') return;
  refuse(draft, ended, seal(draft, 'refusal', { ...head(draft), reason: 'disk', complaint: null }));
}

/** Somebody says that it never attested and never will: then this key will never be. */
export function onRefusal(draft: Draft, said: Said<'refusal'>): void {
  const { state } = draft;
  const { reason, complaint } = said.payload;
  const author = indexOf(draft, said.author);
  if (author === 0 || author === state.index) return;
  // It refuses because of a complaint that may not have come here yet.
  if (complaint !== null) judgeComplaint(draft, complaint);
  if (state.phase === 'refusing' || state.phase === 'over') return;
  if (state.attested && state.statements.has(author)) {
    // It did attest. Its refusal frees nobody; others may hold the certificate already.
    event(draft, 'contradiction', { party: said.author });
    return;
  }
  event(draft, 'refused', { party: said.author, reason });
  const failure = failureOfRefusal(draft, said);
  if (state.attested) refuse(draft, failure, said.envelope);
  else giveUp(draft, 'peer-refused', failure, complaint);
}

/** How a session ends that a refusal ended. */
export function failureOfRefusal(draft: Draft, { author, payload }: Said<'refusal'>): Failure {
  const { reason } = payload;
  const message = `party ${author} refused: ${reason}`;
  const details = { party: author, reason };
  if (reason === 'deadline') {
    return failureOf(draft, 'expired', { code: 'SESSION_EXPIRED', message, details });
  }
  if (reason === 'cancelled') {
    return failureOf(draft, 'cancelled', { code: 'CANCELLED', message, details });
  }
  return failureOf(draft, 'failed', { code: 'SESSION_FAILED', message, details });
}
