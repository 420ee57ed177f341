/**
 * What the parts of the hybrid store say to each other and to whoever watches it.
 * @module
 */
import type { Cancel } from '../base/ports.ts';
import type { NetworkEvent } from './kad.ts';
import type { RecordStore } from './store.ts';

/** A store that tells, for each call that needed the network, how that answered. */
export interface NetworkStore extends RecordStore {
  onNetwork(listener: (event: NetworkEvent) => void): Cancel;
}

/** A record (`<namespace>/<suffix>`) or a content (its CID) that the network must be told of. */
export interface Subject {
  readonly kind: 'put' | 'provide';
  readonly name: string;
}

/** What the network, or the rules, would not take. The record stays in the journal. */
export interface DeadLetter extends Subject {
  readonly id: string;
  /** A code of the catalogue. */
  readonly code: string;
  readonly reason: string;
  /** How often it was offered. */
  readonly attempts: number;
  /** Milliseconds since 1970, of this node's clock. */
  readonly wallMs: number;
}

/** What the hybrid store did. Times in ms. */
export type HybridEvent =
  /** @property ms from the failure that opened the breaker to the last call that it freed. */
  | { readonly type: 'fallback'; readonly ms: number; readonly reason: string }
  /**
   * @property ms from the beginning of the probe that succeeded until calls went out again.
   * @property downMs since the breaker opened.
   */
  | { readonly type: 'recovery'; readonly ms: number; readonly downMs: number }
  /** Everything that waited was replayed. */
  | { readonly type: 'replayed'; readonly ms: number }
  | { readonly type: 'dead_letter'; readonly letter: DeadLetter }
  /** A write was journalled and not queued; a pass over the journal will find it. */
  | { readonly type: 'queue_full'; readonly dropped: number };

export const idOf = ({ kind, name }: Subject): string => `${kind} ${name}`;
