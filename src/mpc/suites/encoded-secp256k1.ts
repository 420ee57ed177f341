/**
 * secp256k1 on encoded points, by libsecp256k1 compiled to WebAssembly, and its verdict on BIP 340
 * signatures.
 * @module
 */
import * as secp256k1 from 'tiny-secp256k1';
import { sha256, utf8Bytes } from '../../base/bytes.ts';
import { assert } from '../../base/errors.ts';
import { encodedGroup } from './encoded.ts';
import { bigEndian } from './plain-field.ts';

const POINT_BYTES = 33;
const SCALAR_BYTES = 32;
/** SEC 1 v2 §2.3.3: one zero byte. The library has none. */
const IDENTITY = Uint8Array.of(0);
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const isIdentity = (point: Uint8Array): boolean => point.length === IDENTITY.length;

function element(point: Uint8Array | null): Uint8Array {
  assert(point !== null, 'a multiple of an element by a scalar in range');
  return point;
}

function add(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (isIdentity(a)) return b;
  if (isIdentity(b)) return a;
  return secp256k1.pointAdd(a, b, true) ?? IDENTITY;
}

/** The group of SEC 2 v2 §2.4.1 (RFC 9591 §6.5), points compressed. */
export const encodedSecp256k1 = encodedGroup({
  pointBytes: POINT_BYTES,
  base: (scalar) => element(secp256k1.pointFromScalar(scalar, true)),
  multiply: (scalar, point) => element(secp256k1.pointMultiply(point, scalar, true)),
  add,
  isValid: (point) => secp256k1.isPointCompressed(point),
});

/** BIP 340, "Design": the tag's hash twice in front. */
const CHALLENGE_TAG = sha256(utf8Bytes('BIP0340/challenge'));

/**
 * BIP 340, "Verification", for messages of any length; the library's own takes 32 bytes only.
 * @param publicKey x-only, 32 bytes.
 * @param signature 64 bytes.
 * @returns false for anything malformed.
 */
export function verifyBip340(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== SCALAR_BYTES || signature.length !== 2 * SCALAR_BYTES) return false;
  const key = Uint8Array.of(2, ...publicKey);
  if (!encodedSecp256k1.isElement(key)) return false;
  const [x, response] = [signature.subarray(0, SCALAR_BYTES), signature.subarray(SCALAR_BYTES)];
  const s = bigEndian(response);
  if (s >= ORDER) return false;
  const digest = sha256(Buffer.concat([CHALLENGE_TAG, CHALLENGE_TAG, x, publicKey, message]));
  const negated = (ORDER - (bigEndian(digest) % ORDER)) % ORDER;
  const nonce = add(
    s === 0n ? IDENTITY : encodedSecp256k1.multiplyBase(new Uint8Array(response)),
    negated === 0n ? IDENTITY : element(secp256k1.pointMultiply(key, scalarBytes(negated), true)),
  );
  // Even Y, and the x of the signature.
  return nonce[0] === 2 && Buffer.compare(nonce.subarray(1), x) === 0;
}

const scalarBytes = (scalar: bigint): Uint8Array =>
  new Uint8Array(Buffer.from(scalar.toString(16).padStart(2 * SCALAR_BYTES, '0'), 'hex'));
