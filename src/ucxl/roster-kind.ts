/**
 * Roster entries at `ucxl://roster:chain@<cluster>:membership/<epoch>`.
 * @module
 */
import type { Epoch } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { EntryFacts } from '../roster/proof.ts';
import { series } from './address.ts';
import { recogniseFixed } from './fixed.ts';
import type { RecordKind } from './kinds.ts';

export const ROSTER_ENTRY_TYPE = 'application/vnd.bzzz.roster-entry+cbor';

/** Largest instant of ECMAScript (ECMA-262, time values); a later one has no text. */
const LAST_INSTANT_MS = 8.64e15;

/**
 * @param verifyEntry checks that `bytes` are the entry of `epoch` of this cluster's chain; throws
 * when they are not, or when this node does not yet know enough of the chain.
 */
export function rosterKind(
  cluster: string,
  verifyEntry: (epoch: Epoch, bytes: Uint8Array) => EntryFacts,
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
      const { writer, time } = verifyEntry(fixed.epoch, bytes);
      if (time === undefined) return { writer, type: ROSTER_ENTRY_TYPE };
      if (time > LAST_INSTANT_MS) {
        throw new BzzzError('BAD_MESSAGE', `roster entry of epoch ${fixed.epoch}: no such time`);
      }
      return { writer, type: ROSTER_ENTRY_TYPE, time: new Date(time).toISOString() };
    },
  };
}
