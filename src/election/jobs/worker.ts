/**
 * Does the jobs that leaders give to this node.
 *
 * An assignment is only an offer: before it begins, the worker asks the leader, which remembers
 * with a majority that this attempt may have run. An offer that comes late, twice or from an old
 * leader is thus harmless, and so is a change of leaders in between.
 * @module
 */
import type { PeerId, Term } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { pause } from '../../base/pause.ts';
import type { Logger } from '../../base/ports.ts';
import { Alarm, admitLeader, type Call, callsUntil } from './calls.ts';
import type { Executor, JobDeps, JobOptions } from './ports.ts';
import { JobRecords } from './records.ts';
import { type AttemptRef, type GivenJob, type HeldJob, TOPICS, wire } from './wire.ts';

export interface WorkerDeps
  extends Pick<
    JobDeps,
    'voters' | 'leader' | 'fence' | 'store' | 'clock' | 'logger' | 'executors'
  > {
  readonly call: Call;
}

interface Run {
  /** Raised when the same job is given to this node anew while it runs. */
  attempt: number;
  /** Its time is up; it does not count as running any more, and is not started beside itself. */
  overdue: boolean;
  readonly over: Promise<void>;
}

/** How long `stop` waits for executors that do not listen to their signal, in ms. */
const STOP_MS = 2_000;

/** The executor's side of jobs. */
export class JobWorker {
  readonly #options: JobOptions;
  readonly #deps: WorkerDeps;
  readonly #records: JobRecords;
  readonly #log: Logger;
  readonly #waiting = new Map<string, GivenJob>();
  readonly #running = new Map<string, Run>();
  readonly #stop = new AbortController();
  readonly #call: Call;
  readonly #offered: Alarm;
  readonly #ended: Alarm;
  #loops: Promise<unknown> = Promise.resolve();

  private constructor(options: JobOptions, deps: WorkerDeps, records: JobRecords) {
    this.#options = options;
    this.#deps = deps;
    this.#records = records;
    this.#log = deps.logger;
    this.#call = callsUntil(this.#stop.signal, deps.call, 'DRAINING');
    this.#offered = new Alarm(deps.clock);
    this.#ended = new Alarm(deps.clock);
  }

  /** Reads back what was done; what was running is lost. */
  static async open(options: JobOptions, deps: WorkerDeps): Promise<JobWorker> {
    const { store, clock, logger } = deps;
    const records = await JobRecords.open({ kv: store.sub('done'), clock, logger });
    return new JobWorker(options, deps, records);
  }

  start(): void {
    this.#loops = Promise.all([this.#beginLoop(), this.#reportLoop()]);
  }

