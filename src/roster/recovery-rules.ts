/**
 * What a recovery is. When a majority of the voters is gone for good nobody can certify an entry
 * any more. Then the operator of every host that is left says who votes from here on
 * (`bzzz roster recover --voters P,...`), and the new voters, all of them, sign that. Pure.
 *
 * The voters that are gone did not agree, so this is a fork by intent: should they come back, their
 * branch and this one exclude each other. That is why no host follows a recovery by itself; it does
 *
 * - when it reads its own disk,
 * - up to the checkpoint of its invitation, which was made after the recovery,
 * - when its operator consented to exactly these voters at exactly this head.
 *
 * The body is a function of the head and of the voters, so that every survivor forms the same one.
 * @module
 */
import type { Epoch, PeerId, Term } from '../base/brands.ts';
import { compareText, equalBytes } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { EntryBody, RecoverChange } from './entry.ts';
import type { RosterView } from './types.ts';

/** What the operator of this node wants; durable. */
export interface Consent {
  /** Sorted by peer id, distinct. */
  readonly voters: readonly PeerId[];
  /** Hash of the entry that the recovery follows. */
  readonly prev: Uint8Array;
}

/**
 * The body of the recovery that follows `view`.
 * @param time that of the newest entry; 0 after the genesis.
 */
export function recoveryBody(
  view: Pick<RosterView, 'epoch' | 'term' | 'head'>,
  time: number,
  voters: readonly PeerId[],
): EntryBody & { readonly change: RecoverChange } {
  return {
    v: 1,
    epoch: (view.epoch + 1) as Epoch,
    // Above whatever the old voters certified under the head's term; ballots below mean nothing.
    term: (view.term + 1) as Term,
    prev: view.head,
    change: { kind: 'recover', voters: [...new Set(voters)].sort(compareText) },
    time,
  };
}

/** @throws BAD_MESSAGE: term or time are not those that follow from the entry before. */
export function assertRecoveryFollows(before: EntryBody | undefined, body: EntryBody): void {
  const { term, time } = before ?? { term: 0, time: 0 };
  if (body.term === term + 1 && body.time === time) return;
  throw new BzzzError('BAD_MESSAGE', `a recovery with term ${body.term} and time ${body.time}`, {
    why: `after the entry before they can only be ${term + 1} and ${time}`,
  });
}

/** Whether a recovery is the one that was consented to. */
export const isConsented = (consent: Consent | undefined, body: EntryBody): boolean =>
  consent !== undefined &&
  body.change.kind === 'recover' &&
  equalBytes(consent.prev, body.prev) &&
  consent.voters.join() === body.change.voters.join();

/** The refusal to follow; it names what the operator would have to type. */
export function unconfirmed(epoch: Epoch, change: RecoverChange): BzzzError {
  const voters = change.voters.join(',');
  return new BzzzError('RECOVERY_UNCONFIRMED', `epoch ${epoch} is a recovery`, {
    why: `it makes ${change.voters.join(', ')} the only voters, without the old majority`,
    hint: `to follow: \`bzzz roster recover --voters ${voters}\` on this host`,
    details: { epoch, voters: change.voters },
  });
}
