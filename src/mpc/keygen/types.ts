/**
 * State, inputs and effects of a key generation, as one party sees it; `dealing.ts` says how the
 * handing on of a key differs.
 *
 * | phase      | waits for                     | then                                        |
 * | ---------- | ----------------------------- | ------------------------------------------- |
 * | accepting  | `stored accepted`             | send Round1 -> round1                       |
 * | round1     | n valid Round1                | send Echo -> echo                           |
 * | echo       | n equal Echoes                | send each its Round2 -> round2              |
 * | round2     | n - 1 valid subshares         | store the share -> storing                  |
 * | storing    | `stored share` or `consent`   | send Statement -> attested                  |
 * | attested   | n equal Statements            | store the certificate -> certifying         |
 * | certifying | `stored certificate`          | send Certificate, done completed -> over    |
 * | refusing   | `stored refusal`              | send Refusal, wipe its own, done -> over    |
 * | watching   | a certificate or a Refusal    | the proposer that has no seat               |
 * | over       | (answers inquiries)           | a certificate still turns it to completed   |
 *
 * Before `attested` every failure leads to `refusing`. From `attested` on a party never refuses: it
 * keeps its share, unused, and a failure ends the session with `pending: true` until the
 * certificate arrives or another party's Refusal. That one it stores, passes on, and waits no
 * longer; but the share stays: who refuses may have attested to others, and then the certificate
 * may come yet (K4). Who waits inquires from time to time, and of a seat that it meets again.
 * @module
 */
import type { KeyId, PeerId } from '../../base/brands.ts';
import type { DkgPublic, DkgRound1, DkgSecret, Suite } from '../suites/types.ts';
import type {
  CommonEffect,
  DealtProposal,
  Failure,
  KeyInfo,
  KeyShare,
  MachineDeps,
  SealedProposal,
  SessionInput,
} from '../types.ts';
import type { Dealing } from './dealing.ts';
import type { Said } from './messages.ts';

export const KEYGEN_PHASES = [
  'accepting',
  'round1',
  'echo',
  'round2',
  'storing',
  'attested',
  'certifying',
  'refusing',
  'watching',
  'over',
] as const;
export type KeygenPhase = (typeof KEYGEN_PHASES)[number];

/** {@link MachineDeps} and the suite that the proposal names. */
export interface KeygenDeps extends MachineDeps {
  readonly suite: Suite;
  /** What is dealt; needed for everything but a new key. */
  readonly dealing?: Dealing;
}

/** What a party attests: public, and the same for all of them. It is stored beside the share. */
export interface Attestation {
  readonly keyId: KeyId;
  readonly public: DkgPublic;
  /** 32 bytes. */
  readonly transcript: Uint8Array;
}

export type KeygenInput =
  | SessionInput
  /** A certificate that came on another way: key exchange on connect, the record store. */
  | { readonly type: 'certificate'; readonly certificate: Uint8Array }
  /** A stream to a peer opened: what waits for its word asks at once. */
  | { readonly type: 'met'; readonly peer: PeerId };

export type KeygenOutcome =
  | {
      readonly state: 'completed';
      readonly keyInfo: KeyInfo;
      readonly certificate: Uint8Array;
    }
  | Failure;

export type KeygenEffect =
  | CommonEffect
  /** Remember, synced, that this party takes part: it will never start this session again. */
  | {
      readonly type: 'store';
      readonly name: 'accepted';
      readonly sealed: SealedProposal<DealtProposal>;
    }
  /**
   * Sync, read back, {@link checkPending}; then answer `stored`. The share's bytes are wiped on
   * that answer: keep a copy, not the buffer.
   */
  | {
      readonly type: 'store';
      readonly name: 'share';
      readonly share: KeyShare;
      readonly attestation: Attestation;
    }
  /** Sync. A seat without a share agrees, and will agree to no other change of this epoch. */
  | { readonly type: 'store'; readonly name: 'consent'; readonly attestation: Attestation }
  /** Sync. Keep it as long as a party may ask. */
  | { readonly type: 'store'; readonly name: 'refusal'; readonly refusal: Uint8Array }
  /** Sync. */
  | {
      readonly type: 'store';
      readonly name: 'certificate';
      readonly certificate: Uint8Array;
      readonly keyInfo: KeyInfo;
    }
  /** Destroy the pending share of this session, if any: this party's own refusal is on the disk. */
  | { readonly type: 'wipe' }
  /**
   * The end. It may come again: with `completed`, with more culprits, or with `pending: false`.
   * `pending` means that the share must be kept and the machine kept running.
   */
  | { readonly type: 'done'; readonly outcome: KeygenOutcome; readonly pending: boolean };

/** What was on the disk when the process ended. */
export interface PersistedKeygen {
  readonly sealed: SealedProposal<DealtProposal>;
  /** Given only when the pending share itself was read and passed {@link checkPending}. */
  readonly attestation?: Attestation;
  readonly refusal?: Uint8Array;
  readonly certificate?: Uint8Array;
}

/** A first round that passed the suite's check. */
export interface Round1Entry extends DkgRound1 {
  readonly envelope: Uint8Array;
  readonly bytes: Uint8Array;
  /** SHA-256 of the signed bytes: what echoes compare. */
  readonly hash: Uint8Array;
}

/** One party's session. Maps go by seat. It holds secrets: never print it. */
export interface KeygenState {
  readonly sealed: SealedProposal<DealtProposal>;
  readonly dealing: Dealing;
  /** This party's seat; 0 for a proposer that has none. */
  readonly index: number;
  readonly phase: KeygenPhase;
  /** A statement may have left this node: from now on it never refuses. */
  readonly attested: boolean;
  readonly secret: DkgSecret | undefined;
  readonly round1: ReadonlyMap<number, Round1Entry>;
  readonly echoes: ReadonlyMap<number, Said<'echo'>>;
  /** Second rounds addressed to this party; verified when the echo is complete. */
  readonly round2: ReadonlyMap<number, Said<'round2'>>;
  readonly statements: ReadonlyMap<number, Said<'statement'>>;
  readonly attestation: Attestation | undefined;
  /** Held only between the end of round 2 and the answer to `store share`. */
  readonly share: KeyShare | undefined;
  /** The refusal that ended the session: this party's own or another's. */
  readonly refusal: Uint8Array | undefined;
  readonly certificate: Uint8Array | undefined;
  readonly keyInfo: KeyInfo | undefined;
  /** Indices proven guilty. */
  readonly culprits: ReadonlySet<number>;
  /** Why the session fails, while the refusal is being stored. */
  readonly failure: Failure | undefined;
  readonly ended: KeygenOutcome | undefined;
  /** Whether the end left a share to keep. */
  readonly pending: boolean;
  /** Wait before the next inquiry, in ms. */
  readonly inquireMs: number;
  /** Senders of packets that were refused; each is reported once. */
  readonly refusedFrom: ReadonlySet<PeerId>;
}
