/**
 * The signed half of an invitation. A voter seals it; it names a one-time public key whose secret
 * travels only in the invitation string. The holder of the secret signs the join request, so a
 * member that passes the request on learns nothing it could use for another host.
 *
 * Only voters issue: they are the ones whom the cluster trusts to change the roster. An invitation
 * by any other member would let it enlarge the cluster by itself.
 * @module
 */
import { privateKeyFromRaw, publicKeyFromRaw } from '@libp2p/crypto/keys';
import { ed25519 } from '@noble/curves/ed25519.js';
import { z } from 'zod';
import type { ClusterId, PeerId } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { createSigner, openEnvelope } from '../base/envelope.ts';
import { assert } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Signer } from '../base/ports.ts';
import { rosterField } from './fields.ts';
import type { Role } from './types.ts';

/** What the issuer promises to whoever holds the secret of `publicKey`. */
export interface Token {
  readonly v: 1;
  readonly clusterId: ClusterId;
  /** 16 random bytes. */
  readonly id: Uint8Array;
  readonly role: Role;
  readonly noVoter: boolean;
  /** Wall clock in ms of the issuer; voters judge it by their own clocks, joining hosts never. */
  readonly expiresAt: number;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
}

export interface OpenedToken {
  readonly token: Token;
  /** Whoever sealed it: the caller checks that it may issue. */
  readonly issuer: PeerId;
}

const tokenSchema = z.strictObject({
  v: z.literal(1),
  clusterId: field.hash<ClusterId>(),
  id: rosterField.invitationId,
  role: rosterField.role,
  noVoter: z.boolean(),
  expiresAt: rosterField.wallMs,
  publicKey: field.bytes(32),
});

const tokenDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/invitation/1`;

/** @returns the envelope. */
export const sealToken = (issuer: Signer, token: Token): Uint8Array =>
  issuer.seal(tokenDomain(token.clusterId), encode(token));

/** @throws BAD_MESSAGE: form, signature, or a token of another cluster. */
export function openToken(clusterId: ClusterId, envelope: Uint8Array): OpenedToken {
  const { signer, payload } = openEnvelope(tokenDomain(clusterId), envelope);
  // The cluster id inside repeats the domain's, so that a token says by itself what it is for.
  const schema = tokenSchema.refine((token) => token.clusterId === clusterId, {
    message: 'names another cluster',
  });
  const token = decode('invitation token', schema, payload, LIMITS.invitationBytes);
  return { token, issuer: signer };
}

/** Public key of a one-time secret. @param secret Ed25519 seed, 32 bytes. */
export const publicKeyOf = (secret: Uint8Array): Uint8Array => ed25519.getPublicKey(secret);

/** Signs with a one-time secret. @param secret Ed25519 seed, 32 bytes. */
export function signerOfSecret(secret: Uint8Array): Signer {
  // libp2p's raw form is the seed and the public key, one behind the other.
  const key = privateKeyFromRaw(new Uint8Array(Buffer.concat([secret, publicKeyOf(secret)])));
  assert(key.type === 'Ed25519', '64 raw bytes are an Ed25519 key');
  return createSigner(key);
}

/** The name under which envelopes carry a token's public key. */
export const invitationKeyId = (token: Token): PeerId =>
  publicKeyFromRaw(token.publicKey).toString() as PeerId;
