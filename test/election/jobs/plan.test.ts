/** Who gets which job, and from whom it is taken back. */
import { describe, expect, it } from 'vitest';
import { millis, type PeerId, type Term } from '../../../src/base/brands.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { nextByRank, type PlanFacts, planJobs } from '../../../src/election/jobs/plan.ts';
import { type JobChange, TableDraft } from '../../../src/election/jobs/table.ts';
import { EMPTY_TABLE, type JobTable } from '../../../src/election/jobs/types.ts';

const peers = ['A', 'B', 'C', 'D'] as PeerId[];
const [A, B, C] = peers as [PeerId, PeerId, PeerId];
const stamp = { term: 1 as Term, time: 0 };

const apply = (table: JobTable, ...changes: readonly JobChange[]): JobTable => {
  const draft = new TableDraft(table, stamp);
  for (const change of changes) draft.apply(change);
  return draft.table;
};

const submitted = (...ids: readonly string[]): JobTable =>
  apply(
    EMPTY_TABLE,
    ...ids.map(
      (id): JobChange => ({ type: 'submit', id, kind: 'index', subject: '', leaseMs: 100 }),
    ),
  );

const facts = (more: Partial<PlanFacts> = {}): PlanFacts => ({
  ...{ now: millis(1_000), present: new Set(peers), members: new Set(peers) },
  ...{ seenAt: () => millis(1_000), heardAt: () => millis(1_000), unfit: () => false },
  ...{ orphanMs: 50, ...more },
});

describe('the plan of the leader', () => {
  it('spreads jobs over the members, the same way on every node', () => {
    const table = submitted(...Array.from({ length: 200 }, (_, i) => `job-${i}`));
    const plan = planJobs(table, facts());
    const reversed = planJobs(table, facts({ present: new Set([...peers].reverse()) }));
    expect(plan).toEqual(reversed);
    const counts = peers.map(
      (peer) => plan.filter((c) => c.type === 'assign' && c.owner === peer).length,
    );
    for (const count of counts) expect(count).toBeGreaterThan(25);
    expect(counts.reduce((a, b) => a + b)).toBe(200);
  });

  it('gives a peer no more than it may have, and the oldest first', () => {
    const ids = Array.from({ length: LIMITS.jobsPerOwner + 5 }, (_, i) => `job-${i}`);
    const plan = planJobs(submitted(...ids), facts({ present: new Set([A]) }));
    expect(plan.map(({ id }) => id)).toEqual(ids.slice(0, LIMITS.jobsPerOwner));
  });

  it('walks the ranks from owner to owner and begins anew behind the last', () => {
    const seen: PeerId[] = [];
    let last: PeerId | undefined;
    for (let i = 0; i < 8; i++) {
      last = nextByRank('some job', peers, last);
      if (last !== undefined) seen.push(last);
    }
    expect(new Set(seen.slice(0, 4)).size).toBe(4);
    expect(seen.slice(4)).toEqual(seen.slice(0, 4));
    expect(nextByRank('some job', [A], A)).toBe(A);
    expect(nextByRank('some job', [])).toBeUndefined();
  });

  it('passes over peers that are absent, no members or without an executor', () => {
    const table = submitted('j');
    expect(planJobs(table, facts({ present: new Set() }))).toEqual([]);
    expect(planJobs(table, facts({ members: new Set() }))).toEqual([]);
    const only = planJobs(table, facts({ unfit: (peer) => peer !== C }));
    expect(only).toEqual([{ type: 'assign', id: 'j', owner: C }]);
  });

  const given = apply(submitted('j'), { type: 'assign', id: 'j', owner: A });
  const begun = apply(given, { type: 'begin', id: 'j', owner: A, attempt: 1 });
  const released = { type: 'release', id: 'j', attempt: 1 };
  const away = new Set([B, C]);

  it('takes back at once what an absent owner has not begun', () => {
    const plan = planJobs(given, facts({ present: away }));
    expect(plan[0]).toEqual(released);
    expect(plan[1]).toMatchObject({ type: 'assign', id: 'j' });
    expect([B, C]).toContain(plan[1]?.type === 'assign' ? plan[1].owner : undefined);
  });

  it('waits for an absent owner that began, until it counts as gone', () => {
    const at = (ms: number) => facts({ present: away, seenAt: () => millis(ms) });
    expect(planJobs(begun, at(951))).toEqual([]);
    expect(planJobs(begun, at(950))[0]).toEqual(released);
    const removed = facts({ members: away });
    expect(planJobs(begun, removed)[0]).toEqual(released);
  });

  it('takes a job back from a present owner that is silent for its lease', () => {
    const at = (ms: number) => facts({ heardAt: () => millis(ms) });
    expect(planJobs(begun, at(901))).toEqual([]);
    expect(planJobs(begun, at(900))[0]).toEqual(released);
    const next = planJobs(begun, at(900))[1];
    expect(next?.type === 'assign' && next.owner !== A).toBe(true);
  });

  it('makes only changes that the table takes, also for a job on its last attempt', () => {
    let table = begun;
    for (let n = 1; n < LIMITS.jobFailures; n++) {
      table = apply(
        table,
        { type: 'ended', id: 'j', by: A, attempt: n, outcome: 'failed', text: '' },
        { type: 'assign', id: 'j', owner: A },
        { type: 'begin', id: 'j', owner: A, attempt: n + 1 },
      );
    }
    const plan = planJobs(table, facts({ members: away }));
    const draft = new TableDraft(table, stamp);
    for (const change of plan) expect(draft.apply(change).verdict).toBe('changed');
    expect(draft.table.jobs.get('j')?.state).toBe('failed');
  });
});
