/**
 * The algebra that the library keeps to itself: boundary checks, Feldman evaluation, proofs of
 * knowledge, binding factors. Everything here handles public values only, so variable-time
 * arithmetic is safe; the vectors of RFC 9591 and of the Zcash Foundation hold it to the letter.
 * @module
 */
import { mulAddUnsafe } from '@noble/curves/abstract/curve.js';
import type { FROSTPoint, FROSTPointConstructor } from '@noble/curves/abstract/frost.js';
import { equalBytes } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import type { EncodedGroup } from './encoded.ts';
import type { DkgRound1 } from './types.ts';

/** One prime-order group with the hashes of its ciphersuite (RFC 9591 §6). */
export interface Group<P extends FROSTPoint<P>> {
  /** Context string, e.g. `FROST-ED25519-SHA512-v1`. */
  readonly context: string;
  readonly Point: FROSTPointConstructor<P>;
  readonly pointBytes: number;
  /** Base of H4 and H5. */
  hash(bytes: Uint8Array): Uint8Array;
  /** Base of H1 and of the proof's challenge: `tag` is the whole domain separation tag. */
  hashToScalar(tag: string, bytes: Uint8Array): bigint;
  /** The nonce point of a proof, as it stands in front of the proof's scalar. */
  readonly proofPointBytes: number;
  decodeProofPoint(bytes: Uint8Array): P;
  /** The same group in another implementation, where there is one. */
  readonly encoded?: EncodedGroup & { decode(element: Uint8Array): P };
  /** The representative of a group key that enters hashes: even Y for BIP 340, else itself. */
  normalise(groupKey: P): P;
}

const bad = (message: string, cause?: unknown): BzzzError =>
  new BzzzError('BAD_MESSAGE', message, cause === undefined ? {} : { cause });

/** @throws BAD_MESSAGE: length, canonical form, curve, subgroup, identity. */
export function decodePoint<P extends FROSTPoint<P>>(
  group: Group<P>,
  what: string,
  bytes: Uint8Array,
): P {
  if (bytes.length !== group.pointBytes) throw bad(`${what}: not ${group.pointBytes} bytes`);
  let point: P;
  try {
    point = group.Point.fromBytes(bytes);
    point.assertValidity();
  } catch (cause) {
    throw bad(`${what}: not a point`, cause);
  }
  if (point.is0() || !point.isTorsionFree()) throw bad(`${what}: not in the prime-order group`);
  if (!equalBytes(point.toBytes(), bytes)) throw bad(`${what}: not canonical`);
  return point;
}

/** As {@link decodePoint}, where the point itself is not needed. @throws BAD_MESSAGE. */
export function checkElement<P extends FROSTPoint<P>>(
  group: Group<P>,
  what: string,
  bytes: Uint8Array,
): void {
  // What is refused is decoded to say why.
  if (group.encoded?.isElement(bytes) !== true) decodePoint(group, what, bytes);
}

/** @returns undefined unless `bytes` is the canonical form of a scalar below the order. */
export function decodeScalar<P extends FROSTPoint<P>>(
  group: Group<P>,
  bytes: Uint8Array,
): bigint | undefined {
  const { Fn } = group.Point;
  if (bytes.length !== Fn.BYTES) return undefined;
  let scalar = 0n;
  for (let i = 0; i < bytes.length; i++) {
    scalar = (scalar << 8n) | BigInt(bytes[Fn.isLE ? bytes.length - 1 - i : i] ?? 0);
  }
  return scalar < Fn.ORDER ? scalar : undefined;
}

/** A polynomial in the exponent at `index`: sum of `commitments[k] * index^k` (Feldman). */
export function evaluate<P extends FROSTPoint<P>>(
  group: Group<P>,
  commitments: readonly P[],
  index: number,
): P {
  const { Fn } = group.Point;
  let power = Fn.ONE;
  const powers = commitments.map(() => {
    const current = power;
    power = Fn.mul(power, BigInt(index));
    return current;
  });
  return mulAddUnsafe(group.Point, [...commitments], powers);
}

/**
 * Vector length, points and proof of knowledge of a first round.
 * The proof is a Schnorr signature over (index, commitment 0, nonce point): eprint 2020/852,
 * figure 1, round 1, steps 2 and 5; the challenge is HDKG of the Zcash Foundation's crates.
 * @throws BAD_MESSAGE
 */
export function checkRound1<P extends FROSTPoint<P>>(
  group: Group<P>,
  index: number,
  threshold: number,
  { commitments, proof }: DkgRound1,
): void {
  if (commitments.length !== threshold) {
    throw bad(`${commitments.length} commitments where the threshold is ${threshold}`);
  }
  const points = commitments.map((c, k) => decodePoint(group, `commitment ${k}`, c));
  const { Point } = group;
  if (proof.length !== group.proofPointBytes + Point.Fn.BYTES) throw bad('proof: length');
  const nonce = group.decodeProofPoint(proof.subarray(0, group.proofPointBytes));
  const response = decodeScalar(group, proof.subarray(group.proofPointBytes));
  if (response === undefined) throw bad('proof: scalar out of range');
  const [first] = points;
  if (first === undefined) throw bad('no commitments');
  const challenge = group.hashToScalar(
    `${group.context}dkg`,
    Buffer.concat([Point.Fn.toBytes(BigInt(index)), first.toBytes(), nonce.toBytes()]),
  );
  const expected = Point.BASE.multiplyUnsafe(response).subtract(first.multiplyUnsafe(challenge));
  if (!expected.equals(nonce)) throw bad(`proof of knowledge does not hold for index ${index}`);
}
