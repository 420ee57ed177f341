/** Changes and messages in few words, for tests that write a letter by hand. */
import type { Epoch, PeerId, Term } from '../../src/base/brands.ts';
import type { Message, Standing } from '../../src/election/types.ts';
import type { Change, EntryBody } from '../../src/roster/entry.ts';

export const term = (n: number): Term => n as Term;
export const epoch = (n: number): Epoch => n as Epoch;
export const peer = (name: string): PeerId => name as PeerId;

export const admit = (name: string): Change => ({
  ...{ kind: 'admit', peer: peer(name), role: 'persistent', noVoter: false },
});
export const remove = (name: string): Change => ({
  ...{ kind: 'remove', peer: peer(name), reason: 'removed' },
});
export const promote = (name: string): Change => ({ kind: 'promote', peer: peer(name) });
export const demote = (name: string): Change => ({ kind: 'demote', peer: peer(name) });

/** Where the roster of three voters stands before the first election: `new Cluster('ABC')`. */
const THREE: Standing = { rosterTerm: term(0), epoch: epoch(4) };

export const preVote = (n: number, standing: Partial<Standing> = {}): Message => ({
  ...{ type: 'pre-vote', term: term(n), ...THREE, ...standing },
});

export const vote = (
  n: number,
  extra: Partial<Standing & { transfer: boolean }> = {},
): Message => ({
  ...{ type: 'vote', term: term(n), transfer: false, ...THREE, ...extra },
});

export const beat = (n: number, extra: Partial<Standing & { round: number }> = {}): Message => ({
  ...{ type: 'beat', term: term(n), round: 1, ...THREE, ...extra },
});

export const beatReply = (n: number, round: number, standing: Partial<Standing> = {}): Message => ({
  ...{ type: 'beat-reply', term: term(n), round, ...THREE, ...standing },
});

export const stand = (n: number): Message => ({ type: 'stand', term: term(n) });

export const proposal = (n: number, body: EntryBody): Message => ({
  ...{ type: 'propose', term: term(n), body },
});

type Reply<T extends Message['type']> = Extract<Message, { type: T }>;

export const preVoteReply = (
  n: number,
  refusal: Reply<'pre-vote-reply'>['refusal'],
  standing: Partial<Standing> = {},
): Message => ({ type: 'pre-vote-reply', term: term(n), refusal, ...THREE, ...standing });

export const voteReply = (
  n: number,
  sealed: Uint8Array | null,
  extra: Partial<Reply<'vote-reply'>> = {},
): Message => ({
  ...{ type: 'vote-reply', term: term(n), refusal: null, vote: sealed, accepted: null },
  ...THREE,
  ...extra,
});

export const proposeReply = (
  n: number,
  hash: Uint8Array,
  signature: Uint8Array | null,
  standing: Partial<Standing> = {},
): Message => ({
  ...{ type: 'propose-reply', term: term(n), hash, signature },
  standing: { ...THREE, ...standing },
});
