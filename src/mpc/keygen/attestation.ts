/**
 * What a party attests, and the check that its share on the disk is the one it attests (K1).
 * @module
 */
import { equalBytes, fromHex, taggedHash } from '../../base/bytes.ts';
import { encode } from '../../base/codec.ts';
import { assert, BzzzError } from '../../base/errors.ts';
import type { DkgPublic, Suite } from '../suites/types.ts';
import type { KeyShare } from '../types.ts';
import { type Draft, dealersOf } from './draft.ts';
import type { Attestation, Round1Entry } from './types.ts';

/** The first rounds in the order of the dealers' seats; undefined while one is missing. */
export function allRound1(draft: Draft): readonly Round1Entry[] | undefined {
  const entries = dealersOf(draft).flatMap((seat) => draft.state.round1.get(seat) ?? []);
  return entries.length === dealersOf(draft).length ? entries : undefined;
}

/** Binds a public outcome to the session and to the first round all parties saw. */
export function attestationOf(
  { state }: Draft,
  outcome: DkgPublic,
  round1: readonly Round1Entry[],
): Attestation {
  const { sid } = state.sealed;
  const sidBytes = fromHex(sid);
  assert(sidBytes !== undefined, 'a session id is hex');
  return {
    keyId: state.dealing.keyId(outcome.groupKey),
    public: outcome,
    transcript: taggedHash('bzzz/keygen/transcript/1', sidBytes, ...round1.map(({ hash }) => hash)),
  };
}

/** The signed bytes of a statement: canonical, so every honest party's are the same. */
export const statementBytes = ({ state }: Draft, attestation: Attestation): Uint8Array =>
  encode(statementOf(state.sealed.sid, attestation));

/** The payload of a statement. */
export const statementOf = <S>(sid: S, { keyId, transcript, public: outcome }: Attestation) => ({
  v: 1 as const,
  sid,
  keyId,
  transcript,
  groupKey: outcome.groupKey,
  commitments: outcome.commitments,
  verifyingShares: outcome.verifyingShares,
});

/**
 * The statement every party must make; undefined before the first round is agreed on. Also for one
 * that waits for subshares: the public outcome needs no secret.
 */
export function expectedStatement(draft: Draft): Uint8Array | undefined {
  const { state } = draft;
  if (state.attestation !== undefined) return statementBytes(draft, state.attestation);
  const round1 = allRound1(draft);
  if (state.phase !== 'round2' || round1 === undefined) return undefined;
  const outcome = state.dealing.outcome(state.round1);
  return statementBytes(draft, attestationOf(draft, outcome, round1));
}

/**
 * The check after a pending share was read back from the disk.
 * @throws SHARE_CORRUPT unless it is the share that its party attests or is about to.
 */
export function checkPending(suite: Suite, share: KeyShare, attestation: Attestation): void {
  const expected = attestation.public.verifyingShares[share.index - 1];
  if (expected === undefined || !equalBytes(suite.verifyingShareOf(share), expected)) {
    throw new BzzzError('SHARE_CORRUPT', `share of key ${attestation.keyId} does not match it`);
  }
}
