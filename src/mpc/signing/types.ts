/**
 * The state, inputs and effects of a signing session. Every holder runs one machine per session,
 * and so does the proposer when it is no holder: it drives, and cannot sign.
 *
 * | phase     | input                                        | next                            |
 * | --------- | -------------------------------------------- | ------------------------------- |
 * | ready     | start                                        | running; completed if a result  |
 * |           |                                              | is known                        |
 * | running   | a verifying result, own or another's         | completed                       |
 * | running   | fewer than threshold holders can still sign  | failed                          |
 * | running   | withdraw (self)                              | failed                          |
 * | running   | cancel (proposer only)                       | cancelled                       |
 * | running   | timer `deadline`                             | expired                         |
 * | failed, expired, cancelled | a verifying result          | completed                       |
 * | completed | a verifying result with a smaller CID        | completed, with that result     |
 * | completed | a driver still at work                       | completed; it is sent the result|
 * | terminal  | anything else                                | unchanged                       |
 *
 * Within `running` a party may drive (`drive`), hold nonces for drivers (`vault`), take part in
 * attempts (`attempts`) and stand back for another session of the same request (`supersededBy`).
 * @module
 */
import type { PeerId, SessionId } from '../../base/brands.ts';
import type { ErrorCode } from '../../base/errors.ts';
import type { NoncePort } from '../nonces/types.ts';
import type { VerifiedResult } from '../result.ts';
import type { NonceCommitment, Suite } from '../suites/types.ts';
import type {
  CommonEffect,
  Failure,
  KeyInfo,
  KeyShare,
  MachineDeps,
  SealedProposal,
  SessionInput,
  SignatureResult,
  SignProposal,
  Step,
} from '../types.ts';
import type { Released, Standing } from './arbiter.ts';
import type { Fault } from './messages.ts';
import type { SigningTiming } from './timing.ts';
import type { NonceVault } from './vault.ts';

/** What a session begins with. The message has come beside the proposal. */
export interface SigningStart {
  readonly sealed: SealedProposal<SignProposal>;
  readonly key: KeyInfo;
  readonly message: Uint8Array;
  /**
   * Absent on a proposer that holds none, and on a holder that waits for its operator. The shell
   * owns and wipes it.
   */
  readonly share?: KeyShare;
  /** The node's durable boot counter. */
  readonly boot: number;
  /** A result of this request that the node already has. */
  readonly result?: Uint8Array;
}

/** The synchronous world of the machine, with the suite of the key. */
export interface SigningDeps extends MachineDeps {
  readonly suite: Suite;
  readonly timing: SigningTiming;
  /** Commitments that were exchanged ahead; absent without a share. */
  readonly nonces?: NoncePort;
}

/** One attempt of one driver. A commitment is made for one slot. */
export interface Slot {
  readonly driver: PeerId;
  readonly boot: number;
  readonly counter: number;
}

/** A commitment of a holder, its points checked. */
export interface Commitment extends NonceCommitment {
  readonly author: PeerId;
  readonly holderBoot: number;
  /** The number of a pair that was exchanged ahead; absent when it was made for this attempt. */
  readonly seq?: number;
}

/** A commitment that was made for one slot, as its holder signed it. */
export interface SignedCommitment extends Commitment {
  readonly envelope: Uint8Array;
}

/**
 * A signature share. Not checked alone until an aggregate fails.
 * @property envelope as its author signed it; absent for this party's own.
 */
export interface SignedShare {
  readonly share: Uint8Array;
  readonly envelope?: Uint8Array;
}

/** A package that this party drives or signs, and the shares that came for it. */
export interface Attempt {
  /** Hex of the tagged hash of (sid, driver, package): boot and counter stand in the package. */
  readonly id: string;
  readonly slot: Slot;
  /** The package as its driver signed it. */
  readonly envelope: Uint8Array;
  /** The signer set in index order. */
  readonly members: readonly Commitment[];
  /** By party index. */
  readonly shares: ReadonlyMap<number, SignedShare>;
  /** Has a bad share: it can never be aggregated. */
  readonly failed: boolean;
}

/** A share that came before its package. */
export interface EarlyShare extends SignedShare {
  readonly attempt: string;
}

/** Why a holder does not sign. */
export interface Refusal {
  readonly code: ErrorCode;
  /** Which rule of its policy said no. */
  readonly rule?: string;
  /** In its operator's or program's words, at most 256 characters. */
  readonly reason?: string;
}

/** This party's work as a driver. */
export interface Drive {
  readonly slot: Slot;
  /** The commit request as signed, for asking again; absent when none was needed. */
  readonly request: Uint8Array | undefined;
  /** The first valid commitment of each holder, in order of arrival. */
  readonly commitments: ReadonlyMap<PeerId, SignedCommitment>;
  /** Until the next look, in ms. */
  readonly waitMs: number;
  /** Set once the package is out. */
  readonly attempt: string | undefined;
}

