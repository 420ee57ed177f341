/**
 * A lost share rebuilt by the other holders, none of whom learns it: the repairable threshold
 * scheme of Laing and Stinson (https://eprint.iacr.org/2017/1155), as frost-core's `repairable`.
 *
 * Threshold-many helpers each split their share, times its Lagrange coefficient at the lost index,
 * into random parts that add up to it, one for each helper (deltas). Each helper adds up what it
 * got (sigma) and gives the sum to the loser, whose share is the sum of all sigmas. The verifying
 * share tells whether it is.
 * @module
 */
import type { FROSTPoint } from '@noble/curves/abstract/frost.js';
import { equalBytes } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Ciphersuite } from './ciphersuite.ts';
import { decodeScalar, type Group } from './group.ts';
import { drawScalar, lagrange } from './scalars.ts';
import type { Suite } from './types.ts';

type Repairing = Pick<Suite, 'repairDeltas' | 'repairSigma' | 'repairFinish'>;

/** The part of the port that repairs. */
export function repairing<P extends FROSTPoint<P>>({ group }: Ciphersuite<P>): Repairing {
  const { Point } = group;
  const { Fn } = Point;
  const sum = (parts: Iterable<Uint8Array>): bigint =>
    [...parts].reduce<bigint>((total, part) => Fn.add(total, scalarOf(group, part)), Fn.ZERO);
  return {
    repairDeltas(share, helpers, lost, random) {
      const secret = decodeScalar(group, share.signingShare);
      if (secret === undefined) {
        throw new BzzzError('SHARE_CORRUPT', 'the signing share is no scalar of its group');
      }
      let rest = Fn.mul(secret, lagrange(group, helpers, share.index, lost));
      const deltas = helpers.map((helper, i): [number, Uint8Array] => {
        if (i === helpers.length - 1) return [helper, Fn.toBytes(rest)];
        const part = drawScalar(group, random);
        rest = Fn.sub(rest, part);
        return [helper, Fn.toBytes(part)];
      });
      return new Map(deltas);
    },
    repairSigma: (deltas) => Fn.toBytes(sum(deltas.values())),
    repairFinish(key, lost, sigmas) {
      const secret = sum(sigmas.values());
      const signingShare = Fn.toBytes(secret);
      const expected = key.verifyingShares[lost - 1];
      const isOurs =
        secret !== Fn.ZERO &&
        expected !== undefined &&
        equalBytes(Point.BASE.multiply(secret).toBytes(), expected);
      if (isOurs) return { index: lost, signingShare };
      throw new BzzzError('BAD_MESSAGE', `repair: the parts are not the share of party ${lost}`);
    },
  };
}

function scalarOf<P extends FROSTPoint<P>>(group: Group<P>, bytes: Uint8Array): bigint {
  const scalar = decodeScalar(group, bytes);
  if (scalar !== undefined) return scalar;
  throw new BzzzError('BAD_MESSAGE', 'repair: a part is no scalar of its group');
}
