/**
 * The errors that all record stores have in common.
 * @module
 */
import { BzzzError, type ErrorDetails } from '../base/errors.ts';
import { meets } from './quorum.ts';
import type { PutOptions, PutOutcome } from './store.ts';

/**
 * The outcome, if it is good enough. The value stays journalled either way.
 * @param subject what was put, kind and name: `record X`, `content X`.
 * @param why what the subject did not reach, in one line.
 * @param details beside the outcome and what was required.
 * @throws NO_QUORUM.
 */
export function requireAck(
  subject: string,
  outcome: PutOutcome,
  required: PutOptions['require'],
  why: string,
  details: ErrorDetails = {},
): PutOutcome {
  const { ack, holders, pending } = outcome;
  if (required === undefined || meets(ack, required)) return outcome;
  throw new BzzzError('NO_QUORUM', `${subject} reached ${ack}, not ${required}`, {
    why,
    details: { ack, holders, pending, required, ...details },
  });
}

/** What every backend says after `close`. */
export const closedError = (): BzzzError =>
  new BzzzError('DRAINING', 'the record store is closed', {
    why: 'this node is stopping, or another backend took its place',
  });
