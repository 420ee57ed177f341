/**
 * The leader's word that it leads: its certificate, sealed by itself, with a time.
 *
 * The certificate alone proves an election for ever; that its winner still leads is said by the
 * head, which the leader seals anew while it leads and which counts for a day. Of two heads the one
 * of the higher term stands, then the one that the leader sealed later. The time orders nothing: it
 * only tells a reader that a cluster has been without a leader for long.
 * @module
 */
import { z } from 'zod';
import type { ClusterId } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { openEnvelope } from '../base/envelope.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Signer } from '../base/ports.ts';
import type { Chain } from '../roster/chain.ts';
import {
  decodeLeaderCertificate,
  type VerifiedCertificate,
  verifyLeaderCertificate,
} from './certificate.ts';

/** Largest instant of ECMAScript (ECMA-262, time values); a later one has no text. */
const LAST_INSTANT_MS = 8.64e15;

const schema = z.strictObject({
  v: z.literal(1),
  certificate: field.bytesUpTo(LIMITS.leaderCertificateBytes),
  seq: z.int().min(1),
  time: z
    .int()
    .min(0)
    .max(LAST_INSTANT_MS - LIMITS.leaderHeadLifeMs),
});

/** What the leader seals. */
export interface LeaderHead {
  /** Encoded {@link LeaderCertificate}; verifies without the head. */
  readonly certificate: Uint8Array;
  /** Grows within a term, from 1. */
  readonly seq: number;
  /** Leader's wall clock in ms. */
  readonly time: number;
}

/** A head whose seal and certificate hold. */
export interface VerifiedHead extends LeaderHead {
  readonly verified: VerifiedCertificate;
}

const domain = (clusterId: ClusterId): string => `bzzz/${clusterId}/leader-head/1`;

/** Seals a head as the leader that its certificate names. */
export function sealLeaderHead(
  clusterId: ClusterId,
  signer: Signer,
  { certificate, seq, time }: LeaderHead,
): Uint8Array {
  return signer.seal(domain(clusterId), encode({ v: 1, certificate, seq, time }));
}

/**
 * Opens a head and verifies it against the chain, offline.
 * @throws BAD_MESSAGE: form or seal; sealed by another than the leader (violation `author`); what
 * {@link verifyLeaderCertificate} refuses.
 */
export function openLeaderHead(bytes: Uint8Array, chain: Chain): VerifiedHead {
  assertSize(bytes);
  const { signer, payload } = openEnvelope(domain(chain.genesis.clusterId), bytes);
  const { certificate, seq, time } = decodePayload(payload);
  const { leader } = decodeLeaderCertificate(certificate);
  if (signer !== leader) {
    throw new BzzzError('BAD_MESSAGE', `leader head of ${leader}, sealed by ${signer}`, {
      details: { violation: 'author' },
    });
  }
  const verified = verifyLeaderCertificate(certificate, chain);
  return { certificate, seq, time, verified };
}

/**
 * Where a head that was verified before stands among others: (term, seq).
 * @throws BAD_MESSAGE for what is no head of this cluster.
 */
export function leaderHeadOrder(
  clusterId: ClusterId,
  bytes: Uint8Array,
): readonly [term: number, seq: number] {
  assertSize(bytes);
  const { certificate, seq } = decodePayload(openEnvelope(domain(clusterId), bytes).payload);
  return [decodeLeaderCertificate(certificate).term, seq];
}

const decodePayload = (payload: Uint8Array) =>
  decode('leader head', schema, payload, LIMITS.headBytes);

function assertSize(bytes: Uint8Array): void {
  const atMost = LIMITS.headBytes;
  if (bytes.length <= atMost) return;
  throw new BzzzError('BAD_MESSAGE', `leader head: ${bytes.length} bytes, at most ${atMost}`);
}
