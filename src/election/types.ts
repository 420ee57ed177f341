/**
 * The election and the roster's quorum, as one machine: what it knows, hears and wants.
 *
 * Raft's election (Ongaro and Ousterhout 2014, §5.2, §9.6 pre-vote) without a log. What is agreed
 * on are roster entries, one at a time: each epoch is one single-decree Paxos instance whose ballot
 * is the term and whose acceptors are the voters of the epoch before. A leader's first proposal in
 * an epoch is the entry with the highest ballot that its own electors accepted, if there is one.
 * The next epoch opens when a majority of the current voters stands on the current one in the
 * leader's term (Schultz, Dardik and Tripakis 2021: logless reconfiguration).
 *
 * No safety rests on time: clocks only decide when somebody asks for votes.
 * @module
 */
import type { Epoch, Millis, PeerId, Term } from '../base/brands.ts';
import type { BzzzError } from '../base/errors.ts';
import type { Change, EntryBody } from '../roster/entry.ts';

// -- what must be on the disk before anything that follows from it leaves

/** An entry that this node signed; it may never be certified. */
export interface Accepted {
  /** Term in which it was proposed to this node; at least `body.term`. */
  readonly ballot: Term;
  readonly body: EntryBody;
}

/** Invariants E2 and E3: synced before a vote, a signature or a heartbeat of this term leaves. */
export interface Hard {
  /** The highest term seen: receivers refuse every act of a lower one. */
  readonly term: Term;
  /** Whom this node voted for in `term`. */
  readonly votedFor: PeerId | null;
  readonly accepted: Accepted | null;
}

// -- what the machine is told at every step

export interface Timing {
  readonly heartbeatMs: number;
  /** Silence after which a leader counts as lost, and a leader without a majority as deposed. */
  readonly timeoutMs: number;
  /** Between the candidacies of neighbouring ranks. */
  readonly staggerMs: number;
  /** After a refused pre-vote or a split vote. */
  readonly retryMs: number;
  /** Shortest term before a voluntary transfer. */
  readonly minTermMs: number;
}

/** The certified roster as the machine needs it. */
export interface RosterFacts {
  readonly epoch: Epoch;
  /** Term of the newest entry's body; 0 at epoch 0. */
  readonly term: Term;
  readonly head: Uint8Array;
  readonly voters: readonly PeerId[];
  readonly members: { has(peer: PeerId): boolean; keys(): Iterable<PeerId> };
  /** @throws CONFLICT, NOT_FOUND, INVITATION_USED, REFUSED_BY_POLICY: see roster/membership.ts. */
  check(change: Change, invitationId: Uint8Array | undefined): void;
}

/** What a voter seals when it votes. */
export interface Vote {
  readonly term: Term;
  /** The candidate's epoch: the vote counts for the voters of that epoch. */
  readonly epoch: Epoch;
  readonly candidate: PeerId;
}

/** Signatures; the simulator passes a toy. Every `open` throws BAD_MESSAGE. */
export interface Seals {
  sealVote(vote: Vote): Uint8Array;
  openVote(bytes: Uint8Array): Vote & { readonly voter: PeerId };
  /** This node's signature over an entry under a ballot. */
  signEntry(body: EntryBody, ballot: Term): Uint8Array;
  /** @returns who signed exactly this body under exactly this ballot. */
  openSignature(body: EntryBody, ballot: Term, bytes: Uint8Array): PeerId;
  hash(body: EntryBody): Uint8Array;
  /** The certified entry, as others verify it. */
  assemble(body: EntryBody, ballot: Term, signatures: readonly Uint8Array[]): Uint8Array;
}

export interface ElectionContext {
  readonly self: PeerId;
  /** Monotonic clock of this node. */
  readonly now: Millis;
  /** In [0, 1): jitter only. */
  readonly chance: () => number;
  readonly timing: Timing;
  readonly roster: RosterFacts;
  readonly seals: Seals;
  /** The voters, the one that should stand first at the front; see score.ts. Advisory. */
  readonly ranking: readonly PeerId[];
}

// -- messages; each side authenticates the other, so `from` is known

/** Where a node's certified roster stands; votes compare (rosterTerm, epoch). */
export interface Standing {
  readonly rosterTerm: Term;
  readonly epoch: Epoch;
}

