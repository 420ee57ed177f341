/**
 * The life of a job, pure: `new TableDraft(table, stamp).apply(change)`.
 *
 * | state    | change                                | next     |                              |
 * | -------- | ------------------------------------- | -------- | ---------------------------- |
 * | -        | submit                                | open     |                              |
 * | any      | submit again                          | same     | CONFLICT for another content |
 * | open     | assign owner                          | assigned | attempt + 1, not begun       |
 * | assigned | begin by owner and attempt            | assigned | from here on it may have run |
 * | assigned | ended done by owner and attempt       | done     |                              |
 * | assigned, not begun | ended done by an earlier owner | done | the owner never begins     |
 * | open     | ended done by an earlier owner        | done     |                              |
 * | assigned | ended failed or lost, owner, attempt  | open     | failures + 1; or failed       |
 * | assigned | release of this attempt               | open     | failures + 1 if it had begun |
 * | done, failed | anything                          | same     |                              |
 *
 * Exactly one owner may begin an attempt, and it asks before it begins. So a job whose owner is
 * gone before that is given to another without any risk, and one whose owner began is run again
 * only by an attempt of its own: executors are idempotent by job id. Whatever ends first, counts.
 * @module
 */
import type { PeerId, Term } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import {
  clipResult,
  isEnded,
  type Job,
  type JobKind,
  type JobTable,
  type Tenure,
} from './types.ts';

/** Who changes the table, and when. */
export interface Stamp {
  readonly term: Term;
  /** Wall clock in ms; for display. */
  readonly time: number;
}

/** What a submitter says of a job. */
export interface Submission {
  readonly id: string;
  readonly kind: JobKind;
  readonly subject: string;
}

export type JobChange =
  | ({ readonly type: 'submit'; readonly leaseMs: number } & Submission)
  | { readonly type: 'assign'; readonly id: string; readonly owner: PeerId }
  | {
      readonly type: 'begin';
      readonly id: string;
      readonly owner: PeerId;
      readonly attempt: number;
    }
  | {
      readonly type: 'ended';
      readonly id: string;
      readonly by: PeerId;
      readonly attempt: number;
      /** `lost`: the attempt began, and a restart took it away. */
      readonly outcome: 'done' | 'failed' | 'lost';
      readonly text: string;
    }
  /** The owner is gone, silent for its lease, or has no executor for the job. */
  | { readonly type: 'release'; readonly id: string; readonly attempt: number };

/**
 * `changed`: the table is another. `same`: it was so before. `superseded`: the job has moved on
 * without the asker. `unknown`: no such job.
 */
export type Verdict = 'changed' | 'same' | 'superseded' | 'unknown';

export interface TableStep {
  readonly verdict: Verdict;
  /** The job after the change; undefined when it is unknown. */
  readonly job: Job | undefined;
}

/** Changes that become a table together: the map is copied once for all of them. */
export class TableDraft {
  readonly #stamp: Stamp;
  #table: JobTable;
  #jobs: Map<string, Job> | undefined;

  constructor(table: JobTable, stamp: Stamp) {
    this.#table = table;
    this.#stamp = stamp;
  }

  /** As it is now; the same object as in the beginning when nothing was changed. */
  get table(): JobTable {
    return this.#table;
  }

