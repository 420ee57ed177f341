/** The executor's side: what is run, what is not, and what is remembered. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { PeerId, Term } from '../../../src/base/brands.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import { JOB_DEFAULTS } from '../../../src/election/jobs/ports.ts';
import { type AttemptRef, type Report, TOPICS, wire } from '../../../src/election/jobs/wire.ts';
import { JobWorker } from '../../../src/election/jobs/worker.ts';
import { steadyClock } from '../../support/steady-clock.ts';
import { memoryKeyValue, quietLogger, testSigner } from '../../support/world.ts';
import { sleep, until } from './cluster.ts';

let L: PeerId;
beforeAll(async () => {
  L = (await testSigner('leader')).peerId;
});

/** A worker and the leader that it talks to. */
class Desk {
  readonly disk: Map<string, Uint8Array>;
  readonly runs: string[] = [];
  readonly reports: Report[] = [];
  readonly asked: AttemptRef[][] = [];
  grants = (_: AttemptRef): boolean => true;
  settles = true;
  reachable = true;
  fenced = 0;
  work: (id: string, signal: AbortSignal) => Promise<string> = async (id) => `did ${id}`;
  worker!: JobWorker;

  constructor(disk = new Map<string, Uint8Array>()) {
    this.disk = disk;
  }

  static async open(disk?: Map<string, Uint8Array>, setup: (desk: Desk) => void = () => {}) {
    const desk = new Desk(disk);
    setup(desk);
    const options = { ...JOB_DEFAULTS, retryMs: 2, concurrency: 2 };
    desk.worker = await JobWorker.open(options, {
      ...{ voters: () => [L], leader: () => ({ peerId: L, term: 5 as Term }) },
      fence: async (term) => {
        if (term < desk.fenced) throw new BzzzError('STALE_TERM', 'fenced');
        desk.fenced = term;
      },
      ...{ store: memoryKeyValue(desk.disk), clock: steadyClock, logger: quietLogger },
      executors: {
        repair: async (_, signal, { id, attempt }) => {
          desk.runs.push(`${id}/${attempt}`);
          return desk.work(id, signal);
        },
      },
      call: async (_, topic, body) => desk.#answer(topic, body),
    });
    desk.worker.start();
    return desk;
  }

  #answer(topic: string, body: Uint8Array): Uint8Array {
    if (!this.reachable) throw new BzzzError('PEER_UNREACHABLE', 'gone');
    if (topic === TOPICS.begin) {
      const jobs = wire.begin.decode(body).jobs;
      this.asked.push([...jobs]);
      const granted = jobs.filter((ref) => this.grants(ref)).map(({ id }) => id);
      return wire.granted.encode({ v: 1, granted });
    }
    const { reports } = wire.ended.decode(body);
    this.reports.push(...reports);
    const settled = this.settles ? reports.map(({ id }) => id) : [];
    return wire.settled.encode({ v: 1, settled });
  }

  async assign(id: string, attempt: number, term = 5, kind: 'repair' | 'index' = 'repair') {
    const jobs = [{ id, kind, subject: '', attempt }];
    const body = wire.assign.encode({ v: 1, term: term as Term, jobs });
    return wire.unfit.decode(await this.worker.onAssign(L, body)).unfit;
  }

  async held(id: string, attempt: number) {
    const body = wire.ask.encode({ v: 1, term: 5 as Term, jobs: [{ id, attempt }] });
    return wire.held.decode(await this.worker.onAsk(L, body)).jobs[0];
  }
}

