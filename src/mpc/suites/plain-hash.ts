/**
 * Hashing to a scalar with SHA-256 as RFC 9380 §5 says, written straight down for the verifiers.
 * @module
 */
import { createHash } from 'node:crypto';
import { bigEndian } from './plain-field.ts';

const HASH_BYTES = 32;
const BLOCK_BYTES = 64;
/** L of RFC 9591 §6.4 and §6.5: order and a security level of 128 bits. */
const SCALAR_BYTES = 48;

/** hash_to_field with one element: `message` under the domain separation tag `tag`. */
export const hashToScalar = (order: bigint, tag: Uint8Array, message: Uint8Array): bigint =>
  bigEndian(expandMessage(tag, message, SCALAR_BYTES)) % order;

const sha256 = (...parts: readonly Uint8Array[]): Uint8Array =>
  createHash('sha256').update(Buffer.concat(parts)).digest();

/** expand_message_xmd, RFC 9380 §5.3.1. */
function expandMessage(tag: Uint8Array, message: Uint8Array, length: number): Uint8Array {
  const suffix = Buffer.concat([tag, Uint8Array.of(tag.length)]);
  const lengthBytes = Uint8Array.of(length >> 8, length & 0xff);
  const first = [new Uint8Array(BLOCK_BYTES), message, lengthBytes, Uint8Array.of(0), suffix];
  const b0 = sha256(...first);
  const blocks: Uint8Array[] = [];
  let block = new Uint8Array(HASH_BYTES);
  for (let i = 1; blocks.length * HASH_BYTES < length; i++) {
    const mixed = b0.map((byte, at) => byte ^ (block[at] ?? 0));
    block = new Uint8Array(sha256(mixed, Uint8Array.of(i), suffix));
    blocks.push(block);
  }
  return Buffer.concat(blocks).subarray(0, length);
}
