/**
 * Roster entries at `ucxl://roster:chain@<cluster>:membership/<epoch>`.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { series } from './address.ts';
import { recogniseFixed } from './fixed.ts';
import type { RecordKind } from './kinds.ts';

export const ROSTER_ENTRY_TYPE = 'application/vnd.bzzz.roster-entry+cbor';

/**
 * @param verifyEntry checks that `bytes` are the entry of `epoch` of this cluster's chain and names
 * its writer; throws when they are not, or when the node does not yet know enough of the chain.
 */
export function rosterKind(
  cluster: string,
  verifyEntry: (epoch: Epoch, bytes: Uint8Array) => PeerId,
): RecordKind {
  return {
    name: 'roster entry',
    copies: 'one',
    maxBytes: LIMITS.rosterEntryBytes,
    matches(address) {
      const fixed = recogniseFixed(address);
      return fixed?.record === 'membership' && fixed.cluster === cluster;
    },
    verify(address, bytes) {
      const fixed = recogniseFixed(address);
      if (fixed?.record !== 'membership' || fixed.cluster !== cluster) {
        throw new BzzzError('BAD_MESSAGE', `no roster entry stands at ${series(address)}`);
      }
      return { writer: verifyEntry(fixed.epoch, bytes), type: ROSTER_ENTRY_TYPE };
    },
  };
}
