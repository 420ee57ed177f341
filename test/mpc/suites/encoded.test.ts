/** Encoded points beside those of the library: two implementations must agree. */
import { ed25519, ristretto255 } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodedEd25519, encodedRistretto255 } from '../../../src/mpc/suites/encoded.ts';

describe.each([
  ['edwards25519', encodedEd25519, ed25519.Point],
  ['ristretto255', encodedRistretto255, ristretto255.Point],
] as const)('%s', (_name, encoded, Point) => {
  const { Fn } = Point;
  const scalars = fc.bigInt({ min: 1n, max: Fn.ORDER - 1n });
  const edges = [1n, 2n, 8n, Fn.ORDER - 1n, Fn.ORDER >> 1n];
  const multiple = (n: bigint): Uint8Array => Point.BASE.multiply(n).toBytes();

  it('multiplies the generator as the library does, by scalars at the edges too', () => {
    const same = (n: bigint): void => {
      expect(encoded.multiplyBase(Fn.toBytes(n))).toEqual(multiple(n));
    };
    for (const n of edges) same(n);
    fc.assert(fc.property(scalars, same), { numRuns: 50 });
  });

  it('adds up as the library does, to the identity too', () => {
    const list = fc.array(scalars, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(list, list, (sums, factors) => {
        const points = factors.map((n) => (n * 3n) % Fn.ORDER);
        const found = encoded.combine(
          sums.map(multiple),
          factors.map((n, i) => ({ point: multiple(points[i]!), scalar: Fn.toBytes(n) })),
        );
        const products = factors.map((n, i) => Fn.mul(n, points[i]!));
        const total = [...sums, ...products].reduce((sum, n) => Fn.add(sum, n), 0n);
        expect(found).toEqual(Point.BASE.multiplyUnsafe(total).toBytes());
      }),
      { numRuns: 50 },
    );
    const nothing = encoded.combine([multiple(5n), multiple(Fn.ORDER - 5n)], []);
    expect(nothing).toEqual(Point.ZERO.toBytes());
  });

  it('knows its elements, once and again, and nothing else', () => {
    const point = multiple(7n);
    expect([encoded.isElement(point), encoded.isElement(point)]).toEqual([true, true]);
    expect(encoded.isElement(encoded.multiplyBase(Fn.toBytes(9n)))).toBe(true);
    for (const other of [Point.ZERO.toBytes(), point.subarray(1), new Uint8Array(32).fill(255)]) {
      expect(encoded.isElement(other)).toBe(false);
      expect(encoded.isElement(other)).toBe(false);
    }
  });
});

it('small and mixed orders of edwards25519 are no elements', () => {
  const torsion = ed25519.Point.fromHex(
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  );
  const mixed = ed25519.Point.BASE.add(torsion);
  for (const point of [torsion, mixed]) {
    expect(encodedEd25519.isElement(point.toBytes())).toBe(false);
  }
});
