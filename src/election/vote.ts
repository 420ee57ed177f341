/**
 * One voter's vote, sealed: what a candidate collects, what a leader's certificate is made of, and
 * what two of one voter in one term prove.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, PeerId } from '../base/brands.ts';
import { check, decode, encode, field } from '../base/codec.ts';
import { openEnvelope } from '../base/envelope.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Signer } from '../base/ports.ts';
import type { Vote } from './types.ts';

/** A vote and who sealed it. */
export type OpenedVote = Vote & { readonly voter: PeerId };

const schema = z.strictObject({
  // Term 0 is the time before the first election: nobody votes in it.
  term: field.term.refine((term) => term >= 1, { message: 'expected at least 1' }),
  epoch: field.epoch,
  candidate: field.peerId,
});

const domain = (clusterId: ClusterId): string => `bzzz/${clusterId}/vote/1`;

/**
 * Seals this node's vote; the caller has made it durable before (invariant E3).
 * @throws BAD_MESSAGE: a term below 1, or a candidate that is no Ed25519 peer id.
 */
export function sealVote(clusterId: ClusterId, signer: Signer, vote: Vote): Uint8Array {
  const { term, epoch, candidate } = check('vote', schema, vote);
  return signer.seal(domain(clusterId), encode({ term, epoch, candidate }));
}

/** @throws BAD_MESSAGE: too large, form, signature, or sealed for another cluster or purpose. */
export function openVote(clusterId: ClusterId, bytes: Uint8Array): OpenedVote {
  if (bytes.length > LIMITS.voteBytes) {
    throw new BzzzError('BAD_MESSAGE', `vote: ${bytes.length} bytes, at most ${LIMITS.voteBytes}`);
  }
  const { signer, payload } = openEnvelope(domain(clusterId), bytes);
  return { ...decode('vote', schema, payload, LIMITS.voteBytes), voter: signer };
}
