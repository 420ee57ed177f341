/**
 * The candidate's side: pre-vote, then vote.
 *
 * | role          | input                          | next          | effects                      |
 * | ------------- | ------------------------------ | ------------- | ---------------------------- |
 * | follower      | its time to stand, alone       | leader        | persist, elected             |
 * | follower      | its time to stand              | pre-candidate | pre-vote to all              |
 * | pre-candidate | granted by a majority          | candidate     | persist, vote to all         |
 * | pre-candidate | refused by a newer roster      | same          | exchange, again soon         |
 * | pre-candidate | refused otherwise              | same          | again soon, ever later       |
 * | candidate     | votes of a majority            | leader        | elected, beats               |
 * | candidate     | its time is over: a split vote | pre-candidate | pre-vote to all              |
 * | any           | a higher term                  | follower      | persist                      |
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { lead } from './leading.ts';
import { higherBallot, isBehind, nextEpoch, nextTerm } from './rules.ts';
import {
  adoptTerm,
  asFollower,
  ignore,
  isAlone,
  isMajority,
  isVoter,
  later,
  lose,
  NEVER,
  persist,
  rankOf,
  sendVoters,
  stagger,
  standingOf,
  type Turn,
} from './turn.ts';
import type {
  Accepted,
  Candidate,
  ElectionContext,
  Message,
  Standing,
  Trigger,
  Vote,
} from './types.ts';

type Reply<T extends Message['type']> = Extract<Message, { type: T }>;

/** Asks whether the others would vote for this node. */
export function stand(turn: Turn, trigger: Trigger, attempts: number): void {
  if (turn.state.lost === null) lose(turn, trigger);
  if (!isVoter(turn)) {
    turn.state = asFollower(turn, NEVER);
    return;
  }
  if (isAlone(turn)) {
    candidate(turn, trigger, attempts, false);
    return;
  }
  const common = asFollower(turn, later(turn, turn.context.timing.timeoutMs / 2 + stagger(turn)));
  const granted = new Set([turn.context.self]);
  turn.state = { ...common, role: 'pre-candidate', granted, trigger, attempts };
  const term = nextTerm(common.hard, turn.context.roster);
  sendVoters(turn, { type: 'pre-vote', term, ...standingOf(turn) });
  if (attempts >= IN_VAIN) askAround(turn, attempts);
}

/** So many times in vain, and the voters of this node's roster may be voters no more. */
const IN_VAIN = 3;

/** Compares rosters with one member after the other; each may have the newest one. */
function askAround(turn: Turn, attempts: number): void {
  const { roster, self } = turn.context;
  const others = [...roster.members.keys()].filter((peer) => peer !== self);
  const at = attempts % others.length;
  for (const peer of others.slice(at, at + 1)) turn.effects.push({ type: 'exchange', with: peer });
}

/** Counts who would vote; who would not is asked again soon. */
export function onPreVoteReply(turn: Turn, from: PeerId, reply: Reply<'pre-vote-reply'>): void {
  const { state } = turn;
  if (reply.refusal !== null && reply.term > state.hard.term) {
    adoptTerm(turn, reply.term, 'timeout');
    retry(turn, 0);
    return;
  }
  if (state.role !== 'pre-candidate') return;
  if (reply.refusal !== null) {
    catchUp(turn, from, reply);
    retry(turn, state.attempts);
    return;
  }
  const asked = nextTerm(state.hard, turn.context.roster);
  if (reply.term !== asked || !isVoter(turn, from)) return;
  const granted = new Set(state.granted).add(from);
  turn.state = { ...state, granted };
  if (isMajority(turn, granted.size)) candidate(turn, state.trigger, state.attempts, false);
}

/** Votes for itself in the next term and asks the others to. */
export function candidate(turn: Turn, trigger: Trigger, attempts: number, transfer: boolean): void {
  const { self, roster, seals, timing } = turn.context;
  const term = nextTerm(turn.state.hard, roster);
  const { accepted } = turn.state.hard;
  turn.state = { ...turn.state, seenVotes: new Map() };
  persist(turn, { term, votedFor: self, accepted });
  const vote = seals.sealVote({ term, epoch: roster.epoch, candidate: self });
  // Votes take two messages and a write; whoever is first in rank tries again first.
  const wait = timing.timeoutMs / 4 + stagger(turn);
  const elect: Candidate = {
    ...asFollower(turn, later(turn, wait)),
    role: 'candidate',
    ...{ trigger, attempts, transfer, epoch: roster.epoch },
    votes: new Map([[self, vote]]),
    current: new Set(),
    inherited: relevant(turn.context, accepted),
  };
  turn.state = elect;
  sendVoters(turn, { type: 'vote', term, transfer, ...standingOf(turn) });
  count(turn, elect);
}

