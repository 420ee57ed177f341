/**
 * Who belongs to the cluster. Everything above the roster checks against a {@link RosterView}.
 * @module
 */
import type { ClusterId, Epoch, PeerId, Term } from '../base/brands.ts';

/** Observers hold no share: bootstrap nodes and onlookers. */
export const ROLES = ['persistent', 'delegate', 'temporary', 'observer'] as const;
export type Role = (typeof ROLES)[number];

export interface Member {
  readonly peerId: PeerId;
  readonly role: Role;
  readonly voter: boolean;
  /** Opted out of promotion (`invite --no-voter`). */
  readonly noVoter: boolean;
  readonly name?: string;
  /** Epoch of the entry that admitted it; 0 for the founder. */
  readonly since: Epoch;
}

export type Standing = 'member' | 'removed' | 'stranger';

/** One consistent reading of the chain; a new view replaces it when the chain grows. */
export interface RosterView {
  readonly clusterId: ClusterId;
  readonly clusterName: string;
  /** Base32 of the first 15 bytes of the cluster id: short enough for an mDNS label. */
  readonly tag: string;
  readonly founder: PeerId;
  readonly epoch: Epoch;
  readonly term: Term;
  /** Hash of the newest entry (of the genesis at epoch 0). */
  readonly head: Uint8Array;
  readonly members: ReadonlyMap<PeerId, Member>;
  readonly voters: readonly PeerId[];
  /** Epochs at which an operator replaced the voters (`roster recover`), oldest first. */
  readonly recoveries: readonly Epoch[];
  standing(peer: PeerId): Standing;
}

/** Frames of one stream, whoever carries it. `read` rejects when the other side closed. */
export interface FrameStream {
  read(): Promise<Uint8Array>;
  write(frame: Uint8Array): Promise<void>;
}
