/**
 * What happened, in words: one line for each letter that arrived or was lost, and below it what the
 * machine did about it. A test compares such a story with the one it expects.
 *
 * ```text
 * A -> B: vote 3 @4          a message of term 3 from a node whose roster stands at epoch 4
 * A -x B: vote 3 @4          the same, lost on the way
 * B: keeps 3 for A           on the disk: term 3, voted for A
 * B: keeps 3 for A, +D @5 in 3   and accepted the admission of D as epoch 5 under ballot 3
 * ```
 */
import type { PeerId } from '../../src/base/brands.ts';
import type { Accepted, ElectionEffect, Hard, Message } from '../../src/election/types.ts';
import type { Change, EntryBody } from '../../src/roster/entry.ts';
import type { Toy } from '../sim/toy.ts';

const SIGNS = { admit: '+', remove: '-', promote: '^', demote: 'v' } as const;

/** `+D` admits, `-D` removes, `^D` makes D a voter, `vD` ends that. */
export const changeWord = (change: Change): string =>
  change.kind === 'recover'
    ? `recover ${change.voters.join()}`
    : `${SIGNS[change.kind]}${change.peer}`;

const bodyWord = (body: EntryBody): string => `${changeWord(body.change)} @${body.epoch}`;

const acceptedWord = (accepted: Accepted | null): string =>
  accepted === null ? '' : `, ${bodyWord(accepted.body)} in ${accepted.ballot}`;

export const hardWord = ({ term, votedFor, accepted }: Hard): string =>
  `${term} for ${votedFor ?? 'nobody'}${acceptedWord(accepted)}`;

/** A message without its sender. */
export function messageWord(toy: Toy, message: Message): string {
  const { type, term } = message;
  switch (message.type) {
    case 'pre-vote':
      return `${type} ${term} @${message.epoch}`;
    case 'vote':
      return `${type} ${term} @${message.epoch}${message.transfer ? ', handed over' : ''}`;
    case 'pre-vote-reply':
      return `${type} ${term} ${message.refusal ?? 'yes'}`;
    case 'vote-reply':
      return `${type} ${term} ${message.refusal ?? 'yes'}${acceptedWord(message.accepted)}`;
    case 'beat':
    case 'beat-reply':
      return `${type} ${term} #${message.round} @${message.epoch}`;
    case 'propose':
      return `${type} ${term} ${bodyWord(message.body)}`;
    case 'propose-reply':
      return `${type} ${term} ${message.signature === null ? 'no' : 'signed'}`;
    case 'entry':
      return `${type} ${term} ${entryWord(toy, message.entry)}`;
    default:
      return `${type} ${term}`;
  }
}

/** What no `assemble` made; tests show it to machines. */
export const RUBBISH = Uint8Array.of(255);

function entryWord(toy: Toy, bytes: Uint8Array): string {
  if (bytes === RUBBISH) return 'rubbish';
  const { body, ballot, signers } = toy.openEntry(bytes);
  return `${bodyWord(body)} in ${ballot} by ${[...signers].join()}`;
}

/** What an effect is to a reader; undefined for one that shows by its letters. */
export function effectWord(toy: Toy, effect: ElectionEffect): string | undefined {
  switch (effect.type) {
    case 'persist':
      return `keeps ${hardWord(effect.hard)}`;
    case 'append':
      return `appends ${entryWord(toy, effect.entry)}`;
    case 'done':
      return `done ${effect.id} @${effect.epoch}`;
    case 'refused':
      return `refused ${effect.id} ${effect.error.code}`;
    case 'leader': {
      const { leadership, trigger } = effect;
      const who = leadership === null ? 'none' : `${leadership.leader} in ${leadership.term}`;
      return `leader ${who} (${trigger})`;
    }
    case 'elected': {
      const voters = effect.votes.map((vote) => toy.openVote(vote).voter);
      return `elected ${effect.term} @${effect.epoch} by ${voters.join()} (${effect.trigger})`;
    }
    case 'deposed':
      return `deposed ${effect.term} (${effect.trigger})`;
    case 'evidence':
      return `evidence against ${effect.voter}`;
    case 'ignored':
      return `ignores ${effect.what} of ${effect.from}: ${effect.reason}`;
    default:
      return undefined;
  }
}

/** The expected story: a template, one line a line, empty ones left out. */
export const story = (text: TemplateStringsArray): readonly string[] =>
  (text[0] ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** `'ABC'` as three peers. */
export const peers = (names: string): readonly PeerId[] => [...names] as PeerId[];
