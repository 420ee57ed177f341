/**
 * Blame. A complaint carries the signed envelopes that prove it, so everybody who reads it comes to
 * the same verdict alone: the accused broke the protocol, or the accuser lied. Silence proves
 * nothing and is never blamed.
 * @module
 */
import { equalBytes } from '../../base/bytes.ts';
import { BzzzError, isBadMessage } from '../../base/errors.ts';
import { expectedStatement } from './attestation.ts';
import {
  type Draft,
  event,
  failureOf,
  head,
  indexOf,
  open,
  peerOf,
  seal,
  seatsOf,
  sendAll,
} from './draft.ts';
import type { Complaint, ComplaintKind, Payloads, Said } from './messages.ts';
import { pack } from './messages.ts';
import { giveUp } from './refusal.ts';

/** Shows everybody what a party signed, names it and gives up. */
export function complain(
  draft: Draft,
  accused: number,
  kind: ComplaintKind,
  evidence: readonly Uint8Array[],
): void {
  if (draft.state.culprits.has(accused)) return;
  const complaint = seal(draft, 'complaint', { ...head(draft), accused, kind, evidence });
  sendAll(draft, pack('complaint', complaint));
  convict(draft, accused, kind, complaint);
}

/** Hears a complaint, directly or inside a refusal. @throws BAD_MESSAGE unless it is one. */
export function judgeComplaint(draft: Draft, envelope: Uint8Array): void {
  const said = open(draft, 'complaint', envelope);
  const accuser = indexOf(draft, said.author);
  if (accuser === 0 || said.payload.sid !== draft.state.sealed.sid) {
    throw new BzzzError('BAD_MESSAGE', `complaint by ${said.author} does not belong here`);
  }
  const proven = prove(draft, accuser, said.payload);
  if (proven === undefined) return;
  const { accused, kind } = said.payload;
  convict(draft, proven ? accused : accuser, proven ? kind : 'false-complaint', envelope);
}

function convict(draft: Draft, index: number, crime: string, complaint: Uint8Array): void {
  const { culprits } = draft.state;
  if (culprits.has(index)) return;
  culprits.add(index);
  const culprit = peerOf(draft, index);
  event(draft, 'culprit', { party: culprit, crime });
  const failure = failureOf(draft, 'failed', {
    code: 'SESSION_FAILED',
    message: `party ${culprit} broke the protocol: ${crime}`,
    details: { culprit, crime },
  });
  giveUp(draft, 'culprit', failure, complaint);
}

/** Whether the evidence proves the complaint; undefined when this party cannot tell. */
function prove(draft: Draft, accuser: number, complaint: Complaint): boolean | undefined {
  if (complaint.accused > seatsOf(draft).length) return false;
  try {
    return PROOFS[complaint.kind](draft, complaint, accuser);
  } catch (error) {
    // Evidence that the accused did not sign for this session is no evidence, and an honest
    // accuser would not have sent it.
    if (isBadMessage(error)) return false;
    throw error;
  }
}

type Proof = (draft: Draft, complaint: Complaint, accuser: number) => boolean | undefined;

const PROOFS: { readonly [K in ComplaintKind]: Proof } = {
  round1: (draft, complaint) => !holds(draft, complaint.accused, exhibit(draft, complaint, 0)),
  subshare(draft, complaint, accuser) {
    const { accused } = complaint;
    const round1 = exhibit(draft, complaint, 0);
    const round2 = witness(draft, complaint, 1, 'round2');
    if (round2.payload.receiver !== accuser) return false;
    if (!holds(draft, accused, round1)) return true;
    const { commitments } = round1.payload;
    return !draft.deps.suite.verifySubshare(commitments, accuser, round2.payload.subshare);
  },
  'two-round1': (draft, complaint) => differ(draft, complaint, 'round1'),
  'two-echo': (draft, complaint) => differ(draft, complaint, 'echo'),
  'two-statement': (draft, complaint) => differ(draft, complaint, 'statement'),
  statement(draft, complaint) {
    const said = witness(draft, complaint, 0, 'statement');
    const expected = expectedStatement(draft);
    return expected === undefined ? undefined : !equalBytes(said.bytes, expected);
  },
};

/** One piece of evidence. @throws BAD_MESSAGE unless the accused signed it for this session. */
function witness<K extends 'round1' | 'round2' | 'echo' | 'statement'>(
  draft: Draft,
  { accused, evidence }: Complaint,
  at: number,
  kind: K,
): Said<K> {
  const said = open(draft, kind, evidence[at] ?? new Uint8Array());
  const { sid }: Pick<Payloads['round1'], 'sid'> = said.payload;
  if (said.author !== peerOf(draft, accused) || sid !== draft.state.sealed.sid) {
    throw new BzzzError('BAD_MESSAGE', `${kind} is not by the accused for this session`);
  }
  return said;
}

const exhibit = (draft: Draft, complaint: Complaint, at: number): Said<'round1'> =>
  witness(draft, complaint, at, 'round1');

const differ = (
  draft: Draft,
  complaint: Complaint,
  kind: 'round1' | 'echo' | 'statement',
): boolean =>
  !equalBytes(witness(draft, complaint, 0, kind).bytes, witness(draft, complaint, 1, kind).bytes);

/** Whether a first round passes the suite's check for its dealer. */
export function holds(draft: Draft, dealer: number, { payload }: Said<'round1'>): boolean {
  try {
    draft.state.dealing.check(dealer, payload);
    return true;
  } catch (error) {
    if (isBadMessage(error)) return false;
    throw error;
  }
}
