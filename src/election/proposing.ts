/**
 * How a roster entry comes to be certified: one epoch at a time, first what an earlier leader may
 * have certified, then what callers wish.
 *
 * | leader                                     | does                                          |
 * | ------------------------------------------ | --------------------------------------------- |
 * | a majority stands on the epoch, none open  | signs the inherited entry or the next wish    |
 * | a voter's signature                        | keeps it                                      |
 * | signatures of a majority                   | append                                        |
 * | the roster has the epoch                   | done; offers it to all; the next one          |
 *
 * | voter, asked to sign                       | answers                                       |
 * | ------------------------------------------ | --------------------------------------------- |
 * | a lower term                               | nothing but its own term                      |
 * | not the epoch behind its roster            | where it stands                               |
 * | signed another for this epoch and term     | nothing                                       |
 * | a change that the roster's rules refuse    | nothing                                       |
 * | otherwise                                  | its signature, after the disk has it          |
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type EntryBody, majority } from '../roster/entry.ts';
import { isTaken, nextEpoch } from './rules.ts';
import {
  ignore,
  isMajority,
  isVoter,
  persist,
  refuse,
  send,
  standingOf,
  type Turn,
} from './turn.ts';
import type { ElectionInput, Leader, Message, Round, Wish } from './types.ts';

type Of<T extends Message['type']> = Extract<Message, { type: T }>;

// -- the leader

/** Lines a change up; its turn comes when the roster stands on a majority. */
export function onWish(turn: Turn, input: Extract<ElectionInput, { type: 'propose' }>): void {
  const { state } = turn;
  const { id, change, invitationId, time } = input;
  if (state.role !== 'leader') {
    refuse(turn, id, new BzzzError('NOT_LEADER', 'this host does not lead'));
    return;
  }
  if (state.wishes.length >= LIMITS.rosterQueue) {
    const message = `${state.wishes.length} roster changes wait already`;
    refuse(turn, id, new BzzzError('BUSY', message, { hint: 'try again in a moment' }));
    return;
  }
  turn.state = { ...state, wishes: [...state.wishes, { id, change, invitationId, time }] };
  advance(turn);
}

/** Whoever wished it waits no longer. What was signed may still be certified. */
export function onAbandon(turn: Turn, id: string): void {
  const { state } = turn;
  if (state.role !== 'leader') return;
  const { gathering } = state;
  const open = gathering?.id === id ? { ...gathering, id: undefined } : gathering;
  const wishes = state.wishes.filter((wish) => wish.id !== id);
  turn.state = { ...state, gathering: open, wishes };
}

/** Opens the next epoch, if the rules allow it and there is something to propose. */
export function advance(turn: Turn): void {
  const { context } = turn;
  for (;;) {
    const { state } = turn;
    if (state.role !== 'leader') return;
    const { term, accepted } = state.hard;
    // What is gathered is reported first, even if the roster has it already.
    if (state.gathering !== null) return;
    // Whoever takes over must not be behind when it stands (Ongaro 2014, §3.10).
    if (state.transfer !== null) return;
    if (isTaken(accepted, term, nextEpoch(context.roster.epoch))) return;
    if (!isSettled(turn, state)) return;
    if (state.inherited?.body.epoch === nextEpoch(context.roster.epoch)) {
      gather(turn, state, undefined, state.inherited.body);
      return;
    }
    const [wish, ...wishes] = state.wishes;
    if (wish === undefined) return;
    turn.state = { ...state, wishes };
    const body = bodyOf(turn, state, wish);
    if (body !== undefined) {
      gather(turn, { ...state, wishes }, wish.id, body);
      return;
    }
  }
}

/** A voter signed what is gathered, or did not. */
export function onSignature(turn: Turn, from: PeerId, reply: Of<'propose-reply'>): void {
  const { state, context } = turn;
  if (state.role !== 'leader' || reply.term !== state.hard.term) return;
  const { gathering } = state;
  if (gathering === null || gathering.certified || reply.signature === null) return;
  if (!equalBytes(reply.hash, gathering.hash)) return;
  try {
    const signer = context.seals.openSignature(gathering.body, state.hard.term, reply.signature);
    if (signer !== from) throw new BzzzError('BAD_MESSAGE', `a signature of ${signer}`);
    if (!isVoter(turn, from)) throw new BzzzError('BAD_MESSAGE', 'not a voter');
  } catch (thrown) {
    if (!(thrown instanceof BzzzError)) throw thrown;
    ignore(turn, from, reply.type, thrown.message);
    return;
  }
  const signatures = new Map(gathering.signatures).set(from, reply.signature);
  certify(turn, state, { ...gathering, signatures });
}

/** The roster may have grown to what was gathered for. */
export function onGathered(turn: Turn, state: Leader): Leader {
  const { gathering } = state;
  if (gathering === null || gathering.body.epoch > turn.context.roster.epoch) return state;
  report(turn, gathering);
  return { ...state, gathering: null };
}

