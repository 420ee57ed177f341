/**
 * A leader's work on the jobs, for one term: take the table over, then change it, one write at a
 * time. Whatever waits is taken together, written to a majority, and only then acted upon or
 * answered.
 * @module
 */
import { type Millis, millis, type PeerId, type Term } from '../../base/brands.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { pause } from '../../base/pause.ts';
import { Alarm, type Call, callsUntil } from './calls.ts';
import { announce } from './news.ts';
import type { PlanFacts } from './plan.ts';
import { planJobs } from './plan.ts';
import type { JobDeps, JobOptions } from './ports.ts';
import { Replicator } from './replicate.ts';
import { sealSnapshot } from './snapshot.ts';
import { type JobChange, type Submission, TableDraft, type TableStep } from './table.ts';
import { takeOver } from './takeover.ts';
import { EMPTY_TABLE, type Job, type JobKind, type JobTable } from './types.ts';
import { type AttemptRef, type HeldJob, type Report, TOPICS, wire } from './wire.ts';

export interface LeaderDeps extends JobDeps {
  readonly call: Call;
}

interface Pending {
  readonly change: JobChange;
  readonly resolve: (step: TableStep) => void;
  readonly reject: (error: BzzzError) => void;
}

/** One change that was made, for what follows from it. */
export interface Made {
  readonly change: JobChange;
  readonly step: TableStep;
}

/** Leads the jobs in one term. */
export class JobLeader {
  readonly term: Term;
  readonly #options: JobOptions;
  readonly #deps: LeaderDeps;
  readonly #signal: AbortSignal;
  readonly #replicator: Replicator;
  readonly #alarm: Alarm;
  #table: JobTable = EMPTY_TABLE;
  #ready = false;
  #over = false;
  #pending: Pending[] = [];
  /** Those of the present turn. */
  #taken: readonly Pending[] = [];
  /** From when on owners can be blamed for their silence. */
  #since: Millis = millis(0);
  #turnAt: Millis = millis(0);
  readonly #seen = new Map<PeerId, Millis>();
  readonly #heard = new Map<string, { readonly attempt: number; readonly at: Millis }>();
  readonly #asked = new Map<PeerId, Millis>();
  readonly #unfit = new Set<string>();
  /** Taken back from owners that are gone, and not given out yet. */
  readonly #orphans = new Set<string>();

  constructor(options: JobOptions, deps: LeaderDeps, term: Term, signal: AbortSignal) {
    this.term = term;
    this.#options = options;
    this.#signal = signal;
    this.#alarm = new Alarm(deps.clock);
    // Nothing that a leader asked holds up the end of its term.
    const call = callsUntil(signal, deps.call);
    this.#deps = { ...deps, call };
    const { clock, logger } = deps;
    const voters = (): readonly PeerId[] => deps.voters();
    const { retryMs } = options;
    this.#replicator = new Replicator({ voters, call, clock, logger, retryMs, signal });
  }

  /** The table as a majority has it; undefined before the takeover is through. */
  get table(): JobTable | undefined {
    return this.#ready ? this.#table : undefined;
  }

  /** Whether a majority of the present voters has the newest table. */
  get settled(): boolean {
    return this.#ready && this.#replicator.settled;
  }

