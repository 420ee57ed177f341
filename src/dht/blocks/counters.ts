/**
 * What the exchange of pieces counts. The names are metric labels, so they are a closed list.
 * @module
 */
import { EventCounters } from '../../base/event-counters.ts';

const EVENTS = [
  'sentBytes',
  'receivedBytes',
  /** Requests served, and those sent away because too many were. */
  'served',
  'busy',
  /** Requests or answers that are no frames of the protocol; the stream was reset. */
  'garbage',
  /** Pieces of other bytes than their name; the peer was dropped for that content. */
  'wrong',
  /** Peers that did not answer, broke off, or took too long. */
  'silent',
  /** Peers that did not have what they were asked for. */
  'missing',
  /** Requests to hold a content that were refused here. */
  'refused',
  /** Holders that did not give back what they said they hold. */
  'falseHold',
] as const;

export type BlockCounterName = (typeof EVENTS)[number];

/** Of one node's exchange with all others. */
export class BlockCounters extends EventCounters<BlockCounterName> {
  constructor() {
    super(EVENTS);
  }
}
