/**
 * The `hybrid` backend: the network as long as it answers, this node's own disk when it does not.
 *
 * Every write stands in the journal before anything else happens to it. While the breaker is
 * closed it goes on to the network, with a time of its own; once it is open, calls are answered
 * from the disk at once - those under way too - and writes wait in a durable queue; only a read of
 * what the disk does not have asks the network all the same. An acknowledgement counts only copies
 * that were read back, whichever way the call went.
 * @module
 */
import { ArmCounts, type HybridCounts } from '../base/backend-meter.ts';
import type { PeerId } from '../base/brands.ts';
import { toBzzzError } from '../base/errors.ts';
import type { Cancel, Service } from '../base/ports.ts';
import { DeadLetters } from './dead-letters.ts';
import { healthStatus } from './health.ts';
import {
  HYBRID_DEFAULTS,
  type HybridDeps,
  type HybridOptions,
  type HybridStatus,
  type HybridTuning,
  paceOf,
} from './hybrid-options.ts';
import type { DeadLetter, HybridEvent, Subject } from './hybrid-types.ts';
import { joinFound } from './join-found.ts';
import { Listeners } from './listeners.ts';
import { NetworkWatch, type Reached, TROUBLE } from './network-watch.ts';
import { outcomeOf } from './quorum.ts';
import { ReplayQueue } from './replay-queue.ts';
import { Replayer } from './replayer.ts';
import { nameOf } from './rules.ts';
import type {
  Found,
  GetOptions,
  HealthStatus,
  ProviderOptions,
  PutOptions,
  PutOutcome,
  RecordStore,
  Stored,
} from './store.ts';
import { closedError, requireAck } from './store-errors.ts';

export type { HybridDeps, HybridOptions, HybridStatus };

/** A read that the disk cannot answer waits no longer than this for a network in trouble. */
const ANYWAY_MS = 1_000;

/** `start` and `stop` concern probes and replay. The two stores stay their opener's to close. */
export class HybridStore implements RecordStore, Service {
  readonly name = 'hybrid';
  readonly #options: Required<HybridOptions>;
  readonly #deps: HybridDeps;
  readonly #queue: ReplayQueue;
  readonly #letters: DeadLetters;
  readonly #watch: NetworkWatch;
  readonly #replayer: Replayer;
  readonly #listeners: Listeners<HybridEvent>;
  /** `mock` is what the disk answered, `real` what needed the network. */
  readonly #arms = new ArmCounts();
  #fallbacks = 0;
  #recoveries = 0;
  /** Calls that the network has not answered yet. */
  readonly #calls = new Set<Promise<unknown>>();
  #opened: Promise<void> | undefined;
  #closed = false;
  #errors = 0;
  #health: HealthStatus;

