/** Encoded points beside those of the library: two implementations must agree. */
import { ed25519, ristretto255 } from '@noble/curves/ed25519.js';
import { schnorr, secp256k1 } from '@noble/curves/secp256k1.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodedSecp256k1, verifyBip340 } from '../../../src/mpc/suites/encoded-secp256k1.ts';
import { encodedEd25519, encodedRistretto255 } from '../../../src/mpc/suites/encoded-sodium.ts';

describe.each([
  ['edwards25519', encodedEd25519, ed25519.Point, ed25519.Point.ZERO.toBytes()],
  ['ristretto255', encodedRistretto255, ristretto255.Point, new Uint8Array(32)],
  // SEC 1 v2 §2.3.3.
  ['secp256k1', encodedSecp256k1, secp256k1.Point, Uint8Array.of(0)],
] as const)('%s', (_name, encoded, Point, identity) => {
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
        const sum = Point.BASE.multiplyUnsafe(total);
        expect(found).toEqual(sum.is0() ? identity : sum.toBytes());
      }),
      { numRuns: 50 },
    );
    const nothing = encoded.combine([multiple(5n), multiple(Fn.ORDER - 5n)], []);
    expect(nothing).toEqual(identity);
    const backAgain = [multiple(5n), multiple(Fn.ORDER - 5n), multiple(3n)];
    expect(encoded.combine(backAgain, [])).toEqual(multiple(3n));
  });

  it('knows its elements, once and again, and nothing else', () => {
    const point = multiple(7n);
    expect([encoded.isElement(point), encoded.isElement(point)]).toEqual([true, true]);
    expect(encoded.isElement(encoded.multiplyBase(Fn.toBytes(9n)))).toBe(true);
    const full = new Uint8Array(point.length).fill(255);
    for (const other of [identity, point.subarray(1), full, full.with(0, 2), full.with(0, 4)]) {
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

describe('BIP 340 signatures', () => {
  const { Fn } = secp256k1.Point;
  const [secret, other] = [Fn.toBytes(1234n), Fn.toBytes(4321n)];
  const publicKey = schnorr.getPublicKey(secret);

  it('verify as the library says, over messages of any length', () => {
    const message = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(message, fc.nat(63), fc.nat(7), (text, byte, bit) => {
        const signature = schnorr.sign(text, secret);
        expect(verifyBip340(publicKey, text, signature)).toBe(true);
        expect(verifyBip340(schnorr.getPublicKey(other), text, signature)).toBe(false);
        expect(verifyBip340(publicKey, Uint8Array.of(...text, 0), signature)).toBe(false);
        const bent = signature.with(byte, (signature[byte] ?? 0) ^ (1 << bit));
        expect(verifyBip340(publicKey, text, bent)).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  it('are false, not an error, when malformed', () => {
    const text = Uint8Array.of(1);
    const signature = schnorr.sign(text, secret);
    const [r, s] = [signature.subarray(0, 32), signature.subarray(32)];
    const zero = new Uint8Array(32);
    const over = Fn.toBytes(Fn.ORDER - 1n).with(31, 0x41);
    for (const z of [zero, over, new Uint8Array(32).fill(255), s.subarray(1)]) {
      expect(verifyBip340(publicKey, text, new Uint8Array([...r, ...z]))).toBe(false);
    }
    expect(verifyBip340(zero, text, signature)).toBe(false);
    expect(verifyBip340(publicKey.subarray(1), text, signature)).toBe(false);
  });

  it('need a nonce point with even Y', () => {
    // z = e d for the message: R would be the identity; and -R has the same x.
    const text = Uint8Array.of(2);
    const signature = schnorr.sign(text, secret);
    const challenge = (x: Uint8Array): bigint =>
      Fn.create(
        BigInt(
          `0x${Buffer.from(schnorr.utils.taggedHash('BIP0340/challenge', x, publicKey, text)).toString('hex')}`,
        ),
      );
    const d = secp256k1.Point.BASE.multiply(1234n).toAffine().y % 2n === 0n ? 1234n : Fn.neg(1234n);
    const e = challenge(signature.subarray(0, 32));
    const k = Fn.sub(Fn.fromBytes(signature.subarray(32)), Fn.mul(e, d));
    const odd = Fn.toBytes(Fn.add(Fn.neg(k), Fn.mul(e, d)));
    const bent = new Uint8Array([...signature.subarray(0, 32), ...odd]);
    expect([schnorr.verify(bent, text, publicKey), verifyBip340(publicKey, text, bent)]).toEqual([
      false,
      false,
    ]);
  });
});
