/**
 * What the job service needs of the node, and what a node gives it to do.
 * @module
 */
import type { ClusterId, PeerId, Term } from '../../base/brands.ts';
import type { Clock, Direct, KeyValue, Logger, Random, Signer } from '../../base/ports.ts';
import type { JobKind } from './types.ts';

/** What an executor may know of the attempt. */
export interface JobContext {
  /** The same in every attempt: an executor that is run again has the same effect as once. */
  readonly id: string;
  readonly attempt: number;
}

/**
 * Does a job. At most one call per job runs on a node, and none after one succeeded here.
 * @param signal aborts when the time for one attempt is up or the node stops.
 * @returns the result, for display; at most `LIMITS.jobResultBytes` of it are kept.
 */
export type Executor = (subject: string, signal: AbortSignal, job: JobContext) => Promise<string>;

/** A node without an executor for a kind is never given such jobs for long. */
export type Executors = Readonly<Partial<Record<JobKind, Executor>>>;

/** A plain object: the parts of the service copy it and add to it. */
export interface JobDeps {
  readonly self: PeerId;
  readonly clusterId: ClusterId;
  /** By the certified roster, as are the members. */
  voters(): readonly PeerId[];
  members(): readonly PeerId[];
  /** Whom this node believes to lead. */
  leader(): { readonly peerId: PeerId; readonly term: Term } | undefined;
  /**
   * Raises this node's term durably to at least `term`.
   * @throws STALE_TERM when the node has seen a higher one.
   */
  fence(term: Term): Promise<void>;
  readonly direct: Direct;
  /** A namespace of its own. */
  readonly store: KeyValue;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly executors: Executors;
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
}

/** Times in ms. */
export interface JobOptions {
  /** An owner that says nothing for so long loses a job. @default 30,000 */
  readonly leaseMs: number;
  /** An owner that is disconnected for so long loses what it began. @default 5,000 */
  readonly orphanMs: number;
  /** How often the leader looks around when nothing happens. @default 250 */
  readonly tickMs: number;
  /** Between attempts to reach a peer or a leader. @default 200 */
  readonly retryMs: number;
  /** How long a submitter tries. @default 20,000 */
  readonly submitMs: number;
  /** Longest run of an executor. @default 600,000 */
  readonly runMs: number;
  /** Executors that run at the same time. @default 4 */
  readonly concurrency: number;
}

export const JOB_DEFAULTS: JobOptions = {
  leaseMs: 30_000,
  orphanMs: 5_000,
  tickMs: 250,
  retryMs: 200,
  submitMs: 20_000,
  runMs: 600_000,
  concurrency: 4,
};
