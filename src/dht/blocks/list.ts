/**
 * Content that is too large for one record, as the list of its pieces. The list is content itself:
 * its CID is the content's name, and each CID in it proves its piece.
 *
 * ```
 * {v: 1, list: "bzzz/blocks", size, chunks: [CID]}      DAG-CBOR, links are CIDv1 raw sha2-256
 * ```
 *
 * Every piece but the last has exactly `LIMITS.chunkBytes`, so one content has one list.
 * @module
 */
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { z } from 'zod';
import { contentCid, decode, encode } from '../../base/codec.ts';
import { LIMITS } from '../../base/limits.ts';

/** Pieces in order, as texts of their CIDs, and the sum of their sizes in bytes. */
export interface BlockList {
  readonly size: number;
  readonly chunks: readonly string[];
}

const SHA2_256 = 0x12;
const FORM = 'bzzz/blocks';
/** How a CBOR map of four entries begins (RFC 8949, section 3.1). */
const MAP_OF_FOUR = 0xa4;

/** A link to a piece; any other CID than raw over SHA-256 is refused. */
export const blockLink = z.custom<CID>(
  (value) => {
    const cid = CID.asCID(value);
    return cid?.version === 1 && cid.code === raw.code && cid.multihash.code === SHA2_256;
  },
  { message: 'expected a CIDv1, raw, sha2-256' },
);

const schema = z
  .strictObject({
    v: z.literal(1),
    list: z.literal(FORM),
    size: z.int().min(1).max(LIMITS.chunkedBytes),
    chunks: z
      .array(blockLink)
      .min(1)
      .max(LIMITS.chunkedBytes / LIMITS.chunkBytes),
  })
  .refine(({ size, chunks }) => chunks.length === Math.ceil(size / LIMITS.chunkBytes), {
    message: 'expected as many pieces as the size asks for',
  });

/** The list's bytes; the caller has cut as this page says. */
export const encodeBlockList = ({ size, chunks }: BlockList): Uint8Array =>
  encode({ v: 1, list: FORM, size, chunks: chunks.map((cid) => CID.parse(cid)) });

/** @throws BAD_MESSAGE. */
export function decodeBlockList(bytes: Uint8Array): BlockList {
  const { size, chunks } = decode('block list', schema, bytes, LIMITS.contentBytes);
  return { size, chunks: chunks.map((cid) => cid.toString()) };
}

/** The list that `bytes` are; undefined when they are content of another kind. */
export function asBlockList(bytes: Uint8Array): BlockList | undefined {
  // Most content is none, and its first byte says so.
  if (bytes[0] !== MAP_OF_FOUR) return undefined;
  try {
    return decodeBlockList(bytes);
  } catch {
    return undefined;
  }
}

/** Size of the piece at `index`. */
export const chunkSize = ({ size }: BlockList, index: number): number =>
  Math.min(LIMITS.chunkBytes, size - index * LIMITS.chunkBytes);

/** The name of a list, and so of its content. */
export const rootOf = (list: Uint8Array): string => contentCid(list).toString();

/** Cuts a stream of any pieces into those of a list; each is a buffer of its own. */
export async function* cut(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let chunk = new Uint8Array(LIMITS.chunkBytes);
  let filled = 0;
  for await (const part of source) {
    for (let at = 0; at < part.length; ) {
      const taken = part.subarray(at, at + LIMITS.chunkBytes - filled);
      chunk.set(taken, filled);
      filled += taken.length;
      at += taken.length;
      if (filled < LIMITS.chunkBytes) continue;
      yield chunk;
      chunk = new Uint8Array(LIMITS.chunkBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield chunk.slice(0, filled);
}
