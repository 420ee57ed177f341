/**
 * The certified roster as the machine sees it.
 * @module
 */
import type { Chain } from '../roster/chain.ts';
import { checkChange } from '../roster/membership.ts';
import type { RosterFacts } from './types.ts';

/** @returns a function that gives the same object for as long as the chain is the same. */
export function factsSource(chain: () => Chain): () => RosterFacts {
  let seen: Chain | undefined;
  let facts: RosterFacts | undefined;
  return () => {
    const now = chain();
    if (facts === undefined || now !== seen) {
      seen = now;
      facts = factsOf(now);
    }
    return facts;
  };
}

function factsOf({ genesis, membership, view }: Chain): RosterFacts {
  return {
    epoch: view.epoch,
    term: view.term,
    head: view.head,
    voters: view.voters,
    members: membership.members,
    check: (change, invitationId) => checkChange(membership, genesis.policy, change, invitationId),
  };
}
