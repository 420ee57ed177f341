/**
 * The stored form of records, and their check. A record carries its own series, so that a
 * valid record of one key is worthless under another.
 *
 * ```
 * one         {v: 1, series, body}                              /ucxl/i/<series id>
 * perAuthor   {v: 1, series, candidates: [{author, body}]}      /ucxl/c/<series id>
 * newest      {v: 1, series, body}                              /ucxl/h/<series id>
 * content     the bytes themselves                              /ucxl/m/<CID>
 * ```
 *
 * The pin of a record is the content CID of its body.
 * @module
 */
import { CID } from 'multiformats/cid';
import { z } from 'zod';
import type { PeerId } from '../base/brands.ts';
import { compareBytes, compareText } from '../base/bytes.ts';
import { contentCid, decode, encode, field } from '../base/codec.ts';
import { BzzzError, isBadMessage } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type Address, series, seriesId } from './address.ts';
import type { HeadKind, HeadOrder, RecordFacts, RecordKind } from './kinds.ts';
import { parseSeries } from './parse.ts';

/** What a store must know to judge records. */
export interface RecordRules {
  readonly kinds: readonly RecordKind[];
  /**
   * Whether `peer` is a member or was one. Only such a peer may be the author of a candidate: the
   * places are few, and strangers' keys cost nothing.
   */
  isKnown(peer: PeerId): boolean;
}

/** One verified copy of a record. */
export interface Copy {
  /** Who signed it; null for bare content, which nobody signs. */
  readonly writer: PeerId | null;
  readonly type: string;
  /** ISO 8601 UTC; null when the record carries no time. */
  readonly time: string | null;
  /** ISO 8601 UTC; null for what never expires. */
  readonly expires: string | null;
  /** Text of the content CID of `bytes`. */
  readonly pin: string;
  readonly bytes: Uint8Array;
}

/** A body and who signed it, not verified. */
export interface Candidate {
  readonly author: PeerId;
  readonly body: Uint8Array;
}

/** Version, series and the CBOR around them. */
const FRAME_BYTES = LIMITS.addressBytes + 64;
/** A candidate's author and the CBOR around it. */
const CANDIDATE_FRAME_BYTES = 128;

/** Most bytes of a stored value. */
export const STORED_BYTES = {
  one: LIMITS.recordBytes + FRAME_BYTES,
  perAuthor: LIMITS.candidates * (LIMITS.candidateBytes + CANDIDATE_FRAME_BYTES) + FRAME_BYTES,
  newest: LIMITS.recordBytes + FRAME_BYTES,
} as const;

const seriesText = field.text(LIMITS.addressBytes);
const oneSchema = z.strictObject({
  v: z.literal(1),
  series: seriesText,
  body: field.bytesUpTo(LIMITS.recordBytes),
});
const perAuthorSchema = z.strictObject({
  v: z.literal(1),
  series: seriesText,
  candidates: z
    .array(z.strictObject({ author: field.peerId, body: field.bytesUpTo(LIMITS.candidateBytes) }))
    .min(1)
    .max(LIMITS.candidates)
    .refine(isSortedByAuthor, { message: 'expected one candidate an author, sorted by author' }),
});

/**
 * The stored form of one verified copy.
 * @throws BAD_MESSAGE for a candidate whose author every other node would refuse.
 */
export function encodeCopy(
  rules: RecordRules,
  kind: RecordKind,
  address: Address,
  { writer, bytes }: Copy,
): Uint8Array {
  if (kind.copies !== 'perAuthor' || writer === null) return encodeOne(series(address), bytes);
  if (!rules.isKnown(writer)) throw refused(`candidate of ${writer}, who was never a member`);
  return encodeCandidates(series(address), [{ author: writer, body: bytes }]);
}

export const encodeOne = (canonicalSeries: string, body: Uint8Array): Uint8Array =>
  encode({ v: 1, series: canonicalSeries, body });

/** Sorts by author; the caller gives at most one candidate an author. */
export const encodeCandidates = (
  canonicalSeries: string,
  candidates: readonly Candidate[],
): Uint8Array =>
  encode({
    v: 1,
    series: canonicalSeries,
    candidates: [...candidates].sort((a, b) => compareText(a.author, b.author)),
  });

/** Form only, of one record or head. @throws BAD_MESSAGE. */
export const decodeOne = (value: Uint8Array) =>
  decode('record', oneSchema, value, STORED_BYTES.one);

/** Form only. @throws BAD_MESSAGE. */
export const decodeCandidates = (value: Uint8Array) =>
  decode('candidates', perAuthorSchema, value, STORED_BYTES.perAuthor);

/**
 * Form, binding to the key, kind and proof of a self-proving record.
 * @throws BAD_MESSAGE.
 */
export function openOne(rules: RecordRules, suffix: string, value: Uint8Array): Copy {
  const stored = decodeOne(value);
  const address = boundAddress(stored.series, suffix);
  return verifyBody(kindAt(rules.kinds, address, 'one'), address, stored.body);
}

/** The same for a head. @throws BAD_MESSAGE. */
export function openHead(rules: RecordRules, suffix: string, value: Uint8Array): Copy {
  const stored = decodeOne(value);
  const address = boundAddress(stored.series, suffix);
  return verifyBody(kindAt(rules.kinds, address, 'newest'), address, stored.body);
}

