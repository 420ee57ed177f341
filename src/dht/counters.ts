/**
 * What the record store counts. The names are metric labels, so they are a closed list.
 * @module
 */
import { EventCounters } from '../base/event-counters.ts';
import { REFUSALS, type Refusal } from './rules.ts';

const EVENTS = [
  /** A peer did not answer, or answered with an error (a refusal of a write included). */
  'peerError',
  /** A peer's answer that is no valid record of the key. */
  'rubbish',
  /** A peer acknowledged a write and did not have the value when it was read back. */
  'falseAck',
  /** A record that this node's roster is too old to judge. */
  'ahead',
  /** A local copy that no longer passes its checks. */
  'localCorrupt',
  'put',
  'putBelowQuorum',
  'get',
  'getMiss',
  /** Writes whose value the stored one already contained. */
  'absorbed',
  /** A stale or missing copy found by a merging read. */
  'readRepair',
  'replicated',
  'replicateFailed',
  /** Records dropped from the full replication queue; the republisher finds them again. */
  'replicateDropped',
  'republished',
  /** Passes over the records that lost a holder, or whose holder came back. */
  'repairPass',
  /** Records that such a pass brought to all members that can be reached and should have them. */
  'repaired',
  'repairFailed',
  /** Passes dropped because too many were waiting. */
  'repairDropped',
  'probeFailed',
  /** Requests refused because too many were waiting. */
  'busy',
  /** Writes for which the store had no room left, and those whose writers have had their share. */
  'quotaTotal',
  'quotaWriter',
  /** A write of a provider record over the limit. */
  'providerRefused',
] as const;

export type CounterName = (typeof EVENTS)[number] | `refused.${Refusal}`;

const NAMES: readonly CounterName[] = [
  ...EVENTS,
  ...REFUSALS.map((refusal) => `refused.${refusal}` as const),
];

/** Of one record store, with its guard and its journal. */
export class Counters extends EventCounters<CounterName> {
  constructor() {
    super(NAMES);
  }
}
