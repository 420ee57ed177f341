/**
 * What a setting's value may look like: one `Kind` for each, which reads the raw value of a flag,
 * an environment variable or a YAML key. Pure.
 * @module
 */
import { isIP, isIPv4, isIPv6 } from 'node:net';

/** A value before it is read: text from flags and the environment, JSON scalars from YAML. */
export type RawValue = string | number | boolean | readonly unknown[];

/** Reads one kind of value. */
export interface Kind<T> {
  /** Completes the sentence `expected ...`. */
  readonly expects: string;
  /** @returns undefined when `raw` is not of this kind. */
  parse(raw: RawValue): T | undefined;
  /** What exactly is wrong with a value that `parse` refuses, where that is no matter of course. */
  complaint?(raw: RawValue): string | undefined;
  /** A mapping in YAML is read as the list of its `key=value`. */
  readonly mapping?: true;
}

const text = (raw: RawValue): string | undefined =>
  typeof raw === 'string' ? raw.trim() : typeof raw === 'number' ? String(raw) : undefined;

/** Text that `accept` takes. */
export const textOf = (expects: string, accept: (s: string) => boolean): Kind<string> => ({
  expects,
  parse(raw) {
    const s = text(raw);
    return s !== undefined && s !== '' && accept(s) ? s : undefined;
  },
});

/** A file system path, not empty, without NUL. */
export const path: Kind<string> = textOf('a path', (s) => !s.includes('\0'));

/** A path from the root: the process may run anywhere. */
export const absolutePath: Kind<string> = textOf(
  'an absolute path',
  (s) => s.startsWith('/') && !s.includes('\0'),
);

/** A name of the address grammar: lower-case letter or digit first, at most 63 characters. */
export const name: Kind<string> = textOf(
  'a name: a-z, 0-9, - and _, starting with a letter or digit, at most 63 characters, not "any"',
  (s) => /^[a-z0-9][a-z0-9_-]{0,62}$/.test(s) && s !== 'any',
);

/** What a node calls itself: a host name. No blanks or control characters reach a terminal. */
export const hostName: Kind<string> = textOf(
  'a host name: letters, digits, ".", "_" and "-", a letter or digit first, at most 63',
  (s) => /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(s),
);

const YES = new Set(['true', '1', 'yes', 'on']);
const NO = new Set(['false', '0', 'no', 'off']);

/** `true`, `1`, `yes`, `on` and their opposites, in any case. */
export const bool: Kind<boolean> = {
  expects: 'true or false',
  parse(raw) {
    if (typeof raw === 'boolean') return raw;
    const s = text(raw)?.toLowerCase() ?? '';
    return YES.has(s) ? true : NO.has(s) ? false : undefined;
  },
};

/** A whole number within bounds. */
export const integer = (min: number, max: number): Kind<number> => ({
  expects: `a whole number from ${min} to ${max}`,
  parse(raw) {
    const s = text(raw);
    if (s === undefined || !/^\d{1,15}$/.test(s)) return undefined;
    const n = Number(s);
    return n >= min && n <= max ? n : undefined;
  },
});

const TIME_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** Milliseconds of `250ms`, `30s`, `5m`, `1h`, `7d` or a bare number, else undefined. */
export function parseDuration(raw: RawValue): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,3})?) ?(ms|s|m|h|d|)$/.exec(text(raw) ?? '');
  const unit = TIME_UNITS.get(match?.[2] ?? '?');
  return unit === undefined ? undefined : Math.round(Number(match?.[1]) * unit);
}

/** The shortest text that `parseDuration` reads back. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = TIME_UNITS.get(unit) ?? 1;
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** A duration within bounds, in ms. */
export const duration = (min: number, max: number): Kind<number> => ({
  expects:
    `a duration from ${formatDuration(min)} to ${formatDuration(max)}` +
    ' (such as 5m, 30s, 250ms, or milliseconds)',
  parse(raw) {
    const ms = parseDuration(raw);
    return ms !== undefined && ms >= min && ms <= max ? ms : undefined;
  },
});

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['kb', 1_000],
  ['mb', 1_000_000],
  ['gb', 1_000_000_000],
  ['kib', 1_024],
  ['mib', 1_048_576],
  ['gib', 1_073_741_824],
]);

/** Bytes, bare or with B, KB, MB, GB, KiB, MiB, GiB. */
export const size = (max: number): Kind<number> => ({
  expects: `a size of at most ${max} bytes (such as 64MiB, or bytes)`,
  parse(raw) {
    const match = /^(\d{1,15}) ?([a-z]*)$/.exec(text(raw)?.toLowerCase() ?? '');
    const unit = SIZE_UNITS.get(match?.[2] ?? '?');
    if (match === null || unit === undefined) return undefined;
    const bytes = Number(match[1]) * unit;
    return bytes <= max ? bytes : undefined;
  },
});

