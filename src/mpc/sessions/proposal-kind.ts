/**
 * Proposals as records of the store.
 * @module
 */
import type { ClusterId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { series } from '../../ucxl/address.ts';
import { recogniseFixed } from '../../ucxl/fixed.ts';
import type { RecordKind } from '../../ucxl/kinds.ts';
import { openProposal } from './proposal.ts';

/** Media type of a proposal record. */
export const PROPOSAL_TYPE = 'application/vnd.bzzz.proposal+cbor';

/** Self-proving: the address is the hash of the proposal. */
export function proposalKind(clusterId: ClusterId, cluster: string): RecordKind {
  return {
    name: 'proposal',
    copies: 'one',
    maxBytes: LIMITS.sessionMessageBytes,
    matches(address) {
      const fixed = recogniseFixed(address);
      return fixed?.record === 'proposal' && fixed.cluster === cluster;
    },
    verify(address, bytes) {
      const fixed = recogniseFixed(address);
      const { sid, proposal } = openProposal(bytes, clusterId);
      if (fixed?.record !== 'proposal' || fixed.sessionId !== sid) {
        throw new BzzzError('BAD_MESSAGE', `proposal ${sid} does not stand at ${series(address)}`);
      }
      return { writer: proposal.proposer, type: PROPOSAL_TYPE };
    },
  };
}
