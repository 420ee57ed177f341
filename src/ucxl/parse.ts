/**
 * Reads addresses: one pass from left to right, every error with its part and position. Nothing
 * but INVALID_ADDRESS is ever thrown, whatever the text.
 * @module
 */
import { LIMITS } from '../base/limits.ts';
import {
  type Address,
  ANY,
  type ConcreteAddress,
  NAME_PARTS,
  series,
  type UcxlAddress,
} from './address.ts';
import { invalid } from './fault.ts';
import { parseQuery, type Query } from './query.ts';
import { LATEST, looksTemporal, parseTemporal, type Temporal } from './temporal.ts';

const SCHEME = 'ucxl://';
const NAME_CHARACTERS = 63;
const SEGMENT_CHARACTERS = 128;
const NAME = 'a letter or digit, then at most 62 letters, digits, "-" or "_"';
const SEGMENT = '1 to 128 letters, digits, "_", "-" or "."; not "." or ".."';
const FRAGMENT = 'letters, digits, "_", "-", "." and "/"';

/** What follows each of the four names. The task ends where `/`, `?`, `#` or the end stands. */
const AFTER_NAME = { agent: ':', role: '@', project: ':', task: '' } as const;

interface Names {
  readonly agent: string;
  readonly role: string;
  readonly project: string;
  readonly task: string;
}

interface PathPart {
  readonly temporal: Temporal;
  readonly path: string;
  readonly glob: boolean;
  readonly trailingSlash: boolean;
}

/** Reads a concrete address or a pattern. @throws INVALID_ADDRESS. */
export function parse(text: string): UcxlAddress {
  // A character outside ASCII is refused wherever it stands, so characters count as bytes.
  if (text.length > LIMITS.addressBytes) {
    throw invalid('address', LIMITS.addressBytes, text, `at most ${LIMITS.addressBytes} bytes`);
  }
  if (text.slice(0, SCHEME.length).toLowerCase() !== SCHEME) {
    throw invalid('scheme', 0, text.slice(0, SCHEME.length), SCHEME);
  }
  const { names, end } = parseNames(text);
  const hash = indexOrEnd(text, '#', end);
  const mark = indexOrEnd(text.slice(0, hash), '?', end);
  const inPath = parsePath(text.slice(end, mark), end);
  const { temporal, path } = inPath;
  const isPattern = inPath.glob || NAME_PARTS.some((part) => names[part] === ANY);
  if (isPattern) {
    if (inPath.trailingSlash)
      throw invalid('path', mark - 1, '/', 'no "/" at the end of a pattern');
    if (mark < hash) throw invalid('query', mark, text.slice(mark), 'no query in a pattern');
    if (hash < text.length) {
      throw invalid('fragment', hash, text.slice(hash), 'no fragment in a pattern');
    }
    return { form: 'pattern', ...names, path, temporal };
  }
  const query: Query = mark < hash ? parseQuery(text.slice(mark + 1, hash), mark + 1) : {};
  const fragment = parseFragment(text.slice(hash + 1), hash + 1);
  return { form: 'concrete', ...names, path, temporal, query, fragment };
}

/** Reads an address that must name one thing. @throws INVALID_ADDRESS also for a pattern. */
export function parseConcrete(text: string): ConcreteAddress {
  const address = parse(text);
  if (address.form === 'concrete') return address;
  let position = SCHEME.length;
  for (const part of NAME_PARTS) {
    if (address[part] === ANY)
      throw invalid(part, position, ANY, 'one name; "any" is for patterns');
    position += address[part].length + 1;
  }
  // A lone star is the glob; the stars of a temporal have something behind them.
  const glob = text.search(/\/\*\*?(?:\/|$)/) + 1;
  throw invalid('path', glob, text.slice(glob), 'one path; "*" and "**" are for patterns');
}

/** Reads a canonical series and nothing else. @throws INVALID_ADDRESS. */
export function parseSeries(text: string): Address {
  const { agent, role, project, task, path } = parseConcrete(text);
  const address = { agent, role, project, task, path };
  const canonical = series(address);
  if (canonical !== text) throw invalid('address', 0, text, `the canonical form ${canonical}`);
  return address;
}

/** The address with these names, checked, the first four in lower case. @throws INVALID_ADDRESS. */
export function makeAddress(names: Address): Address {
  const { path } = names;
  const address = {
    agent: names.agent.toLowerCase(),
    role: names.role.toLowerCase(),
    project: names.project.toLowerCase(),
    task: names.task.toLowerCase(),
    path,
  };
  // A name that holds a separator, or a path that begins with a temporal, does not come back alike.
  const read = parseSeries(series(address));
  for (const part of [...NAME_PARTS, 'path'] as const) {
    if (read[part] !== address[part]) throw invalid(part, 0, names[part], 'no separators');
  }
  return address;
}

const indexOrEnd = (text: string, mark: string, from: number): number => {
  const at = text.indexOf(mark, from);
  return at === -1 ? text.length : at;
};

function parseNames(text: string): { readonly names: Names; readonly end: number } {
  const names = { agent: '', role: '', project: '', task: '' };
  let at = SCHEME.length;
  for (const part of NAME_PARTS) {
    const name = /^[A-Za-z0-9_-]*/.exec(text.slice(at))?.[0] ?? '';
    if (!/^[A-Za-z0-9]/.test(name)) throw invalid(part, at, name || text.slice(at, at + 1), NAME);
    if (name.length > NAME_CHARACTERS) throw invalid(part, at, name, NAME);
    names[part] = name.toLowerCase();
    at += name.length;
    const next = text.slice(at, at + 1);
    const after = AFTER_NAME[part];
    const fits = after === '' ? /^[/?#]?$/.test(next) : next === after;
    if (!fits) {
      const then = after === '' ? '"/", "?", "#" or the end' : `"${after}"`;
      throw invalid(part, at, next, `${NAME}, then ${then}`);
    }
    at += after.length;
  }
  return { names, end: at };
}

/** `text` is empty or begins with `/`. */
function parsePath(text: string, position: number): PathPart {
  if (text === '') return { temporal: LATEST, path: '', glob: false, trailingSlash: false };
  const segments = text.slice(1).split('/');
  const trailingSlash = segments.at(-1) === '';
  if (trailingSlash) segments.pop();
  let at = position + 1;
  let temporal = LATEST;
  const path: string[] = [];
  for (const [i, segment] of segments.entries()) {
    if (i === 0 && looksTemporal(segment)) {
      temporal = parseTemporal(segment, at);
    } else {
      path.push(checkSegment(segment, at));
    }
    at += segment.length + 1;
  }
  const glob = path.some((segment) => segment.startsWith('*'));
  return { temporal, path: path.join('/'), glob, trailingSlash };
}

function checkSegment(segment: string, position: number): string {
  if (segment === '*' || segment === '**') return segment;
  if (looksTemporal(segment)) {
    throw invalid('path', position, segment, 'a temporal only as the first segment');
  }
  const wrong = /[^A-Za-z0-9_.-]/.exec(segment);
  if (wrong !== null) throw invalid('path', position + wrong.index, wrong[0], SEGMENT);
  const fits = segment !== '' && segment.length <= SEGMENT_CHARACTERS && !/^\.\.?$/.test(segment);
  if (!fits) throw invalid('path', position, segment, SEGMENT);
  return segment;
}

function parseFragment(text: string, position: number): string {
  const wrong = /[^A-Za-z0-9_./-]/.exec(text);
  if (wrong !== null) throw invalid('fragment', position + wrong.index, wrong[0], FRAGMENT);
  return text;
}