/** Counts a vote, after every check of it, with what its voter signed before. */
export function onVoteReply(turn: Turn, from: PeerId, reply: Reply<'vote-reply'>): void {
  const { state } = turn;
  if (reply.term > state.hard.term) {
    adoptTerm(turn, reply.term, 'timeout');
    retry(turn, 0);
    return;
  }
  if (state.role !== 'candidate' || reply.term !== state.hard.term) return;
  if (reply.refusal !== null) catchUp(turn, from, reply);
  if (reply.refusal !== null || reply.vote === null) return;
  const reason = faultOf(turn, state, from, reply.vote);
  if (reason !== undefined) {
    ignore(turn, from, reply.type, reason);
    return;
  }
  const isCurrent = reply.epoch >= state.epoch;
  const elect: Candidate = {
    ...state,
    votes: new Map(state.votes).set(from, reply.vote),
    current: isCurrent ? new Set(state.current).add(from) : state.current,
    inherited: higherBallot(
      state.inherited,
      relevant(turn.context, reply.accepted),
      nextEpoch(state.epoch),
    ),
  };
  turn.state = elect;
  witness(turn, [reply.vote]);
  count(turn, elect);
}

/**
 * An elector with a newer roster may refuse for what stands in it: one of the two votes no more.
 * Whoever does not learn of it would ask for ever.
 */
function catchUp(turn: Turn, from: PeerId, elector: Standing): void {
  if (isBehind(standingOf(turn), elector)) turn.effects.push({ type: 'exchange', with: from });
}

/** Keeps the votes of this term that are seen; two of one voter are evidence against it (R98). */
export function witness(turn: Turn, votes: readonly Uint8Array[]): void {
  const { seals, roster } = turn.context;
  for (const sealed of votes) {
    let vote: Vote & { readonly voter: PeerId };
    try {
      vote = seals.openVote(sealed);
    } catch (thrown) {
      if (thrown instanceof BzzzError) continue; // whoever showed it proves nothing
      throw thrown;
    }
    if (vote.term !== turn.state.hard.term || !roster.members.has(vote.voter)) continue;
    const known = turn.state.seenVotes.get(vote.voter);
    if (known === undefined) {
      const seenVotes = new Map(turn.state.seenVotes).set(vote.voter, sealed);
      turn.state = { ...turn.state, seenVotes };
    } else if (seals.openVote(known).candidate !== vote.candidate) {
      turn.effects.push({ type: 'evidence', voter: vote.voter, votes: [known, sealed] });
    }
  }
}

function count(turn: Turn, elect: Candidate): void {
  if (isMajority(turn, elect.votes.size)) lead(turn, elect);
}

/** Why a vote does not count; undefined when it does. */
function faultOf(
  { context }: Turn,
  state: Candidate,
  from: PeerId,
  sealed: Uint8Array,
): string | undefined {
  if (!context.roster.voters.includes(from)) return 'not a voter';
  let vote: Vote & { readonly voter: PeerId };
  try {
    vote = context.seals.openVote(sealed);
  } catch (thrown) {
    if (thrown instanceof BzzzError) return thrown.message;
    throw thrown;
  }
  if (vote.voter !== from) return `a vote of ${vote.voter}`;
  if (vote.term !== state.hard.term) return `a vote of term ${vote.term}`;
  if (vote.epoch !== state.epoch) return `a vote of epoch ${vote.epoch}`;
  if (vote.candidate !== context.self) return `a vote for ${vote.candidate}`;
  return undefined;
}

/** Only what follows this node's own roster can be proposed by it. */
function relevant({ roster }: ElectionContext, accepted: Accepted | null): Accepted | null {
  if (accepted === null || accepted.body.epoch !== nextEpoch(roster.epoch)) return null;
  return equalBytes(accepted.body.prev, roster.head) ? accepted : null;
}

/** Stands again soon, and later each time: somebody else may still be led. */
function retry(turn: Turn, attempts: number): void {
  const { retryMs, timeoutMs } = turn.context.timing;
  const pause = Math.min(retryMs * 2 ** attempts, timeoutMs / 2);
  const standAt = later(turn, pause + turn.context.chance() * retryMs * (1 + rankOf(turn)));
  if (!isVoter(turn) || standAt >= turn.state.standAt) return;
  turn.state = { ...turn.state, standAt };
}
