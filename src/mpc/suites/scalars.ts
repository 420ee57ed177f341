/**
 * Scalars of a suite's group: interpolation and random draws.
 * @module
 */
import type { FROSTPoint } from '@noble/curves/abstract/frost.js';
import { assert } from '../../base/errors.ts';
import type { Random } from '../../base/ports.ts';
import type { Group } from './group.ts';

/** Bytes of a draw from which a scalar is reduced. */
const DRAW_BYTES = 64;

/** The coefficient of `index` among the distinct `indices` in the interpolation at `at`. */
export function lagrange<P extends FROSTPoint<P>>(
  { Point: { Fn } }: Group<P>,
  indices: readonly number[],
  index: number,
  at: number,
): bigint {
  assert(new Set(indices).size === indices.length && indices.includes(index), 'distinct indices');
  let numerator = Fn.ONE;
  let denominator = Fn.ONE;
  for (const other of indices) {
    if (other === index) continue;
    numerator = Fn.mul(numerator, Fn.create(BigInt(other - at)));
    denominator = Fn.mul(denominator, Fn.create(BigInt(other - index)));
  }
  return Fn.mul(numerator, Fn.inv(denominator));
}

/** A scalar that is not zero, uniform up to 2^-128. */
export function drawScalar<P extends FROSTPoint<P>>(group: Group<P>, random: Random): bigint {
  const { Fn } = group.Point;
  const drawn = Fn.create(BigInt(`0x${Buffer.from(random.bytes(DRAW_BYTES)).toString('hex')}`));
  // Probability 2^-252; a zero has no commitment.
  return drawn === Fn.ZERO ? drawScalar(group, random) : drawn;
}
