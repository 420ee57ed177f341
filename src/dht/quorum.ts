/**
 * How many copies a record needs. Pure.
 *
 * r = min(replication, members), a quorum is floor(r/2)+1. This node's own copy counts as one, when
 * it was read back from where peers are served from; so a node alone reaches its quorum, and of
 * five members two others must have been read back.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Acknowledgement, PutOutcome } from './store.ts';

/** What a cluster of some size asks for. */
export interface Need {
  /** Wanted copies, r. */
  readonly copies: number;
  readonly quorum: number;
  /**
   * Holders that together meet every quorum: when this many have answered, a record that reached
   * its quorum was seen.
   */
  readonly blocking: number;
}

/** @param members the roster's size; a node that is not admitted yet counts itself. */
export function needOf(replication: number, members: number): Need {
  const copies = Math.max(1, Math.min(replication, members));
  const quorum = Math.floor(copies / 2) + 1;
  return { copies, quorum, blocking: copies - quorum + 1 };
}

/** Grades what was read back. @param holders all of them, this node included. */
export function outcomeOf(need: Need, self: PeerId, holders: readonly PeerId[]): PutOutcome {
  const others = holders.some((holder) => holder !== self);
  const ack = holders.length >= need.quorum ? 'quorum' : others ? 'one' : 'local';
  return { ack, holders, pending: Math.max(0, need.copies - holders.length) };
}

const RANK: Readonly<Record<Acknowledgement, number>> = { local: 0, one: 1, quorum: 2 };

/** Whether `reached` satisfies `required`. */
export const meets = (reached: Acknowledgement, required: Acknowledgement): boolean =>
  RANK[reached] >= RANK[required];
