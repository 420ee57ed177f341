/**
 * How a cluster begins: the list of peers that a node knocks at.
 *
 * Sources, each of which may fail while the others go on: the setting `BZZZ_DHT_BOOTSTRAP_NODES`,
 * a file (`BZZZ_BOOTSTRAP_FILE`), and DNS (`srv:NAME` in either looks up `_bzzz._tcp.NAME`).
 * Addresses in an invitation are entrances too.
 *
 * A dedicated bootstrap node is a member with the role `observer` that listens at a known address:
 *
 *     bzzz invite --role observer        # on a member
 *     bzzz join STRING && bzzz daemon    # on the bootstrap host
 *
 * It holds no share, has no vote and no special power. It may die once all have joined: members
 * remember each other's addresses, hear them in announcements, and find them in the DHT.
 * @module
 */

import { resolveSrv } from 'node:dns/promises';
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { BzzzError, toBzzzError } from '../src/base/errors.ts';
import type { Logger } from '../src/base/ports.ts';
import { type Entrance, parseEntrance } from './entrance.ts';

export type { Entrance } from './entrance.ts';

/** @property nodes items of the setting; @property file path of a peer list. */
export interface LoadOptions {
  readonly nodes: readonly string[];
  readonly file: string | undefined;
}

export interface LoadDeps {
  readonly log: Logger;
  /** SRV records of a name; `node:dns` unless a test passes its own. */
  readonly resolveSrv?: (name: string) => Promise<readonly { name: string; port: number }[]>;
}

const FILE_BYTES = 1_048_576;
const ENTRANCES = 256;

const item = z.union([
  z.string(),
  z.strictObject({ address: z.string(), peerId: z.string().optional() }),
]);
const jsonSchema = z.union([z.array(item), z.strictObject({ peers: z.array(item) })]);

/** A line and where it stands, for the log. */
interface Line {
  readonly text: string;
  readonly source: string;
}

/**
 * Reads every source. What cannot be read or understood is logged with its place and left out.
 * @returns entrances without repetitions, at most 256.
 */
export async function loadEntrances(
  options: LoadOptions,
  deps: LoadDeps,
): Promise<readonly Entrance[]> {
  const lines: Line[] = options.nodes.map((text) => ({ text, source: 'BZZZ_DHT_BOOTSTRAP_NODES' }));
  if (options.file !== undefined) lines.push(...(await readList(options.file, deps.log)));
  const found = (await Promise.all(lines.map((line) => entrancesOf(line, deps)))).flat();
  const unique = new Map(
    found.map((entrance) => [`${entrance.addr} ${entrance.peerId}`, entrance]),
  );
  return [...unique.values()].slice(0, ENTRANCES);
}

async function entrancesOf(line: Line, deps: LoadDeps): Promise<readonly Entrance[]> {
  const text = line.text.trim();
  try {
    if (!text.startsWith('srv:')) return [parseEntrance(text)];
    const resolve = deps.resolveSrv ?? resolveSrv;
    const records = await resolve(`_bzzz._tcp.${text.slice(4)}`);
    return records.map(({ name, port }) => parseEntrance(`${name.replace(/\.$/, '')}:${port}`));
  } catch (thrown) {
    const { message, why } = toBzzzError(thrown, 'BAD_CONFIG');
    deps.log.warn(
      { source: line.source, entry: text.slice(0, 200), message, why },
      'peer left out',
    );
    return [];
  }
}

async function readList(file: string, log: Logger): Promise<readonly Line[]> {
  try {
    const { size } = await stat(file);
    if (size > FILE_BYTES) throw new BzzzError('TOO_LARGE', `${file} has ${size} bytes`);
    const text = await readFile(file, 'utf8');
    return /^\s*[[{]/.test(text) && isJson(text) ? fromJson(file, text) : fromLines(file, text);
  } catch (thrown) {
    const { message } = toBzzzError(thrown, 'BAD_CONFIG');
    log.warn({ file, message }, 'the list of bootstrap peers cannot be read; going on without it');
    return [];
  }
}

/** One entry a line; `#` begins a comment; blank lines are skipped. */
function fromLines(file: string, text: string): readonly Line[] {
  return text.split(/\r?\n/).flatMap((line, i) => {
    const entry = line.replace(/(^|\s)#.*$/, '').trim();
    return entry === '' ? [] : [{ text: entry, source: `${file}:${i + 1}` }];
  });
}

/** `["host:port", ...]` or `{"peers": [{"address": ..., "peerId": ...}]}`. */
function fromJson(file: string, text: string): readonly Line[] {
  const result = jsonSchema.safeParse(JSON.parse(text));
  if (!result.success) {
    throw new BzzzError('BAD_CONFIG', `${file}: not a list of addresses`);
  }
  const items = Array.isArray(result.data) ? result.data : result.data.peers;
  return items.map((entry, i) => {
    const source = `${file}[${i}]`;
    if (typeof entry === 'string') return { text: entry, source };
    const { address, peerId } = entry;
    const named = peerId === undefined || address.includes('/p2p/');
    return { text: named ? address : `${parseEntrance(address).addr}/p2p/${peerId}`, source };
  });
}

/** `[fd00::7]:4750` begins like JSON and is a line. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return !/^\s*\[[0-9a-fA-F:.]+\]/.test(text);
  }
}
