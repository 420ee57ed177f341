/**
 * UCXL addresses: who (`agent:role`), where (`project:task`), when (temporal), what (path).
 *
 * ```
 * ucxl://agent:role@project:task[/temporal][/path][/][?query][#fragment]     concrete
 * ucxl://any:reviewer@lab:any/**                                             pattern
 * ```
 *
 * The grammar (RFC 5234) and its rules stand in docs/addresses.md. Addresses are read by `parse.ts`
 * and by nothing else: the WHATWG `URL` class lower-cases and escapes what is significant here.
 *
 * A *series* is what all versions of one thing share: the canonical address without temporal,
 * query and fragment. Records are stored under the hash of their series.
 * @module
 */
import { sha256, toBase32, utf8Bytes } from '../base/bytes.ts';
import { formatQuery, type Query } from './query.ts';
import { formatTemporal, type Temporal } from './temporal.ts';

/** The five names of a series. The first four are lower-case; `path` keeps its case. */
export interface Address {
  readonly agent: string;
  readonly role: string;
  readonly project: string;
  readonly task: string;
  /** Segments joined by `/`; `''` for none. */
  readonly path: string;
}

/** An address that names one thing. */
export interface ConcreteAddress extends Address {
  readonly form: 'concrete';
  readonly temporal: Temporal;
  readonly query: Query;
  /** For the client alone, never sent; `''` for none. */
  readonly fragment: string;
}

/** An address with a name `any` or a `*` or `**` segment: it names a set, never written to. */
export interface PatternAddress extends Address {
  readonly form: 'pattern';
  readonly temporal: Temporal;
}

export type UcxlAddress = ConcreteAddress | PatternAddress;

/** In the order in which they are written. */
export const NAME_PARTS = ['agent', 'role', 'project', 'task'] as const;

/** The name that matches every name in a pattern, and names nothing. */
export const ANY = 'any';

/** Canonical text of the five names. For a concrete address this is its series. */
export function series(address: Address): string {
  const { agent, role, project, task, path } = address;
  return `ucxl://${agent}:${role}@${project}:${task}${path === '' ? '' : `/${path}`}`;
}

/** Canonical text; `parse(format(x))` equals `x`. The five names alone are their series. */
export function format(address: Address | UcxlAddress): string {
  if (!('form' in address)) return series(address);
  const temporal = formatTemporal(address.temporal);
  const names = series({ ...address, path: '' });
  const path = [temporal, address.path].filter((part) => part !== '').map((part) => `/${part}`);
  if (address.form === 'pattern') return names + path.join('');
  const query = formatQuery(address.query);
  return [
    names,
    ...path,
    query === '' ? '' : `?${query}`,
    address.fragment === '' ? '' : `#${address.fragment}`,
  ].join('');
}

/** Domain of the series hash. */
const SERIES_TAG = 'ucxl/series/1\0';

/** Base32 of SHA-256(tag, series): the store's name for a series, 52 characters. */
export const seriesId = (canonicalSeries: string): string =>
  toBase32(sha256(utf8Bytes(SERIES_TAG + canonicalSeries)));
