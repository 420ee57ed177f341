/**
 * The life of a job, pure: `changeTable(table, change, stamp)`.
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
 * | assigned | ended failed or lost, owner, attempt  | open     | failures + 1; at the limit: failed |
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
  readonly table: JobTable;
  readonly verdict: Verdict;
  /** The job after the change; undefined when it is unknown. */
  readonly job: Job | undefined;
}

/**
 * Applies one change.
 * @throws CONFLICT: submitted again with another kind or subject. BUSY: no place for another job.
 */
export function changeTable(table: JobTable, change: JobChange, stamp: Stamp): TableStep {
  const job = table.jobs.get(change.id);
  if (change.type === 'submit') return submit(table, job, change, stamp);
  if (job === undefined) return { table, verdict: 'unknown', job };
  switch (change.type) {
    case 'assign':
      return job.state === 'open'
        ? put(table, assigned(job, change.owner, stamp.term))
        : { table, verdict: 'superseded', job };
    case 'begin':
      if (!isOwner(job, change.owner, change.attempt)) {
        return { table, verdict: 'superseded', job };
      }
      return job.began ? { table, verdict: 'same', job } : put(table, { ...job, began: true });
    case 'ended':
      return ended(table, job, change, stamp);
    case 'release':
      if (job.state !== 'assigned' || job.attempt !== change.attempt) {
        return { table, verdict: 'superseded', job };
      }
      return put(table, reopened(table, job, 'no owner finished it', stamp));
  }
}

const isOwner = (job: Job, peer: PeerId, attempt: number): boolean =>
  job.state === 'assigned' && job.owner === peer && job.attempt === attempt;

function submit(
  table: JobTable,
  known: Job | undefined,
  change: Extract<JobChange, { type: 'submit' }>,
  stamp: Stamp,
): TableStep {
  const { id, kind, subject, leaseMs } = change;
  if (known !== undefined) {
    if (known.kind === kind && known.subject === subject) {
      return { table, verdict: 'same', job: known };
    }
    throw new BzzzError('CONFLICT', `job ${id} exists with another content`, {
      details: { id, kind: known.kind },
    });
  }
  return put(evict(table), {
    ...{ id, kind, subject, state: 'open', owner: null, attempt: 0, began: false },
    ...{ term: 0 as Term, failures: 0, past: [], leaseMs, createdAt: stamp.time, endedAt: 0 },
    ...{ submitted: table.version + 1, ended: 0, doneBy: null, result: null },
  });
}

/** Makes room for one job. @throws BUSY when all of them are still to be done. */
function evict(table: JobTable): JobTable {
  if (table.jobs.size < LIMITS.jobs) return table;
  let oldest: Job | undefined;
  for (const job of table.jobs.values()) {
    if (isEnded(job) && (oldest === undefined || job.ended < oldest.ended)) oldest = job;
  }
  if (oldest === undefined) {
    throw new BzzzError('BUSY', `${table.jobs.size} jobs are waiting, at most ${LIMITS.jobs}`);
  }
  const jobs = new Map(table.jobs);
  jobs.delete(oldest.id);
  return { ...table, jobs };
}

function assigned(job: Job, owner: PeerId, term: Term): Job {
  return { ...job, state: 'assigned', owner, attempt: job.attempt + 1, began: false, term };
}

function ended(
  table: JobTable,
  job: Job,
  change: Extract<JobChange, { type: 'ended' }>,
  stamp: Stamp,
): TableStep {
  const { by, attempt, outcome } = change;
  const text = clipResult(change.text);
  if (job.state === 'done' && job.doneBy === by) return { table, verdict: 'same', job };
  if (isEnded(job)) return { table, verdict: 'superseded', job };
  const current = isOwner(job, by, attempt);
  if (outcome !== 'done') {
    if (!current) return { table, verdict: 'superseded', job };
    // A job that ended without success did begin, whatever this table heard of it.
    return put(table, reopened(table, { ...job, began: true }, text, stamp));
  }
  const earlier =
    !job.began && job.past.some((tenure) => tenure.peer === by && tenure.attempt === attempt);
  if (!current && !earlier) return { table, verdict: 'superseded', job };
  return put(table, {
    ...{ ...job, state: 'done', owner: null, past: pastOf(job), endedAt: stamp.time },
    ...{ ended: table.version + 1, doneBy: by, result: text },
  });
}

/** Without its owner: open again, or failed when it has cost enough attempts. */
function reopened(table: JobTable, job: Job, reason: string, stamp: Stamp): Job {
  const failures = job.failures + (job.began ? 1 : 0);
  const failed = failures >= LIMITS.jobFailures;
  return {
    ...{ ...job, state: failed ? 'failed' : 'open', owner: null, began: false, failures },
    past: pastOf(job),
    ...(failed ? { ended: table.version + 1, endedAt: stamp.time, result: reason } : {}),
  };
}

const pastOf = (job: Job): readonly Tenure[] =>
  job.owner === null
    ? job.past
    : [...job.past, { peer: job.owner, attempt: job.attempt }].slice(-LIMITS.jobOwners);

function put(table: JobTable, job: Job): TableStep {
  const jobs = new Map(table.jobs).set(job.id, job);
  return { table: { version: table.version + 1, jobs }, verdict: 'changed', job };
}
