/**
 * What the hybrid store is given and what it tells of itself.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Clock, KeyValue, Logger, Random } from '../base/ports.ts';
import type { BreakerPace } from './breaker.ts';
import type { NetworkStore } from './hybrid-types.ts';
import type { Journal } from './journal.ts';
import type { Need } from './quorum.ts';
import type { Rules } from './rules.ts';
import type { RecordStore } from './store.ts';

/** Times in ms. */
export interface HybridOptions {
  /** Failures in a row that open the breaker. @default 3 */
  readonly thresholdErrors?: number;
  /** From opening to the first probe; doubles up to `openIntervalMs`. @default 1000 */
  readonly backoffMs?: number;
  /** Between probes while it is open, at most. @default 2000 */
  readonly openIntervalMs?: number;
  /** Between probes while it is closed. @default 30000 */
  readonly intervalMs?: number;
  /** Of a call without a time of its own. @default 3000 */
  readonly timeoutMs?: number;
  /** Of a probe. @default 2000 */
  readonly probeMs?: number;
  /** Subjects that wait for the network; more are found by a pass over the journal. */
  readonly queueLimit?: number;
  readonly letterLimit?: number;
}

export interface HybridDeps {
  readonly self: PeerId;
  /** How many copies a record needs now. */
  readonly need: () => Need;
  readonly rules: Rules;
  readonly local: RecordStore;
  readonly network: NetworkStore;
  /** Of both stores. */
  readonly journal: Pick<Journal, 'keys'>;
  /** A namespace of the embedded store of its own, for the queue and the dead letters. */
  readonly disk: KeyValue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** What holds without a setting. */
export const HYBRID_DEFAULTS: Required<HybridOptions> = {
  thresholdErrors: 3,
  backoffMs: 1_000,
  openIntervalMs: 2_000,
  intervalMs: 30_000,
  timeoutMs: 3_000,
  probeMs: 2_000,
  queueLimit: 65_536,
  letterLimit: 1_024,
};

type PaceOptions = Required<
  Pick<HybridOptions, 'thresholdErrors' | 'backoffMs' | 'openIntervalMs' | 'intervalMs'>
>;

/** What of it changes at run time. */
export type HybridTuning = Partial<PaceOptions>;

/** The breaker's part of it. */
export const paceOf = (o: PaceOptions): BreakerPace => ({
  thresholdErrors: o.thresholdErrors,
  backoffMs: o.backoffMs,
  intervalMs: o.intervalMs,
  maxBackoffMs: Math.min(o.openIntervalMs, o.intervalMs),
});

/** Where it stands, for status and metrics. */
export interface HybridStatus {
  /** Whether calls go to the local store. */
  readonly fallenBack: boolean;
  readonly reason: string;
  /** Subjects that wait for the network. */
  readonly queued: number;
  /** Writes that found no place in the queue, and wait in the journal alone. */
  readonly dropped: number;
  readonly deadLetters: number;
}
