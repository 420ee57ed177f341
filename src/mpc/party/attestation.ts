/**
 * What lies beside a pending share: the public statement that its party made, or was about to.
 * @module
 */
import { z } from 'zod';
import type { KeyId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Attestation } from '../keygen/index.ts';

const attestationSchema = z.strictObject({
  v: z.literal(1),
  keyId: field.hash<KeyId>(),
  groupKey: field.bytesUpTo(96),
  commitments: z.array(field.bytesUpTo(96)).max(LIMITS.parties).readonly(),
  verifyingShares: z.array(field.bytesUpTo(96)).max(LIMITS.parties).readonly(),
  transcript: field.bytes(32),
});

/** Public bytes; the share itself is not among them. */
export const encodeAttestation = ({ keyId, transcript, public: outcome }: Attestation) =>
  encode({
    v: 1,
    keyId,
    transcript,
    groupKey: outcome.groupKey,
    commitments: outcome.commitments,
    verifyingShares: outcome.verifyingShares,
  });

/** @throws BAD_MESSAGE. */
export function decodeAttestation(bytes: Uint8Array): Attestation {
  const { keyId, transcript, groupKey, commitments, verifyingShares } = decode(
    'attestation',
    attestationSchema,
    bytes,
    LIMITS.recordBytes,
  );
  return { keyId, transcript, public: { groupKey, commitments, verifyingShares } };
}
