/**
 * Reads what a command is given: a message, a file, numbers, lists.
 * @module
 */
import { open } from 'node:fs/promises';
import { BzzzError, type ErrorCode, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { parseDuration } from '../config-values.ts';

/** Where a message may come from; exactly one is given. */
export interface MessageOptions {
  readonly file?: string;
  readonly message?: string;
  readonly hex?: string;
}

const usage = (message: string, hint?: string): BzzzError =>
  new BzzzError('BAD_USAGE', message, hint === undefined ? {} : { hint });

/**
 * The bytes to sign or verify.
 * @param dash the argument `-`, which means stdin.
 * @throws BAD_USAGE unless exactly one source is given; TOO_LARGE over 1 MiB; NOT_FOUND.
 */
export async function readMessage(
  options: MessageOptions,
  dash: string | undefined,
  stdin: AsyncIterable<string | Buffer>,
): Promise<Uint8Array> {
  if (dash !== undefined && dash !== '-') {
    throw usage(`unexpected argument ${dash}`, 'give the text with --message, or - for stdin');
  }
  const sources = [options.file, options.message, options.hex, dash];
  if (sources.filter((s) => s !== undefined).length !== 1) {
    throw usage('give one message', 'use one of --file F, --message TEXT, --hex H, or - for stdin');
  }
  if (options.message !== undefined) return bounded(Buffer.from(options.message, 'utf8'));
  if (options.hex !== undefined) return bounded(hexBytes('--hex', options.hex));
  return options.file === undefined || options.file === '-'
    ? readStdin(stdin, LIMITS.signMessageBytes, tooLargeToSign)
    : readInput(options.file, LIMITS.signMessageBytes, tooLargeToSign);
}

function bounded(bytes: Uint8Array): Uint8Array {
  if (bytes.length > LIMITS.signMessageBytes) throw tooLargeToSign('the message');
  return bytes;
}

const tooLargeToSign = (what: string): BzzzError =>
  new BzzzError('TOO_LARGE', `${what} is larger than ${LIMITS.signMessageBytes} bytes`, {
    hint: 'sign its digest: sha256sum FILE | cut -c1-64, then --hex',
  });

/** @throws BAD_USAGE naming the option. */
export function hexBytes(option: string, text: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) throw usage(`${option} is not hex`);
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** A whole file, at most `max` bytes. @throws NOT_FOUND, or what `tooLarge` makes. */
export async function readInput(
  path: string,
  max: number,
  tooLarge: (what: string) => BzzzError,
): Promise<Uint8Array> {
  return opened(path, max, tooLarge, (stream) => collect(stream, max, () => tooLarge(path)));
}

async function opened<T>(
  path: string,
  max: number,
  tooLarge: (what: string) => BzzzError,
  read: (stream: AsyncIterable<string | Buffer>) => Promise<T>,
): Promise<T> {
  try {
    await using file = await open(path, 'r');
    const info = await file.stat();
    if (info.isDirectory()) throw usage(`${path} is a directory`);
    if (info.size > max) throw tooLarge(path);
    // A pipe has no size, so what comes is counted as well.
    return await read(file.createReadStream());
  } catch (thrown) {
    const code: ErrorCode =
      thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT'
        ? 'NOT_FOUND'
        : 'DISK_FAILED';
    if (thrown instanceof BzzzError) throw thrown;
    const hint = code === 'NOT_FOUND' ? { hint: 'check the path' } : {};
    throw new BzzzError(code, `cannot read ${path}`, { cause: toBzzzError(thrown), ...hint });
  }
}

/** All of stdin, at most `max` bytes. */
export const readStdin = (
  stdin: AsyncIterable<string | Buffer>,
  max: number,
  tooLarge: (what: string) => BzzzError,
): Promise<Uint8Array> => collect(stdin, max, () => tooLarge('stdin'));

/**
 * A file, or stdin without a path, in the pieces in which it came: never twice in memory.
 * @throws as `readInput`.
 */
export async function readPieces(
  path: string | undefined,
  stdin: AsyncIterable<string | Buffer>,
  max: number,
  tooLarge: (what: string) => BzzzError,
): Promise<readonly Uint8Array[]> {
  if (path === undefined) return pieces(stdin, max, () => tooLarge('stdin'));
  return opened(path, max, tooLarge, (stream) => pieces(stream, max, () => tooLarge(path)));
}

/** The longest line that somebody types as an answer. */
const LINE_BYTES = 1_024;

/** One line, without what ends it and blanks around it; '' when the input ends before. */
export async function readLine(stdin: AsyncIterable<string | Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of stdin) {
    text += chunk.toString();
    if (text.includes('\n') || text.length > LINE_BYTES) break;
  }
  return text.split('\n', 1)[0]?.slice(0, LINE_BYTES).trim() ?? '';
}

async function collect(
  stream: AsyncIterable<string | Buffer>,
  max: number,
  tooLarge: () => BzzzError,
): Promise<Uint8Array> {
  return new Uint8Array(Buffer.concat(await pieces(stream, max, tooLarge)));
}

async function pieces(
  stream: AsyncIterable<string | Buffer>,
  max: number,
  tooLarge: () => BzzzError,
): Promise<readonly Uint8Array[]> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    length += bytes.length;
    if (length > max) throw tooLarge();
    chunks.push(bytes);
  }
  return chunks;
}

/** A whole number. Which ones make sense the daemon says. @throws BAD_USAGE naming the option. */
export function wholeNumber(option: string, text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw usage(`${option} ${text} is not a whole number`);
  return Number(text);
}

/** A duration in ms. @throws BAD_USAGE naming the option. */
export function durationMs(option: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms >= 1) return ms;
  throw usage(`${option} ${text} is no duration`, 'give 1h, 5m, 30s or milliseconds');
}

/** `a,b,c`, possibly given several times. */
export const commaList = (text: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  ...text
    .split(',')
    .map((s) => s.trim())
    .filter((s) => s !== ''),
];

/** `ROLE=COUNT`, given once for each role. @throws BAD_USAGE. */
export function composition(
  text: string,
  before: Readonly<Record<string, number>> = {},
): Readonly<Record<string, number>> {
  const match = /^([a-z]{1,32})=(-?\d{1,9})$/.exec(text);
  const [, role = '', count] = match ?? [];
  if (match === null) throw usage(`--role ${text}: expected ROLE=COUNT`, 'such as persistent=3');
  if (Object.hasOwn(before, role)) throw usage(`--role ${role} is given twice`);
  return { ...before, [role]: Number(count) };
}
