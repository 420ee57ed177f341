/**
 * The query of an address. Three parameters are known; an unknown one is an error, so that a
 * misspelt one is not silently without effect.
 *
 * - `base=*~3` or `base=*=<CID>`: where `~~N` and `^^N` count from.
 * - `siblings`: also show the other copies of a conflict.
 * - `stale`: an answer past its time will do.
 *
 * The two flags are written bare; `=true` is accepted and dropped by the canonical form.
 * @module
 */
import { compareText } from '../base/bytes.ts';
import { invalid } from './fault.ts';
import type { BaseVersion } from './temporal.ts';
import { formatTemporal, parseBase } from './temporal.ts';

export interface Query {
  readonly base?: BaseVersion;
  readonly siblings?: true;
  readonly stale?: true;
}

const ALLOWED = 'base=*~N, base=*=<CID>, siblings, stale; each once, joined by &';

/**
 * @param text what follows `?`; @param position where it starts in the address.
 * @throws INVALID_ADDRESS.
 */
export function parseQuery(text: string, position: number): Query {
  let query: Query = {};
  let at = position;
  for (const param of text.split('&')) {
    const added = parseParam(param, at);
    if (Object.keys(added).some((name) => name in query)) {
      throw invalid('query', at, param, ALLOWED);
    }
    query = { ...query, ...added };
    at += param.length + 1;
  }
  return query;
}

/** Canonical text without `?`: parameters sorted by name; `''` for none. */
export function formatQuery(query: Query): string {
  const params = [
    ...(query.base === undefined ? [] : [`base=${formatTemporal(query.base)}`]),
    ...(query.siblings === undefined ? [] : ['siblings']),
    ...(query.stale === undefined ? [] : ['stale']),
  ];
  return params.sort(compareText).join('&');
}

function parseParam(param: string, position: number): Query {
  if (param.startsWith('base=')) {
    return { base: parseBase(param.slice(5), position + 5) };
  }
  switch (param) {
    case 'siblings':
    case 'siblings=true':
      return { siblings: true };
    case 'stale':
    case 'stale=true':
      return { stale: true };
    default:
      throw invalid('query', position, param, ALLOWED);
  }
}