  /**
   * Until the signal aborts.
   * @throws STALE_TERM when there is a newer leader.
   */
  async run(progress: () => void): Promise<void> {
    try {
      await this.#takeOver();
      while (!this.#signal.aborted) {
        progress();
        await this.#turn();
        if (this.#pending.length === 0) await this.#alarm.sleep(this.#options.tickMs, this.#signal);
      }
    } catch (thrown) {
      // A write that the end of the term broke off is how a term ends.
      if (!this.#signal.aborted) throw thrown;
    } finally {
      this.#over = true;
      for (const { reject } of [...this.#taken, ...this.#pending.splice(0)]) reject(lost());
    }
  }

  /** The job as it stands when a majority has it. @throws CONFLICT, BUSY, LEADERSHIP_LOST. */
  async submit(submission: Submission): Promise<Job> {
    const { leaseMs } = this.#options;
    const { job } = await this.#change({ type: 'submit', ...submission, leaseMs });
    if (job === undefined) throw new BzzzError('INTERNAL', 'a submitted job is not in the table');
    return job;
  }

  /** @returns the ids of the attempts that `owner` may begin. @throws LEADERSHIP_LOST. */
  async begin(owner: PeerId, refs: readonly AttemptRef[]): Promise<readonly string[]> {
    const granted = await Promise.all(
      refs.map(async ({ id, attempt }) => {
        const { verdict } = await this.#change({ type: 'begin', id, owner, attempt });
        return verdict === 'changed' || verdict === 'same' ? [id] : [];
      }),
    );
    return granted.flat();
  }

  /** @returns the ids of the reports that were dealt with: all of them. @throws LEADERSHIP_LOST. */
  async ended(by: PeerId, reports: readonly Report[]): Promise<readonly string[]> {
    const changes = reports.map((report) => ({ type: 'ended', by, ...report }) as const);
    await Promise.all(changes.map((change) => this.#change(change)));
    return reports.map(({ id }) => id);
  }

  #change(change: JobChange): Promise<TableStep> {
    if (this.#over) return Promise.reject(lost());
    if (this.#pending.length >= LIMITS.jobQueue) {
      return Promise.reject(new BzzzError('BUSY', 'too many changes of jobs are waiting'));
    }
    const made = new Promise<TableStep>((resolve, reject) => {
      this.#pending.push({ change, resolve, reject });
    });
    this.#alarm.ring();
    return made;
  }

  // -- the takeover

  async #takeOver(): Promise<void> {
    const { call, clusterId, signer, logger, clock, emit } = this.#deps;
    while (!this.#signal.aborted) {
      const reachable = [...this.#present()];
      const voters = this.#deps.voters();
      try {
        const found = await takeOver({ call, clusterId, voters, reachable, logger }, this.term);
        await this.#replicator.commit(sealSnapshot(found.table, this.term, signer, clusterId));
        this.#table = found.table;
        this.#ready = true;
        this.#since = clock.now();
        this.#turnAt = this.#since;
        emit('state.transferred', {
          ...{ term: this.term, from: found.from ?? null, stateVersion: found.table.version },
          ...{ jobs: found.table.jobs.size, damaged: Object.fromEntries(found.damaged) },
        });
        return;
      } catch (thrown) {
        const error = toBzzzError(thrown);
        if (error.code !== 'NO_QUORUM') throw error;
        logger.debug({ err: error }, 'the jobs are not taken over yet');
        await pause(clock, this.#options.retryMs, this.#signal);
      }
    }
  }

  /** Members that can be asked now, and this node. */
  #present(): ReadonlySet<PeerId> {
    const { self, direct } = this.#deps;
    const members = new Set(this.#deps.members());
    return new Set([self, ...direct.connected().filter((peer) => members.has(peer))]);
  }

  // -- one turn: everything that waits, and everything that is due

  async #turn(): Promise<void> {
    const now = this.#deps.clock.now();
    const present = this.#present();
    this.#notice(present, now);
    this.#taken = this.#pending.splice(0);
    const refused: (() => void)[] = [];
    const answers: (() => void)[] = [];
    const made: Made[] = [];
    const time = this.#deps.clock.wallMs();
    const draft = new TableDraft(this.#table, { term: this.term, time });
    const apply = (change: JobChange): TableStep => {
      const step = draft.apply(change);
      if (step.verdict === 'changed') made.push({ change, step });
      return step;
    };
    for (const { change, resolve, reject } of this.#taken) {
      try {
        const step = apply(change);
        answers.push(() => resolve(step));
      } catch (thrown) {
        refused.push(() => reject(toBzzzError(thrown)));
      }
    }
    for (const change of planJobs(draft.table, this.#facts(present, now))) {
      if (change.type === 'release') this.#orphans.add(change.id);
      apply(change);
    }
    await this.#commit(draft.table);
    for (const answer of [...refused, ...answers]) answer();
    this.#taken = [];
    this.#follow(made);
    this.#askOwners(present, now);
  }

  async #commit(table: JobTable): Promise<void> {
    if (table === this.#table) {
      this.#replicator.poke();
      return;
    }
    const { signer, clusterId } = this.#deps;
    await this.#replicator.commit(sealSnapshot(table, this.term, signer, clusterId));
    this.#table = table;
  }

  #notice(present: ReadonlySet<PeerId>, now: Millis): void {
    const { orphanMs, leaseMs } = this.#options;
    // A leader that slept, or had no majority, did not hear owners that spoke.
    if (now - this.#turnAt > Math.min(orphanMs, leaseMs) / 2) this.#since = now;
    this.#turnAt = now;
    for (const peer of present) this.#seen.set(peer, now);
  }

  #facts(present: ReadonlySet<PeerId>, now: Millis): PlanFacts {
    const since = this.#since;
    return {
      now,
      present,
      members: new Set(this.#deps.members()),
      seenAt: (peer) => later(since, this.#seen.get(peer)),
      heardAt: (job) => {
        const heard = this.#heard.get(job.id);
        return later(since, heard?.attempt === job.attempt ? heard.at : undefined);
      },
      unfit: (peer, kind) => this.#unfit.has(unfitKey(peer, kind)),
      orphanMs: this.#options.orphanMs,
    };
  }

  /** What follows from changes that a majority has. */
  #follow(made: readonly Made[]): void {
    const given = new Map<PeerId, Job[]>();
    for (const { change, step } of made) {
      const { job } = step;
      if (job === undefined) continue;
      announce(this.#deps.emit, this.term, change, job, this.#orphans.has(job.id));
      if (change.type !== 'assign') {
        if (job.state !== 'open') this.#orphans.delete(job.id);
        if (job.state === 'done' || job.state === 'failed') this.#heard.delete(job.id);
        continue;
      }
      this.#orphans.delete(job.id);
      this.#hear(job.id, job.attempt);
      given.set(change.owner, [...(given.get(change.owner) ?? []), job]);
    }
    for (const [owner, jobs] of given) void this.#give(owner, jobs);
  }

  #hear(id: string, attempt: number): void {
    this.#heard.set(id, { attempt, at: this.#deps.clock.now() });
  }

  // -- owners

  /** Offers jobs that are assigned; an offer that is lost is repeated when the owner is asked. */
  async #give(owner: PeerId, jobs: readonly Job[]): Promise<void> {
    const given = jobs.map(({ id, kind, subject, attempt }) => ({ id, kind, subject, attempt }));
    try {
      const body = wire.assign.encode({ v: 1, term: this.term, jobs: given });
      const { unfit } = wire.unfit.decode(await this.#deps.call(owner, TOPICS.assign, body));
      const refused = jobs.filter(({ id }) => unfit.includes(id));
      for (const { kind } of refused) this.#unfit.add(unfitKey(owner, kind));
      for (const { id, attempt } of refused) await this.#change({ type: 'release', id, attempt });
    } catch (thrown) {
      this.#deps.logger.debug({ owner, err: toBzzzError(thrown) }, 'jobs were not handed over');
    }
  }

  /** Often enough to renew the leases, and at once when an owner comes into view. */
  #askOwners(present: ReadonlySet<PeerId>, now: Millis): void {
    const every = Math.min(this.#options.leaseMs, this.#options.orphanMs) / 3;
    for (const peer of this.#asked.keys()) if (!present.has(peer)) this.#asked.delete(peer);
    const theirs = new Map<PeerId, Job[]>();
    for (const job of this.#table.jobs.values()) {
      const { owner } = job;
      if (job.state !== 'assigned' || owner === null || !present.has(owner)) continue;
      if (now - (this.#asked.get(owner) ?? Number.NEGATIVE_INFINITY) < every) continue;
      theirs.set(owner, [...(theirs.get(owner) ?? []), job]);
    }
    for (const [owner, jobs] of theirs) {
      this.#asked.set(owner, now);
      void this.#ask(owner, jobs);
    }
  }

  /** @param jobs as they stood when the question was asked: the answer is about those. */
  async #ask(owner: PeerId, jobs: readonly Job[]): Promise<void> {
    const refs = jobs.map(({ id, attempt }) => ({ id, attempt }));
    try {
      const body = wire.ask.encode({ v: 1, term: this.term, jobs: refs });
      const held = wire.held.decode(await this.#deps.call(owner, TOPICS.ask, body));
      const byId = new Map(held.jobs.map((item) => [item.id, item]));
      const again: Job[] = [];
      for (const job of jobs) {
        if (await this.#learn(owner, job, byId.get(job.id))) again.push(job);
      }
      if (again.length > 0) await this.#give(owner, again);
    } catch (thrown) {
      this.#deps.logger.debug({ owner, err: toBzzzError(thrown) }, 'an owner did not answer');
    }
  }

  /** @returns whether the job must be offered again. */
  async #learn(owner: PeerId, job: Job, held: HeldJob | undefined): Promise<boolean> {
    const { id, attempt } = job;
    switch (held?.state) {
      case 'waiting':
      case 'running':
        this.#hear(id, attempt);
        return false;
      case 'ended':
        if (held.report !== null) {
          await this.#change({ type: 'ended', by: owner, ...held.report, id });
        }
        return false;
      case 'none':
        if (!job.began) return true;
        await this.#change({
          ...{ type: 'ended', id, by: owner, attempt },
          ...{ outcome: 'lost', text: `${owner} knows nothing of it any more` },
        });
        return false;
      default:
        return false;
    }
  }
}

const unfitKey = (peer: PeerId, kind: JobKind): string => `${peer} ${kind}`;

const later = (a: Millis, b: Millis | undefined): Millis => (b === undefined || b < a ? a : b);

const lost = (): BzzzError =>
  new BzzzError('LEADERSHIP_LOST', 'this node leads no more', {
    hint: 'the job may have been taken; submit it again under the same id',
  });
