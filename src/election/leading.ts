/**
 * The leader's side: beats, what they bring back, and the ways out.
 *
 * | leader                                             | next     | effects                   |
 * | -------------------------------------------------- | -------- | ------------------------- |
 * | time for a beat                                    | leader   | beat; open proposals again|
 * | reply of a member that is behind                   | leader   | offer                     |
 * | no reply of a majority for one time-out            | follower | deposed (E4)              |
 * | a higher term                                      | follower | persist, deposed          |
 * | transfer                                           | leader   | stand, to the next one    |
 * | transfer not taken up in time                      | leader   | refused                   |
 * | step-down, or no voter any more                    | follower | deposed                   |
 * @module
 */
import type { Millis, PeerId, Term } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import { majority } from '../roster/entry.ts';
import { advance, repeatProposal } from './proposing.ts';
import {
  adoptTerm,
  asFollower,
  depose,
  isAlone,
  isVoter,
  later,
  NEVER,
  refuse,
  send,
  setLeader,
  standingOf,
  type Turn,
} from './turn.ts';
import type { Ack, Candidate, ElectionInput, Leader, Message } from './types.ts';

type Reply<T extends Message['type']> = Extract<Message, { type: T }>;
type Input<T extends ElectionInput['type']> = Extract<ElectionInput, { type: T }>;

/** Rounds whose time of sending is remembered. */
const ROUNDS = 64;
/** Members that do not vote hear every so manieth round. */
const ONLOOKER_ROUNDS = 5;
/** A member that is behind is offered entries again after so many rounds. */
const OFFER_ROUNDS = 5;

/** The votes are there. */
export function lead(turn: Turn, elect: Candidate): void {
  const { now, self } = turn.context;
  const { term } = elect.hard;
  const { trigger, epoch, inherited } = elect;
  // A vote is a reply to the round before the first.
  const vote = { round: 0, sentAt: now, offered: 0 };
  turn.state = {
    ...asFollower(turn, NEVER),
    role: 'leader',
    lost: null,
    heardAt: now,
    electedAt: now,
    round: 0,
    sent: new Map(),
    nextBeat: now,
    acks: new Map([...elect.current].map((peer) => [peer, { ...vote, epoch }])),
    gathering: null,
    inherited,
    wishes: [],
    transfer: null,
  };
  const votes = [...elect.votes.values()];
  turn.effects.push({ type: 'elected', term, epoch, votes, trigger });
  setLeader(turn, { leader: self, term }, trigger);
  beat(turn);
  advance(turn);
}

/** A beat to whom it is due, and once more what waits for signatures. */
export function beat(turn: Turn): void {
  const { state, context } = turn;
  if (state.role !== 'leader') return;
  const { now, timing, roster, self } = context;
  const round = state.round + 1;
  const sent = new Map(state.sent).set(round, now);
  sent.delete(round - ROUNDS);
  const next: Leader = { ...state, round, sent, nextBeat: later(turn, timing.heartbeatMs) };
  turn.state = next;
  const message = { type: 'beat', term: state.hard.term, round, ...standingOf(turn) } as const;
  for (const peer of roster.members.keys()) {
    if (peer === self) continue;
    if (isVoter(turn, peer) || round % ONLOOKER_ROUNDS === 1) send(turn, peer, message);
  }
  repeatProposal(turn, next);
}

/** A member is there, and says how far its roster is. */
export function onBeatReply(turn: Turn, from: PeerId, reply: Reply<'beat-reply'>): void {
  const { state, context } = turn;
  if (reply.term > state.hard.term) {
    adoptTerm(turn, reply.term, 'split-brain');
    return;
  }
  if (state.role !== 'leader' || reply.term < state.hard.term) return;
  const known = state.acks.get(from);
  const sentAt = state.sent.get(reply.round);
  const newer = sentAt !== undefined && reply.round > (known?.round ?? 0);
  if (!newer) return;
  const { epoch } = reply;
  const behind = epoch < context.roster.epoch;
  const due = known === undefined || state.round - known.offered >= OFFER_ROUNDS;
  const offered = behind && due ? state.round : (known?.offered ?? 0);
  const ack: Ack = { round: reply.round, sentAt, epoch, offered };
  turn.state = { ...state, acks: new Map(state.acks).set(from, ack) };
  if (behind && due) offer(turn, from, epoch + 1, state.hard.term);
  if (epoch > context.roster.epoch) turn.effects.push({ type: 'exchange', with: from });
  advance(turn);
}

export const offer = (turn: Turn, to: PeerId, epoch: number, term: Term): void =>
  void turn.effects.push({ type: 'offer', to, epoch, term });

/** The leader's clock: its majority first, then a hand-over that nobody took, then the beat. */
export function onLeaderTick(turn: Turn, state: Leader): void {
  const { now, timing } = turn.context;
  if (now - heardMajorityAt(turn, state) > timing.timeoutMs) {
    depose(turn, state, 'quorum');
    return;
  }
  if (state.transfer !== null && now >= state.transfer.until) {
    const { id, to } = state.transfer;
    refuse(turn, id, new BzzzError('TIMEOUT', `${to} did not take the lead over`));
    turn.state = { ...state, transfer: null };
  }
  if (now >= state.nextBeat) beat(turn);
}

