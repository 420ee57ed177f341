/**
 * Points as bytes, by other hands than the library's: what a signature computes anew each time.
 * WebAssembly does it four to eight times as fast as JavaScript's big integers, and in the same
 * time for every secret scalar, which those cannot promise.
 * @module
 */
import { BoundedMap } from '../../base/bounded.ts';
import { assert } from '../../base/errors.ts';

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

/** What an implementation brings. */
export interface Operations {
  /** Of an encoded element. */
  readonly pointBytes: number;
  readonly base: (scalar: Uint8Array) => Uint8Array;
  readonly multiply: (scalar: Uint8Array, point: Uint8Array) => Uint8Array;
  /** Also to and from the identity, however that is encoded. */
  readonly add: (a: Uint8Array, b: Uint8Array) => Uint8Array;
  /** @param point of the right length. */
  readonly isValid: (point: Uint8Array) => boolean;
}

/** Elements that are known again: each commitment is looked at several times. */
const REMEMBERED = 2_048;

/** A group on the operations of an implementation. */
export function encodedGroup(operations: Operations): EncodedGroup {
  const { pointBytes, base, multiply, add, isValid } = operations;
  const known = new BoundedMap<string, true>(REMEMBERED);
  const nameOf = (point: Uint8Array): string => Buffer.from(point).toString('latin1');
  return {
    multiplyBase(scalar) {
      const point = base(scalar);
      known.set(nameOf(point), true);
      return point;
    },
    isElement(point) {
      if (point.length !== pointBytes) return false;
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
