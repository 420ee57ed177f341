/**
 * The machine's signatures, made with this node's identity and bound to the cluster.
 * @module
 */
import type { ClusterId } from '../base/brands.ts';
import type { Signer } from '../base/ports.ts';
import { assembleEntry, hashBody, openSignature, signBody } from '../roster/entry.ts';
import type { Seals } from './types.ts';
import { openVote, sealVote } from './vote.ts';

/** Votes as in vote.ts, entries as in roster/entry.ts. */
export function createSeals(clusterId: ClusterId, signer: Signer): Seals {
  return {
    sealVote: (vote) => sealVote(clusterId, signer, vote),
    openVote: (bytes) => openVote(clusterId, bytes),
    signEntry: (body, ballot) => signBody(clusterId, signer, body, ballot),
    openSignature: (body, ballot, bytes) => openSignature(clusterId, body, ballot, bytes),
    hash: (body) => hashBody(clusterId, body),
    assemble: (body, ballot, signatures) =>
      assembleEntry(clusterId, body, ballot, signatures).bytes,
  };
}
