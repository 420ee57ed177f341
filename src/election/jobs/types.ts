/**
 * What a job is, and the table of them.
 *
 * Jobs are upkeep that any member can do and that nobody waits for: bringing copies up to date,
 * refreshing, indexing. The leader gives them out; see table.ts for the life of a job.
 * @module
 */
import { z } from 'zod';
import type { PeerId, Term } from '../../base/brands.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import { field } from '../../base/codec.ts';
import { LIMITS } from '../../base/limits.ts';

export const JOB_KINDS = ['repair', 'refresh', 'index'] as const;
export type JobKind = (typeof JOB_KINDS)[number];

export const JOB_STATES = ['open', 'assigned', 'done', 'failed'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** Who had the job before, and under which attempt. */
export interface Tenure {
  readonly peer: PeerId;
  readonly attempt: number;
}

/** One job. Immutable: a change makes another object. */
export interface Job {
  /** 16 bytes in hex, or what the submitter calls it. The same id is the same job. */
  readonly id: string;
  readonly kind: JobKind;
  /** What to work on, for the executor of this kind. */
  readonly subject: string;
  readonly state: JobState;
  /** Set exactly while the job is assigned. */
  readonly owner: PeerId | null;
  /** Counts the assignments; (id, attempt) never has two owners. 0 before the first. */
  readonly attempt: number;
  /** The owner was allowed to begin this attempt. */
  readonly began: boolean;
  /** Term of the leader that gave it out last; 0 before. */
  readonly term: Term;
  /** Attempts that began and brought nothing. */
  readonly failures: number;
  /** The newest last, at most `LIMITS.jobOwners`. */
  readonly past: readonly Tenure[];
  /** An owner that says nothing for so long has lost the job, in ms. */
  readonly leaseMs: number;
  /** Wall clock of the leader in ms; for display. */
  readonly createdAt: number;
  /** Wall clock of the leader when it ended, in ms; 0 before. */
  readonly endedAt: number;
  /** Version of the table in which it was submitted: the order of service. */
  readonly submitted: number;
  /** Version of the table in which it ended; 0 before. The order of eviction. */
  readonly ended: number;
  readonly doneBy: PeerId | null;
  /** What the executor answered, or why the job failed. */
  readonly result: string | null;
}

/** The leader's state. Every change that shows raises `version` by one. */
export interface JobTable {
  readonly version: number;
  readonly jobs: ReadonlyMap<string, Job>;
}

export const EMPTY_TABLE: JobTable = { version: 0, jobs: new Map() };

/** A job as the control socket shows it. */
export interface JobDocument {
  readonly id: string;
  readonly kind: JobKind;
  readonly subject: string;
  readonly state: JobState;
  /** Who has it, or did it. */
  readonly owner: string | null;
  readonly term: number;
  readonly attempt: number;
  /** ISO 8601 UTC. */
  readonly createdAt: string;
  readonly endedAt: string | null;
  readonly result: string | null;
}

/** The job as it is shown. */
export const jobDocument = (job: Job): JobDocument => ({
  id: job.id,
  kind: job.kind,
  subject: job.subject,
  state: job.state,
  owner: job.owner ?? job.doneBy,
  term: job.term,
  attempt: job.attempt,
  createdAt: new Date(job.createdAt).toISOString(),
  endedAt: isEnded(job) ? new Date(job.endedAt).toISOString() : null,
  result: job.result,
});

/** No change moves a job out of these. */
export const isEnded = (job: Job): boolean => job.state === 'done' || job.state === 'failed';

const textUpTo = (maxBytes: number) =>
  z.string().refine((text) => utf8Bytes(text).length <= maxBytes, {
    message: `expected at most ${maxBytes} bytes`,
  });

/** Field types that the table and the messages share. */
export const jobField = {
  /** Goes into keys of the store, so it has no `!`. */
  id: z.string().regex(/^[A-Za-z0-9._:@/-]{1,128}$/, 'expected 1 to 128 of A-Z a-z 0-9 ._:@/-'),
  kind: z.enum(JOB_KINDS),
  subject: textUpTo(LIMITS.jobSubjectBytes),
  result: textUpTo(LIMITS.jobResultBytes),
  leaseMs: z
    .int()
    .min(1)
    .max(24 * 3_600_000),
  attempt: field.uint,
} as const;

/** The longest begin of `text` that is a valid result; executors and errors may be wordy. */
export function clipResult(text: string): string {
  const bytes = utf8Bytes(text);
  if (bytes.length <= LIMITS.jobResultBytes) return text;
  const cut = new TextDecoder().decode(bytes.subarray(0, LIMITS.jobResultBytes - 3));
  // A character that was cut in two decodes to U+FFFD.
  return cut.replace(/\ufffd$/, '');
}

/** Schema of a job in a snapshot. */
export const jobSchema: z.ZodType<Job> = z
  .strictObject({
    id: jobField.id,
    kind: jobField.kind,
    subject: jobField.subject,
    state: z.enum(JOB_STATES),
    owner: field.peerId.nullable(),
    attempt: jobField.attempt,
    began: z.boolean(),
    term: field.term,
    failures: field.uint,
    past: z
      .array(z.strictObject({ peer: field.peerId, attempt: jobField.attempt }))
      .max(LIMITS.jobOwners)
      .readonly(),
    leaseMs: jobField.leaseMs,
    createdAt: field.uint,
    endedAt: field.uint,
    submitted: field.uint,
    ended: field.uint,
    doneBy: field.peerId.nullable(),
    result: jobField.result.nullable(),
  })
  .refine((job) => (job.owner !== null) === (job.state === 'assigned'), {
    message: 'an owner without an assignment, or the reverse',
  })
  .readonly();
