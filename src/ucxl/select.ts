/**
 * Which copy of a record an address means. A self-proving record is its only version, number 1; so
 * every temporal that includes version 1 finds it. Of a head the newest is kept, and no version:
 *
 * | temporal            | self-proving record             | candidates, head                   |
 * | ------------------- | ------------------------------- | ---------------------------------- |
 * | latest              | the record                      | the smallest CID; the head         |
 * | `*~` `*~1`          | the record                      | out of range: they are no versions |
 * | `~~N` `^^N`         | the record if base +- N is 1    | only `~~0` and `^^0` without base  |
 * | `*@T`               | the record if its time is <= T  | out of range                       |
 * | `*=CID`             | the record if its CID is that   | the one with that CID              |
 *
 * `stale` lets a head past its time be an answer; `siblings` changes nothing here.
 * @module
 */
import { BzzzError } from '../base/errors.ts';
import { type ConcreteAddress, format, series } from './address.ts';
import { invalid } from './fault.ts';
import type { RecordKind } from './kinds.ts';
import type { Copy } from './records.ts';
import { formatTemporal } from './temporal.ts';

/** A self-proving record has exactly this version. */
const ONLY_VERSION = 1;

export interface Selected {
  readonly copy: Copy;
  /** 1 for a self-proving record; null for candidates and heads, told apart by their pins. */
  readonly version: number | null;
}

/** The version that a copy of this kind is; see {@link Selected}. */
export const versionOf = (kind: RecordKind | undefined): number | null =>
  kind?.copies === 'one' ? ONLY_VERSION : null;

/**
 * @param copies all valid ones by rising CID, at least one.
 * @param kind undefined for bare content, which is found by its pin alone.
 * @throws NOT_FOUND for another pin, TEMPORAL_OUT_OF_RANGE for another version, INVALID_ADDRESS for
 * a `base` that nothing counts from.
 */
export function selectCopy(
  address: ConcreteAddress,
  copies: readonly Copy[],
  kind: RecordKind | undefined,
): Selected {
  requireUsedBase(address);
  const { temporal } = address;
  const [first] = copies;
  if (first === undefined) throw notFound(address);
  const version = versionOf(kind);
  if (temporal.form === 'pin') {
    const pinned = copies.find((copy) => copy.pin === temporal.cid);
    if (pinned === undefined) throw notFound(address, `what stands there has pin ${first.pin}`);
    return { copy: pinned, version };
  }
  const found = version === null ? isLatest(address) : isOnlyVersion(address, first);
  if (!found) throw outOfRange(address, kind);
  return { copy: first, version };
}

/** False when the address is pinned to bytes that none of the copies is. */
export const hasPin = ({ temporal }: ConcreteAddress, copies: readonly Copy[]): boolean =>
  temporal.form !== 'pin' || copies.some((copy) => copy.pin === temporal.cid);

/**
 * A write names a series: no query, and no temporal but those allowed.
 * @throws INVALID_ADDRESS.
 */
export function requireBare(address: ConcreteAddress, allowed: readonly 'pin'[]): void {
  const { temporal, query } = address;
  const text = format(address);
  if (temporal.form !== 'latest' && !allowed.some((form) => form === temporal.form)) {
    const at = series({ ...address, path: '' }).length + 1;
    const what = allowed.length === 0 ? 'no temporal' : 'no temporal, or the pin of the content';
    throw invalid('temporal', at, formatTemporal(temporal), what);
  }
  if (Object.keys(query).length > 0) {
    const at = text.indexOf('?');
    throw invalid('query', at, text.slice(at), 'no query');
  }
}

/** @throws INVALID_ADDRESS when `base` stands beside a temporal that does not count from it. */
export function requireUsedBase(address: ConcreteAddress): void {
  const { temporal, query } = address;
  const counts = temporal.form === 'back' || temporal.form === 'forward';
  if (query.base === undefined || counts) return;
  const text = format(address);
  throw invalid('query', text.indexOf('?') + 1, 'base', 'base only beside ~~N or ^^N');
}

/** NOT_FOUND for this address. */
export function notFound(address: ConcreteAddress, why?: string): BzzzError {
  return new BzzzError('NOT_FOUND', `nothing found at ${format(address)}`, {
    ...(why === undefined ? {} : { why }),
    hint: 'check the spelling, and with `bzzz peers` that the members that hold it are connected',
  });
}

/** NOT_FOUND for a head that nobody renewed in time. */
export function expired(address: ConcreteAddress, { expires, writer }: Copy): BzzzError {
  const query = { ...address.query, stale: true } as const;
  return new BzzzError('NOT_FOUND', `what stands at ${format(address)} is past its time`, {
    why: `${writer} let it expire at ${expires}`,
    hint: `to see it all the same: ${format({ ...address, query })}`,
    details: { writer, expires },
  });
}

function isOnlyVersion(address: ConcreteAddress, record: Copy): boolean {
  const { temporal } = address;
  switch (temporal.form) {
    case 'latest':
    case 'history':
      return true;
    case 'version':
      return temporal.n === ONLY_VERSION;
    case 'back':
    case 'forward':
      return temporal.n === 0 && isAtBase(address, record);
    case 'asOf':
      return record.time !== null && Date.parse(record.time) <= temporal.atMs;
    case 'pin':
      return record.pin === temporal.cid;
  }
}

/** A base is a version that exists; without one it is the latest. */
function isAtBase({ query: { base } }: ConcreteAddress, record: Copy): boolean {
  if (base === undefined) return true;
  return base.form === 'version' ? base.n === ONLY_VERSION : base.cid === record.pin;
}

function isLatest({ temporal, query }: ConcreteAddress): boolean {
  if (temporal.form === 'latest') return true;
  const counts = temporal.form === 'back' || temporal.form === 'forward';
  return counts && temporal.n === 0 && query.base === undefined;
}

/** Why a temporal names nothing, and what to ask for instead. */
const OUT_OF_RANGE = {
  one: ['an immutable record has one version, number 1', 'leave the temporal away, or ask for *~1'],
  perAuthor: [
    'one copy of each author stands here, and copies are no versions',
    'leave the temporal away, or name a copy by its pin *=CID',
  ],
  newest: ['of this record only the newest is kept', 'leave the temporal away'],
} as const;

function outOfRange(address: ConcreteAddress, kind: RecordKind | undefined): BzzzError {
  const temporal = formatTemporal(address.temporal);
  const version = versionOf(kind);
  const [why, hint] = OUT_OF_RANGE[kind?.copies ?? 'perAuthor'];
  return new BzzzError('TEMPORAL_OUT_OF_RANGE', `no version ${temporal} at ${format(address)}`, {
    why,
    hint,
    details: version === null ? {} : { first: version, last: version },
  });
}