  /** Aborts what runs. What does not end stays begun, and is lost at the next start. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loops;
    const patience = new AbortController();
    const over = Promise.all([...this.#running.values()].map((run) => run.over));
    await Promise.race([over, pause(this.#deps.clock, STOP_MS, patience.signal)]);
    patience.abort();
  }

  /** Executors that run now, and jobs that wait for one. */
  get load(): { readonly running: number; readonly waiting: number } {
    return { running: this.#running.size, waiting: this.#waiting.size };
  }

  /** Answers `jobs/assign`. @throws STALE_TERM, NOT_LEADER, NOT_A_VOTER. */
  async onAssign(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { term, jobs } = wire.assign.decode(body);
    await admitLeader(this.#deps, from, term);
    const unfit: string[] = [];
    for (const job of jobs) {
      if (this.#deps.executors[job.kind] === undefined) unfit.push(job.id);
      else await this.#offer(job);
    }
    this.#offered.ring();
    return wire.unfit.encode({ v: 1, unfit });
  }

  /** Answers `jobs/ask`. @throws STALE_TERM, NOT_LEADER, NOT_A_VOTER. */
  async onAsk(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { term, jobs } = wire.ask.decode(body);
    await admitLeader(this.#deps, from, term);
    return wire.held.encode({ v: 1, jobs: jobs.map((ref) => this.#heldOf(ref)) });
  }

  async #offer(job: GivenJob): Promise<void> {
    const { id, attempt } = job;
    if (this.#records.resultOf(id) !== undefined) {
      // Done here once is done here for ever: the stored result is the answer.
      await this.#records.claim(id, attempt);
      this.#ended.ring();
      return;
    }
    const last = this.#running.get(id)?.attempt ?? this.#records.ended(id)?.attempt ?? 0;
    const waiting = this.#waiting.get(id)?.attempt ?? 0;
    if (attempt > last && attempt > waiting) this.#waiting.set(id, job);
  }

  #heldOf({ id, attempt }: AttemptRef): HeldJob {
    const run = this.#running.get(id);
    if (this.#waiting.get(id)?.attempt === attempt) return { id, state: 'waiting', report: null };
    if (run?.attempt === attempt && !run.overdue) return { id, state: 'running', report: null };
    const report = run === undefined ? this.#records.ended(id) : undefined;
    if (report?.attempt === attempt) return { id, state: 'ended', report };
    return { id, state: 'none', report: null };
  }

  async #beginLoop(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const next = this.#next();
      if (next.length === 0) {
        await this.#offered.sleep(this.#options.leaseMs, signal);
        continue;
      }
      try {
        await this.#ask(next);
      } catch (thrown) {
        this.#log.debug({ err: toBzzzError(thrown) }, 'no leader lets a job begin');
        await pause(this.#deps.clock, this.#options.retryMs, signal);
      }
    }
  }

  /** What could begin now: as many as there are places, and what runs already. */
  #next(): readonly GivenJob[] {
    let places = this.#options.concurrency - this.#running.size;
    const next: GivenJob[] = [];
    for (const job of this.#waiting.values()) {
      if (next.length >= LIMITS.jobsPerOwner) break;
      if (!this.#running.has(job.id) && places-- <= 0) continue;
      next.push(job);
    }
    return next;
  }

  async #ask(next: readonly GivenJob[]): Promise<void> {
    const { peerId, term } = this.#leader();
    const jobs = next.map(({ id, attempt }) => ({ id, attempt }));
    const answer = await this.#call(peerId, TOPICS.begin, wire.begin.encode({ v: 1, term, jobs }));
    const granted = new Set(wire.granted.decode(answer).granted);
    for (const job of next) {
      // Something else may have become of it meanwhile; an older grant is not for that.
      if (this.#waiting.get(job.id) !== job) continue;
      this.#waiting.delete(job.id);
      if (granted.has(job.id) && !this.#stop.signal.aborted) this.#begin(job);
    }
  }

  #leader(): { readonly peerId: PeerId; readonly term: Term } {
    const leader = this.#deps.leader();
    if (leader === undefined) throw toBzzzError('no leader', 'NO_LEADER');
    return leader;
  }

  #begin(job: GivenJob): void {
    const run = this.#running.get(job.id);
    if (run !== undefined) {
      run.attempt = job.attempt;
      return;
    }
    const executor = this.#deps.executors[job.kind];
    if (executor === undefined) return;
    const made: Run = {
      attempt: job.attempt,
      overdue: false,
      // A turn later, so that the run is known when it ends.
      over: Promise.resolve().then(() => this.#run(job, executor, made)),
    };
    this.#running.set(job.id, made);
  }

  async #run(job: GivenJob, executor: Executor, run: Run): Promise<void> {
    const { id } = job;
    let outcome: { readonly state: 'done' | 'failed'; readonly text: string } | undefined;
    try {
      await this.#records.begin(id, job.attempt);
      outcome = { state: 'done', text: await this.#execute(job, executor, run) };
    } catch (thrown) {
      const error = toBzzzError(thrown);
      this.#log.warn({ id, kind: job.kind, err: error }, 'a job failed');
      outcome = { state: 'failed', text: `${error.code}: ${error.message}` };
    }
    // What the end of the process broke off is no failure of the job.
    if (outcome.state === 'done' || !this.#stop.signal.aborted) {
      await this.#record(id, run, outcome.state, outcome.text);
    }
    this.#running.delete(id);
    this.#offered.ring();
    this.#ended.ring();
  }

  async #record(id: string, run: Run, state: 'done' | 'failed', text: string): Promise<void> {
    // A later attempt that was offered while this one ran has its answer as well.
    const later = state === 'done' ? this.#waiting.get(id)?.attempt : undefined;
    if (later !== undefined) this.#waiting.delete(id);
    try {
      await this.#records.end(id, state, later ?? run.attempt, text);
    } catch (thrown) {
      // Known in memory, and reported; a majority remembers it then.
      this.#log.error({ id, err: toBzzzError(thrown) }, 'the end of a job was not written');
    }
  }

  async #execute(job: GivenJob, executor: Executor, run: Run): Promise<string> {
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const cancel = this.#deps.clock.after(this.#options.runMs, () => {
      run.overdue = true;
      abort();
    });
    this.#stop.signal.addEventListener('abort', abort, { once: true });
    try {
      const { id, attempt } = job;
      return await executor(job.subject, controller.signal, { id, attempt });
    } finally {
      cancel();
      this.#stop.signal.removeEventListener('abort', abort);
    }
  }

  /** Tells the leader, whoever it is, until one has taken note. */
  async #reportLoop(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const reports = this.#records.unsettled(LIMITS.jobsPerOwner);
      if (reports.length === 0) {
        await this.#ended.sleep(this.#options.leaseMs, signal);
        continue;
      }
      try {
        const { peerId, term } = this.#leader();
        const body = wire.ended.encode({ v: 1, term, reports });
        const answer = await this.#call(peerId, TOPICS.ended, body);
        const settled = new Set(wire.settled.decode(answer).settled);
        for (const { id, attempt } of reports) {
          if (settled.has(id)) await this.#records.settle(id, attempt);
        }
        if (settled.size > 0) continue;
      } catch (thrown) {
        this.#log.debug({ err: toBzzzError(thrown) }, 'no leader hears of the ended jobs');
      }
      await pause(this.#deps.clock, this.#options.retryMs, signal);
    }
  }
}
