/**
 * One step under way: the state that it will end in and the effects so far. The step is pure from
 * outside; inside it the parts of the machine write here one after the other.
 * @module
 */
import type { Millis, PeerId, Term } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import { majority } from '../roster/entry.ts';
import type {
  ElectionContext,
  ElectionEffect,
  ElectionState,
  Follower,
  Hard,
  Leader,
  Leadership,
  Message,
  Standing,
  Trigger,
} from './types.ts';

export interface Turn {
  readonly context: ElectionContext;
  readonly effects: ElectionEffect[];
  state: ElectionState;
}

/** Never, for a node that does not vote. */
export const NEVER = Number.POSITIVE_INFINITY as Millis;

export const send = (turn: Turn, to: PeerId, message: Message): void =>
  void turn.effects.push({ type: 'send', to, message });

/** To every voter but this node. */
export function sendVoters(turn: Turn, message: Message): void {
  for (const voter of turn.context.roster.voters) {
    if (voter !== turn.context.self) send(turn, voter, message);
  }
}

/** Everything behind this effect waits until the disk has it. */
export function persist(turn: Turn, hard: Hard): void {
  turn.state = { ...turn.state, hard };
  turn.effects.push({ type: 'persist', hard });
}

export const ignore = (turn: Turn, from: PeerId, what: Message['type'], reason: string): void =>
  void turn.effects.push({ type: 'ignored', from, what, reason });

export const refuse = (turn: Turn, id: string, error: BzzzError): void =>
  void turn.effects.push({ type: 'refused', id, error });

export const standingOf = ({ context: { roster } }: Turn): Standing => ({
  rosterTerm: roster.term,
  epoch: roster.epoch,
});

export const isVoter = ({ context }: Turn, peer: PeerId = context.self): boolean =>
  context.roster.voters.includes(peer);

export const isAlone = ({ context: { roster, self } }: Turn): boolean =>
  roster.voters.length === 1 && roster.voters[0] === self;

/** Whether `count` voters are a majority of the roster's. */
export const isMajority = ({ context }: Turn, count: number): boolean =>
  count >= majority(context.roster.voters.length);

/** Place of this node among the voters that are left, 0 for the first. */
export function rankOf({ context, state }: Turn): number {
  const gone = state.leader?.leader;
  const left = context.ranking.filter(
    (peer) => peer !== gone && context.roster.voters.includes(peer),
  );
  const place = left.indexOf(context.self);
  return place < 0 ? left.length : place;
}

export const later = ({ context }: Turn, ms: number): Millis => (context.now + ms) as Millis;

/** Members that do not vote hear a leader more rarely. */
const ONLOOKER_PATIENCE = 3;

/** When this node stands if it hears nothing, the first in rank first; or gives its leader up. */
export function patience(turn: Turn): Millis {
  const { timeoutMs } = turn.context.timing;
  if (isAlone(turn)) return turn.context.now;
  if (isVoter(turn)) return later(turn, timeoutMs + stagger(turn));
  return turn.state.leader === null ? NEVER : later(turn, ONLOOKER_PATIENCE * timeoutMs);
}

/** So long behind the first in rank. */
export function stagger(turn: Turn): number {
  const { staggerMs } = turn.context.timing;
  return staggerMs * (rankOf(turn) + turn.context.chance() / 2);
}

/** Announces a leader, or that there is none. */
export function setLeader(turn: Turn, leadership: Leadership | null, trigger: Trigger): void {
  const known = turn.state.leader;
  if (known?.leader === leadership?.leader && known?.term === leadership?.term) return;
  turn.state = { ...turn.state, leader: leadership };
  turn.effects.push({ type: 'leader', leadership, trigger });
}

/** The state of a node that follows, from any other; nothing is announced. */
export function asFollower(turn: Turn, standAt: Millis): Follower {
  const { hard, lost, leader, heardAt, seenVotes } = turn.state;
  return { role: 'follower', hard, lost, leader, heardAt, standAt, seenVotes };
}

/** The leader is gone: this node votes for another from now on. */
export function lose(turn: Turn, trigger: Trigger): void {
  turn.state = { ...turn.state, lost: trigger };
  setLeader(turn, null, trigger);
}

/** Ends this node's leadership. Whoever waits for it is told, and may ask the next leader. */
export function depose(turn: Turn, leader: Leader, trigger: Trigger): void {
  const { gathering, wishes, transfer, hard } = leader;
  if (gathering?.id !== undefined) {
    const message = 'leadership was lost before the change was certified';
    refuse(turn, gathering.id, new BzzzError('LEADERSHIP_LOST', message));
  }
  for (const { id } of wishes) {
    refuse(turn, id, new BzzzError('NOT_LEADER', 'this host does not lead any more'));
  }
  if (transfer !== null) {
    const message = `leadership was lost before ${transfer.to} took it`;
    refuse(turn, transfer.id, new BzzzError('LEADERSHIP_LOST', message));
  }
  turn.state = asFollower(turn, NEVER);
  turn.effects.push({ type: 'deposed', term: hard.term, trigger });
  lose(turn, trigger);
  turn.state = { ...turn.state, standAt: patience(turn) };
}

/** Takes a higher term over, durably; whatever this node was, it follows now. */
export function adoptTerm(
  turn: Turn,
  term: Term,
  trigger: Trigger,
  votedFor: PeerId | null = null,
): void {
  const { state } = turn;
  if (state.role === 'leader') depose(turn, state, trigger);
  else if (state.role !== 'follower') turn.state = asFollower(turn, patience(turn));
  turn.state = { ...turn.state, seenVotes: new Map() };
  persist(turn, { term, votedFor, accepted: turn.state.hard.accepted });
}

/** A leader of this node's term was heard. */
export function hear(turn: Turn, from: PeerId): void {
  const { hard, lost } = turn.state;
  const { now } = turn.context;
  turn.state = { ...asFollower(turn, NEVER), heardAt: now, lost: null };
  setLeader(turn, { leader: from, term: hard.term }, lost ?? 'start');
  turn.state = { ...turn.state, standAt: patience(turn) };
}