  constructor(options: HybridOptions, deps: HybridDeps) {
    const given = { ...HYBRID_DEFAULTS, ...options };
    const { clock, log, network } = deps;
    this.#options = given;
    this.#deps = deps;
    this.#queue = new ReplayQueue(deps.disk.sub('queue'), given.queueLimit);
    this.#letters = new DeadLetters(deps.disk.sub('dead'), given.letterLimit);
    this.#listeners = new Listeners(log);
    const emit = (event: HybridEvent): void => this.#listeners.emit(event);
    this.#watch = new NetworkWatch(
      { ...paceOf(given), probeMs: given.probeMs },
      {
        ...{ network, clock, log },
        opened: (reason) => this.#onOpened(reason),
        closed: (ms, downMs) => this.#onClosed(ms, downMs),
      },
    );
    this.#replayer = new Replayer(given.timeoutMs, {
      ...{ ...deps, emit, queue: this.#queue, letters: this.#letters, watch: this.#watch },
      journalled: async () =>
        (await deps.journal.keys()).map((key) => nameOf(deps.rules.of(key))).sort(),
    });
    this.#health = this.#status('degraded', 0, 'not probed yet');
  }

  /** Changes when the network is given up and how often it is tried; no call is disturbed. */
  configure(options: HybridTuning): void {
    this.#watch.configure(paceOf({ ...HYBRID_DEFAULTS, ...options }));
  }

  /** Begins to probe, and replays what an earlier run left. @throws DISK_FAILED. */
  async start(): Promise<void> {
    await this.#open();
    this.#watch.start();
    this.#replayer.start();
  }

  async stop(): Promise<void> {
    this.#watch.stop();
    await this.#replayer.stop();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.stop();
  }

  /** @throws BAD_MESSAGE, DISK_FAILED, BUSY, NO_QUORUM (the value stays journalled), DRAINING. */
  async put(
    namespace: string,
    suffix: string,
    value: Uint8Array,
    options: PutOptions = {},
  ): Promise<PutOutcome> {
    await this.#ready();
    const { clock, local, need, self } = this.#deps;
    const started = clock.now();
    await this.#onDisk(started, () => local.put(namespace, suffix, value));
    return this.#tracked(async () => {
      const name = `${namespace}/${suffix}`;
      const subject = `record ${name}`;
      const reached = await this.#replicate({ namespace, suffix, value }, options);
      if (reached.kind === 'answer') {
        const why = 'fewer members than that gave it back';
        return requireAck(subject, reached.value, options.require, why);
      }
      await this.#enqueue({ kind: 'put', name });
      this.#answered(started);
      const why = `the network is not used now: ${reached.reason}`;
      return requireAck(subject, outcomeOf(need(), self, [self]), options.require, why);
    });
  }

  /** What this node has, or what the network answers, or both merged. @throws as `put`. */
  async get(
    namespace: string,
    suffix: string,
    options: GetOptions = {},
  ): Promise<Found | undefined> {
    this.#requireOpen();
    const { clock, local, network, rules } = this.#deps;
    const started = clock.now();
    const own = await this.#onDisk(started, () => local.get(namespace, suffix, options));
    if (options.localOnly !== true && (own === undefined || options.merge === true)) {
      const timeoutMs = this.#timeOf(options);
      const reached = await this.#tracked(() =>
        this.#reach(timeoutMs, () => network.get(namespace, suffix, { ...options, timeoutMs })),
      );
      if (reached.kind === 'answer') {
        return joinFound(rules, rules.key(namespace, suffix), own, reached.value);
      }
      if (own === undefined && this.#watch.isOpen) {
        return this.#askAnyway(namespace, suffix, options);
      }
    }
    this.#answered(started);
    return own;
  }

  /** The disk has nothing to fall back to, and "not found" would be a guess. @throws as `put`. */
  async #askAnyway(
    namespace: string,
    suffix: string,
    options: GetOptions,
  ): Promise<Found | undefined> {
    const { network, clock, log } = this.#deps;
    const timeoutMs = Math.min(this.#timeOf(options), ANYWAY_MS);
    let stop: Cancel = () => {};
    const late = new Promise<undefined>((resolve) => {
      stop = clock.after(timeoutMs, () => resolve(undefined));
    });
    const answer = network.get(namespace, suffix, { ...options, timeoutMs });
    try {
      return await Promise.race([answer, late]);
    } catch (thrown) {
      const { code, message } = toBzzzError(thrown);
      if (!TROUBLE.has(code)) throw thrown;
      log.debug({ namespace, suffix, code, message }, 'not here, and the network does not answer');
      return undefined;
    } finally {
      stop();
      // When it is late its failure is nobody's.
      answer.catch(() => {});
    }
  }

  /** @throws BAD_MESSAGE, DRAINING. */
  async provide(cid: string, options: ProviderOptions = {}): Promise<void> {
    await this.#ready();
    const { clock, local, network } = this.#deps;
    const started = clock.now();
    const timeoutMs = this.#timeOf(options);
    await this.#onDisk(started, () => local.provide(cid));
    await this.#tracked(async () => {
      const tell = () => network.provide(cid, { timeoutMs });
      if ((await this.#reach(timeoutMs, tell)).kind === 'answer') return;
      await this.#enqueue({ kind: 'provide', name: cid });
      this.#answered(started);
    });
  }

  /** @throws BAD_MESSAGE, DRAINING. */
  async *findProviders(cid: string, options: ProviderOptions = {}): AsyncGenerator<PeerId> {
    this.#requireOpen();
    const { local, network } = this.#deps;
    const told = new Set<PeerId>();
    for await (const peer of local.findProviders(cid)) {
      told.add(peer);
      yield peer;
    }
    const timeoutMs = this.#timeOf(options);
    const others = network.findProviders(cid, { timeoutMs })[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.#tracked(() => this.#reach(timeoutMs, () => others.next()));
        if (next.kind === 'fallback' || next.value.done === true) return;
        if (told.has(next.value.value)) continue;
        told.add(next.value.value);
        yield next.value.value;
      }
    } finally {
      // Not awaited: a search that hangs ends with its own time, and has nobody left to tell.
      others.return?.().catch(() => {});
    }
  }

  subscribe(listener: (stored: Stored) => void): Cancel {
    return this.#deps.local.subscribe(listener);
  }

  /** Falling back, recovering, dead letters. */
  onChange(listener: (event: HybridEvent) => void): Cancel {
    return this.#listeners.add(listener);
  }

  /** Both stores. `degraded` while the network is not used, `failed` when the disk is. */
  async probe(): Promise<HealthStatus> {
    this.#requireOpen();
    const { clock, local } = this.#deps;
    const started = clock.now();
    const disk = await local.probe();
    const answers = await this.#watch.check();
    const ms = clock.now() - started;
    if (disk.status !== 'healthy') this.#health = this.#status('failed', ms, disk.reason);
    else if (answers && !this.#watch.isOpen) this.#health = this.#status('healthy', ms);
    else this.#health = this.#status('degraded', ms, this.#reason());
    if (this.#health.status !== 'healthy') this.#errors++;
    return this.#health;
  }

  /** Without a new probe; whether it has fallen back is of now. */
  get health(): HealthStatus {
    if (!this.#watch.isOpen || this.#health.status === 'failed') return this.#health;
    return { ...this.#health, status: 'degraded', reason: this.#reason() };
  }

  get status(): HybridStatus {
    return {
      fallenBack: this.#watch.isOpen,
      reason: this.#watch.reason,
      queued: this.#queue.size,
      dropped: this.#queue.dropped,
      deadLetters: this.#letters.list().length,
    };
  }

  /** Since the start. */
  counts(): HybridCounts {
    return { arms: this.#arms, fallbacks: this.#fallbacks, recoveries: this.#recoveries };
  }

  /** Oldest first. */
  deadLetters(): readonly DeadLetter[] {
    return this.#letters.list();
  }

  /** @returns whether it was there. @throws DISK_FAILED. */
  async dropDeadLetter(id: string): Promise<boolean> {
    return (await this.#letters.drop(id)) !== undefined;
  }

  /** Puts its subject in line again. @returns whether it was there. @throws DISK_FAILED. */
  async retryDeadLetter(id: string): Promise<boolean> {
    await this.#ready();
    const letter = this.#letters.list().find((one) => one.id === id);
    if (letter === undefined) return false;
    await this.#queue.add(letter);
    await this.#letters.drop(id);
    this.#replayer.wake();
    return true;
  }

  /** A put on the network that keeps the order of its key: after, or in place of, its replay. */
  #replicate(
    record: { readonly namespace: string; readonly suffix: string; readonly value: Uint8Array },
    options: PutOptions,
  ): Promise<Reached<PutOutcome>> {
    const { local, network } = this.#deps;
    const { namespace, suffix, value } = record;
    const subject: Subject = { kind: 'put', name: `${namespace}/${suffix}` };
    const timeoutMs = this.#timeOf(options);
    const { background = false, shared = false } = options;
    return this.#reach(timeoutMs, async (given) => {
      await this.#replayer.underWay(subject);
      const mark = this.#queue.markOf(subject);
      const waits = mark === undefined ? undefined : await local.get(namespace, suffix);
      // The caller was answered from the disk meanwhile, and the queue has it.
      if (given.aborted) throw closedError();
      const whole = waits?.value ?? value;
      const how = { timeoutMs, background, shared };
      const outcome = await network.put(namespace, suffix, whole, how);
      const everything = !background && outcome.ack === 'quorum';
      if (mark !== undefined && everything) await this.#queue.settle(subject, mark);
      return outcome;
    });
  }

  async #reach<T>(
    timeoutMs: number,
    work: (given: AbortSignal) => Promise<T>,
  ): Promise<Reached<T>> {
    const { clock } = this.#deps;
    const tried = !this.#watch.isOpen;
    const started = clock.now();
    const reached = await this.#watch.reach(timeoutMs, work);
    if (tried) this.#arms.add('real', clock.now() - started, reached.kind === 'answer');
    return reached;
  }

  /** A failing disk is counted; everything else is the caller's fault. */
  async #onDisk<T>(started: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (toBzzzError(thrown).code !== 'BAD_MESSAGE') {
        this.#errors++;
        this.#arms.add('mock', this.#deps.clock.now() - started, false);
      }
      throw thrown;
    }
  }

  #answered(started: number): void {
    this.#arms.add('mock', this.#deps.clock.now() - started, true);
  }

  async #tracked<T>(work: () => Promise<T>): Promise<T> {
    const call = work();
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  /** A subject that finds no place in line is found by a pass over the journal. */
  async #enqueue(subject: Subject): Promise<void> {
    const full = (): void =>
      this.#listeners.emit({ type: 'queue_full', dropped: this.#queue.dropped });
    try {
      if (!(await this.#queue.add(subject))) full();
    } catch (err) {
      this.#deps.log.warn({ err, record: subject.name }, 'a record could not be queued');
      full();
    }
    this.#replayer.wake();
  }

  #onOpened(reason: string): void {
    const { clock } = this.#deps;
    const started = clock.now();
    this.#fallbacks++;
    this.#errors++;
    // By now they have been freed; the time is that of the slowest.
    void Promise.allSettled([...this.#calls]).then(() => {
      this.#listeners.emit({ type: 'fallback', ms: clock.now() - started, reason });
    });
  }

  #onClosed(ms: number, downMs: number): void {
    this.#recoveries++;
    this.#listeners.emit({ type: 'recovery', ms, downMs });
    this.#replayer.wake();
  }

  #timeOf(options: { readonly timeoutMs?: number }): number {
    return options.timeoutMs ?? this.#options.timeoutMs;
  }

  #reason(): string {
    const { queued, reason } = this.status;
    return `the network does not answer (${reason}); ${queued} records wait for it`;
  }

  #requireOpen(): void {
    if (this.#closed) throw closedError();
  }

  async #ready(): Promise<void> {
    this.#requireOpen();
    await this.#open();
  }

  /** Once; a disk that failed is tried again by the next call. */
  async #open(): Promise<void> {
    this.#opened ??= Promise.all([this.#queue.open(), this.#letters.open()]).then(() => {});
    try {
      await this.#opened;
    } catch (thrown) {
      this.#opened = undefined;
      throw thrown;
    }
  }

  #status(status: HealthStatus['status'], ms: number, reason?: string): HealthStatus {
    const wallMs = this.#deps.clock.wallMs();
    const errors = this.#errors;
    return healthStatus({
      component: 'dht',
      backend: 'hybrid',
      status,
      reason,
      wallMs,
      ms,
      errors,
    });
  }
}
