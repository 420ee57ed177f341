/**
 * What the leader does for others: changes of the roster, transfers and step-downs that a voter's
 * operator asked for elsewhere, its certificate.
 * @module
 */
import type { Epoch, PeerId, Term } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import type { Direct, DirectHandler } from '../base/ports.ts';
import { entriesFrom } from '../roster/chain.ts';
import type { Change } from '../roster/entry.ts';
import type { RosterService } from '../roster/service.ts';
import { LEADER_TOPICS, leaderWire } from './leader-wire.ts';
import type { Leadership } from './types.ts';

export interface DeskDeps {
  readonly direct: Pick<Direct, 'handle'>;
  readonly roster: Pick<RosterService, 'view' | 'chain' | 'self'>;
  readonly leader: () => Leadership | undefined;
  readonly certificate: (term: Term) => Uint8Array | undefined;
  readonly propose: (
    change: Change,
    invitationId: Uint8Array | undefined,
    waitMs: number,
  ) => Promise<Epoch>;
  readonly transfer: (to: PeerId | undefined, force: boolean) => Promise<void>;
  readonly stepDown: () => Promise<void>;
}

/** Registers the handlers; the service decides when they may answer. */
export function serveLeaderRequests(deps: DeskDeps): void {
  const { direct, certificate } = deps;
  const asVoter =
    (work: (body: Uint8Array) => Promise<void>): DirectHandler =>
    async (from, body) => {
      const { term } = assertLeading(deps);
      assertVoter(deps, from);
      await work(body);
      return leaderWire.term.encode({ term });
    };
  direct.handle(LEADER_TOPICS.propose, (from, body) => propose(deps, from, body));
  direct.handle(
    LEADER_TOPICS.transfer,
    asVoter((body) => {
      const { to, force } = leaderWire.transfer.decode(body);
      return deps.transfer(to ?? undefined, force);
    }),
  );
  direct.handle(
    LEADER_TOPICS.stepDown,
    asVoter(() => deps.stepDown()),
  );
  direct.handle(LEADER_TOPICS.certificate, async (_from, body) => {
    const { term } = leaderWire.term.decode(body);
    return leaderWire.certificate.encode({ certificate: certificate(term) ?? null });
  });
}

async function propose(deps: DeskDeps, from: PeerId, body: Uint8Array): Promise<Uint8Array> {
  assertLeading(deps);
  const { change, invitationId, have, waitMs } = leaderWire.propose.decode(body);
  const leaves = change.kind === 'remove' && change.peer === from;
  if (!leaves) assertVoter(deps, from);
  const epoch = await deps.propose(change, invitationId ?? undefined, waitMs);
  const entries = have < epoch ? entriesFrom(deps.roster.chain, have + 1) : [];
  return leaderWire.proposed.encode({ epoch, entries });
}

function assertLeading({ leader, roster }: DeskDeps): Leadership {
  const known = leader();
  if (known?.leader === roster.self) return known;
  throw new BzzzError('NOT_LEADER', 'this host does not lead', {
    why: known === undefined ? 'it knows no leader' : `${known.leader} leads in term ${known.term}`,
  });
}

function assertVoter({ roster }: DeskDeps, peer: PeerId): void {
  const { voters } = roster.view;
  if (voters.includes(peer)) return;
  throw new BzzzError('NOT_A_VOTER', `${peer} is not a voter`, {
    why: `the voters are ${voters.join(', ')}`,
  });
}
