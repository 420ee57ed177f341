/**
 * The end of a key generation: store the share, attest it, collect n equal statements.
 * @module
 */
import { equalBytes } from '../../base/bytes.ts';
import { BzzzError, type ErrorShape, toBzzzError } from '../../base/errors.ts';
import { encodeCertificate } from '../keys/certificate.ts';
import {
  allRound1,
  attestationOf,
  checkPending,
  statementBytes,
  statementOf,
} from './attestation.ts';
import { complain } from './complaint.ts';
import {
  close,
  conclude,
  type Draft,
  dropSubshares,
  enter,
  event,
  failureOf,
  indexOf,
  open,
  othersOf,
  phaseMs,
  receives,
  seal,
  seatsOf,
  sendAll,
  sendParties,
} from './draft.ts';
import { pack, type Said } from './messages.ts';
import { giveUp } from './refusal.ts';

/** First wait before peers are asked; it doubles up to {@link INQUIRE_MAX_MS}. */
export const INQUIRE_MIN_MS = 2_000;
export const INQUIRE_MAX_MS = 30_000;

/** All subshares hold: form the share and have it stored. Nothing is attested before `stored`. */
export function finish(draft: Draft): void {
  const { deps, state } = draft;
  const round1 = allRound1(draft);
  if (round1 === undefined) return;
  const { secret, dealing, index } = state;
  const subshares = new Map([...state.round2].map(([i, { payload }]) => [i, payload.subshare]));
  state.secret = undefined;
  try {
    if (receives(draft)) state.share = dealing.finish(index, secret, state.round1, subshares);
    else if (secret !== undefined) dealing.wipe(secret);
    state.attestation = attestationOf(draft, dealing.outcome(state.round1), round1);
    if (state.share !== undefined) checkPending(deps.suite, state.share, state.attestation);
  } catch (thrown) {
    const error = toBzzzError(thrown);
    giveUp(draft, 'internal', failureOf(draft, 'failed', error.toShape()));
    return;
  } finally {
    dropSubshares(draft);
  }
  for (const said of state.statements.values()) compare(draft, said);
  if (state.phase !== 'round2') return;
  state.phase = 'storing';
  event(draft, 'phase', { phase: 'storing' });
  const { share, attestation } = state;
  draft.effects.push(
    share === undefined
      ? { type: 'store', name: 'consent', attestation }
      : { type: 'store', name: 'share', share, attestation },
  );
}

/** Share or consent is on the disk, read back and checked (K1): attest it. */
export function onShareStored(draft: Draft): void {
  const { state } = draft;
  state.share?.signingShare.fill(0);
  state.share = undefined;
  if (state.phase === 'storing') attest(draft);
}

/** Signs and sends the statement. From here on this party never refuses. */
export function attest(draft: Draft): void {
  const { state } = draft;
  if (state.attestation === undefined) {
    throw new BzzzError('INTERNAL', 'attesting without a share');
  }
  const statement = statementOf(state.sealed.sid, state.attestation);
  const envelope = seal(draft, 'statement', statement);
  state.attested = true;
  state.statements.set(state.index, open(draft, 'statement', envelope));
  enter(draft, 'attested', phaseMs(draft));
  sendParties(draft, pack('statement', envelope));
  draft.effects.push({ type: 'timer', name: 'inquire', ms: state.inquireMs });
}

/** Share or consent could not be stored: this party cannot take part in the key. */
export function onShareFailed(draft: Draft, error: ErrorShape): void {
  const { state } = draft;
  state.share?.signingShare.fill(0);
  state.share = undefined;
  if (state.phase !== 'storing') return;
  giveUp(draft, 'disk', failureOf(draft, 'failed', error));
}

/** Another party's statement; it may come before this party has its own. */
export function onStatement(draft: Draft, said: Said<'statement'>): void {
  const { state } = draft;
  const author = indexOf(draft, said.author);
  if (author === 0 || author === state.index) return;
  const known = state.statements.get(author);
  if (known !== undefined) {
    if (equalBytes(known.bytes, said.bytes)) return;
    complain(draft, author, 'two-statement', [known.envelope, said.envelope]);
    return;
  }
  if (['refusing', 'watching', 'over'].includes(state.phase)) return;
  state.statements.set(author, said);
  compare(draft, said);
}

/** A statement that differs from the agreed outcome names its author. */
function compare(draft: Draft, said: Said<'statement'>): void {
  const { attestation, statements } = draft.state;
  if (attestation === undefined) return;
  if (equalBytes(said.bytes, statementBytes(draft, attestation))) return;
  const author = indexOf(draft, said.author);
  statements.delete(author);
  complain(draft, author, 'statement', [said.envelope]);
}

/** Parties that have not attested. */
export const missingStatements = (draft: Draft): readonly number[] =>
  othersOf(draft).filter((index) => !draft.state.statements.has(index));

/** n equal statements: the key exists. */
export function certify(draft: Draft): void {
  const { state } = draft;
  const envelopes = seatsOf(draft).flatMap((_, i) => state.statements.get(i + 1)?.envelope ?? []);
  onCertificate(draft, encodeCertificate(state.sealed.envelope, envelopes));
}

/**
 * A certificate, made here or heard. It is evidence: whatever the session ended with, it completes.
 * @throws BAD_MESSAGE unless it is the valid certificate of this session.
 */
export function onCertificate(draft: Draft, certificate: Uint8Array): void {
  const { state, effects } = draft;
  if (state.phase === 'certifying' || state.ended?.state === 'completed') return;
  const { keyInfo, sid } = state.dealing.verify(certificate);
  if (sid !== state.sealed.sid) {
    throw new BzzzError('BAD_MESSAGE', 'certificate of another session');
  }
  state.phase = 'certifying';
  state.certificate = certificate;
  state.keyInfo = keyInfo;
  event(draft, 'phase', { phase: 'certifying', keyId: keyInfo.keyId });
  effects.push({ type: 'store', name: 'certificate', certificate, keyInfo });
}

/** The certificate is on the disk: tell everybody, and end. */
export function onCertificateStored(draft: Draft): void {
  const { state } = draft;
  const { certificate, keyInfo } = state;
  if (state.phase !== 'certifying' || certificate === undefined || keyInfo === undefined) return;
  close(draft);
  sendAll(draft, pack('certificate', certificate));
  conclude(draft, { state: 'completed', keyInfo, certificate }, false);
}

/** The key exists but is not on this disk yet; the next inquiry tries again. */
export function onCertificateFailed(draft: Draft, error: ErrorShape): void {
  const { state } = draft;
  if (state.phase !== 'certifying') return;
  event(draft, 'disk', { what: 'certificate', code: error.code });
  state.certificate = undefined;
  state.keyInfo = undefined;
  state.phase = state.attested ? 'attested' : state.index === 0 ? 'watching' : 'over';
  if (state.phase !== 'over') {
    draft.effects.push({ type: 'timer', name: 'inquire', ms: state.inquireMs });
  }
}
