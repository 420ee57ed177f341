/**
 * A cheap proof that a point lies in the prime-order group of a curve with a cofactor.
 *
 * RFC 9591 §6.1 demands the check for every commitment, and the usual one, multiplying by the
 * group order, costs as much as all the rest of a share. Who knows the discrete logarithm d of
 * D = d B can show Q = (d / 8) B as well. Then D = 8 Q, and eight times any point of the curve lies
 * in the prime-order group: its order divides L. So the receiver decodes Q, doubles three times and
 * compares, and nothing is assumed. Q tells nothing that D does not: each follows from the other.
 * @module
 */
import { equalBytes } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';

/** What the proof needs of a point. */
export interface ClearingPoint<P> {
  double(): P;
  is0(): boolean;
  toBytes(): Uint8Array;
}

/** @property eighth 1/8 modulo the group order. */
export interface Clearing<P> {
  readonly eighth: bigint;
  /** Decodes a point of the curve: canonical, but of whatever order. Throws when it is none. */
  decode(bytes: Uint8Array): P;
  /** Remembers a point whose membership is proven, so that decoding finds it. */
  remember(point: P): void;
}

/** The proof is as long as the point. */
export const eightTimes = <P extends ClearingPoint<P>>(point: P): P =>
  point.double().double().double();

/**
 * Checks that `bytes` encode eight times the point that `proof` encodes.
 * @throws BAD_MESSAGE.
 */
export function checkMembership<P extends ClearingPoint<P>>(
  { decode, remember }: Clearing<P>,
  what: string,
  bytes: Uint8Array,
  proof: Uint8Array,
): void {
  let point: P;
  try {
    point = eightTimes(decode(proof));
  } catch (cause) {
    throw new BzzzError('BAD_MESSAGE', `${what}: its proof is no point`, { cause });
  }
  if (point.is0()) throw new BzzzError('BAD_MESSAGE', `${what}: not in the prime-order group`);
  if (!equalBytes(point.toBytes(), bytes)) {
    throw new BzzzError('BAD_MESSAGE', `${what}: its proof is of another point`);
  }
  remember(point);
}