describe('a worker', () => {
  it('asks before it begins, runs once, and reports until it is heard', async () => {
    const desk = await Desk.open(undefined, (d) => {
      d.settles = false;
    });
    await desk.assign('a', 1);
    await until('reported', () => desk.reports.length > 2);
    expect(desk.runs).toEqual(['a/1']);
    expect(desk.reports[0]).toEqual({ id: 'a', attempt: 1, outcome: 'done', text: 'did a' });
    expect(await desk.held('a', 1)).toMatchObject({ state: 'ended', report: { text: 'did a' } });
    desk.settles = true;
    await sleep(30);
    const { length } = desk.reports;
    await sleep(30);
    expect(desk.reports).toHaveLength(length);
    await desk.worker.stop();
  });

  it('runs nothing that the leader does not let begin', async () => {
    const desk = await Desk.open(undefined, (d) => {
      d.grants = () => false;
    });
    await desk.assign('a', 1);
    await until('asked', () => desk.asked.length > 0);
    await sleep(20);
    expect(desk.asked).toHaveLength(1);
    expect(desk.runs).toEqual([]);
    expect(await desk.held('a', 1)).toMatchObject({ state: 'none' });
    await desk.worker.stop();
  });

  it('refuses assignments of a lower term and of others than the leader', async () => {
    const desk = await Desk.open();
    await desk.assign('a', 1, 7);
    await expect(desk.assign('b', 1, 6)).rejects.toMatchObject({ code: 'STALE_TERM' });
    const body = wire.assign.encode({ v: 1, term: 9 as Term, jobs: [] });
    await expect(desk.worker.onAssign('x' as PeerId, body)).rejects.toMatchObject({
      code: 'NOT_A_VOTER',
    });
    const other = await testSigner('other');
    await expect(desk.worker.onAsk(other.peerId, body)).rejects.toMatchObject({
      code: 'NOT_A_VOTER',
    });
    await until('a ran', () => desk.reports.length > 0);
    expect(desk.runs).toEqual(['a/1']);
    await desk.worker.stop();
  });

  it('answers with the stored result when a job that it did comes again, also after a restart', async () => {
    const first = await Desk.open();
    await first.assign('a', 1);
    await until('done', () => first.reports.length === 1);
    await first.assign('a', 3);
    await until('again', () => first.reports.length === 2);
    await first.worker.stop();
    const second = await Desk.open(first.disk);
    await sleep(20);
    expect(second.reports, 'it was heard').toEqual([]);
    await second.assign('a', 4);
    await until('once more', () => second.reports.length === 1);
    expect(second.reports).toEqual([{ id: 'a', attempt: 4, outcome: 'done', text: 'did a' }]);
    expect([...first.runs, ...second.runs]).toEqual(['a/1']);
    await second.worker.stop();
  });

  it('does not start a job beside itself: the run takes on the later attempt', async () => {
    let finish = (): void => {};
    const gate = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const desk = await Desk.open(undefined, (d) => {
      d.work = async () => {
        await gate;
        return 'late';
      };
    });
    await desk.assign('a', 1);
    await until('runs', () => desk.runs.length === 1);
    await desk.assign('a', 1);
    await desk.assign('a', 2);
    await until('asked again', () => desk.asked.length === 2);
    await sleep(10);
    expect(desk.asked[1]).toEqual([{ id: 'a', attempt: 2 }]);
    expect(await desk.held('a', 2)).toMatchObject({ state: 'running' });
    expect(await desk.held('a', 1)).toMatchObject({ state: 'none' });
    finish();
    await until('reported', () => desk.reports.length > 0);
    expect(desk.reports[0]).toMatchObject({ attempt: 2, outcome: 'done' });
    expect(desk.runs).toEqual(['a/1']);
    await desk.worker.stop();
  });

  it('reports what a restart took away as lost, and may run it again', async () => {
    const first = await Desk.open(undefined, (d) => {
      d.work = (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(new Error('stopped')));
        });
    });
    await first.assign('a', 1);
    await until('runs', () => first.runs.length === 1);
    expect(await first.held('a', 1)).toMatchObject({ state: 'running' });
    await first.worker.stop();
    expect(first.reports).toEqual([]);
    // As a leader does: what was given again is granted under its last attempt only.
    const second = await Desk.open(first.disk, (d) => {
      d.grants = ({ attempt }) => attempt === 2;
    });
    await until('lost', () => second.reports.length === 1);
    expect(second.reports[0]).toMatchObject({ id: 'a', attempt: 1, outcome: 'lost' });
    await second.assign('a', 1);
    await second.assign('a', 2);
    await until('done', () => second.reports.length === 2);
    expect(second.runs).toEqual(['a/2']);
    await second.worker.stop();
  });

  it('keeps a result that it could not report over a restart', async () => {
    const first = await Desk.open();
    await first.assign('a', 1);
    first.work = async () => {
      first.reachable = false;
      return 'kept';
    };
    await until('ran', () => !first.reachable);
    await sleep(20);
    await first.worker.stop();
    const second = await Desk.open(first.disk);
    await until('reported', () => second.reports.length === 1);
    expect(second.reports[0]).toEqual({ id: 'a', attempt: 1, outcome: 'done', text: 'kept' });
    expect(second.runs).toEqual([]);
    await second.worker.stop();
  });

  it('runs no more than it may at a time, and says what it has no executor for', async () => {
    let most = 0;
    let now = 0;
    const desk = await Desk.open(undefined, (d) => {
      d.work = async () => {
        most = Math.max(most, ++now);
        await sleep(5);
        now--;
        return '';
      };
    });
    for (let i = 0; i < 10; i++) await desk.assign(`job-${i}`, 1);
    expect(await desk.held('job-9', 1)).toMatchObject({ state: 'waiting' });
    expect(await desk.assign('other', 1, 5, 'index')).toEqual(['other']);
    await until('all', () => desk.reports.length === 10);
    expect(most).toBe(2);
    await desk.worker.stop();
  });

  it('does not run what it could not write down before', async () => {
    const desk = await Desk.open();
    desk.disk.set = () => {
      throw new BzzzError('DISK_FAILED', 'no space');
    };
    await desk.assign('a', 1);
    await until('reported', () => desk.reports.length > 0);
    expect(desk.runs).toEqual([]);
    expect(desk.reports[0]).toMatchObject({ outcome: 'failed', text: 'DISK_FAILED: no space' });
    await desk.worker.stop();
  });

  it('cuts long results at a whole character', async () => {
    const desk = await Desk.open(undefined, (d) => {
      d.work = async () => `x${'\u{1f41d}'.repeat(600)}`;
    });
    await desk.assign('a', 1);
    await until('reported', () => desk.reports.length > 0);
    const text = desk.reports[0]?.text ?? '';
    expect(Buffer.byteLength(text)).toBeGreaterThan(1_000);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1_024);
    expect(text).toMatch(/^x\u{1f41d}+$/u);
    await desk.worker.stop();
  });
});