/** One of a few words; a synonym reads as the word it stands for. */
export const oneOf = <T extends string>(
  words: readonly T[],
  synonyms: Readonly<Record<string, T>> = {},
): Kind<T> => {
  const known = new Map<string, T>([
    ...Object.entries(synonyms),
    ...words.map((w) => [w, w] as const),
  ]);
  return {
    expects: `one of ${[...known.keys()].sort().join(', ')}`,
    parse: (raw) => known.get(text(raw)?.toLowerCase() ?? ''),
  };
};

/** Items separated by commas, or a YAML list. `limit` bounds their number. */
export const listOf = (item: Kind<string>, limit: number): Kind<readonly string[]> => ({
  expects: `at most ${limit} items, separated by commas, each ${item.expects}`,
  parse(raw) {
    const items: readonly unknown[] = Array.isArray(raw) ? raw : (text(raw)?.split(',') ?? [raw]);
    const read = items
      .filter((s) => s !== '')
      .map((s) => (typeof s === 'string' ? item.parse(s) : undefined));
    const good = read.filter((s) => s !== undefined);
    return good.length === read.length && good.length <= limit ? good : undefined;
  },
});

const isPort = (s: string | undefined, min = 1): boolean =>
  s !== undefined && /^\d{1,5}$/.test(s) && Number(s) >= min && Number(s) <= 65_535;

const isHost = (s: string): boolean =>
  isIP(s) !== 0 || (s.length <= 253 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(s));

const isPeerId = (s: string): boolean => /^[1-9A-HJ-NP-Za-km-z]{46,64}$/.test(s);

function isAddress(protocol: string | undefined, value: string): boolean {
  if (protocol === 'ip4') return isIPv4(value);
  if (protocol === 'ip6') return isIPv6(value);
  return /^dns(4|6)?$/.test(protocol ?? '') && isHost(value) && isIP(value) === 0;
}

/** `/ip4/H/tcp/P`, `/ip6/...`, maybe `/dns...` and `/p2p/ID`: what the TCP transport can use. */
function isTcpMultiaddr(
  s: string,
  allow: { dns: boolean; peer: boolean; minPort: number },
): boolean {
  const [empty, protocol, host = '', tcp, port, p2p, id, ...rest] = s.split('/');
  if (empty !== '' || tcp !== 'tcp' || !isPort(port, allow.minPort) || rest.length > 0)
    return false;
  if (!isAddress(protocol, host) || (!allow.dns && protocol?.startsWith('dns'))) return false;
  return p2p === undefined || (allow.peer && p2p === 'p2p' && isPeerId(id ?? ''));
}

/** Where to listen: an address of this host; port 0 lets the system choose. */
export const listenAddress: Kind<string> = textOf(
  'a multiaddr such as /ip4/0.0.0.0/tcp/4750',
  (s) => isTcpMultiaddr(s, { dns: false, peer: false, minPort: 0 }),
);

/** An address that others dial. */
export const announceAddress: Kind<string> = textOf(
  'a multiaddr such as /ip4/192.168.1.7/tcp/4750 or /dns4/host.lan/tcp/4750',
  (s) => isTcpMultiaddr(s, { dns: true, peer: true, minPort: 1 }),
);

/** A peer to begin with: a multiaddr, with or without a peer id, or `host:port`. */
export const bootstrapAddress: Kind<string> = textOf(
  'a multiaddr such as /ip4/192.168.1.7/tcp/4750/p2p/12D3KooW..., or host:port',
  (s) => isTcpMultiaddr(s, { dns: true, peer: true, minPort: 1 }) || isHostPort(s),
);

function isHostPort(s: string): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]+)):(\d+)$/.exec(s);
  if (match === null || !isPort(match[3])) return false;
  return match[1] === undefined ? isHost(match[2] ?? '') : isIPv6(match[1]);
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));

/**
 * `off` or `host:port` on the loopback interface: beyond it the listener would need a token, which
 * this version cannot ask for.
 */
export const httpListen: Kind<string> = {
  expects: 'off, or a loopback address and port such as 127.0.0.1:8750',
  parse(raw) {
    if (raw === false || raw === 'off') return 'off';
    const s = text(raw) ?? '';
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]+)):(\d+)$/.exec(s);
    const host = match?.[1] ?? match?.[2] ?? '';
    return isPort(match?.[3], 0) && isLoopback(host) ? s : undefined;
  },
};

/** A daemon that the connector may use: a socket path, `unix:PATH`, or an http(s) URL. */
export const endpoint: Kind<string> = textOf(
  'a socket path, unix:PATH, or an http or https URL',
  (s) => /^(unix:)?\/[^\0]+$/.test(s) || (/^https?:\/\/[^\s@]+$/.test(s) && URL.canParse(s)),
);
