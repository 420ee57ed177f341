/**
 * Handing a key on to other parties, another threshold, or the same parties with new shares,
 * without its ever being whole: verifiable secret redistribution (Desmedt and Jajodia 1997; Wong,
 * Wang and Wing, https://doi.org/10.1109/SISW.2002.1183515).
 *
 * Threshold-many holders of the old shares deal, each its own share times its Lagrange coefficient
 * at 0 among the dealers, by a random polynomial. The dealt constants add up to the secret, so the
 * sums of the subshares are shares of it, on a new polynomial that has nothing else in common with
 * the old one. What a dealer must have put in follows from its old verifying share: no proof is
 * needed, and everyone can check every dealer.
 * @module
 */
import type { FROSTPoint } from '@noble/curves/abstract/frost.js';
import { equalBytes } from '../../base/bytes.ts';
import { assert, BzzzError } from '../../base/errors.ts';
import type { Ciphersuite } from './ciphersuite.ts';
import { decodePoint, decodeScalar, evaluate, type Group } from './group.ts';
import { drawScalar, lagrange } from './scalars.ts';
import type { Suite } from './types.ts';

type Resharing = Pick<Suite, 'deal' | 'checkDeal' | 'reshareFinish' | 'resharePublic'>;

/** The part of the port that hands a key on. */
export function resharing<P extends FROSTPoint<P>>({ group }: Ciphersuite<P>): Resharing {
  const { Point } = group;
  const { Fn } = Point;
  return {
    deal(share, dealers, threshold, parties, random) {
      const secret = decodeScalar(group, share.signingShare);
      if (secret === undefined) {
        throw new BzzzError('SHARE_CORRUPT', 'the signing share is no scalar of its group');
      }
      const constant = Fn.mul(secret, lagrange(group, dealers, share.index, 0));
      const polynomial = [constant];
      while (polynomial.length < threshold) polynomial.push(drawScalar(group, random));
      // The coefficients are secrets: constant-time multiplication.
      const commitments = polynomial.map((c) => Point.BASE.multiply(c).toBytes());
      const subshares = new Map<number, Uint8Array>();
      for (let index = 1; index <= parties; index++) {
        subshares.set(index, Fn.toBytes(valueAt(group, polynomial, index)));
      }
      return { commitments, subshares };
    },
    checkDeal(key, dealers, dealer, threshold, commitments) {
      if (commitments.length !== threshold) {
        throw bad(`${commitments.length} commitments where the threshold is ${threshold}`);
      }
      const [first] = commitments.map((c, k) => decodePoint(group, `commitment ${k}`, c));
      const share = key.verifyingShares[dealer - 1];
      assert(share !== undefined && first !== undefined, 'a dealer that holds a share');
      const held = decodePoint(group, 'verifying share', share);
      const expected = held.multiplyUnsafe(lagrange(group, dealers, dealer, 0));
      if (!first.equals(expected)) throw bad(`dealer ${dealer} deals another share than its own`);
    },
    reshareFinish(index, subshares) {
      const sum = [...subshares.values()].reduce<bigint>((total, subshare) => {
        const scalar = decodeScalar(group, subshare);
        assert(scalar !== undefined, 'subshares that were verified');
        return Fn.add(total, scalar);
      }, Fn.ZERO);
      return { index, signingShare: Fn.toBytes(sum) };
    },
    resharePublic(key, threshold, parties, deals) {
      const points = Array.from({ length: threshold }, (_, k) =>
        deals
          .map((commitments) => commitments[k] ?? new Uint8Array())
          .map((bytes) => decodePoint(group, `commitment ${k}`, bytes))
          .reduce((sum, point) => sum.add(point), Point.ZERO),
      );
      const commitments = points.map((point) => point.toBytes());
      const groupKey = commitments[0] ?? new Uint8Array();
      if (!equalBytes(groupKey, key.groupKey)) throw bad('the dealt shares are of another key');
      const verifyingShares = Array.from({ length: parties }, (_, i) =>
        evaluate(group, points, i + 1).toBytes(),
      );
      return { groupKey, commitments, verifyingShares };
    },
  };
}

const bad = (message: string): BzzzError => new BzzzError('BAD_MESSAGE', `resharing: ${message}`);

/** Horner's rule. */
function valueAt<P extends FROSTPoint<P>>(
  { Point: { Fn } }: Group<P>,
  polynomial: readonly bigint[],
  index: number,
): bigint {
  return polynomial.reduceRight<bigint>(
    (value, coefficient) => Fn.add(Fn.mul(value, BigInt(index)), coefficient),
    Fn.ZERO,
  );
}
