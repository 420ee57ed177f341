/**
 * An error on its way to another host: code and texts, nothing else.
 * @module
 */
import { z } from 'zod';
import { ERRORS, type ErrorShape } from '../base/errors.ts';

const TEXT_LENGTH = 512;

/** Text of another host on its way to a terminal: printable, and not too long. */
const printable = z
  .string()
  .max(TEXT_LENGTH)
  .regex(/^[^\p{Cc}\p{Cf}]*$/u, 'expected printable text');

/** An error as a peer sends it; `BzzzError.fromShape` makes one of ours of it. */
export const wireErrorSchema = z.strictObject({
  code: printable,
  message: printable,
  why: printable.exactOptional(),
  try: printable.exactOptional(),
});

/**
 * The form that {@link wireErrorSchema} takes. What only this host's operator should read (its
 * disk, its inner workings: the codes of exit 1) goes out as a code; the log has the rest.
 */
export function errorForWire(error: ErrorShape): object {
  if (ERRORS[error.code].exit === 1 && error.code !== 'ROSTER_FORK') {
    return { code: error.code, message: 'the other host failed; its log says why' };
  }
  return {
    code: error.code,
    message: clean(error.message),
    ...(error.why === undefined ? {} : { why: clean(error.why) }),
    ...(error.try === undefined ? {} : { try: clean(error.try) }),
  };
}

const clean = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, ' ').slice(0, TEXT_LENGTH);
