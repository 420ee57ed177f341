/**
 * RFC 9591 Schnorr signatures over a short Weierstrass curve, verified by the textbook: affine
 * formulas become Jacobian ones (https://hyperelliptic.org/EFD/g1p/auto-shortw-jacobian.html), and
 * nothing is clever. It shares no code with the library that signs.
 *
 * A signature is R (SEC 1, compressed) and z (big-endian); it holds when z G = R + c P with
 * c = H2(R, P, message) (RFC 9591 §6, appendix B).
 * @module
 */
import { utf8Bytes } from '../../base/bytes.ts';
import { type Addition, bigEndian, mod, power, sumOfTwo } from './plain-field.ts';
import { hashToScalar } from './plain-hash.ts';

/** y² = x³ + ax + b over a prime p = 3 mod 4, of prime order. */
export interface WeierstrassCurve {
  readonly p: bigint;
  readonly a: bigint;
  readonly b: bigint;
  readonly order: bigint;
  readonly base: readonly [x: bigint, y: bigint];
}

/** Jacobian: x = X / Z², y = Y / Z³; Z = 0 is the point at infinity. */
type Point = readonly [X: bigint, Y: bigint, Z: bigint];

const INFINITY: Point = [1n, 1n, 0n];
const COORDINATE_BYTES = 32;
const POINT_BYTES = 1 + COORDINATE_BYTES;

/** @returns a verifier for keys in SEC 1 form; false for anything malformed. */
export function weierstrassVerifier(curve: WeierstrassCurve, context: string) {
  const { order, p, base } = curve;
  const group: Addition<Point> = { zero: INFINITY, add: (a, b) => add(curve, a, b) };
  const generator: Point = [...base, 1n];
  const tag = utf8Bytes(`${context}chal`);
  return (groupKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean => {
    if (signature.length !== POINT_BYTES + COORDINATE_BYTES) return false;
    const nonceBytes = signature.subarray(0, POINT_BYTES);
    const [key, nonce] = [decode(curve, groupKey), decode(curve, nonceBytes)];
    const response = bigEndian(signature.subarray(POINT_BYTES));
    if (key === undefined || nonce === undefined || response >= order) return false;
    const challenge = hashToScalar(order, tag, Buffer.concat([nonceBytes, groupKey, message]));
    // As z G - c P = R: one pass over both scalars.
    return isSame(p, sumOfTwo(group, [generator, key], [response, order - challenge]), nonce);
  };
}

/** SEC 1 v2 §2.3.4, compressed points only. */
function decode({ p, a, b }: WeierstrassCurve, bytes: Uint8Array): Point | undefined {
  const sign = bytes[0];
  if (bytes.length !== POINT_BYTES || (sign !== 2 && sign !== 3)) return undefined;
  const x = bigEndian(bytes.subarray(1));
  if (x >= p) return undefined;
  const square = mod(x * x * x + a * x + b, p);
  const root = power(square, (p + 1n) / 4n, p);
  if ((root * root) % p !== square || root === 0n) return undefined;
  return [x, (root & 1n) === BigInt(sign & 1) ? root : p - root, 1n];
}

function double({ p, a }: WeierstrassCurve, [X, Y, Z]: Point): Point {
  if (Z === 0n || Y === 0n) return INFINITY;
  const YY = (Y * Y) % p;
  const S = (4n * X * YY) % p;
  const ZZ = (Z * Z) % p;
  const M = mod(3n * X * X + a * ZZ * ZZ, p);
  const X3 = mod(M * M - 2n * S, p);
  return [X3, mod(M * (S - X3) - 8n * YY * YY, p), (2n * Y * Z) % p];
}

function add(curve: WeierstrassCurve, left: Point, right: Point): Point {
  const { p } = curve;
  const [X1, Y1, Z1] = left;
  const [X2, Y2, Z2] = right;
  if (Z1 === 0n) return right;
  if (Z2 === 0n) return left;
  const [ZZ1, ZZ2] = [(Z1 * Z1) % p, (Z2 * Z2) % p];
  const U1 = (X1 * ZZ2) % p;
  const H = mod(X2 * ZZ1 - U1, p);
  const S1 = (Y1 * Z2 * ZZ2) % p;
  const R = mod(Y2 * Z1 * ZZ1 - S1, p);
  if (H === 0n) return R === 0n ? double(curve, left) : INFINITY;
  const HH = (H * H) % p;
  const V = (U1 * HH) % p;
  const X3 = mod(R * R - HH * H - 2n * V, p);
  return [X3, mod(R * (V - X3) - S1 * HH * H, p), mod(H * Z1 * Z2, p)];
}

function isSame(p: bigint, [X1, Y1, Z1]: Point, [X2, Y2, Z2]: Point): boolean {
  if (Z1 === 0n || Z2 === 0n) return Z1 === Z2;
  const sameX = mod(X1 * Z2 * Z2 - X2 * Z1 * Z1, p) === 0n;
  return sameX && mod(Y1 * Z2 ** 3n - Y2 * Z1 ** 3n, p) === 0n;
}
