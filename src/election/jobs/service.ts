/**
 * Jobs on one node: every member submits and does them, voters keep the table, the leader gives
 * them out.
 * @module
 */
import type { PeerId, Term } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import { check } from '../../base/codec.ts';
import { BzzzError, type ErrorCode, toBzzzError } from '../../base/errors.ts';
import { pause } from '../../base/pause.ts';
import type { Service } from '../../base/ports.ts';
import { DUTY_BOUNDS, type DutyBounds, type DutyHealth, DutyRunner } from '../duty.ts';
import { Switchboard } from './calls.ts';
import { JobLeader } from './leader.ts';
import { JOB_DEFAULTS, type JobDeps, type JobOptions } from './ports.ts';
import { Replica } from './replica.ts';
import { type JobDocument, type JobKind, jobDocument, jobField } from './types.ts';
import { TOPICS, wire } from './wire.ts';
import { JobWorker } from './worker.ts';

/** After these, another leader, or the same one a little later, may do it. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['NO_LEADER', 'NOT_LEADER', 'LEADERSHIP_LOST', 'STALE_TERM'] as const),
  ...(['PEER_UNREACHABLE', 'TIMEOUT', 'NO_QUORUM', 'DRAINING'] as const),
]);

/** The job service of a node. */
export class JobService implements Service {
  readonly name = 'jobs';
  readonly #options: JobOptions;
  readonly #deps: JobDeps;
  readonly #board: Switchboard;
  readonly #runner: DutyRunner;
  readonly #stop = new AbortController();
  #replica: Replica | undefined;
  #worker: JobWorker | undefined;
  #leader: JobLeader | undefined;
  #promoted: Term | undefined;

  constructor(deps: JobDeps, options: Partial<JobOptions> = {}, bounds: DutyBounds = DUTY_BOUNDS) {
    this.#deps = deps;
    this.#options = { ...JOB_DEFAULTS, ...options };
    this.#board = new Switchboard(deps);
    const run = (term: Term, signal: AbortSignal, progress: () => void): Promise<void> =>
      this.#lead(term, signal, progress);
    this.#runner = new DutyRunner({ name: 'jobs', run }, deps, bounds);
  }

  /** Reads back what is known, then answers. @throws DISK_FAILED. */
  async start(): Promise<void> {
    const { call } = this.#board;
    const replica = await Replica.open(this.#deps);
    const worker = await JobWorker.open(this.#options, { ...this.#deps, call });
    this.#replica = replica;
    this.#worker = worker;
    const on = this.#board.handle.bind(this.#board);
    on(TOPICS.state, (from, body) => replica.onState(from, body));
    on(TOPICS.chunk, (from, body) => replica.onChunk(from, body));
    on(TOPICS.store, (from, body) => replica.onStore(from, body));
    on(TOPICS.assign, (from, body) => worker.onAssign(from, body));
    on(TOPICS.ask, (from, body) => worker.onAsk(from, body));
    on(TOPICS.submit, (_, body) => this.#onSubmit(body));
    on(TOPICS.begin, (from, body) => this.#onBegin(from, body));
    on(TOPICS.ended, (from, body) => this.#onEnded(from, body));
    worker.start();
  }

  /** Gives up leading and aborts what runs. */
  async stop(): Promise<void> {
    this.#stop.abort();
    const term = this.#promoted;
    await Promise.all([
      term === undefined ? undefined : this.#runner.demote(term),
      this.#worker?.stop(),
    ]);
  }

  /** For when this node begins to lead and when it ends. Late and repeated calls do no harm. */
  readonly onDuty = {
    start: (term: Term): void => {
      this.#promoted = term;
      this.#runner.promote(term);
    },
    /** Resolves when nothing of that term runs any more. */
    stop: (term: Term): Promise<void> => this.#runner.demote(term),
  } as const;

  /** How leading the jobs goes. */
  health(): DutyHealth {
    return this.#runner.health();
  }

  /**
   * False while this node leads and the newest table is not on a majority of the present voters:
   * another change of the voters should wait for it.
   */
  get settled(): boolean {
    return this.#runner.health().term === null || this.#leader?.settled === true;
  }

  /** The jobs as this node knows them, the newest first: exact on the leader, behind elsewhere. */
  list(): readonly JobDocument[] {
    const table = this.#leader?.table ?? this.#replica?.table;
    return [...(table?.jobs.values() ?? [])]
      .sort((a, b) => b.submitted - a.submitted)
      .map(jobDocument);
  }

  /**
   * Has a job done by some member. Resolves when a majority of the voters remembers it.
   * @param id the same id again is the same job; 16 random bytes in hex when absent.
   * @throws BAD_REQUEST. CONFLICT: the id has another content. BUSY. NO_LEADER, NOT_LEADER,
   * PEER_UNREACHABLE, TIMEOUT...: no leader took it within `submitMs`; it may have been taken.
   */
  async submit(kind: JobKind, subject: string, id?: string): Promise<JobDocument> {
    const { clock, random } = this.#deps;
    const wish = { kind, subject, id: id ?? toHex(random.bytes(16)) };
    try {
      check('kind', jobField.kind, wish.kind);
      check('subject', jobField.subject, wish.subject);
      check('id', jobField.id, wish.id);
    } catch (cause) {
      throw new BzzzError('BAD_REQUEST', `job ${toBzzzError(cause).message}`, { cause });
    }
    const deadline = clock.now() + this.#options.submitMs;
    for (;;) {
      try {
        return await this.#submitOnce(wish);
      } catch (thrown) {
        const error = toBzzzError(thrown);
        const over = clock.now() + this.#options.retryMs >= deadline;
        if (!PASSING.has(error.code) || over || this.#stop.signal.aborted) throw error;
        await pause(clock, this.#options.retryMs, this.#stop.signal);
      }
    }
  }

  async #submitOnce(wish: {
    readonly kind: JobKind;
    readonly subject: string;
    readonly id: string;
  }): Promise<JobDocument> {
    const leader = this.#deps.leader();
    if (leader === undefined) throw new BzzzError('NO_LEADER', 'nobody gives jobs out now');
    const body = wire.submit.encode({ v: 1, term: leader.term, ...wish });
    const answer = await this.#board.call(leader.peerId, TOPICS.submit, body);
    return wire.submitted.decode(answer).job;
  }

  async #lead(term: Term, signal: AbortSignal, progress: () => void): Promise<void> {
    const leader = new JobLeader(
      this.#options,
      { ...this.#deps, call: this.#board.call },
      term,
      signal,
    );
    this.#leader = leader;
    try {
      await leader.run(progress);
    } finally {
      this.#leader = undefined;
    }
  }

  /** @throws NOT_LEADER: this node does not lead, or the asker knows a later leader. */
  #leading(term: Term): JobLeader {
    const leader = this.#leader;
    if (leader === undefined || leader.term < term) {
      throw new BzzzError('NOT_LEADER', `this node does not lead in term ${term}`);
    }
    return leader;
  }

  async #onSubmit(body: Uint8Array): Promise<Uint8Array> {
    const { term, id, kind, subject } = wire.submit.decode(body);
    const job = await this.#leading(term).submit({ id, kind, subject });
    return wire.submitted.encode({ v: 1, job: jobDocument(job) });
  }

  async #onBegin(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { term, jobs } = wire.begin.decode(body);
    const granted = await this.#leading(term).begin(from, jobs);
    return wire.granted.encode({ v: 1, granted });
  }

  async #onEnded(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { term, reports } = wire.ended.decode(body);
    const settled = await this.#leading(term).ended(from, reports);
    return wire.settled.encode({ v: 1, settled });
  }
}
