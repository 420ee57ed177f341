/**
 * Which change the leader proposes so that the cluster has 3 voters, then 5. Pure: one change at a
 * time, from what the leader sees now; asked again after each.
 *
 * An even number of voters tolerates no more than the odd number below it, and needs one vote more:
 * so it is only passed through, and only entered with somebody at hand to leave it again. "Spare"
 * is a connected, persistent member that did not opt out and has the newest epoch (at an even
 * number of voters also the one before: word of the step just taken is still on its way, and every
 * moment there is one in which the loss of a single voter stops the cluster); "lost" a voter that
 * has been away for longer than the grace; "goal" the largest odd number up to `target` and the
 * cluster's `maxVoters`.
 *
 * | voters | how many       | spares | lost | change                                            |
 * | ------ | -------------- | ------ | ---- | ------------------------------------------------- |
 * | odd    | below the goal | 2      | any  | promote a spare                                   |
 * | odd    | up to the goal | 1      | yes  | promote the spare; at `maxVoters` demote the lost |
 * | even   | below the goal | 1      | any  | promote a spare                                   |
 * | even   | otherwise      | any    | yes  | demote the lost                                   |
 *
 * In every other case nothing. More voters than the goal are an operator's wish. And without a
 * connected majority of the voters nothing could be certified: a promotion adds a connected voter
 * and a demotion takes an absent one, so such a majority stays one through every change.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import type { Change } from '../roster/entry.ts';
import { majority } from '../roster/entry.ts';
import type { Member } from '../roster/types.ts';

/** What the leader sees. */
export interface VoterFacts {
  /** The leader: it is connected to itself and is never demoted. */
  readonly self: PeerId;
  readonly voters: readonly PeerId[];
  /** In order of preference: of equal spares the first is promoted. */
  readonly members: Iterable<Pick<Member, 'peerId' | 'role' | 'noVoter'>>;
  readonly connected: ReadonlySet<PeerId>;
  /** Where a member's roster stands, by its last word. */
  readonly epochOf: (peer: PeerId) => Epoch | undefined;
  /** The roster's. */
  readonly epoch: Epoch;
  /** How long a voter has been away, by the leader's monotonic clock; 0 while it is connected. */
  readonly absentMs: (peer: PeerId) => number;
  /** A voter that is away for longer counts as lost. @default 10 min */
  readonly graceMs?: number;
  /** @default 5 */
  readonly target?: number;
  /** Of the genesis. */
  readonly maxVoters: number;
}

const GRACE_MS = 600_000;
const TARGET = 5;

/** @returns the next change to propose; undefined when all is well or nothing can be done. */
export function planVoters(facts: VoterFacts): Change | undefined {
  const { self, voters, maxVoters, target = TARGET } = facts;
  const here = voters.filter((peer) => isHere(facts, peer)).length;
  if (!voters.includes(self) || here < majority(voters.length)) return undefined;
  const goal = oddUpTo(Math.min(target, maxVoters));
  const [spare, second] = sparesOf(facts);
  const lost = longestLost(facts);
  if (voters.length % 2 === 0) {
    if (voters.length < goal && spare !== undefined) return { kind: 'promote', peer: spare };
    return lost === undefined ? undefined : { kind: 'demote', peer: lost };
  }
  if (spare === undefined) return undefined;
  if (voters.length < goal && second !== undefined) return { kind: 'promote', peer: spare };
  if (lost === undefined || voters.length > goal) return undefined;
  // Whoever takes the place comes first, as long as there is a place for both.
  return voters.length < maxVoters
    ? { kind: 'promote', peer: spare }
    : { kind: 'demote', peer: lost };
}

const isHere = ({ self, connected }: VoterFacts, peer: PeerId): boolean =>
  peer === self || connected.has(peer);

const oddUpTo = (n: number): number => (n % 2 === 0 ? n - 1 : n);

function sparesOf(facts: VoterFacts): readonly PeerId[] {
  const { voters, members, connected, epochOf, epoch } = facts;
  const oldest = voters.length % 2 === 0 ? epoch - 1 : epoch;
  return [...members]
    .filter(({ role, noVoter }) => role === 'persistent' && !noVoter)
    .map(({ peerId }) => peerId)
    .filter((peer) => !voters.includes(peer) && connected.has(peer))
    .filter((peer) => (epochOf(peer) ?? -1) >= oldest);
}

function longestLost(facts: VoterFacts): PeerId | undefined {
  const { voters, absentMs, graceMs = GRACE_MS } = facts;
  return voters
    .filter((peer) => !isHere(facts, peer) && absentMs(peer) > graceMs)
    .sort((a, b) => absentMs(b) - absentMs(a))[0];
}
