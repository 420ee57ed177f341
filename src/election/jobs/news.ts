/**
 * What the leader tells the event log about jobs.
 * @module
 */
import type { Term } from '../../base/brands.ts';
import type { JobDeps } from './ports.ts';
import type { JobChange } from './table.ts';
import type { Job } from './types.ts';

/**
 * Tells of one change that a majority has: `job.assigned`, `job.adopted` (from an owner that is
 * gone), `job.done`, `job.failed`; of others nothing.
 */
export function announce(
  emit: JobDeps['emit'],
  term: Term,
  change: JobChange,
  job: Job,
  orphaned: boolean,
): void {
  const { id, kind, attempt } = job;
  const facts = { id, kind, attempt, term };
  if (change.type === 'assign') {
    const from = job.past.at(-1)?.peer ?? null;
    if (orphaned) emit('job.adopted', { ...facts, owner: job.owner, from });
    else emit('job.assigned', { ...facts, owner: job.owner });
  } else if (job.state === 'done') {
    emit('job.done', { ...facts, by: job.doneBy });
  } else if (job.state === 'failed') {
    emit('job.failed', { ...facts, reason: job.result });
  }
}
