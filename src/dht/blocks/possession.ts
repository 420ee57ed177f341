/**
 * Proof that somebody has all of a content: a hash that begins with a number nobody could foresee
 * and goes over every byte. It is worth a read-back of everything, for 32 bytes on the network.
 * @module
 */
import { createHash } from 'node:crypto';

/** Bytes of the number that a proof begins with. */
export const NONCE_BYTES = 16;

/**
 * @param load a piece by the text of its CID, as it is on the disk.
 * @returns SHA-256 over the number and the pieces in order; undefined when one is missing.
 */
export async function possessionOf(
  nonce: Uint8Array,
  chunks: readonly string[],
  load: (cid: string) => Promise<Uint8Array | undefined>,
): Promise<Uint8Array | undefined> {
  const hash = createHash('sha256').update(nonce);
  for (const cid of chunks) {
    const piece = await load(cid);
    if (piece === undefined) return undefined;
    hash.update(piece);
  }
  return new Uint8Array(hash.digest());
}
