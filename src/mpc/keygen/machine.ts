/**
 * Key generation as a pure machine; `types.ts` has the table of its phases. The shell runs the
 * effects in order, awaits each `store`, and answers it with `stored` or `storeFailed`.
 * @module
 */
import { BzzzError, type ErrorShape } from '../../base/errors.ts';
import { isKeygen } from '../sessions/proposal.ts';
import type { DealtProposal, SealedProposal, Step } from '../types.ts';
import {
  attest,
  certify,
  finish,
  INQUIRE_MIN_MS,
  missingStatements,
  onCertificate,
  onCertificateFailed,
  onCertificateStored,
  onShareFailed,
  onShareStored,
  onStatement,
} from './attest.ts';
import { judgeComplaint } from './complaint.ts';
import { type Dealing, keygenDealing } from './dealing.ts';
import {
  close,
  conclude,
  type Draft,
  dealersOf,
  enter,
  event,
  failureOf,
  open,
  openDraft,
  peersOf,
  seatsOf,
  sendAll,
} from './draft.ts';
import { beginEcho, disagreeing, onEcho } from './echo.ts';
import { importDealing } from './importing.ts';
import { inquire, onInquiry, onMet } from './inquiry.ts';
import { type PacketKind, pack, type Said, type SignedKind, unpack } from './messages.ts';
import {
  failureOfRefusal,
  giveUp,
  onRefusal,
  onRefusalFailed,
  onRefusalStored,
} from './refusal.ts';
import { beginRound1, onRound1 } from './round1.ts';
import { beginRound2, missingRound2, onRound2 } from './round2.ts';
import type {
  KeygenDeps,
  KeygenEffect,
  KeygenInput,
  KeygenState,
  PersistedKeygen,
} from './types.ts';

type KeygenStep = Step<KeygenState, KeygenEffect>;

/**
 * A session at its beginning: feed it `start`. For the parties, and for a proposer that is none.
 * A session that is known from the disk goes through {@link resumeKeygen} instead, always: starting
 * one twice would sign two first rounds, which convicts.
 */
export const createKeygen = (
  sealed: SealedProposal<DealtProposal>,
  deps: KeygenDeps,
): KeygenState => {
  const { self, suite } = deps;
  if (suite.name !== sealed.proposal.suite) {
    throw new BzzzError('INTERNAL', `suite ${suite.name} for a ${sealed.proposal.suite} key`);
  }
  const dealing = dealingOf(sealed, deps);
  const index = dealing.seats.indexOf(self) + 1;
  return {
    sealed,
    dealing,
    index,
    phase: index === 0 ? 'watching' : 'accepting',
    attested: false,
    secret: undefined,
    round1: new Map(),
    echoes: new Map(),
    round2: new Map(),
    statements: new Map(),
    attestation: undefined,
    share: undefined,
    refusal: undefined,
    certificate: undefined,
    keyInfo: undefined,
    culprits: new Set(),
    failure: undefined,
    ended: undefined,
    pending: false,
    inquireMs: INQUIRE_MIN_MS,
    refusedFrom: new Set(),
  };
};

function dealingOf(sealed: SealedProposal<DealtProposal>, deps: KeygenDeps): Dealing {
  if (deps.dealing !== undefined) return deps.dealing;
  if (isKeygen(sealed)) {
    const { imported } = sealed.proposal;
    return imported === undefined ? keygenDealing(sealed, deps) : importDealing(sealed, deps);
  }
  throw new BzzzError('INTERNAL', 'a key is handed on, and nobody said which');
}

/** One step. Bad messages change nothing and are reported once per sender; it never blames them. */
export function stepKeygen(state: KeygenState, input: KeygenInput, deps: KeygenDeps): KeygenStep {
  const draft = openDraft(state, deps);
  handle(draft, input);
  // A failed store is tried again by timer, not at once.
  if (input.type !== 'storeFailed') advance(draft);
  return { state: draft.state, effects: draft.effects };
}

/**
 * A session that was on the disk when the process ended. It never goes on: a party that had not
 * attested refuses, one that had asks the others, one that had refused says so again.
 */
export function resumeKeygen(persisted: PersistedKeygen, deps: KeygenDeps): KeygenStep {
  const draft = openDraft(createKeygen(persisted.sealed, deps), deps);
  const { state } = draft;
  const { certificate, refusal, attestation } = persisted;
  event(draft, 'resumed');
  if (certificate !== undefined) {
    const { keyInfo } = state.dealing.verify(certificate);
    state.certificate = certificate;
    state.keyInfo = keyInfo;
    close(draft);
    conclude(draft, { state: 'completed', keyInfo, certificate }, false);
  } else if (refusal !== undefined) {
    const said = open(draft, 'refusal', refusal);
    const failure = failureOfRefusal(draft, said);
    state.refusal = refusal;
    sendAll(draft, pack('refusal', refusal));
    if (said.author === deps.self) draft.effects.push({ type: 'wipe' });
    close(draft);
    conclude(draft, failure, false);
  } else if (state.index === 0) {
    enter(draft, 'watching', state.sealed.proposal.ttlMs);
    inquire(draft);
  } else if (attestation !== undefined) {
    state.attestation = attestation;
    attest(draft);
    inquire(draft);
  } else {
    const error: ErrorShape = {
      code: 'SESSION_FAILED',
      message: `this node was restarted during the ${state.sealed.proposal.kind}`,
    };
    giveUp(draft, 'restarted', failureOf(draft, 'failed', error));
  }
  return { state: draft.state, effects: draft.effects };
}

