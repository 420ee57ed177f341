/**
 * How a lone voter certifies without an election: its signature alone is a majority. With several
 * voters somebody must gather signatures, which is the election's leader (src/election); without
 * one the roster stands still. Pure.
 * @module
 */
import type { Epoch, PeerId, Term } from '../base/brands.ts';
import { toHex } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { Chain } from './chain.ts';
import { type Change, type EntryBody, majority } from './entry.ts';
import { applyChange, checkChange, draftOf } from './membership.ts';

/** Whether the signature of `self` alone certifies an entry. */
export const mayCertifyAlone = (voters: readonly PeerId[], self: PeerId): boolean =>
  voters.includes(self) && majority(voters.length) === 1;

/** A change as a caller wishes it. */
export interface Wanted {
  readonly change: Change;
  readonly invitationId: Uint8Array | undefined;
  /** Wall clock in ms. */
  readonly time: number;
}

/**
 * The body that a lone voter may sign next.
 * @param last the body it signed last, durable.
 * @throws CONFLICT, NOT_FOUND, INVITATION_USED, REFUSED_BY_POLICY: see membership.ts;
 * NOT_SUPPORTED: other voters would have to sign it, or whatever follows it.
 */
export function loneBody(
  chain: Chain,
  self: PeerId,
  last: EntryBody | undefined,
  wanted: Wanted,
): EntryBody {
  const { genesis, membership, view } = chain;
  const { change, invitationId, time } = wanted;
  checkChange(membership, genesis.policy, change, invitationId);
  assertStaysCertifiable(chain, self, change);
  const body: EntryBody = {
    v: 1,
    epoch: (view.epoch + 1) as Epoch,
    term: Math.max(view.term, last?.term ?? 0) as Term,
    prev: view.head,
    change,
    ...(invitationId === undefined ? {} : { invitationId }),
    time,
  };
  assertMaySign(last, body);
  return body;
}

/**
 * A change that this node could not certify alone, or after which it could certify nothing, is
 * refused: nobody gathers the signatures of others.
 */
function assertStaysCertifiable({ membership, view }: Chain, self: PeerId, change: Change): void {
  const after = draftOf(membership);
  applyChange(after, view.epoch, change, undefined);
  for (const voters of [view.voters, after.voters]) {
    if (mayCertifyAlone(voters, self)) continue;
    const need = majority(voters.length);
    throw new BzzzError('NOT_SUPPORTED', 'the roster cannot be changed: the election is off', {
      why: `${need} of ${voters.length} voters must sign an entry, and a leader gathers them`,
      hint: 'set BZZZ_ELECTION_ENABLED=true on the voters and start them again',
    });
  }
}

/**
 * A voter signs one entry per (epoch, term) and none below its own term; `last`, which is durable
 * before a signature leaves, is all it must remember: within a term, epochs only grow.
 * @throws CONFLICT.
 */
export function assertMaySign(last: EntryBody | undefined, next: EntryBody): void {
  if (last === undefined || next.term > last.term) return;
  if (next.term === last.term && next.epoch > last.epoch) return;
  throw new BzzzError('CONFLICT', `epoch ${next.epoch} in term ${next.term} may not be signed`, {
    why: `this node signed epoch ${last.epoch} in term ${last.term} after ${toHex(last.prev)}`,
    hint: 'wait until this host has the newest roster from the other members',
  });
}
