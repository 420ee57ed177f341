/**
 * The words of this layer: suites, parties, proposals, keys, and the shape of a session machine.
 *
 * A session machine is pure: `step(state, input) -> {state, effects}`. It owns no clock and does
 * no I/O; it may call the synchronous functions of {@link MachineDeps}. The shell (`party/`) runs
 * the effects strictly in order, awaits each `store`, and feeds its outcome back as an input.
 * @module
 */
import type { ClusterId, Epoch, KeyId, PeerId, RequestId, SessionId } from '../base/brands.ts';
import type { Opened } from '../base/envelope.ts';
import type { ErrorShape } from '../base/errors.ts';
import type { Random, Signer } from '../base/ports.ts';
import type { Role } from '../roster/types.ts';

export const SUITES = ['ed25519', 'secp256k1-tr', 'secp256k1', 'p256', 'ristretto255'] as const;
export type SuiteName = (typeof SUITES)[number];

export const POLICIES = ['auto', 'approve'] as const;
export type PolicyMode = (typeof POLICIES)[number];

/** What each requester of a key may ask for; every holder counts for itself. */
export interface SigningLimits {
  /** Longest message in bytes. */
  readonly messageBytes?: number;
  /** Requests of one requester in a minute. */
  readonly perMinute?: number;
}

/** A party of a key. Its FROST identifier is `index` (1..n), always, from nowhere else. */
export interface Party {
  readonly peerId: PeerId;
  readonly index: number;
  readonly role: Role;
}

interface ProposalBase {
  readonly v: 1;
  readonly clusterId: ClusterId;
  readonly proposer: PeerId;
  readonly rosterEpoch: Epoch;
  /** Life in ms from receipt, by each receiver's own monotonic clock: hosts' clocks may differ. */
  readonly ttlMs: number;
  /** 16 random bytes: two otherwise equal proposals have two ids. */
  readonly nonce: Uint8Array;
}

/** Asks for a new key. Everything a party must agree to is in here, so it is bound in the id. */
export interface KeygenProposal extends ProposalBase {
  readonly kind: 'keygen';
  readonly suite: SuiteName;
  readonly name: string;
  readonly threshold: number;
  /** In index order: `parties[i].index === i + 1`. */
  readonly parties: readonly Party[];
  readonly purpose: string;
  /** Who may ask for signatures; sorted. */
  readonly requesters: readonly PeerId[];
  readonly policy: PolicyMode;
  readonly limits?: SigningLimits;
  /** Fewer persistent parties than the threshold: the key may be lost with a restart. */
  readonly ephemeral?: true;
  /** The key exists elsewhere: the parties bring their shares of it instead of making one. */
  readonly imported?: ImportedKey;
}

/** The public half of a key that is brought in, as other libraries keep it. */
export interface ImportedKey {
  readonly groupKey: Uint8Array;
  /** By party index - 1. */
  readonly verifyingShares: readonly Uint8Array[];
}

/** Asks for a signature. The message itself travels beside it, never by gossip. */
export interface SignProposal extends ProposalBase {
  readonly kind: 'sign';
  readonly keyId: KeyId;
  readonly keyEpoch: number;
  readonly suite: SuiteName;
  readonly threshold: number;
  readonly purpose: string;
  /** SHA-256 of the message. */
  readonly messageHash: Uint8Array;
  readonly requestId: RequestId;
  /** Signs again although a result exists. */
  readonly fresh: boolean;
}

/**
 * Hands a key on to new shares: of the same parties (a refresh) or of others (a reshare). The key
 * itself stays what it is; its next epoch begins with the certificate that comes out of this.
 */
export interface ReshareProposal extends ProposalBase {
  readonly kind: 'reshare';
  readonly keyId: KeyId;
  /** The epoch that deals; what comes out is the next. */
  readonly keyEpoch: number;
  /** {@link certificateHash} of that epoch's certificate. */
  readonly previous: Uint8Array;
  readonly suite: SuiteName;
  /** Of the new epoch, as are the parties: `parties[i].index === i + 1`. */
  readonly threshold: number;
  readonly parties: readonly Party[];
  /** Holders of the old epoch who deal, as many as its threshold; sorted. */
  readonly dealers: readonly PeerId[];
  /** The other holders of the old epoch who agree to the change and get no share; sorted. */
  readonly witnesses: readonly PeerId[];
  /** Holders of the old epoch who are not asked and get no share; sorted. */
  readonly removed: readonly PeerId[];
  /** Who may ask for signatures from now on; sorted. */
  readonly requesters: readonly PeerId[];
}

