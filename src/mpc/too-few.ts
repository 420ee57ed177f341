/**
 * Too few holders of a key are there: the same answer whatever was asked.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';

/** @property have of so many that are needed. */
interface Shortage {
  readonly why: string;
  readonly hint?: string;
  readonly need: number;
  readonly have: number;
  readonly missing: readonly PeerId[];
}

/** INSUFFICIENT_PARTIES with details {need, have, missing}. */
export function tooFewHolders(
  message: string,
  { why, hint, need, have, missing }: Shortage,
): BzzzError {
  return new BzzzError('INSUFFICIENT_PARTIES', message, {
    why,
    hint: hint ?? 'start the holders that are missing; `bzzz peers` shows who is connected',
    details: { need, have, missing },
  });
}