/** A valid head's body and its place among the heads of its series. @throws BAD_MESSAGE. */
export function orderOfHead(
  rules: RecordRules,
  suffix: string,
  value: Uint8Array,
): { readonly order: HeadOrder; readonly body: Uint8Array } {
  const { series: canonicalSeries, body } = decodeOne(value);
  const address = boundAddress(canonicalSeries, suffix);
  return { order: kindAt(rules.kinds, address, 'newest').order(body), body };
}

/**
 * The same for a candidate set: every candidate is verified, and its author is who signed it.
 * @returns the copies by rising CID bytes, so that the first is the default pick of every reader.
 * @throws BAD_MESSAGE.
 */
export function openCandidates(rules: RecordRules, suffix: string, value: Uint8Array): Copy[] {
  const stored = decodeCandidates(value);
  const address = boundAddress(stored.series, suffix);
  const kind = kindAt(rules.kinds, address, 'perAuthor');
  const copies = stored.candidates.map(({ author, body }) => {
    const copy = verifyBody(kind, address, body);
    if (copy.writer !== author) throw refused(`candidate of ${author} was signed by another`);
    if (!rules.isKnown(author)) throw refused(`candidate of ${author}, who was never a member`);
    return copy;
  });
  return copies.sort((a, b) => comparePins(a.pin, b.pin));
}

/** Content: the hash is the key. @throws BAD_MESSAGE. */
export function openContent(suffix: string, value: Uint8Array): Copy {
  if (value.length > LIMITS.contentBytes) {
    throw refused(`content of ${value.length} bytes, at most ${LIMITS.contentBytes}`);
  }
  const pin = contentCid(value).toString();
  if (pin !== suffix) throw refused(`content ${pin} under the key of ${suffix}`);
  const type = 'application/octet-stream';
  return { writer: null, type, time: null, expires: null, pin, bytes: value };
}

/** @throws NOT_FOUND where no kind of record stands. */
export function requireKind({ kinds }: RecordRules, address: Address): RecordKind {
  const kind = findKind(kinds, address);
  if (kind !== undefined) return kind;
  throw new BzzzError('NOT_FOUND', `no kind of record stands at ${series(address)}`);
}

/** @returns the one kind at `address`, or undefined. @throws BAD_MESSAGE when two claim it. */
export function findKind(kinds: readonly RecordKind[], address: Address): RecordKind | undefined {
  const [kind, other] = kinds.filter((k) => k.matches(address));
  if (kind !== undefined && other !== undefined) {
    throw refused(`${kind.name} and ${other.name} both claim ${series(address)}`);
  }
  return kind;
}

/** Verifies a body by its kind, size first. @throws BAD_MESSAGE. */
export function verifyBody(kind: RecordKind, address: Address, body: Uint8Array): Copy {
  const atMost = Math.min(kind.maxBytes, BODY_BYTES[kind.copies]);
  if (body.length > atMost) {
    throw refused(`${kind.name} of ${body.length} bytes, at most ${atMost}`);
  }
  const { writer, type, time = null, expires = null } = verified(kind, address, body);
  const pin = contentCid(body).toString();
  return { writer, type, time, expires, pin, bytes: body };
}

/** Order of CIDs by their bytes: base32 text sorts digits before letters, another order. */
export const comparePins = (a: string, b: string): number =>
  compareBytes(CID.parse(a).bytes, CID.parse(b).bytes);

const BODY_BYTES = {
  one: LIMITS.recordBytes,
  perAuthor: LIMITS.candidateBytes,
  newest: LIMITS.recordBytes,
} as const;

const refused = (message: string, cause?: unknown): BzzzError =>
  new BzzzError('BAD_MESSAGE', message, cause === undefined ? {} : { cause });

/** Whatever a kind throws over bytes from outside, the answer is that they are refused. */
function verified(kind: RecordKind, address: Address, body: Uint8Array): RecordFacts {
  try {
    return kind.verify(address, body);
  } catch (thrown) {
    if (isBadMessage(thrown)) throw thrown;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw refused(`${kind.name} at ${series(address)}: ${reason}`, thrown);
  }
}

function boundAddress(canonicalSeries: string, suffix: string): Address {
  if (seriesId(canonicalSeries) !== suffix) throw refused('record of another series than its key');
  try {
    return parseSeries(canonicalSeries);
  } catch (cause) {
    throw refused('record of a series that is not canonical', cause);
  }
}

function kindAt<C extends RecordKind['copies']>(
  kinds: readonly RecordKind[],
  address: Address,
  copies: C,
): C extends 'newest' ? HeadKind : RecordKind;
function kindAt(
  kinds: readonly RecordKind[],
  address: Address,
  copies: RecordKind['copies'],
): RecordKind {
  const kind = findKind(kinds, address);
  if (kind?.copies === copies) return kind;
  throw refused(`no record of this form stands at ${series(address)}`);
}

function isSortedByAuthor(candidates: readonly Candidate[]): boolean {
  return candidates.every((candidate, i) => {
    const before = candidates[i - 1];
    return before === undefined || compareText(before.author, candidate.author) < 0;
  });
}