function report(turn: Turn, gathering: Round): void {
  const { epoch, head } = turn.context.roster;
  if (gathering.id === undefined) return;
  const { id, body, hash, certified } = gathering;
  // Behind the head lies what was certified; at the head the hash tells.
  const same = body.epoch === epoch ? equalBytes(head, hash) : certified;
  if (same) {
    turn.effects.push({ type: 'done', id, epoch: body.epoch });
    return;
  }
  const message = 'another leader made an entry of this epoch';
  refuse(turn, id, new BzzzError('LEADERSHIP_LOST', message));
}

/** Streams break: whoever has not signed is asked again with every beat. */
export function repeatProposal(turn: Turn, state: Leader): void {
  const { roster, self } = turn.context;
  const { gathering } = state;
  if (gathering === null || gathering.certified) return;
  const { body } = gathering;
  for (const voter of roster.voters) {
    if (voter === self || gathering.signatures.has(voter)) continue;
    send(turn, voter, { type: 'propose', term: state.hard.term, body });
  }
}

/** Whether a majority of the voters stands on the leader's epoch in its term. */
export function isSettled({ context }: Turn, state: Leader): boolean {
  const { roster, self } = context;
  const there = roster.voters.filter(
    (voter) => voter === self || (state.acks.get(voter)?.epoch ?? -1) >= roster.epoch,
  );
  return there.length >= majority(roster.voters.length);
}

function gather(turn: Turn, state: Leader, id: string | undefined, body: EntryBody): void {
  const { seals, self } = turn.context;
  const { term } = state.hard;
  persist(turn, { ...state.hard, accepted: { ballot: term, body } });
  const signature = seals.signEntry(body, term);
  const gathering: Round = {
    ...{ id, body, hash: seals.hash(body), certified: false },
    signatures: new Map([[self, signature]]),
  };
  const next: Leader = { ...state, hard: turn.state.hard, gathering };
  repeatProposal(turn, next);
  certify(turn, next, gathering);
}

/** Keeps the round, and completes it when its signatures are a majority. */
function certify(turn: Turn, state: Leader, round: Round): void {
  const { body, signatures } = round;
  const certified = isMajority(turn, signatures.size);
  turn.state = { ...state, gathering: { ...round, certified } };
  if (!certified) return;
  const { seals } = turn.context;
  const entry = seals.assemble(body, state.hard.term, [...signatures.values()]);
  turn.effects.push({ type: 'append', entry });
}

/** @returns undefined when the roster's rules refuse the change now; its caller is told. */
function bodyOf(turn: Turn, state: Leader, wish: Wish): EntryBody | undefined {
  const { roster } = turn.context;
  const { id, change, invitationId, time } = wish;
  try {
    roster.check(change, invitationId);
  } catch (thrown) {
    if (!(thrown instanceof BzzzError)) throw thrown;
    refuse(turn, id, thrown);
    return undefined;
  }
  const { term } = state.hard;
  const body = { v: 1, epoch: nextEpoch(roster.epoch), term, prev: roster.head, change } as const;
  return { ...body, ...(invitationId === undefined ? {} : { invitationId }), time };
}

// -- the voter

/** The caller has made sure that `from` leads this node's term. */
export function onPropose(turn: Turn, from: PeerId, ask: Of<'propose'>): void {
  const { seals } = turn.context;
  const { body, term } = ask;
  const hash = seals.hash(body);
  const reason = whyNot(turn, hash, body);
  if (reason !== undefined) ignore(turn, from, ask.type, reason);
  const { hard } = turn.state;
  const known = isTaken(hard.accepted, term, body.epoch);
  if (reason === undefined && !known) persist(turn, { ...hard, accepted: { ballot: term, body } });
  const signature = reason === undefined ? seals.signEntry(body, term) : null;
  const standing = standingOf(turn);
  send(turn, from, { type: 'propose-reply', term, hash, signature, standing });
}

function whyNot(turn: Turn, hash: Uint8Array, body: EntryBody): string | undefined {
  const { context, state } = turn;
  const { roster, seals } = context;
  const { accepted, term } = state.hard;
  if (!isVoter(turn)) return 'this host is no voter';
  if (body.epoch !== nextEpoch(roster.epoch)) return `epoch ${body.epoch} after ${roster.epoch}`;
  if (!equalBytes(body.prev, roster.head)) return 'it does not follow the head';
  if (body.term > term) return `term ${body.term} in term ${term}`;
  const other = accepted !== null && isTaken(accepted, term, body.epoch);
  if (other && !equalBytes(seals.hash(accepted.body), hash)) return 'another one is signed';
  try {
    roster.check(body.change, body.invitationId);
    return undefined;
  } catch (thrown) {
    if (thrown instanceof BzzzError) return thrown.message;
    throw thrown;
  }
}
