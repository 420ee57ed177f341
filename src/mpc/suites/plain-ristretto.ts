/**
 * RFC 9591 Schnorr signatures over ristretto255, verified by the letter of RFC 9496 §4.3 and the
 * addition of RFC 8032 §5.1.4. It shares no code with the library that signs.
 *
 * A signature is R and z (little-endian), 32 bytes each; it holds when z G = R + c P with
 * c = SHA-512(context "chal" R P message) (RFC 9591 §6.2).
 * @module
 */
import { createHash } from 'node:crypto';
import { utf8Bytes } from '../../base/bytes.ts';
import { type Addition, littleEndian, mod, power, sumOfTwo } from './plain-field.ts';

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const ELEMENT_BYTES = 32;
/** -121665/121666. */
const D = mod(-121665n * power(121666n, P - 2n, P), P);
const SQRT_M1 = power(2n, (P - 1n) / 4n, P);

/** Extended coordinates: x = X / Z, y = Y / Z, T = XY / Z. */
type Point = readonly [X: bigint, Y: bigint, Z: bigint, T: bigint];

const GROUP: Addition<Point> = {
  zero: [0n, 1n, 1n, 0n],
  add([X1, Y1, Z1, T1], [X2, Y2, Z2, T2]) {
    const A = mod((Y1 - X1) * (Y2 - X2), P);
    const B = mod((Y1 + X1) * (Y2 + X2), P);
    const C = mod(2n * D * T1 * T2, P);
    const E = mod(2n * Z1 * Z2, P);
    const [F, G, H, I] = [B - A, E - C, E + C, B + A];
    return [mod(F * G, P), mod(H * I, P), mod(G * H, P), mod(F * I, P)];
  },
};

/** The generator of RFC 8032 §5.1. */
const GENERATOR = affine(
  15112221349535400772501151409588531511454012693041857206046113283949847762202n,
  46316835694926478169428394003475163141307993866256225615783033603165251855960n,
);

/** @returns a verifier of the ciphersuite; false for anything malformed. */
export function ristrettoVerifier(context: string) {
  const tag = utf8Bytes(`${context}chal`);
  return (groupKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean => {
    if (signature.length !== 2 * ELEMENT_BYTES) return false;
    const nonceBytes = signature.subarray(0, ELEMENT_BYTES);
    const [key, nonce] = [decode(groupKey), decode(nonceBytes)];
    const response = littleEndian(signature.subarray(ELEMENT_BYTES));
    if (key === undefined || nonce === undefined || response >= ORDER) return false;
    const hash = createHash('sha512').update(tag).update(nonceBytes).update(groupKey);
    const challenge = littleEndian(hash.update(message).digest()) % ORDER;
    // As z G - c P = R: one pass over both scalars.
    return isSame(sumOfTwo(GROUP, [GENERATOR, key], [response, ORDER - challenge]), nonce);
  };
}

function affine(x: bigint, y: bigint): Point {
  return [x, y, 1n, mod(x * y, P)];
}

const isNegative = (n: bigint): boolean => (n & 1n) === 1n;
const absolute = (n: bigint): bigint => (isNegative(n) ? P - n : n);

/** RFC 9496 §4.3.1. The identity is an element and no key or nonce. */
function decode(bytes: Uint8Array): Point | undefined {
  const s = littleEndian(bytes);
  if (bytes.length !== ELEMENT_BYTES || s >= P || isNegative(s) || s === 0n) return undefined;
  const ss = mod(s * s, P);
  const [u1, u2] = [mod(1n - ss, P), mod(1n + ss, P)];
  const u2Squared = mod(u2 * u2, P);
  const v = mod(-(D * u1 * u1) - u2Squared, P);
  const inverse = inverseRoot(mod(v * u2Squared, P));
  if (inverse === undefined) return undefined;
  const denominatorX = mod(inverse * u2, P);
  const denominatorY = mod(inverse * denominatorX * v, P);
  const x = absolute(mod(2n * s * denominatorX, P));
  const y = mod(u1 * denominatorY, P);
  if (isNegative(mod(x * y, P)) || y === 0n) return undefined;
  return affine(x, y);
}

/** SQRT_RATIO_M1(1, v) of RFC 9496 §4.2: 1 / sqrt(v), not negative; undefined without a root. */
function inverseRoot(v: bigint): bigint | undefined {
  const v3 = mod(v * v * v, P);
  const root = mod(v3 * power(mod(v3 * v3 * v, P), (P - 5n) / 8n, P), P);
  const check = mod(v * root * root, P);
  if (check === 1n) return absolute(root);
  return check === P - 1n ? absolute(mod(root * SQRT_M1, P)) : undefined;
}

/** RFC 9496 §4.3.3. */
function isSame([X1, Y1]: Point, [X2, Y2]: Point): boolean {
  return mod(X1 * Y2 - Y1 * X2, P) === 0n || mod(Y1 * Y2 - X1 * X2, P) === 0n;
}
