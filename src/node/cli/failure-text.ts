/**
 * An error as three lines: what, why, what to try. Pure.
 * @module
 */
import type { BzzzError } from '../../base/errors.ts';
import { visible } from './text.ts';

/** What an exit code means, for errors that give no reason of their own. */
const MEANING: ReadonlyMap<number, string> = new Map([
  [1, 'it failed'],
  [2, 'the request is not one that can be carried out'],
  [3, 'this command needs the daemon'],
  [4, 'there is no such thing'],
  [5, 'there are too few members'],
  [6, 'it took too long'],
  [7, 'it is not allowed'],
  [8, 'something else is already there'],
]);

const oneLine = (text: string): string => visible(text.replaceAll(/\s*\n\s*/g, ' '));

/** `error:`, `why:` and `try:`, each one line; the code stands in brackets behind the reason. */
export function failureLines(error: BzzzError, colour: boolean): string {
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  const reason =
    error.why ?? (cause === error.message ? undefined : cause) ?? MEANING.get(error.exit) ?? '';
  const why = oneLine(reason);
  const word = colour ? '\u001b[31merror:\u001b[0m' : 'error:';
  const hint = oneLine(error.hint === '' ? 'see `bzzz help`' : error.hint);
  const lines = [
    `${word} ${oneLine(error.message)}`,
    `why: ${why} (${error.code})`,
    `try: ${hint}`,
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** The same as one JSON document. */
export const failureJson = (error: BzzzError): string =>
  `${JSON.stringify({ error: { details: {}, ...error.toShape() } })}\n`;
