/** Ed25519 as the platform has it: an implementation that is none of ours. */
import { createPublicKey, verify } from 'node:crypto';

/** The 12 bytes of DER that stand before a raw Ed25519 key (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** @param publicKey 32 bytes. @param signature 64 bytes. */
export function opensslAccepts(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const der = Buffer.concat([SPKI_PREFIX, publicKey]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return verify(null, message, key, signature);
}
