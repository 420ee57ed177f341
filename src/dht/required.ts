/**
 * The error of a put that reached less than was required.
 * @module
 */
import { BzzzError } from '../base/errors.ts';
import { meets } from './quorum.ts';
import type { PutOptions, PutOutcome } from './store.ts';

/**
 * The outcome, if it is good enough. The value stays journalled either way.
 * @param why what the record did not reach, in one line.
 * @throws NO_QUORUM.
 */
export function requireAck(
  record: string,
  outcome: PutOutcome,
  required: PutOptions['require'],
  why: string,
): PutOutcome {
  const { ack, holders, pending } = outcome;
  if (required === undefined || meets(ack, required)) return outcome;
  throw new BzzzError('NO_QUORUM', `record ${record} reached ${ack}, not ${required}`, {
    why,
    details: { ack, holders, pending, required },
  });
}
