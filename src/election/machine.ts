/**
 * The election machine: one step from (state, input) to (state, effects). The sides of it are in
 * standing.ts (candidate), voting.ts (elector), leading.ts (leader) and proposing.ts (roster
 * entries), each with its table; here is what they share: who is heard, and in which term.
 *
 * | message of a leader      | lower term         | this term         | higher term               |
 * | ------------------------ | ------------------ | ----------------- | ------------------------- |
 * | beat                     | reply own term     | hear, reply       | persist, hear, reply      |
 * | propose                  | reply own term     | hear, sign or not | persist, hear, sign or not|
 * | entry                    | ignored            | append            | persist, append           |
 * | stand                    | ignored            | stand at once     | ignored                   |
 *
 * A second leader in one term cannot be (E1): whoever claims it is ignored.
 * @module
 */
import type { Millis, PeerId } from '../base/brands.ts';
import {
  beat,
  greet,
  offer,
  onBeatReply,
  onLeaderTick,
  onStepDown,
  onTransfer,
  standLast,
  welcomeVoters,
} from './leading.ts';
import { advance, onAbandon, onGathered, onPropose, onSignature, onWish } from './proposing.ts';
import { isBehind, isStale } from './rules.ts';
import { candidate, onPreVoteReply, onVoteReply, stand, witness } from './standing.ts';
import {
  adoptTerm,
  asFollower,
  depose,
  hear,
  ignore,
  isVoter,
  later,
  lose,
  NEVER,
  patience,
  refuse,
  send,
  stagger,
  standingOf,
  type Turn,
} from './turn.ts';
import type {
  ElectionContext,
  ElectionInput,
  ElectionState,
  ElectionStep,
  Hard,
  Message,
} from './types.ts';
import { onPreVote, onVote } from './voting.ts';

/**
 * The state after a start. A restarted voter counts as having just heard a leader, so it lets the
 * others go on; a lone voter stands at the first tick.
 * @param hard what the disk has; the zero of a new node is term 0 without a vote.
 */
export function beginElection(hard: Hard, context: ElectionContext): ElectionStep {
  const state: ElectionState = {
    role: 'follower',
    ...{ hard, lost: null, leader: null },
    heardAt: context.now,
    standAt: NEVER,
    seenVotes: new Map(),
  };
  const turn: Turn = { state, context, effects: [] };
  turn.state = { ...state, standAt: patience(turn) };
  return { state: turn.state, effects: turn.effects };
}

/** When the next `tick` is due. */
export const wakeAt = (state: ElectionState): Millis =>
  state.role === 'leader' ? state.nextBeat : state.standAt;

/** One step; never throws for what another node sent. */
export function stepElection(
  state: ElectionState,
  input: ElectionInput,
  context: ElectionContext,
): ElectionStep {
  const turn: Turn = { state, context, effects: [] };
  take(turn, input);
  return { state: turn.state, effects: turn.effects };
}

function take(turn: Turn, input: ElectionInput): void {
  switch (input.type) {
    case 'tick':
      onTick(turn);
      break;
    case 'message':
      onMessage(turn, input.from, input.message);
      break;
    case 'link':
      onLink(turn, input.peer, input.live);
      break;
    case 'roster':
      onRoster(turn);
      break;
    case 'append-failed':
      onAppendFailed(turn, input.error);
      break;
    case 'propose':
      onWish(turn, input);
      break;
    case 'abandon':
      onAbandon(turn, input.id);
      break;
    case 'transfer':
      onTransfer(turn, input);
      break;
    case 'step-down':
      onStepDown(turn, input.id);
      break;
    case 'votes':
      witness(turn, input.votes);
      break;
    case 'campaign':
      onCampaign(turn, input);
  }
}

function onMessage(turn: Turn, from: PeerId, message: Message): void {
  if (!turn.context.roster.members.has(from)) {
    ignore(turn, from, message.type, 'not a member');
    return;
  }
  switch (message.type) {
    case 'pre-vote':
      onPreVote(turn, from, message);
      break;
    case 'pre-vote-reply':
      onPreVoteReply(turn, from, message);
      break;
    case 'vote':
      onVote(turn, from, message);
      break;
    case 'vote-reply':
      onVoteReply(turn, from, message);
      break;
    case 'beat-reply':
      onBeatReply(turn, from, message);
      break;
    case 'propose-reply':
      onProposeReply(turn, from, message);
      break;
    default:
      onAct(turn, from, message);
  }
}

type Act = Extract<Message, { type: 'beat' | 'propose' | 'entry' | 'stand' }>;
type Of<T extends Message['type']> = Extract<Message, { type: T }>;

/** What only a leader does: its term decides first. */
function onAct(turn: Turn, from: PeerId, act: Act): void {
  if (isStale(act.term, turn.state.hard)) {
    ignore(turn, from, act.type, `term ${act.term} after ${turn.state.hard.term}`);
    tellTerm(turn, from, act);
    return;
  }
  if (act.type === 'stand') {
    onStand(turn, from, act);
    return;
  }
  if (act.type !== 'entry' && !mayLead(turn, from, act)) return;
  if (act.term > turn.state.hard.term) adoptTerm(turn, act.term, 'split-brain');
  if (act.type === 'entry') {
    turn.effects.push({ type: 'append', entry: act.entry });
    return;
  }
  hear(turn, from);
  if (act.type === 'propose') onPropose(turn, from, act);
  else onBeat(turn, from, act);
}