  /**
   * Applies one change.
   * @throws CONFLICT: submitted again with another kind or subject. BUSY: no place for another job.
   */
  apply(change: JobChange): TableStep {
    const { put, evict } = changeOf(this.#table, change, this.#stamp);
    const known = this.#table.jobs.get(change.id);
    if (typeof put === 'string') return { verdict: put, job: known };
    this.#jobs ??= new Map(this.#table.jobs);
    if (evict !== undefined) this.#jobs.delete(evict);
    this.#jobs.set(put.id, put);
    this.#table = { version: this.#table.version + 1, jobs: this.#jobs };
    return { verdict: 'changed', job: put };
  }
}

/** The job as it becomes, with the id of one that makes room for it; or why nothing becomes. */
interface Outcome {
  readonly put: Job | Exclude<Verdict, 'changed'>;
  readonly evict?: string | undefined;
}

function changeOf(table: JobTable, change: JobChange, stamp: Stamp): Outcome {
  const job = table.jobs.get(change.id);
  if (change.type === 'submit') return submit(table, job, change, stamp);
  if (job === undefined) return { put: 'unknown' };
  const version = table.version + 1;
  switch (change.type) {
    case 'assign':
      return { put: job.state === 'open' ? assigned(job, change.owner, stamp) : 'superseded' };
    case 'begin':
      if (!isOwner(job, change.owner, change.attempt)) return { put: 'superseded' };
      return { put: job.began ? 'same' : { ...job, began: true } };
    case 'ended':
      return { put: ended(job, change, version, stamp) };
    case 'release':
      if (job.state !== 'assigned' || job.attempt !== change.attempt) return { put: 'superseded' };
      return { put: reopened(job, 'no owner finished it', version, stamp) };
  }
}

const isOwner = (job: Job, peer: PeerId, attempt: number): boolean =>
  job.state === 'assigned' && job.owner === peer && job.attempt === attempt;

function submit(
  table: JobTable,
  known: Job | undefined,
  change: Extract<JobChange, { type: 'submit' }>,
  stamp: Stamp,
): Outcome {
  const { id, kind, subject, leaseMs } = change;
  if (known !== undefined) {
    if (known.kind === kind && known.subject === subject) return { put: 'same' };
    throw new BzzzError('CONFLICT', `job ${id} exists with another content`, {
      details: { id, kind: known.kind },
    });
  }
  const put: Job = {
    ...{ id, kind, subject, state: 'open', owner: null, attempt: 0, began: false },
    ...{ term: 0 as Term, failures: 0, past: [], leaseMs, createdAt: stamp.time, endedAt: 0 },
    ...{ submitted: table.version + 1, ended: 0, doneBy: null, result: null },
  };
  return { put, evict: evicted(table) };
}

/** Who makes room for one job, if that is needed. @throws BUSY when all are still to be done. */
function evicted(table: JobTable): string | undefined {
  if (table.jobs.size < LIMITS.jobs) return undefined;
  let oldest: Job | undefined;
  for (const job of table.jobs.values()) {
    if (isEnded(job) && (oldest === undefined || job.ended < oldest.ended)) oldest = job;
  }
  if (oldest !== undefined) return oldest.id;
  throw new BzzzError('BUSY', `${table.jobs.size} jobs are waiting, at most ${LIMITS.jobs}`);
}

function assigned(job: Job, owner: PeerId, { term }: Stamp): Job {
  return { ...job, state: 'assigned', owner, attempt: job.attempt + 1, began: false, term };
}

function ended(
  job: Job,
  change: Extract<JobChange, { type: 'ended' }>,
  version: number,
  stamp: Stamp,
): Outcome['put'] {
  const { by, attempt, outcome } = change;
  const text = clipResult(change.text);
  if (job.state === 'done' && job.doneBy === by) return 'same';
  if (isEnded(job)) return 'superseded';
  const current = isOwner(job, by, attempt);
  if (outcome !== 'done') {
    // A job that ended without success did begin, whatever this table heard of it.
    return current ? reopened({ ...job, began: true }, text, version, stamp) : 'superseded';
  }
  const earlier =
    !job.began && job.past.some((tenure) => tenure.peer === by && tenure.attempt === attempt);
  if (!current && !earlier) return 'superseded';
  return {
    ...{ ...job, state: 'done', owner: null, past: pastOf(job), endedAt: stamp.time },
    ...{ ended: version, doneBy: by, result: text },
  };
}

/** Without its owner: open again, or failed when it has cost enough attempts. */
function reopened(job: Job, reason: string, version: number, stamp: Stamp): Job {
  const failures = job.failures + (job.began ? 1 : 0);
  const failed = failures >= LIMITS.jobFailures;
  return {
    ...{ ...job, state: failed ? 'failed' : 'open', owner: null, began: false, failures },
    past: pastOf(job),
    ...(failed ? { ended: version, endedAt: stamp.time, result: reason } : {}),
  };
}

const pastOf = (job: Job): readonly Tenure[] =>
  job.owner === null
    ? job.past
    : [...job.past, { peer: job.owner, attempt: job.attempt }].slice(-LIMITS.jobOwners);
