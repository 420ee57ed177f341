/**
 * edwards25519 and ristretto255 on encoded points, by libsodium.
 * @module
 */
import sodium from 'libsodium-wrappers-sumo';
import { encodedGroup } from './encoded.ts';

await sodium.ready;

const POINT_BYTES = 32;

/** The prime-order subgroup of edwards25519 (RFC 9591 §6.1). */
export const encodedEd25519 = encodedGroup({
  pointBytes: POINT_BYTES,
  base: (scalar) => sodium.crypto_scalarmult_ed25519_base_noclamp(scalar),
  multiply: (scalar, point) => sodium.crypto_scalarmult_ed25519_noclamp(scalar, point),
  add: (a, b) => sodium.crypto_core_ed25519_add(a, b),
  isValid: (point) => sodium.crypto_core_ed25519_is_valid_point(point),
});

const RISTRETTO_IDENTITY = new Uint8Array(POINT_BYTES);

/** ristretto255 (RFC 9496, RFC 9591 §6.2). */
export const encodedRistretto255 = encodedGroup({
  pointBytes: POINT_BYTES,
  base: (scalar) => sodium.crypto_scalarmult_ristretto255_base(scalar),
  multiply: (scalar, point) => sodium.crypto_scalarmult_ristretto255(scalar, point),
  add: (a, b) => sodium.crypto_core_ristretto255_add(a, b),
  isValid: (point) =>
    sodium.crypto_core_ristretto255_is_valid_point(point) &&
    Buffer.compare(point, RISTRETTO_IDENTITY) !== 0,
});
