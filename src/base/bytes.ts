/**
 * Bytes, hashes and their text forms.
 * @module
 */
import { createHash } from 'node:crypto';
import { varint } from 'multiformats';
import { base32 } from 'multiformats/bases/base32';

const utf8 = new TextEncoder();

/** Lower-case hex. */
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** @returns undefined unless `text` is lower- or upper-case hex of whole bytes. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** RFC 4648 base32, lower case, no padding, no multibase prefix. */
export const toBase32 = (bytes: Uint8Array): string => base32.baseEncode(bytes);

/** @throws SyntaxError for what {@link toBase32} does not write. */
export const fromBase32 = (text: string): Uint8Array => base32.baseDecode(text);

export const utf8Bytes = (text: string): Uint8Array => utf8.encode(text);

/** Unsigned LEB128 (https://github.com/multiformats/unsigned-varint). */
export const varintBytes = (n: number): Uint8Array =>
  varint.encodeTo(n, new Uint8Array(varint.encodingLength(n)));

export const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(bytes).digest());

/**
 * SHA-256 over a domain tag and parts, each behind its length as a 32-bit big-endian number, so
 * that no two lists of parts hash alike.
 */
export function taggedHash(tag: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of [utf8Bytes(tag), ...parts]) {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, part.length);
    hash.update(length).update(part);
  }
  return new Uint8Array(hash.digest());
}

/** Not constant in time: for public bytes only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

/** Lexicographic order; for sorting only. */
export const compareBytes = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b);

/** Lexicographic order of text by code unit: the same on every host, unlike `localeCompare`. */
export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
