/**
 * One encoding on the wire, on disk and under signatures: DAG-CBOR. Every decode is bounded, strict
 * (canonical bytes only) and passes a schema before anything else sees the value.
 * @module
 */
import * as dagCbor from '@ipld/dag-cbor';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { create as createDigest } from 'multiformats/hashes/digest';
import { z } from 'zod';
import type { Epoch, PeerId, Term } from './brands.ts';
import { equalBytes, sha256 } from './bytes.ts';
import { BzzzError } from './errors.ts';

const SHA2_256 = 0x12;

/** Deterministic bytes of a plain value (no `undefined` inside). */
export const encode = (value: unknown): Uint8Array => dagCbor.encode(value);

/**
 * Decodes and checks.
 * @throws BAD_MESSAGE naming `what`: too large, not canonical DAG-CBOR, or not of the schema.
 */
export function decode<T>(
  what: string,
  schema: z.ZodType<T>,
  bytes: Uint8Array,
  maxBytes: number,
): T {
  if (bytes.length > maxBytes) {
    throw new BzzzError('BAD_MESSAGE', `${what}: ${bytes.length} bytes, at most ${maxBytes}`);
  }
  let value: unknown;
  try {
    value = dagCbor.decode(bytes);
    // Decoders accept some non-canonical forms; two encodings of one value would have two hashes.
    if (!equalBytes(dagCbor.encode(value), bytes)) throw new Error('not canonical');
  } catch (cause) {
    throw new BzzzError('BAD_MESSAGE', `${what}: not DAG-CBOR`, { cause });
  }
  return check(what, schema, value);
}

/** Checks a value of unknown origin. @throws BAD_MESSAGE with the first offending path. */
export function check<T>(what: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.join('.') ?? '';
  throw new BzzzError('BAD_MESSAGE', `${what}: ${path === '' ? '' : `${path}: `}${issue?.message}`);
}

/** CIDv1, codec raw, sha2-256: the name of `bytes` as content (`bafkrei...`). */
export const contentCid = (bytes: Uint8Array): CID =>
  CID.createV1(raw.code, createDigest(SHA2_256, sha256(bytes)));

/** CIDv1, codec dag-cbor, sha2-256: the name of an encoded record. */
export const recordCid = (bytes: Uint8Array): CID =>
  CID.createV1(dagCbor.code, createDigest(SHA2_256, sha256(bytes)));

/** Schemas of the field types that every protocol shares. */
export const field = {
  /** Exactly `length` bytes. Copied, because received bytes are views into network buffers. */
  bytes: (length: number) =>
    z
      .instanceof(Uint8Array)
      .refine((b) => b.length === length, { message: `expected ${length} bytes` })
      .transform((b) => new Uint8Array(b)),
  bytesUpTo: (max: number) =>
    z
      .instanceof(Uint8Array)
      .refine((b) => b.length <= max, { message: `expected at most ${max} bytes` })
      .transform((b) => new Uint8Array(b)),
  text: (max: number) => z.string().max(max),
  /** Base58 of an identity multihash of an Ed25519 key. */
  peerId: z
    .string()
    .regex(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/, 'expected an Ed25519 peer id')
    .transform((s) => s as PeerId),
  uint: z.int().min(0),
  epoch: z
    .int()
    .min(0)
    .transform((n) => n as Epoch),
  term: z
    .int()
    .min(0)
    .transform((n) => n as Term),
  /** Lower-case hex of a 32-byte hash, branded by the caller. */
  hash: <B extends string>() =>
    z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'expected 32 bytes in hex')
      .transform((s) => s as B),
} as const;
