/**
 * The messages by which a host asks to be admitted, or to leave, and their answer.
 *
 * ```
 * petition  {v, clusterId, sealed}          sealed by the asking host's identity:
 *   join    {kind, token, proof, have}      proof sealed by the invitation's one-time key:
 *     proof {v, id, peer, name?}
 *   leave   {kind, since, have}
 * answer    {v, ok: true, epoch, entries} | {v, ok: false, error}
 * ```
 * Both seals travel whole to the voter, so it needs no trust in the member that passes them on:
 * only the holder of the secret names the peer, and only that peer asks.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, Epoch, PeerId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import { openEnvelope } from '../base/envelope.ts';
import { BzzzError, type ErrorShape } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Signer } from '../base/ports.ts';
import { rosterField } from './fields.ts';
import { assertMemberName } from './genesis.ts';
import type { Invitation } from './invitation.ts';
import { invitationKeyId, type OpenedToken, openToken, signerOfSecret } from './token.ts';
import { errorForWire, wireErrorSchema } from './wire-error.ts';

/** A join request whose seals hold. Whether it is granted is for a voter to judge. */
export interface JoinPetition extends OpenedToken {
  readonly kind: 'join';
  readonly peer: PeerId;
  readonly name?: string;
  /** Epoch that the asking host has: it is answered with what follows. */
  readonly have: Epoch;
}

/** A request of a member to be removed. */
export interface LeavePetition {
  readonly kind: 'leave';
  readonly peer: PeerId;
  /** Epoch that admitted it; an old request means nothing after another admission. */
  readonly since: Epoch;
  readonly have: Epoch;
}

export type Petition = JoinPetition | LeavePetition;

export type Answer =
  | { readonly ok: true; readonly epoch: Epoch; readonly entries: readonly Uint8Array[] }
  | { readonly ok: false; readonly error: ErrorShape };

const SEALED_BYTES = 4_096;

const outerSchema = z.strictObject({
  v: z.literal(1),
  clusterId: field.hash<ClusterId>(),
  sealed: field.bytesUpTo(SEALED_BYTES),
});

const petitionSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('join'),
    token: field.bytesUpTo(SEALED_BYTES),
    proof: field.bytesUpTo(SEALED_BYTES),
    have: field.epoch,
  }),
  z.strictObject({ kind: z.literal('leave'), since: field.epoch, have: field.epoch }),
]);

const proofSchema = z.strictObject({
  v: z.literal(1),
  id: rosterField.invitationId,
  peer: rosterField.peerId,
  name: rosterField.memberName.exactOptional(),
});

const answerSchema = z.discriminatedUnion('ok', [
  z.strictObject({
    v: z.literal(1),
    ok: z.literal(true),
    epoch: field.epoch,
    entries: z.array(field.bytesUpTo(LIMITS.rosterEntryBytes)).max(LIMITS.rosterEntriesPerFrame),
  }),
  z.strictObject({
    v: z.literal(1),
    ok: z.literal(false),
    error: wireErrorSchema,
  }),
]);

const petitionDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/petition/1`;
const proofDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/join/1`;

/**
 * @param signer the identity of the joining host.
 * @throws BAD_USAGE: `name` is no host name.
 */
export function encodeJoin(
  invitation: Invitation,
  signer: Signer,
  options: { readonly name?: string; readonly have: Epoch },
): Uint8Array {
  const { clusterId } = invitation.genesis;
  const { have, name } = options;
  assertMemberName(name);
  const proof = { v: 1, id: invitation.token.id, peer: signer.peerId };
  const sealedProof = signerOfSecret(invitation.secret).seal(
    proofDomain(clusterId),
    encode(name === undefined ? proof : { ...proof, name }),
  );
  const join = { kind: 'join', token: invitation.sealedToken, proof: sealedProof, have };
  return encodePetition(clusterId, signer, join);
}

/** @param signer the identity of the leaving member. */
export const encodeLeave = (
  clusterId: ClusterId,
  signer: Signer,
  leave: { readonly since: Epoch; readonly have: Epoch },
): Uint8Array => encodePetition(clusterId, signer, { kind: 'leave', ...leave });

function encodePetition(clusterId: ClusterId, signer: Signer, petition: object): Uint8Array {
  const sealed = signer.seal(petitionDomain(clusterId), encode(petition));
  return encode({ v: 1, clusterId, sealed });
}

/**
 * Checks form and seals.
 * @throws BAD_MESSAGE; INVITATION_FOREIGN: for another cluster; INVALID_INVITATION: the token or
 * the proof does not hold.
 */
export function decodePetition(clusterId: ClusterId, bytes: Uint8Array): Petition {
  const outer = decode('petition', outerSchema, bytes, LIMITS.rosterFrameBytes);
  if (outer.clusterId !== clusterId) {
    throw new BzzzError('INVITATION_FOREIGN', 'the invitation is for another cluster', {
      why: `it is for ${outer.clusterId}, this is ${clusterId}`,
      hint: 'ask a host of this cluster for an invitation',
    });
  }
  const { signer, payload } = openEnvelope(petitionDomain(clusterId), outer.sealed);
  const petition = decode('petition', petitionSchema, payload, SEALED_BYTES);
  if (petition.kind === 'leave') return { ...petition, peer: signer };
  return openJoin(clusterId, signer, petition);
}

function openJoin(
  clusterId: ClusterId,
  peer: PeerId,
  join: { token: Uint8Array; proof: Uint8Array; have: Epoch },
): JoinPetition {
  const opened = within('token', () => openToken(clusterId, join.token));
  const { by, proof } = within('proof', () => {
    const { signer, payload } = openEnvelope(proofDomain(clusterId), join.proof);
    return { by: signer, proof: decode('join proof', proofSchema, payload, SEALED_BYTES) };
  });
  if (by !== invitationKeyId(opened.token)) {
    throw invalid('the proof is not signed with the secret of this invitation');
  }
  if (!equalBytes(proof.id, opened.token.id)) throw invalid('the proof is for another invitation');
  if (proof.peer !== peer) throw invalid(`the proof is for ${proof.peer}, ${peer} presents it`);
  const petition = { ...opened, kind: 'join', peer, have: join.have } as const;
  return proof.name === undefined ? petition : { ...petition, name: proof.name };
}

/** Of an error only what {@link errorForWire} lets through travels. */
export function encodeAnswer(answer: Answer): Uint8Array {
  if (answer.ok) return encode({ v: 1, ...answer });
  return encode({ v: 1, ok: false, error: errorForWire(answer.error) });
}

/** @throws BAD_MESSAGE. */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const answer = decode('answer to a petition', answerSchema, bytes, LIMITS.rosterFrameBytes);
  if (answer.ok) return { ok: true, epoch: answer.epoch, entries: answer.entries };
  return { ok: false, error: BzzzError.fromShape(answer.error).toShape() };
}

function within<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new BzzzError('INVALID_INVITATION', `the ${what} of the join request does not hold`, {
      why: cause instanceof Error ? cause.message : String(cause),
      cause,
    });
  }
}

const invalid = (why: string): BzzzError =>
  new BzzzError('INVALID_INVITATION', 'the join request does not hold', { why });