export type Refusal =
  /** The asker's roster is older than the voter's. */
  | 'behind'
  /** The voter has a leader, or waits for one after its start. */
  | 'led'
  /** The voter is in a higher term, or voted for another in this one. */
  | 'term'
  /** One of the two is no voter by the voter's roster. */
  | 'ineligible';

export type Message =
  | ({ readonly type: 'pre-vote'; readonly term: Term } & Standing)
  | ({
      readonly type: 'pre-vote-reply';
      /** The term asked for when granted, else the voter's own. */
      readonly term: Term;
      readonly refusal: Refusal | null;
    } & Standing)
  | ({
      readonly type: 'vote';
      readonly term: Term;
      /** The old leader asked for this candidacy: voters need not have lost it. */
      readonly transfer: boolean;
    } & Standing)
  | ({
      readonly type: 'vote-reply';
      readonly term: Term;
      readonly refusal: Refusal | null;
      /** Sealed {@link Vote}; with a grant only. */
      readonly vote: Uint8Array | null;
      /** What the voter signed for the epoch behind its roster; with a grant only. */
      readonly accepted: Accepted | null;
    } & Standing)
  | ({ readonly type: 'beat'; readonly term: Term; readonly round: number } & Standing)
  | ({ readonly type: 'beat-reply'; readonly term: Term; readonly round: number } & Standing)
  | { readonly type: 'propose'; readonly term: Term; readonly body: EntryBody }
  | {
      readonly type: 'propose-reply';
      readonly term: Term;
      readonly hash: Uint8Array;
      /** null when the voter does not sign: it is behind, ahead, or in a higher term. */
      readonly signature: Uint8Array | null;
      readonly standing: Standing;
    }
  /** A certified entry, to everyone. */
  | { readonly type: 'entry'; readonly term: Term; readonly entry: Uint8Array }
  /** The leader asks this voter to stand now. */
  | { readonly type: 'stand'; readonly term: Term };

// -- inputs

/** Why a node began to look for another leader; R99. */
export type Trigger =
  | 'start'
  | 'timeout'
  | 'closed'
  | 'discovery'
  | 'split-brain'
  | 'quorum'
  | 'manual'
  | 'transfer';

export type ElectionInput =
  | { readonly type: 'tick' }
  | { readonly type: 'message'; readonly from: PeerId; readonly message: Message }
  /** The direct stream to a member came up or went down. */
  | { readonly type: 'link'; readonly peer: PeerId; readonly live: boolean }
  /** `context.roster` is another than at the last step. */
  | { readonly type: 'roster' }
  /** A certified entry did not verify or could not be stored. */
  | { readonly type: 'append-failed'; readonly error: BzzzError }
  | {
      readonly type: 'propose';
      /** Chosen by the shell; answered by exactly one `done` or `refused`. */
      readonly id: string;
      readonly change: Change;
      readonly invitationId?: Uint8Array;
      /** Wall clock in ms, for display. */
      readonly time: number;
    }
  /** The caller of `propose` waits no longer; what is signed goes on. */
  | { readonly type: 'abandon'; readonly id: string }
  | {
      readonly type: 'transfer';
      readonly id: string;
      /** The best of the others when absent. */
      readonly to?: PeerId;
      /** Also before the shortest term is over: the operator or the end of the process wants it. */
      readonly force: boolean;
    }
  /** Gives leadership up to nobody in particular; this node stands last in the next election. */
  | { readonly type: 'step-down'; readonly id: string }
  /** Sealed votes of another's certificate: a second one of a voter in this term is evidence. */
  | { readonly type: 'votes'; readonly votes: readonly Uint8Array[] }
  /** Stands for election now: discovery lost the leader, an operator says so. Others still vote. */
  | { readonly type: 'campaign'; readonly trigger: Trigger };

// -- effects, carried out in order; `persist` and `append` are awaited

export interface Leadership {
  readonly leader: PeerId;
  readonly term: Term;
}