/** Asks holders to rebuild the share that another one of them has lost. */
export interface RepairProposal extends ProposalBase {
  readonly kind: 'repair';
  readonly keyId: KeyId;
  readonly keyEpoch: number;
  readonly suite: SuiteName;
  readonly threshold: number;
  /** Index of the party that gets its share again. */
  readonly lost: number;
  /** Indices of those who help, as many as the threshold; ascending. */
  readonly helpers: readonly number[];
}

/** What ends in a certificate. */
export type DealtProposal = KeygenProposal | ReshareProposal;

export type Proposal = KeygenProposal | SignProposal | ReshareProposal | RepairProposal;

/** A proposal, its author's envelope and its id, checked. */
export interface SealedProposal<P extends Proposal = Proposal> {
  readonly sid: SessionId;
  readonly proposal: P;
  readonly envelope: Uint8Array;
}

/** The public half of a key, the same on every node; it comes out of a verified certificate. */
export interface KeyInfo {
  readonly keyId: KeyId;
  readonly name: string;
  readonly suite: SuiteName;
  readonly threshold: number;
  readonly parties: readonly Party[];
  /** Canonical group key: 32 bytes for ed25519 and ristretto255, 33 bytes of SEC 1 otherwise. */
  readonly groupKey: Uint8Array;
  /** All VSS commitments of the group polynomial; `[0]` is the group key. */
  readonly commitments: readonly Uint8Array[];
  /** By party index - 1. */
  readonly verifyingShares: readonly Uint8Array[];
  readonly purpose: string;
  readonly requesters: readonly PeerId[];
  readonly policy: PolicyMode;
  readonly limits?: SigningLimits;
  /** Made elsewhere and brought here: somebody may have had it in whole. */
  readonly imported?: true;
  /** 0 for the shares that key generation dealt; one more with each refresh and reshare. */
  readonly epoch: number;
  /** The session that dealt this epoch. */
  readonly sid: SessionId;
}

/** What one party alone holds. `signingShare` is the only secret; its owner wipes it. */
export interface KeyShare {
  readonly index: number;
  readonly signingShare: Uint8Array;
}

/** A signature as it leaves: verified by an implementation other than the signer's. */
export interface SignatureResult {
  readonly keyId: KeyId;
  readonly requestId: RequestId;
  readonly sid: SessionId;
  /** RFC 8032 or BIP 340, 64 bytes; else R and z of RFC 9591, 65 bytes or 64 for ristretto255. */
  readonly signature: Uint8Array;
  readonly messageHash: Uint8Array;
  readonly signers: readonly PeerId[];
}

export const SESSION_STATES = [
  'proposed',
  'joining',
  'ready',
  'running',
  'completed',
  'failed',
  'expired',
  'cancelled',
] as const;
export type SessionState = (typeof SESSION_STATES)[number];

/** The synchronous world of a session machine. */
export interface MachineDeps {
  readonly self: PeerId;
  readonly clusterId: ClusterId;
  readonly random: Random;
  readonly signer: Signer;
  /** `openEnvelope` of base/envelope, or the simulator's stand-in. Throws BAD_MESSAGE. */
  readonly open: (domain: string, envelope: Uint8Array) => Opened;
}

/** What can happen to a session, beside what its own kind adds. */
export type SessionInput =
  | { readonly type: 'start' }
  /** `from` is the peer that Noise authenticated; the envelope inside names its own author. */
  | { readonly type: 'message'; readonly from: PeerId; readonly envelope: Uint8Array }
  | { readonly type: 'timer'; readonly name: string }
  /** A `store` effect is on the disk, was read back and checked. */
  | { readonly type: 'stored'; readonly name: string }
  | { readonly type: 'storeFailed'; readonly name: string; readonly error: ErrorShape }
  | { readonly type: 'cancel'; readonly by: PeerId; readonly reason: string };

/** What every session machine may ask of its shell. Each kind adds its `store` and `done`. */
export type CommonEffect =
  /** To other parties only; the shell drops `self`. Retransmission is the stream's business. */
  | { readonly type: 'send'; readonly to: readonly PeerId[]; readonly envelope: Uint8Array }
  /** Replaces a running timer of that name. */
  | { readonly type: 'timer'; readonly name: string; readonly ms: number }
  | { readonly type: 'clearTimer'; readonly name: string }
  /** Becomes a session event, a log line and a progress mark of the watchdog. */
  | {
      readonly type: 'event';
      readonly kind: string;
      readonly data: Readonly<Record<string, unknown>>;
    };

/** How a session that did not complete ended. Silence is in `silent`, never in `culprits`. */
export interface Failure {
  readonly state: 'failed' | 'expired' | 'cancelled';
  readonly error: ErrorShape;
  /** Proven by signed evidence. */
  readonly culprits: readonly PeerId[];
  readonly silent: readonly PeerId[];
}

export interface Step<S, E> {
  readonly state: S;
  readonly effects: readonly E[];
}