function handle(draft: Draft, input: KeygenInput): void {
  const { state } = draft;
  switch (input.type) {
    case 'start':
      start(draft);
      return;
    case 'message':
      guarded(draft, input.from, () => receive(draft, input.envelope));
      return;
    case 'certificate':
      guarded(draft, draft.deps.self, () => onCertificate(draft, input.certificate));
      return;
    case 'stored':
      stored(draft, input.name);
      return;
    case 'storeFailed':
      storeFailed(draft, input.name, input.error);
      return;
    case 'timer':
      if (input.name === 'phase') onDeadline(draft);
      else if (state.phase === 'attested' || state.phase === 'watching') inquire(draft);
      return;
    case 'met':
      onMet(draft, input.peer);
      return;
    case 'cancel':
      onCancel(draft, input.by, input.reason);
  }
}

function start(draft: Draft): void {
  const { sealed, phase } = draft.state;
  if (phase === 'watching') enter(draft, 'watching', sealed.proposal.ttlMs);
  else if (phase === 'accepting') {
    draft.effects.push({ type: 'store', name: 'accepted', sealed });
  }
}

/** Runs what may refuse a message; a refusal is reported, at most once per sender. */
function guarded(draft: Draft, from: KeygenDeps['self'], run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof BzzzError) || error.code !== 'BAD_MESSAGE') throw error;
    if (draft.state.refusedFrom.has(from)) return;
    draft.state.refusedFrom.add(from);
    event(draft, 'bad-message', { from, why: error.message });
  }
}

/** @throws BAD_MESSAGE */
function receive(draft: Draft, packet: Uint8Array): void {
  const { kind, body } = unpack(packet);
  RECEIVERS[kind](draft, body);
}

/** Opens a message of this session. @throws BAD_MESSAGE also for one of another session. */
function openHere<K extends SignedKind>(draft: Draft, kind: K, body: Uint8Array): Said<K> {
  const said = open(draft, kind, body);
  const { sid }: { readonly sid: string } = said.payload;
  if (sid !== draft.state.sealed.sid) {
    throw new BzzzError('BAD_MESSAGE', `${kind} of another session`);
  }
  return said;
}

const RECEIVERS: { readonly [K in PacketKind]: (draft: Draft, body: Uint8Array) => void } = {
  round1: (draft, body) => onRound1(draft, openHere(draft, 'round1', body)),
  echo: (draft, body) => onEcho(draft, openHere(draft, 'echo', body)),
  round2: (draft, body) => onRound2(draft, openHere(draft, 'round2', body)),
  statement: (draft, body) => onStatement(draft, openHere(draft, 'statement', body)),
  complaint: judgeComplaint,
  refusal: (draft, body) => onRefusal(draft, openHere(draft, 'refusal', body)),
  inquiry: (draft, body) => onInquiry(draft, openHere(draft, 'inquiry', body)),
  certificate: onCertificate,
};

/** Moves on as far as what is here allows. */
function advance(draft: Draft): void {
  const { state } = draft;
  const dealers = dealersOf(draft);
  if (state.phase === 'round1' && state.round1.size === dealers.length) beginEcho(draft);
  if (state.phase === 'echo' && disagreeing(draft).length === 0) beginRound2(draft);
  if (state.phase === 'round2' && missingRound2(draft).length === 0) finish(draft);
  if (state.phase === 'attested' && state.statements.size === seatsOf(draft).length) {
    certify(draft);
  }
}

function stored(draft: Draft, name: string): void {
  if (name === 'accepted') {
    if (draft.state.phase === 'accepting') beginRound1(draft);
  } else if (name === 'share' || name === 'consent') onShareStored(draft);
  else if (name === 'refusal') onRefusalStored(draft);
  else if (name === 'certificate') onCertificateStored(draft);
}

function storeFailed(draft: Draft, name: string, error: ErrorShape): void {
  if (name === 'accepted') {
    if (draft.state.phase !== 'accepting') return;
    // Nothing was said yet, and nothing can be promised without a disk.
    close(draft);
    conclude(draft, failureOf(draft, 'failed', error), false);
  } else if (name === 'share' || name === 'consent') onShareFailed(draft, error);
  else if (name === 'refusal') onRefusalFailed(draft, error);
  else if (name === 'certificate') onCertificateFailed(draft, error);
}

/** Whom the current phase still waits for. */
function silent(draft: Draft): readonly number[] {
  const { state } = draft;
  if (state.phase === 'round1') return dealersOf(draft).filter((i) => !state.round1.has(i));
  if (state.phase === 'echo') return disagreeing(draft);
  if (state.phase === 'round2') return missingRound2(draft);
  return state.phase === 'attested' ? missingStatements(draft) : [];
}

function onDeadline(draft: Draft): void {
  const { state } = draft;
  const { phase } = state;
  if (phase === 'over' || phase === 'refusing' || phase === 'certifying') return;
  const waitedFor = silent(draft);
  const error: ErrorShape = {
    code: 'SESSION_EXPIRED',
    message: `${state.sealed.proposal.kind}: ${phase} was not through in time`,
    details: { phase, silent: peersOf(draft, waitedFor) },
  };
  giveUp(draft, 'deadline', failureOf(draft, 'expired', error, waitedFor));
}

/** The proposer may cancel the session, a party may withdraw itself. */
function onCancel(draft: Draft, by: KeygenDeps['self'], reason: string): void {
  const { proposer } = draft.state.sealed.proposal;
  if (by !== proposer && by !== draft.deps.self) return;
  const error: ErrorShape = { code: 'CANCELLED', message: reason, details: { by } };
  const failure = failureOf(draft, 'cancelled', error);
  giveUp(draft, by === proposer ? 'cancelled' : 'withdrawn', failure);
}