export type ElectionEffect =
  | { readonly type: 'persist'; readonly hard: Hard }
  | { readonly type: 'send'; readonly to: PeerId; readonly message: Message }
  /** Verify and append; then `roster`, or `append-failed`. Known entries are no failure. */
  | { readonly type: 'append'; readonly entry: Uint8Array }
  /** The two rosters differ: run the exchange with that peer; then `roster` if it brought some. */
  | { readonly type: 'exchange'; readonly with: PeerId }
  /** The certified entries from `epoch` on, as `entry` messages of `term`. */
  | { readonly type: 'offer'; readonly to: PeerId; readonly epoch: number; readonly term: Term }
  | { readonly type: 'done'; readonly id: string; readonly epoch: Epoch }
  | { readonly type: 'refused'; readonly id: string; readonly error: BzzzError }
  /** Another leader is known, or none; for status, events and history. */
  | { readonly type: 'leader'; readonly leadership: Leadership | null; readonly trigger: Trigger }
  /** This node leads from here on: start the leader's duties. `votes` are sealed. */
  | {
      readonly type: 'elected';
      readonly term: Term;
      readonly epoch: Epoch;
      readonly votes: readonly Uint8Array[];
      readonly trigger: Trigger;
    }
  /** It does not any more: stop them. */
  | { readonly type: 'deposed'; readonly term: Term; readonly trigger: Trigger }
  /** One voter voted twice in one term. */
  | {
      readonly type: 'evidence';
      readonly voter: PeerId;
      readonly votes: readonly [Uint8Array, Uint8Array];
    }
  /** An act of a lower term, or one that breaks a rule, was refused. */
  | {
      readonly type: 'ignored';
      readonly from: PeerId;
      readonly what: Message['type'];
      readonly reason: string;
    };

// -- state

/** What every role keeps. */
interface Common {
  readonly hard: Hard;
  /** Why the last leader is gone; null while there is one or a grace runs. */
  readonly lost: Trigger | null;
  readonly leader: Leadership | null;
  /** When the leader was heard last, or this node began. */
  readonly heardAt: Millis;
  /** When this node stands next, if it is a voter and nothing happens before. */
  readonly standAt: Millis;
  /** Sealed votes of the current term that this node has seen, for evidence. */
  readonly seenVotes: ReadonlyMap<PeerId, Uint8Array>;
}

/** A change that waits for its turn. */
export interface Wish {
  readonly id: string;
  readonly change: Change;
  readonly invitationId: Uint8Array | undefined;
  readonly time: number;
}

/** The entry that the leader gathers signatures for. */
export interface Round {
  /** undefined for an entry taken over from an earlier term, and when its caller is gone. */
  readonly id: string | undefined;
  readonly body: EntryBody;
  readonly hash: Uint8Array;
  readonly signatures: ReadonlyMap<PeerId, Uint8Array>;
  /** The `append` is on its way. */
  readonly certified: boolean;
}

/** What the leader knows of one member. */
export interface Ack {
  readonly round: number;
  /** When the acknowledged round was sent. */
  readonly sentAt: Millis;
  readonly epoch: Epoch;
  /** The round in which it was last offered entries that it lacks; 0 for never. */
  readonly offered: number;
}

export interface Follower extends Common {
  /** A member that is no voter stays in this role. */
  readonly role: 'follower';
}

export interface PreCandidate extends Common {
  readonly role: 'pre-candidate';
  readonly granted: ReadonlySet<PeerId>;
  readonly trigger: Trigger;
  /** Pre-votes that failed since the leader was lost. */
  readonly attempts: number;
}

export interface Candidate extends Common {
  readonly role: 'candidate';
  readonly trigger: Trigger;
  readonly attempts: number;
  /** The epoch of the votes; another roster ends the candidacy. */
  readonly epoch: Epoch;
  readonly votes: ReadonlyMap<PeerId, Uint8Array>;
  /** Electors that stand on `epoch` already: no beat has to find that out. */
  readonly current: ReadonlySet<PeerId>;
  /** With the highest ballot, of what the electors accepted for the next epoch. */
  readonly inherited: Accepted | null;
  readonly transfer: boolean;
}

export interface Leader extends Common {
  readonly role: 'leader';
  readonly electedAt: Millis;
  readonly round: number;
  /** When recent rounds were sent. */
  readonly sent: ReadonlyMap<number, Millis>;
  readonly nextBeat: Millis;
  readonly acks: ReadonlyMap<PeerId, Ack>;
  readonly gathering: Round | null;
  /** What the electors accepted for the next epoch: proposed before any wish. */
  readonly inherited: Accepted | null;
  readonly wishes: readonly Wish[];
  readonly transfer: { readonly id: string; readonly to: PeerId; readonly until: Millis } | null;
}

export type ElectionState = Follower | PreCandidate | Candidate | Leader;

export interface ElectionStep {
  readonly state: ElectionState;
  readonly effects: readonly ElectionEffect[];
}
