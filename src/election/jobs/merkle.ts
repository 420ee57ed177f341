/**
 * Merkle tree hash of RFC 6962, section 2.1: leaves and nodes are hashed under different prefixes,
 * so that no node passes for a leaf. https://www.rfc-editor.org/rfc/rfc6962#section-2.1
 * @module
 */
import { createHash } from 'node:crypto';

const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);

const hash = (...parts: readonly Uint8Array[]): Uint8Array => {
  const sum = createHash('sha256');
  for (const part of parts) sum.update(part);
  return new Uint8Array(sum.digest());
};

/** Hash of a leaf; 32 bytes. */
export const leafHash = (bytes: Uint8Array): Uint8Array => hash(LEAF, bytes);

/** Root over leaf hashes; 32 bytes. The root of nothing is the hash of nothing. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return hash();
  const [first] = leaves;
  if (leaves.length === 1 && first !== undefined) return first;
  // The largest power of two below the number of leaves.
  const split = 2 ** (31 - Math.clz32(leaves.length - 1));
  return hash(NODE, merkleRoot(leaves.slice(0, split)), merkleRoot(leaves.slice(split)));
}