/** What stays the same for the whole session. */
export interface Session {
  readonly sid: SessionId;
  readonly start: SigningStart;
  readonly proposer: PeerId;
  /** Party index by holder, in index order. */
  readonly holders: ReadonlyMap<PeerId, number>;
  /** Holders and proposer: everyone with a machine for this session. */
  readonly members: readonly PeerId[];
  /** The holders other than the proposer, in the order in which they drive after it. */
  readonly ranked: readonly PeerId[];
  /** 0 for the proposer, then 1, 2, ... */
  readonly rank: number;
}

/** The phases of a signing session; a subset of the session states. */
export type SigningPhase = 'ready' | 'running' | 'completed' | 'failed' | 'expired' | 'cancelled';

/** One state of the machine. Immutable but for the vault. */
export interface SigningState {
  readonly session: Session;
  readonly phase: SigningPhase;
  /** It takes over after so many waits: its rank, or its place among those that surely know. */
  readonly turn: number;
  /** Shared with every other state of the session on purpose; see vault.ts. */
  readonly vault: NonceVault;
  readonly drive: Drive | undefined;
  /** Attempts started by this party. */
  readonly counter: number;
  /** At most two per driver. */
  readonly attempts: ReadonlyMap<string, Attempt>;
  /** Packages seen; the number of attempts that a result reports. */
  readonly packages: number;
  readonly early: ReadonlyMap<PeerId, readonly EarlyShare[]>;
  readonly refused: ReadonlyMap<PeerId, Refusal>;
  readonly culprits: ReadonlyMap<PeerId, Fault>;
  /** Committed or asked, and not heard of since; asked again, but taken last. */
  readonly silent: ReadonlySet<PeerId>;
  /** This party's attempts do without them until its next wait is over; see drive.ts. */
  readonly aside: ReadonlySet<PeerId>;
  /** How often this party cut its wait because signers stood back. */
  readonly yields: number;
  /** How often this party waited for shares that did not come. */
  readonly waits: number;
  readonly supersededBy: SessionId | undefined;
  /** A share of this party is out in the session that it stands back for. */
  readonly bound: boolean;
  /** Steps of drivers that counted as progress, so that none counts twice. */
  readonly progress: ReadonlyMap<PeerId, ReadonlySet<string>>;
  readonly timers: ReadonlySet<string>;
  readonly result: VerifiedResult | undefined;
}

/** How a session ended. `done` comes again when evidence turns a failure into a completion. */
export type SigningOutcome =
  | {
      readonly state: 'completed';
      readonly result: SignatureResult;
      /** The sealed record of the result. */
      readonly record: Uint8Array;
      readonly attempts: number;
      readonly culprits: readonly PeerId[];
    }
  | Failure;

/** What can happen to a signing session. */
export type SigningInput =
  | SessionInput
  /** Returned by the shell for the effect of the same name. */
  | { readonly type: 'signOwn'; readonly attempt: string }
  /** The last stream to a peer was lost. It may come back. */
  | { readonly type: 'gone'; readonly peer: PeerId }
  /** The arbiter lets another session of this request go first; see `Standing`. */
  | ({ readonly type: 'superseded' } & Standing)
  | { readonly type: 'resumed' }
  /** This node will not sign: policy, an operator, draining. */
  | ({ readonly type: 'withdraw' } & Refusal)
  /** The operator of this node said yes: from now on it may sign. */
  | { readonly type: 'approved'; readonly share: KeyShare }
  /** A holder answered the proposal itself with a refusal; `from` was authenticated. */
  | ({ readonly type: 'refused'; readonly from: PeerId } & Refusal)
  /** A sealed result of this request from elsewhere: another session, the record store. */
  | { readonly type: 'result'; readonly record: Uint8Array };

/** What the machine asks of its shell, in order. */
export type SigningEffect =
  | CommonEffect
  /**
   * Feed {type: 'signOwn', attempt} back as the next input, after the effects before this one were
   * handed to the network: the others compute their shares while this node computes its own.
   */
  | { readonly type: 'signOwn'; readonly attempt: string }
  | Released
  /** A valid result of this request, the best so far. To be stored and published. */
  | { readonly type: 'record'; readonly result: VerifiedResult }
  /** A message that was refused, blaming nobody. For a log line and a counter; no progress. */
  | { readonly type: 'ignored'; readonly from: PeerId; readonly reason: string }
  | { readonly type: 'done'; readonly outcome: SigningOutcome };

/** A state and the effects that led to it. */
export type SigningStep = Step<SigningState, SigningEffect>;

/** Events of a signing session, as the effect `event` names them. */
export const SIGNING_EVENTS = [
  'started',
  'driving',
  'package',
  'share',
  'gathered',
  'approved',
  'refused',
  'culprit',
  'superseded',
  'resumed',
  'result',
] as const;
/** Name of an event. */
export type SigningEvent = (typeof SIGNING_EVENTS)[number];