/** Whether this may be the leader of the term it names. */
function mayLead(turn: Turn, from: PeerId, act: Of<'beat' | 'propose'>): boolean {
  const { state } = turn;
  const led = state.leader?.term === act.term && state.leader.leader !== from;
  if (led || (state.role === 'leader' && act.term === state.hard.term)) {
    ignore(turn, from, act.type, `term ${act.term} has another leader`);
    return false;
  }
  const deposed = act.type === 'beat' && isBehind(act, standingOf(turn)) && !isVoter(turn, from);
  if (!deposed) return true;
  ignore(turn, from, act.type, 'it lost its vote');
  offer(turn, from, act.epoch + 1, state.hard.term);
  return false;
}

function onBeat(turn: Turn, from: PeerId, act: Of<'beat'>): void {
  const { round } = act;
  const { term } = turn.state.hard;
  if (act.epoch < turn.context.roster.epoch) offer(turn, from, act.epoch + 1, term);
  send(turn, from, { type: 'beat-reply', term, round, ...standingOf(turn) });
}

/** So that a leader of the past learns that it is one. */
function tellTerm(turn: Turn, from: PeerId, act: Act): void {
  const { term } = turn.state.hard;
  if (act.type === 'beat') {
    send(turn, from, { type: 'beat-reply', term, round: act.round, ...standingOf(turn) });
  } else if (act.type === 'propose') {
    const hash = turn.context.seals.hash(act.body);
    const standing = standingOf(turn);
    send(turn, from, { type: 'propose-reply', term, hash, signature: null, standing });
  }
}

/** The leader hands over to this node. */
function onStand(turn: Turn, from: PeerId, act: Of<'stand'>): void {
  const { state } = turn;
  const theirs = state.leader?.leader === from && state.leader.term === act.term;
  if (!theirs || !isVoter(turn)) {
    ignore(turn, from, act.type, theirs ? 'this host is no voter' : 'it does not lead');
    return;
  }
  lose(turn, 'transfer');
  candidate(turn, 'transfer', 0, true);
}

function onProposeReply(turn: Turn, from: PeerId, reply: Of<'propose-reply'>): void {
  const { state, context } = turn;
  if (reply.term > state.hard.term) {
    adoptTerm(turn, reply.term, 'split-brain');
    return;
  }
  onSignature(turn, from, reply);
  const { epoch } = reply.standing;
  if (turn.state.role === 'leader' && epoch > context.roster.epoch) {
    turn.effects.push({ type: 'exchange', with: from });
  }
}

function onTick(turn: Turn): void {
  const { state, context } = turn;
  if (state.role === 'leader') {
    onLeaderTick(turn, state);
    return;
  }
  if (context.now < state.standAt) return;
  if (state.role === 'follower') stand(turn, state.lost ?? silence(turn), 0);
  else stand(turn, state.trigger, state.attempts + 1);
}

const silence = ({ state }: Turn): 'start' | 'timeout' =>
  state.leader === null ? 'start' : 'timeout';

/** A closed connection is the fastest sign that the leader is gone. */
function onLink(turn: Turn, peer: PeerId, live: boolean): void {
  const { state } = turn;
  if (live) greet(turn, peer);
  else if (state.role === 'follower' && state.leader?.leader === peer) {
    const standAt = isVoter(turn) ? later(turn, stagger(turn)) : NEVER;
    lose(turn, 'closed');
    turn.state = { ...turn.state, standAt };
  }
}

function onRoster(turn: Turn): void {
  const { term } = turn.context.roster;
  // E1: two epochs on, a majority may be disjoint from the one that elected this term's leader. Who
  // has such an epoch must not stand in that term. A recovery has a term of its own besides.
  if (term > turn.state.hard.term) adoptTerm(turn, term, 'quorum');
  const { state } = turn;
  if (state.role === 'leader') {
    onLeaderRoster(turn, welcomeVoters(turn, state));
    return;
  }
  const { leader } = state;
  if (leader !== null && !isVoter(turn, leader.leader)) lose(turn, 'quorum');
  // Votes were asked for by another roster; who lost its leader tries again at once.
  const soon = turn.state.lost !== null && isVoter(turn);
  const standAt = soon ? later(turn, stagger(turn)) : patience(turn);
  turn.state = asFollower(turn, standAt);
}

function onLeaderRoster(turn: Turn, state: typeof turn.state & { role: 'leader' }): void {
  const { context } = turn;
  const next = onGathered(turn, state);
  turn.state = next;
  for (const peer of context.roster.members.keys()) {
    if (peer !== context.self) offer(turn, peer, context.roster.epoch, state.hard.term);
  }
  if (!isVoter(turn)) depose(turn, next, 'quorum');
  beat(turn);
  advance(turn);
}

function onAppendFailed(
  turn: Turn,
  error: Extract<ElectionInput, { type: 'append-failed' }>['error'],
): void {
  const { state } = turn;
  if (state.role !== 'leader' || state.gathering?.certified !== true) return;
  const { id } = state.gathering;
  if (id !== undefined) refuse(turn, id, error);
  // A leader that cannot keep an entry cannot lead; another voter's disk may be better, and a lone
  // voter's does not get better by trying without a pause.
  depose(turn, { ...state, gathering: null }, 'manual');
  standLast(turn);
}

function onCampaign(turn: Turn, input: Extract<ElectionInput, { type: 'campaign' }>): void {
  if (turn.state.role !== 'follower' || !isVoter(turn)) return;
  const { standAt } = turn.state;
  const soon = Math.min(standAt, later(turn, stagger(turn))) as Millis;
  turn.state = { ...turn.state, lost: input.trigger, standAt: soon };
}
