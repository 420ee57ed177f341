/**
 * The elector's side: whom a node votes for. First line that fits wins:
 *
 * | asked for a vote, or whether it would vote               | answer              |
 * | -------------------------------------------------------- | ------------------- |
 * | a lower term (for a pre-vote: not a higher one)          | term                |
 * | either side is no voter by this node's roster            | ineligible          |
 * | the candidate's roster is older                          | behind              |
 * | this node has its leader, and that one did not hand over | led                 |
 * | pre-vote: this node stands itself, before it in rank     | led, at first       |
 * | vote: it voted for another in this term                  | term                |
 * | otherwise                                                | granted             |
 *
 * A pre-vote changes nothing but this node's own patience. A vote is on the disk before it leaves.
 * @module
 */
import type { Millis, PeerId } from '../base/brands.ts';
import { isBehind, isStale } from './rules.ts';
import {
  adoptTerm,
  asFollower,
  isVoter,
  later,
  patience,
  persist,
  send,
  standingOf,
  type Turn,
} from './turn.ts';
import type { Message, Refusal, Standing } from './types.ts';

type Ask<T extends Message['type']> = Extract<Message, { type: T }>;

/** Answers whether this node would vote. */
export function onPreVote(turn: Turn, from: PeerId, ask: Ask<'pre-vote'>): void {
  const { hard } = turn.state;
  const refusal = ask.term <= hard.term ? 'term' : (unfit(turn, from, ask) ?? busy(turn, from));
  if (refusal === null) yieldTo(turn);
  const term = refusal === null ? ask.term : hard.term;
  send(turn, from, { type: 'pre-vote-reply', term, refusal, ...standingOf(turn) });
}

/** Votes or refuses; the vote is kept before the answer. */
export function onVote(turn: Turn, from: PeerId, ask: Ask<'vote'>): void {
  const refusal = judge(turn, from, ask);
  if (refusal !== null) {
    const { term } = turn.state.hard;
    const nothing = { vote: null, accepted: null };
    send(turn, from, { type: 'vote-reply', term, refusal, ...nothing, ...standingOf(turn) });
    return;
  }
  if (ask.term > turn.state.hard.term) handOver(turn, from, ask);
  grant(turn, from, ask);
}

function judge(turn: Turn, from: PeerId, ask: Ask<'vote'>): Refusal | null {
  const { hard } = turn.state;
  if (isStale(ask.term, hard)) return 'term';
  const refusal = unfit(turn, from, ask);
  if (refusal !== null) return refusal;
  if (ask.term > hard.term) return isLed(turn) && !ask.transfer ? 'led' : null;
  return hard.votedFor === null || hard.votedFor === from ? null : 'term';
}

function grant(turn: Turn, from: PeerId, ask: Ask<'vote'>): void {
  const { hard } = turn.state;
  if (hard.votedFor !== from) persist(turn, { ...hard, votedFor: from });
  const { term } = ask;
  const vote = turn.context.seals.sealVote({ term, epoch: ask.epoch, candidate: from });
  turn.state = { ...turn.state, standAt: patience(turn) };
  send(turn, from, {
    type: 'vote-reply',
    term,
    refusal: null,
    vote,
    accepted: turn.state.hard.accepted,
    ...standingOf(turn),
  });
}

/** A higher term for a vote. The leader that asked for it is answered: it was taken over. */
function handOver(turn: Turn, from: PeerId, ask: Ask<'vote'>): void {
  const { state } = turn;
  if (state.role === 'leader' && state.transfer?.to === from) {
    turn.effects.push({ type: 'done', id: state.transfer.id, epoch: turn.context.roster.epoch });
    turn.state = { ...state, transfer: null };
  }
  // One write for the term and the vote: it is on the way to every failover.
  adoptTerm(turn, ask.term, ask.transfer ? 'transfer' : (state.lost ?? 'timeout'), from);
}

/** What keeps this candidate from this node's vote in any term. */
function unfit(turn: Turn, from: PeerId, candidate: Standing): Refusal | null {
  const own = standingOf(turn);
  const eligible = isVoter(turn) && isVoter(turn, from);
  if (!eligible && isBehind(own, candidate)) turn.effects.push({ type: 'exchange', with: from });
  if (!eligible) return 'ineligible';
  return isBehind(candidate, own) ? 'behind' : null;
}

function busy(turn: Turn, from: PeerId): Refusal | null {
  if (isLed(turn)) return 'led';
  const { state } = turn;
  if (state.role === 'candidate') return 'led';
  // Of two that stand at once the first in rank goes on. Ranks may differ from host to host, so
  // whoever was refused once lets the other pass.
  const first = state.role === 'pre-candidate' && state.attempts === 0 && isBefore(turn, from);
  return first ? 'led' : null;
}

/** Whether this node has a leader that it did not lose (E4). */
function isLed({ state, context }: Turn): boolean {
  if (state.role === 'leader') return true;
  return state.lost === null && context.now - state.heardAt < context.timing.timeoutMs;
}

function isBefore({ context: { ranking, self } }: Turn, other: PeerId): boolean {
  return ranking.indexOf(self) < ranking.indexOf(other);
}

/** Leaves the way to a candidate for as long as its votes may take. */
function yieldTo(turn: Turn): void {
  const until = later(turn, turn.context.timing.timeoutMs / 4);
  const { standAt } = turn.state;
  turn.state = asFollower(turn, Math.max(standAt, until) as Millis);
}
