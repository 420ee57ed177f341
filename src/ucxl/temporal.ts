/**
 * The temporal segment of an address: which version of a series is meant (docs/addresses.md).
 *
 * | form     | text                   | means                                   |
 * | -------- | ---------------------- | --------------------------------------- |
 * | latest   | `*^`, or none          | the newest version                      |
 * | history  | `*~`                   | the list of all versions                |
 * | version  | `*~7`                  | version 7; the first is 1               |
 * | back     | `~~2`                  | 2 before the base                       |
 * | forward  | `^^1`                  | 1 after the base                        |
 * | asOf     | `*@20260730T120000Z`   | the newest version not younger than that |
 * | pin      | `*=bafkrei...`         | exactly the bytes with this CID         |
 *
 * `%5E` stands for `^` here and nowhere else, because some tools cannot pass a bare `^`.
 * @module
 */
import { CID } from 'multiformats/cid';
import { invalid } from './fault.ts';

export type Temporal =
  | { readonly form: 'latest' }
  | { readonly form: 'history' }
  | { readonly form: 'version'; readonly n: number }
  | { readonly form: 'back'; readonly n: number }
  | { readonly form: 'forward'; readonly n: number }
  /** Milliseconds since 1970. */
  | { readonly form: 'asOf'; readonly atMs: number }
  /** Text of a CIDv1, codec raw, sha2-256, base32. */
  | { readonly form: 'pin'; readonly cid: string };

/** The two absolute forms that `?base=` takes. */
export type BaseVersion = Extract<Temporal, { form: 'version' | 'pin' }>;

export const LATEST: Temporal = { form: 'latest' };

const ALLOWED =
  '*^, *~, *~N from 1, ~~N, ^^N (N has at most 9 digits and no leading zero), ' +
  '*@YYYYMMDDThhmmss[.mmm]Z, *=<CIDv1, raw, sha2-256, base32>';

/** `%5E` read as `^`. */
export const unescapeCaret = (segment: string): string => segment.replaceAll(/%5e/gi, '^');

/** Whether a segment can only be meant as a temporal: no path segment starts like this. */
export const looksTemporal = (segment: string): boolean =>
  /^(?:[~^]|\*[~^@=])/.test(unescapeCaret(segment));

/** @throws INVALID_ADDRESS; `position` is where the segment starts in the address. */
export function parseTemporal(segment: string, position: number): Temporal {
  const parsed = readTemporal(unescapeCaret(segment));
  if (parsed === undefined) throw invalid('temporal', position, segment, ALLOWED);
  return parsed;
}

/** @throws INVALID_ADDRESS unless `text` is a version or a pin. */
export function parseBase(text: string, position: number): BaseVersion {
  const parsed = readTemporal(text);
  if (parsed?.form !== 'version' && parsed?.form !== 'pin') {
    throw invalid('query', position, text, 'base=*~N from 1, or base=*=<CID>');
  }
  return parsed;
}

/** Canonical text; `''` for latest, which is omitted. */
export function formatTemporal(temporal: Temporal): string {
  switch (temporal.form) {
    case 'latest':
      return '';
    case 'history':
      return '*~';
    case 'version':
      return `*~${temporal.n}`;
    case 'back':
      return `~~${temporal.n}`;
    case 'forward':
      return `^^${temporal.n}`;
    case 'asOf':
      return `*@${formatInstant(temporal.atMs)}`;
    case 'pin':
      return `*=${temporal.cid}`;
  }
}

function readTemporal(text: string): Temporal | undefined {
  if (text === '*^') return LATEST;
  if (text === '*~') return { form: 'history' };
  const number = text.slice(2);
  switch (text.slice(0, 2)) {
    case '*~':
      return /^[1-9][0-9]{0,8}$/.test(number) ? { form: 'version', n: Number(number) } : undefined;
    case '~~':
      return isUint(number) ? { form: 'back', n: Number(number) } : undefined;
    case '^^':
      return isUint(number) ? { form: 'forward', n: Number(number) } : undefined;
    case '*@':
      return readInstant(text.slice(2));
    case '*=':
      return readPin(text.slice(2));
    default:
      return undefined;
  }
}

const isUint = (text: string): boolean => /^(?:0|[1-9][0-9]{0,8})$/.test(text);

/** RFC 5234 literals ignore case, so `t` and `z` are read as `T` and `Z`. */
function readInstant(text: string): Temporal | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)(?:\.(\d{3}))?z$/i.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, ms = '000'] = match;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`;
  const atMs = Date.parse(iso);
  // Date.parse moves 30 February on to March; an instant that does not exist is an error.
  if (Number.isNaN(atMs) || new Date(atMs).toISOString() !== iso) return undefined;
  return { form: 'asOf', atMs };
}

const formatInstant = (atMs: number): string =>
  new Date(atMs).toISOString().replaceAll(/[-:]/g, '').replace('.000Z', 'Z');

/**
 * The seven fixed characters say CIDv1, raw, sha2-256; what is left for the library to refuse are
 * another digest length and bits in the padding.
 */
function readPin(text: string): Temporal | undefined {
  const cid = text.slice(0, 7).toLowerCase() + text.slice(7);
  if (!/^bafkrei[a-z2-7]{52}$/.test(cid)) return undefined;
  try {
    CID.parse(cid);
    return { form: 'pin', cid };
  } catch {
    // CID.parse throws for what is no CID; the caller reports it with its position.
    return undefined;
  }
}
