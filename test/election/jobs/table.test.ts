/** The life of a job: each row of the table in table.ts, and what no order of changes may break. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId, Term } from '../../../src/base/brands.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { type JobChange, TableDraft, type Verdict } from '../../../src/election/jobs/table.ts';
import { EMPTY_TABLE, isEnded, type Job, type JobTable } from '../../../src/election/jobs/types.ts';

const A = 'A' as PeerId;
const B = 'B' as PeerId;
const stamp = { term: 3 as Term, time: 1_000 };
const submit = (id = 'j'): JobChange => ({
  ...{ type: 'submit', id, kind: 'repair', subject: `subject of ${id}`, leaseMs: 100 },
});
const assign = (owner: PeerId, id = 'j'): JobChange => ({ type: 'assign', id, owner });
const begin = (owner: PeerId, attempt: number, id = 'j'): JobChange => ({
  ...{ type: 'begin', id, owner, attempt },
});
const ended = (
  by: PeerId,
  attempt: number,
  outcome: 'done' | 'failed' | 'lost' = 'done',
  id = 'j',
): JobChange => ({ type: 'ended', id, by, attempt, outcome, text: `${outcome} by ${by}` });
const release = (attempt: number, id = 'j'): JobChange => ({ type: 'release', id, attempt });

function changeTable(table: JobTable, change: JobChange) {
  const draft = new TableDraft(table, stamp);
  const step = draft.apply(change);
  return { ...step, table: draft.table };
}

function walk(...changes: readonly JobChange[]): { table: JobTable; job: Job; verdict: Verdict } {
  let table = EMPTY_TABLE;
  let verdict: Verdict = 'unknown';
  for (const change of changes) ({ table, verdict } = changeTable(table, change));
  const job = table.jobs.get('j');
  if (job === undefined) throw new Error('no job');
  return { table, job, verdict };
}

const STALE: readonly (readonly [string, readonly JobChange[], Verdict])[] = [
  ['submitted again', [submit(), submit()], 'same'],
  ['submitted again when done', [submit(), assign(A), ended(A, 1), submit()], 'same'],
  ['assigned twice', [submit(), assign(A), assign(B)], 'superseded'],
  ['begun by another', [submit(), assign(A), begin(B, 1)], 'superseded'],
  [
    'begun under an old attempt',
    [submit(), assign(A), release(1), assign(A), begin(A, 1)],
    'superseded',
  ],
  ['begun while open', [submit(), begin(A, 0)], 'superseded'],
  ['begun twice', [submit(), assign(A), begin(A, 1), begin(A, 1)], 'same'],
  ['done by a stranger', [submit(), assign(A), ended(B, 1)], 'superseded'],
  ['done by the owner under a later attempt', [submit(), assign(A), ended(A, 2)], 'superseded'],
  ['done twice', [submit(), assign(A), ended(A, 1), ended(A, 1)], 'same'],
  [
    'failed by an earlier owner',
    [submit(), assign(A), release(1), ended(A, 1, 'failed')],
    'superseded',
  ],
  [
    'done by an earlier owner after the next one began',
    [submit(), assign(A), begin(A, 1), release(1), assign(B), begin(B, 2), ended(A, 1)],
    'superseded',
  ],
  ['failed when done', [submit(), assign(A), ended(A, 1), ended(A, 1, 'failed')], 'same'],
  ['released when done', [submit(), assign(A), ended(A, 1), release(1)], 'superseded'],
  [
    'released under an old attempt',
    [submit(), assign(A), release(1), assign(B), release(1)],
    'superseded',
  ],
  ['assigned when done', [submit(), assign(A), ended(A, 1), assign(B)], 'superseded'],
];

describe('the job table', () => {
  it.each(STALE)('is not changed by a job that is %s', (_name, changes, verdict) => {
    const before = walk(...changes.slice(0, -1));
    const now = walk(...changes);
    expect(now.verdict).toBe(verdict);
    expect(now.table).toEqual(before.table);
  });

  it('knows nothing of a job that nobody submitted', () => {
    for (const change of [assign(A), begin(A, 1), ended(A, 1), release(1)]) {
      expect(changeTable(EMPTY_TABLE, change)).toEqual({
        ...{ table: EMPTY_TABLE, verdict: 'unknown', job: undefined },
      });
    }
  });

  it('walks a job from open to done', () => {
    expect(walk(submit()).job).toMatchObject({ state: 'open', owner: null, attempt: 0, term: 0 });
    const { job } = walk(submit(), assign(A));
    expect(job).toMatchObject({ state: 'assigned', owner: A, attempt: 1, began: false, term: 3 });
    expect(walk(submit(), assign(A), begin(A, 1)).job.began).toBe(true);
    const done = walk(submit(), assign(A), begin(A, 1), ended(A, 1));
    expect(done.job).toMatchObject({
      ...{ state: 'done', owner: null, doneBy: A, result: 'done by A', ended: 4, endedAt: 1_000 },
    });
    expect(done.table.version).toBe(4);
  });

  it('takes the result of an earlier owner as long as the next one has not begun', () => {
    const open = walk(submit(), assign(A), begin(A, 1), release(1), ended(A, 1));
    expect(open.job).toMatchObject({ state: 'done', doneBy: A });
    const given = walk(submit(), assign(A), begin(A, 1), release(1), assign(B), ended(A, 1));
    expect(given.job).toMatchObject({ state: 'done', doneBy: A, owner: null });
    expect(changeTable(given.table, begin(B, 2)).verdict).toBe('superseded');
  });

  it('counts attempts that began, and gives up at the limit', () => {
    expect(walk(submit(), assign(A), release(1)).job.failures).toBe(0);
    expect(walk(submit(), assign(A), begin(A, 1), release(1)).job.failures).toBe(1);
    const changes = [submit()];
    for (let n = 1; n <= LIMITS.jobFailures; n++) {
      changes.push(assign(A), begin(A, n), ended(A, n, n % 2 === 0 ? 'lost' : 'failed'));
      const { job } = walk(...changes);
      expect(job.state, `after ${n}`).toBe(n < LIMITS.jobFailures ? 'open' : 'failed');
    }
    expect(walk(...changes).job).toMatchObject({ owner: null, result: 'failed by A' });
  });

  it('refuses an id with another content', () => {
    const { table } = walk(submit());
    const other = { ...submit(), subject: 'else' } as JobChange;
    expect(() => changeTable(table, other)).toThrow(expect.objectContaining({ code: 'CONFLICT' }));
  });

  it('forgets the job that ended first when it is full, and is busy when none ended', () => {
    const draft = new TableDraft(EMPTY_TABLE, stamp);
    const feed = (change: JobChange) => void draft.apply(change);
    for (let i = 0; i < LIMITS.jobs; i++) feed(submit(`j${i}`));
    expect(() => feed(submit('more'))).toThrow(expect.objectContaining({ code: 'BUSY' }));
    for (const id of ['j7', 'j3']) {
      feed(assign(A, id));
      feed(ended(A, 1, 'done', id));
    }
    feed(submit('more'));
    const { table } = draft;
    expect(table.jobs.size).toBe(LIMITS.jobs);
    expect([table.jobs.has('j7'), table.jobs.has('j3'), table.jobs.has('more')]).toEqual([
      ...[false, true, true],
    ]);
  });

  it('never ends a job twice, nor gives an attempt to two owners, in any order of changes', () => {
    const id = fc.constantFrom('j', 'k');
    const peer = fc.constantFrom(A, B, 'C' as PeerId);
    const kinds = ['submit', 'assign', 'assign', 'begin', 'begin', 'release', 'failed', 'done'];
    const kind = fc.constantFrom(...kinds);
    // Mostly what fits the job as it is, often enough what does not.
    const lag = fc.constantFrom(0, 0, 0, 0, 1, 2, -1);
    const wish = fc.record({ id, peer, kind, lag, own: fc.integer({ min: 0, max: 3 }) });
    const changeFor = (
      table: JobTable,
      w: typeof wish extends fc.Arbitrary<infer T> ? T : never,
    ) => {
      const job = table.jobs.get(w.id);
      const n = Math.max(0, (job?.attempt ?? 0) - w.lag);
      const before = job?.past.find((tenure) => tenure.attempt === n)?.peer;
      const who = w.own === 0 ? w.peer : (before ?? job?.owner ?? w.peer);
      if (w.kind === 'submit') return submit(w.id);
      if (w.kind === 'assign') return assign(w.peer, w.id);
      if (w.kind === 'begin') return begin(who, n, w.id);
      if (w.kind === 'release') return release(n, w.id);
      return ended(who, n, w.kind as 'done', w.id);
    };
    let byEarlier = 0;
    let finished = 0;
    fc.assert(
      fc.property(fc.array(wish, { minLength: 10, maxLength: 60 }), (wishes) => {
        const owners = new Map<string, PeerId>();
        const done = new Map<string, Job>();
        let table = EMPTY_TABLE;
        for (const w of wishes) {
          const next = changeFor(table, w);
          const was = table.jobs.get(next.id);
          const step = changeTable(table, next);
          const changed = step.verdict === 'changed';
          expect(step.table.version).toBe(table.version + (changed ? 1 : 0));
          expect(step.table === table).toBe(!changed);
          const { job } = step;
          if (job !== undefined) {
            expect(job.owner !== null).toBe(job.state === 'assigned');
            expect(job.attempt).toBeGreaterThanOrEqual(was?.attempt ?? 0);
            if (job.owner !== null) {
              const key = `${job.id} ${job.attempt}`;
              expect(owners.get(key) ?? job.owner).toBe(job.owner);
              owners.set(key, job.owner);
            }
            const before = done.get(job.id);
            if (before !== undefined) expect(job).toBe(before);
            else if (isEnded(job)) {
              finished++;
              done.set(job.id, job);
              if (job.state === 'done') {
                expect(was?.began !== true || was.owner === job.doneBy).toBe(true);
                if (was?.owner !== job.doneBy) byEarlier++;
              }
            }
          }
          table = step.table;
        }
      }),
      { numRuns: 1_500, seed: 11 },
    );
    expect(finished).toBeGreaterThan(200);
    expect(byEarlier).toBeGreaterThan(20);
  });
});
