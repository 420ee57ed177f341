/**
 * Points as bytes, by libsodium: what a signature computes anew each time. It is several times as
 * fast as arithmetic on JavaScript's big integers, and its multiplications take the same time for
 * every scalar, which that cannot promise.
 * @module
 */
import sodium from 'libsodium-wrappers-sumo';
import { BoundedMap } from '../../base/bounded.ts';
import { assert } from '../../base/errors.ts';

await sodium.ready;

/** A prime-order group on encoded points and scalars, as its RFC 9591 ciphersuite encodes them. */
export interface EncodedGroup {
  /** The scalar times the generator. @param scalar secret; not zero. */
  multiplyBase(scalar: Uint8Array): Uint8Array;
  /** Canonical, in the prime-order group, and not its identity. */
  isElement(point: Uint8Array): boolean;
  /** `sum` of points, plus each of `points` times its scalar. All are elements. */
  combine(sum: readonly Uint8Array[], products: readonly Product[]): Uint8Array;
}

/** A public point and what it is multiplied by; the scalar is not zero. */
export interface Product {
  readonly point: Uint8Array;
  readonly scalar: Uint8Array;
}

interface Operations {
  readonly base: (scalar: Uint8Array) => Uint8Array;
  readonly multiply: (scalar: Uint8Array, point: Uint8Array) => Uint8Array;
  readonly add: (a: Uint8Array, b: Uint8Array) => Uint8Array;
  readonly isValid: (point: Uint8Array) => boolean;
}

/** Elements that are known again: each commitment is looked at several times. */
const REMEMBERED = 2_048;
const BYTES = 32;

function encodedGroup({ base, multiply, add, isValid }: Operations): EncodedGroup {
  const known = new BoundedMap<string, true>(REMEMBERED);
  const nameOf = (point: Uint8Array): string => Buffer.from(point).toString('latin1');
  return {
    multiplyBase(scalar) {
      const point = base(scalar);
      known.set(nameOf(point), true);
      return point;
    },
    isElement(point) {
      if (point.length !== BYTES) return false;
      const name = nameOf(point);
      if (known.get(name) === true) return true;
      if (!isValid(point)) return false;
      known.set(name, true);
      return true;
    },
    combine(sum, products) {
      const all = [...sum, ...products.map(({ point, scalar }) => multiply(scalar, point))];
      const [first, ...rest] = all;
      assert(first !== undefined, 'something to add up');
      return rest.reduce(add, first);
    },
  };
}

/** The prime-order subgroup of edwards25519 (RFC 9591 §6.1). */
export const encodedEd25519 = encodedGroup({
  base: (scalar) => sodium.crypto_scalarmult_ed25519_base_noclamp(scalar),
  multiply: (scalar, point) => sodium.crypto_scalarmult_ed25519_noclamp(scalar, point),
  add: (a, b) => sodium.crypto_core_ed25519_add(a, b),
  isValid: (point) => sodium.crypto_core_ed25519_is_valid_point(point),
});

const RISTRETTO_IDENTITY = new Uint8Array(BYTES);

/** ristretto255 (RFC 9496, RFC 9591 §6.2). */
export const encodedRistretto255 = encodedGroup({
  base: (scalar) => sodium.crypto_scalarmult_ristretto255_base(scalar),
  multiply: (scalar, point) => sodium.crypto_scalarmult_ristretto255(scalar, point),
  add: (a, b) => sodium.crypto_core_ristretto255_add(a, b),
  isValid: (point) =>
    sodium.crypto_core_ristretto255_is_valid_point(point) &&
    Buffer.compare(point, RISTRETTO_IDENTITY) !== 0,
});
