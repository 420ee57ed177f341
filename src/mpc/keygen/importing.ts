/**
 * The dealing of a key that exists elsewhere: nobody deals. The rounds pass with nothing in them,
 * and each party's share is the one that its operator brought; from the echo on everything is as in
 * a key generation, so every party states the key before it exists (K4).
 * @module
 */
import { assert, BzzzError } from '../../base/errors.ts';
import { isImport } from '../keys/certificate-link.ts';
import type { DkgPublic } from '../suites/types.ts';
import type { KeygenProposal, KeyShare, SealedProposal } from '../types.ts';
import { type Dealing, type DealingDeps, keygenDealing } from './dealing.ts';

/** A share of a key from elsewhere, checked against its public half. */
export interface BroughtShare {
  /** Whoever takes it wipes it. */
  readonly share: KeyShare;
  readonly public: DkgPublic;
}

/**
 * @param take hands out the share of this party, once the others echo the same proposal; nothing
 * where it was never brought, or is gone.
 */
export function importDealing(
  sealed: SealedProposal<KeygenProposal>,
  deps: DealingDeps,
  take: () => BroughtShare | undefined = () => undefined,
): Dealing {
  const { imported, threshold } = sealed.proposal;
  assert(imported !== undefined, 'a proposal to import a key');
  const { suite } = deps;
  const nobody = (): never => {
    throw new BzzzError('INTERNAL', 'nobody deals a key that is imported');
  };
  return {
    ...keygenDealing(sealed, deps),
    dealers: [],
    begin: nobody,
    check: nobody,
    subshares: () => new Map(),
    finish(seat) {
      const brought = take();
      const good = brought?.share.index === seat && isImport(imported, brought.public);
      if (brought !== undefined && good) return brought.share;
      brought?.share.signingShare.fill(0);
      throw new BzzzError('NOT_FOUND', 'the share to import is not here any more');
    },
    outcome() {
      const found = suite.publicOfShares(threshold, imported.verifyingShares);
      if (isImport(imported, found)) return found;
      throw new BzzzError('BAD_MESSAGE', 'the shares to import are not of the group key');
    },
  };
}