/** When the newest beat was sent that a majority acknowledged, this node included. */
function heardMajorityAt({ context }: Turn, state: Leader): Millis {
  const { roster, self, now } = context;
  const times = roster.voters
    .map((voter) => (voter === self ? now : (state.acks.get(voter)?.sentAt ?? state.electedAt)))
    .sort((a, b) => b - a);
  // Newest first: from this place on stands what a majority has reached.
  const reached = times.slice(majority(times.length) - 1);
  return Math.max(state.electedAt, ...reached) as Millis;
}

/** Voters that were just made count from now on as heard: they could not answer before. */
export function welcomeVoters(turn: Turn, state: Leader): Leader {
  const { roster, self, now } = turn.context;
  const acks = new Map(state.acks);
  for (const voter of roster.voters) {
    if (voter === self || acks.has(voter)) continue;
    acks.set(voter, { round: 0, sentAt: now, epoch: 0 as Ack['epoch'], offered: 0 });
  }
  return { ...state, acks };
}

/** Asks another voter to stand; refused when that cannot go well. */
export function onTransfer(turn: Turn, input: Input<'transfer'>): void {
  const { state, context } = turn;
  const { id, force } = input;
  if (state.role !== 'leader') {
    refuse(turn, id, notLeading());
    return;
  }
  const error = heldBack(turn, state) ?? tooEarly(turn, state, force);
  if (error !== undefined) {
    refuse(turn, id, error);
    return;
  }
  const to = input.to ?? best(turn, state);
  if (to === undefined || !isReady(turn, state, to)) {
    refuse(turn, id, unfitTarget(turn, to));
    return;
  }
  turn.state = { ...state, transfer: { id, to, until: later(turn, context.timing.timeoutMs) } };
  send(turn, to, { type: 'stand', term: state.hard.term });
}

/** Goes without a successor. */
export function onStepDown(turn: Turn, id: string): void {
  const { state, context } = turn;
  if (state.role !== 'leader') {
    refuse(turn, id, notLeading());
    return;
  }
  const error = heldBack(turn, state);
  if (error !== undefined) {
    refuse(turn, id, error);
    return;
  }
  depose(turn, state, 'manual');
  standLast(turn);
  turn.effects.push({ type: 'done', id, epoch: context.roster.epoch });
}

/** Everyone else has the time to stand before this node does. */
export function standLast(turn: Turn): void {
  turn.state = { ...turn.state, standAt: later(turn, 2 * turn.context.timing.timeoutMs) };
}

/** A stream to a member is up: it hears at once who leads. */
export function greet(turn: Turn, peer: PeerId): void {
  const { state } = turn;
  if (state.role !== 'leader') return;
  const { round } = state;
  send(turn, peer, { type: 'beat', term: state.hard.term, round, ...standingOf(turn) });
}

const notLeading = (): BzzzError => new BzzzError('NOT_LEADER', 'this host does not lead');

/** What keeps a leader from going now. */
function heldBack(turn: Turn, state: Leader): BzzzError | undefined {
  if (isAlone(turn)) {
    return new BzzzError('REFUSED_BY_POLICY', 'this host is the only voter', {
      hint: 'promote another member first: `bzzz roster promote PEER`',
    });
  }
  if (state.transfer === null) return undefined;
  return new BzzzError('CONFLICT', `a transfer to ${state.transfer.to} is under way`, {
    hint: 'try again in a moment',
  });
}

function tooEarly({ context }: Turn, state: Leader, force: boolean): BzzzError | undefined {
  if (force) return undefined;
  const { minTermMs } = context.timing;
  const age = context.now - state.electedAt;
  if (age >= minTermMs) return undefined;
  return new BzzzError('CONFLICT', `a term lasts at least ${minTermMs} ms`, {
    why: `this one is ${Math.round(age)} ms old`,
    hint: 'try again later',
  });
}

const best = (turn: Turn, state: Leader): PeerId | undefined =>
  turn.context.ranking.find((peer) => isReady(turn, state, peer));

/** A voter that was heard lately and has the whole roster. */
function isReady({ context }: Turn, state: Leader, peer: PeerId): boolean {
  const { roster, self, now, timing } = context;
  const ack = state.acks.get(peer);
  if (peer === self || ack === undefined || !roster.voters.includes(peer)) return false;
  return ack.epoch >= roster.epoch && now - ack.sentAt < timing.timeoutMs;
}

function unfitTarget(turn: Turn, to: PeerId | undefined): BzzzError {
  if (to === turn.context.self) return new BzzzError('CONFLICT', 'this host leads already');
  if (to !== undefined && !isVoter(turn, to)) {
    return new BzzzError('NOT_A_VOTER', `${to} is not a voter`, {
      hint: '`bzzz roster` lists the voters',
    });
  }
  const who = to === undefined ? 'no other voter can' : `${to} cannot`;
  return new BzzzError('PEER_UNREACHABLE', `${who} take the lead now`, {
    why: 'a voter must be connected and have the newest roster',
    hint: '`bzzz peers` shows who is connected and how far behind',
  });
}
