/**
 * One stream, one request: pieces that are wanted, a content to hold, or to show. DAG-CBOR frames
 * of at most 64 KiB, so nobody's request is more in anybody's memory than was agreed on here.
 *
 * ```
 * -> {t: "want", blocks: [{cid, from}]}         up to 4 pieces, each from an offset on
 * <- {t: "data", i, from, bytes}                of the i-th piece, in order, without gaps
 * <- {t: "missing", i}                          it is not here; the next one follows
 *
 * -> {t: "hold", list}                          keep this content: fetch what you lack
 * <- {t: "progress", have}                      pieces so far; says that it goes on
 * <- {t: "held"}  or  {t: "refused", code}
 *
 * -> {t: "prove", list, nonce}                  show that all of this content is here
 * <- {t: "proof", hash}  or  {t: "missing", i: 0}
 *
 * <- {t: "busy"}                                to any: ask again, or somebody else
 * ```
 * @module
 */
import type { CID } from 'multiformats/cid';
import { z } from 'zod';
import type { PeerId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { LIMITS } from '../../base/limits.ts';
import { blockLink } from './list.ts';
import { NONCE_BYTES } from './possession.ts';

/** Bytes of a piece in one frame; what is left is for the CBOR around them. */
export const DATA_BYTES = LIMITS.blockFrameBytes - 256;

const index = z
  .int()
  .min(0)
  .max(LIMITS.blockWants - 1);
const offset = z
  .int()
  .min(0)
  .max(LIMITS.chunkBytes - 1);

const requestSchema = z.discriminatedUnion('t', [
  z.strictObject({
    t: z.literal('want'),
    blocks: z
      .array(z.strictObject({ cid: blockLink, from: offset }))
      .min(1)
      .max(LIMITS.blockWants),
  }),
  z.strictObject({ t: z.literal('hold'), list: field.bytesUpTo(LIMITS.contentBytes) }),
  z.strictObject({
    t: z.literal('prove'),
    list: field.bytesUpTo(LIMITS.contentBytes),
    nonce: field.bytes(NONCE_BYTES),
  }),
]);

const responseSchema = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('data'), i: index, from: offset, bytes: dataBytes() }),
  z.strictObject({ t: z.literal('missing'), i: index }),
  z.strictObject({ t: z.literal('progress'), have: z.int().min(0) }),
  z.strictObject({ t: z.literal('held') }),
  z.strictObject({ t: z.literal('refused'), code: field.text(64) }),
  z.strictObject({ t: z.literal('proof'), hash: field.bytes(32) }),
  z.strictObject({ t: z.literal('busy') }),
]);

export type BlockRequest =
  | {
      readonly t: 'want';
      readonly blocks: readonly { readonly cid: CID; readonly from: number }[];
    }
  | { readonly t: 'hold'; readonly list: Uint8Array }
  | { readonly t: 'prove'; readonly list: Uint8Array; readonly nonce: Uint8Array };

export type BlockResponse =
  | {
      readonly t: 'data';
      readonly i: number;
      readonly from: number;
      readonly bytes: Uint8Array;
    }
  | { readonly t: 'missing'; readonly i: number }
  | { readonly t: 'progress'; readonly have: number }
  | { readonly t: 'held' }
  | { readonly t: 'refused'; readonly code: string }
  | { readonly t: 'proof'; readonly hash: Uint8Array }
  | { readonly t: 'busy' };

export const encodeBlockFrame = (frame: BlockRequest | BlockResponse): Uint8Array => encode(frame);

/** @throws BAD_MESSAGE. */
export const decodeBlockRequest = (bytes: Uint8Array): BlockRequest =>
  decode('block request', requestSchema, bytes, LIMITS.blockFrameBytes);

/** @throws BAD_MESSAGE. */
export const decodeBlockResponse = (bytes: Uint8Array): BlockResponse =>
  decode('block response', responseSchema, bytes, LIMITS.blockFrameBytes);

/** A stream of frames to one member. Every step has a deadline; reading in pace is the caller's. */
export interface BlockStream {
  /** @throws PEER_UNREACHABLE, TIMEOUT, TOO_LARGE. */
  read(): Promise<Uint8Array>;
  /** Resolves when the stream takes more. @throws PEER_UNREACHABLE, TIMEOUT. */
  write(frame: Uint8Array): Promise<void>;
  /** Resolves when the other end has closed, too, or its time is up. Never throws. */
  close(): Promise<void>;
  abort(reason: Error): void;
}

/** How to reach members. */
export interface BlockNet {
  /** Over the connection that is there; nobody is dialled. @throws PEER_UNREACHABLE, TIMEOUT. */
  open(peer: PeerId, signal: AbortSignal): Promise<BlockStream>;
}

/** Never empty: a peer that sends nothing piece by piece would look alive. */
function dataBytes() {
  return field.bytesUpTo(DATA_BYTES).refine((bytes) => bytes.length > 0, {
    message: 'expected some bytes',
  });
}
