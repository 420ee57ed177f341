/**
 * The polynomial behind verifying shares: what other libraries keep of a key is its verifying
 * shares, and the commitments to the coefficients follow from threshold-many of them.
 * @module
 */
import { mulAddUnsafe } from '@noble/curves/abstract/curve.js';
import type { FROSTPoint } from '@noble/curves/abstract/frost.js';
import { BzzzError } from '../../base/errors.ts';
import type { Ciphersuite } from './ciphersuite.ts';
import { decodePoint, evaluate, type Group } from './group.ts';
import type { Suite } from './types.ts';

/** The part of the port that takes keys in from elsewhere. */
export function interpolating<P extends FROSTPoint<P>>({
  group,
}: Ciphersuite<P>): Pick<Suite, 'publicOfShares'> {
  return {
    publicOfShares(threshold, verifyingShares) {
      if (threshold < 2 || threshold > verifyingShares.length) {
        throw bad(`threshold ${threshold} of ${verifyingShares.length} shares`);
      }
      const points = verifyingShares.map((bytes, i) =>
        decodePoint(group, `verifying share ${i + 1}`, bytes),
      );
      const bases = basisOf(group, threshold);
      const first = points.slice(0, threshold);
      const coefficients = Array.from({ length: threshold }, (_, k) => {
        const column = bases.map((basis) => basis[k] ?? 0n);
        const point = mulAddUnsafe(group.Point, first, column);
        // A coefficient of zero has no encoding: the true threshold would be lower.
        if (point.is0()) throw bad('the shares are those of a lower threshold');
        return point;
      });
      points.slice(threshold).forEach((point, i) => {
        const index = threshold + i + 1;
        if (evaluate(group, coefficients, index).equals(point)) return;
        throw bad(`verifying share ${index} does not lie on the polynomial of the others`);
      });
      const commitments = coefficients.map((point) => point.toBytes());
      const groupKey = commitments[0] ?? new Uint8Array();
      return { groupKey, commitments, verifyingShares };
    },
  };
}

const bad = (message: string): BzzzError =>
  new BzzzError('BAD_MESSAGE', `imported key: ${message}`);

/** Coefficients, constant first, of each Lagrange basis polynomial over 1..threshold. */
function basisOf<P extends FROSTPoint<P>>(
  { Point: { Fn } }: Group<P>,
  threshold: number,
): readonly (readonly bigint[])[] {
  const indices = Array.from({ length: threshold }, (_, i) => i + 1);
  return indices.map((index) => {
    let polynomial: readonly bigint[] = [Fn.ONE];
    let denominator = Fn.ONE;
    for (const other of indices) {
      if (other === index) continue;
      // Times (x - other).
      const shifted = [Fn.ZERO, ...polynomial];
      const scaled = polynomial.map((c) => Fn.mul(c, Fn.create(BigInt(-other))));
      polynomial = shifted.map((c, k) => Fn.add(c, scaled[k] ?? Fn.ZERO));
      denominator = Fn.mul(denominator, Fn.create(BigInt(index - other)));
    }
    const inverse = Fn.inv(denominator);
    return polynomial.map((c) => Fn.mul(c, inverse));
  });
}
