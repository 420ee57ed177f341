/**
 * The toy suite of a world, and the ledger of its nonces: what each pair was used for. All hosts
 * share it, so a pair that travels with a copied disk, or survives a crash, is found too (N1).
 */
import { toHex } from '../../../src/base/bytes.ts';
import type { NonceCommitment, SigningNonces, Suite } from '../../../src/mpc/suites/types.ts';
import { toyDkg } from '../../support/toy-dkg.ts';
import { toySuite } from '../../support/toy-suite.ts';

export type Spend = (invariant: 'N1' | 'N2', message: string) => never;

export function ledgerSuite(fail: Spend): Suite {
  const dkg = toyDkg();
  const signing = toySuite();
  const commitments = new WeakMap<SigningNonces, NonceCommitment>();
  const spent = new WeakSet<SigningNonces>();
  /** By the public half of a pair: the share that left, and for what. */
  const shares = new Map<string, string>();
  return {
    ...signing,
    dkgRound1: dkg.dkgRound1,
    checkRound1: dkg.checkRound1,
    dkgRound2: dkg.dkgRound2,
    verifySubshare: dkg.verifySubshare,
    dkgFinish: dkg.dkgFinish,
    dkgPublic: dkg.dkgPublic,
    wipeDkg: dkg.wipeDkg,
    checkPublic: dkg.checkPublic,
    verifyingShareOf: dkg.verifyingShareOf,
    deal: dkg.deal,
    checkDeal: dkg.checkDeal,
    reshareFinish: dkg.reshareFinish,
    resharePublic: dkg.resharePublic,
    repairDeltas: dkg.repairDeltas,
    repairSigma: dkg.repairSigma,
    repairFinish: dkg.repairFinish,
    commit(share, random) {
      const made = signing.commit(share, random);
      commitments.set(made.nonces, made.commitment);
      return made;
    },
    signShare(key, share, nonces, list, message) {
      if (spent.has(nonces)) fail('N2', `party ${share.index} uses a nonce pair a second time`);
      spent.add(nonces);
      const bytes = signing.signShare(key, share, nonces, list, message);
      const own = commitments.get(nonces);
      if (own !== undefined) {
        const name = `${own.index}/${toHex(own.hiding)}/${toHex(own.binding)}`;
        const before = shares.get(name);
        if (before !== undefined && before !== toHex(bytes)) {
          fail('N1', `one nonce pair of party ${share.index} yields two shares`);
        }
        shares.set(name, toHex(bytes));
      }
      return bytes;
    },
  };
}

/** The suite of a host whose help is of no use: its parts are scalars, and not of its share. */
export const lying = (suite: Suite): Suite => ({
  ...suite,
  repairDeltas(share, helpers, lost, random) {
    const [first = 0] = helpers;
    const parts = new Map(suite.repairDeltas(share, helpers, lost, random));
    const part = parts.get(first);
    if (part !== undefined)
      parts.set(
        first,
        suite.repairSigma(
          new Map([
            [1, part],
            [2, ONE],
          ]),
        ),
      );
    return parts;
  },
});

const ONE = Uint8Array.from({ length: 32 }, (_, i) => (i === 31 ? 1 : 0));
