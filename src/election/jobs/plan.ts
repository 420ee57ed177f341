/**
 * What the leader does with its table next: whose jobs are taken back, and who gets which. Pure.
 *
 * An owner is the first by rendezvous hashing of job and peer; after a failed attempt it is the one
 * that ranks next behind the last owner.
 * @module
 */
import type { Millis, PeerId } from '../../base/brands.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import { LIMITS } from '../../base/limits.ts';
import { type Ranking, rankPeers } from '../../base/rendezvous.ts';
import type { JobChange } from './table.ts';
import type { Job, JobKind, JobTable } from './types.ts';

const OWNERS: Ranking = { tag: 'bzzz/job/1', first: 'greatest' };

/** What the leader knows of the world at this moment. */
export interface PlanFacts {
  readonly now: Millis;
  /** Members that can be asked now, this node among them. */
  readonly present: ReadonlySet<PeerId>;
  readonly members: ReadonlySet<PeerId>;
  /** When a peer that is not present was seen last; absent ones count from the term's begin. */
  readonly seenAt: (peer: PeerId) => Millis;
  /** When the owner said last that it has the attempt, or the leader gave it out. */
  readonly heardAt: (job: Job) => Millis;
  /** The peer said that it has no executor for this kind. */
  readonly unfit: (peer: PeerId, kind: JobKind) => boolean;
  /** An owner that is away for so long loses what it began, in ms. */
  readonly orphanMs: number;
}

/**
 * The changes that are due, in order: releases first, then assignments, the oldest job first.
 * Applied to the same table, none of them is refused.
 */
export function planJobs(table: JobTable, facts: PlanFacts): readonly JobChange[] {
  const changes: JobChange[] = [];
  const open: Job[] = [];
  const load = new Map<PeerId, number>();
  for (const job of table.jobs.values()) {
    if (job.state === 'open') open.push(job);
    if (job.state !== 'assigned' || job.owner === null) continue;
    if (isLost(job, job.owner, facts)) {
      changes.push({ type: 'release', id: job.id, attempt: job.attempt });
      const last = { peer: job.owner, attempt: job.attempt };
      // The last straw of a job ends it, and then there is nothing to assign.
      if (!job.began || job.failures + 1 < LIMITS.jobFailures) {
        open.push({ ...job, past: [...job.past, last] });
      }
    } else load.set(job.owner, (load.get(job.owner) ?? 0) + 1);
  }
  open.sort((a, b) => a.submitted - b.submitted);
  for (const job of open) {
    const owner = chooseOwner(job, facts, load);
    if (owner === undefined) continue;
    load.set(owner, (load.get(owner) ?? 0) + 1);
    changes.push({ type: 'assign', id: job.id, owner });
  }
  return changes;
}

function isLost(job: Job, owner: PeerId, facts: PlanFacts): boolean {
  if (!facts.members.has(owner)) return true;
  if (!facts.present.has(owner)) {
    // Nothing is lost by taking back what nobody began.
    return !job.began || facts.now - facts.seenAt(owner) >= facts.orphanMs;
  }
  return facts.now - facts.heardAt(job) >= job.leaseMs;
}

function chooseOwner(
  job: Job,
  facts: PlanFacts,
  load: ReadonlyMap<PeerId, number>,
): PeerId | undefined {
  const able = [...facts.present].filter(
    (peer) =>
      facts.members.has(peer) &&
      !facts.unfit(peer, job.kind) &&
      (load.get(peer) ?? 0) < LIMITS.jobsPerOwner,
  );
  return nextByRank(job.id, able, job.past.at(-1)?.peer);
}

/**
 * The best of `peers` for a job; after `last`, the best of those that rank behind it, and from the
 * front again when there is none. `last` itself comes when it is the only one.
 */
export function nextByRank(
  id: string,
  peers: readonly PeerId[],
  last?: PeerId,
): PeerId | undefined {
  const able = new Set(peers);
  // The last owner has its rank also when it is not among them any more.
  const all = new Set([...peers, ...(last === undefined ? [] : [last])]);
  const ranked = rankPeers(OWNERS, utf8Bytes(id), all);
  const behind = last === undefined ? 0 : ranked.indexOf(last) + 1;
  return ranked[behind] ?? ranked.find((peer) => able.has(peer));
}
