/**
 * The `dht` backend: records of this node in its journal, copies at the members nearest to the key.
 *
 * A put is done when r = min(replication, members) copies were read back, when a quorum was and the
 * others had their grace, or when the time is up; what is missing then is replicated in the
 * background. A get answers with the first valid copy. Nobody's word is believed: not an
 * acknowledgement, not an answer, not this node's own disk.
 * @module
 */
import type { KadDHT } from '@libp2p/kad-dht';
import type { PeerId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import { toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Cancel, Clock, Logger, Random, Service } from '../base/ports.ts';
import { Copies } from './copies.ts';
import type { Counters } from './counters.ts';
import { deadline } from './deadline.ts';
import type { RecordGuard } from './guard.ts';
import { healthStatus } from './health.ts';
import type { Journal } from './journal.ts';
import { Listeners } from './listeners.ts';
import { OwnCopies } from './own-copies.ts';
import { PROBE, probeValue } from './probe.ts';
import { Providers } from './providers.ts';
import { type Need, outcomeOf } from './quorum.ts';
import { readNetwork } from './read.ts';
import { Repairer } from './repair.ts';
import { Replicator } from './replicate.ts';
import { Republisher } from './republish.ts';
import { nameOf, type Rules } from './rules.ts';
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
import { Upkeep } from './upkeep.ts';
import { attributeWrites, createWire, type Wire } from './wire.ts';

/** Every time in ms. */
export interface DhtOptions {
  /** Wanted copies. @default LIMITS.replication */
  readonly replication?: number;
  /** Of a put or get without a time of its own. @default 3000 */
  readonly timeoutMs?: number;
  /** Of one request to one peer. @default 1000 */
  readonly requestMs?: number;
  /** What slow peers get after a quorum answered. @default 200 */
  readonly graceMs?: number;
  /** Between two passes over all records. @default 3600000 */
  readonly republishMs?: number;
  /** From the start, or new members, to a pass. @default 5000 */
  readonly republishSoonMs?: number;
  /** First retry of missing copies; doubles up to 60 times as much. @default 1000 */
  readonly retryMs?: number;
  /** A member away, or back, for so long changes where copies belong. @default 10000 */
  readonly repairAfterMs?: number;
  /** Between a repair by one holder and the next one's look at it. @default 20000 */
  readonly repairRankMs?: number;
}

export interface DhtDeps {
  readonly self: PeerId;
  /** The roster's members, this node included once it is admitted. */
  readonly members: () => readonly PeerId[];
  readonly rules: Rules;
  readonly guard: RecordGuard;
  /** The one journal of the node, shared with its other backends. */
  readonly journal: Journal;
  /** Made with `kadInit` over the guard's datastore. */
  readonly kad: KadDHT;

  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Shared with the guard. */
  readonly counters: Counters;
}

/** How a call that needed the network fared there. */
export interface NetworkEvent {
  /**
   * Whether any other member answered; fewer than a quorum is a poor answer and no absence. A plain
   * miss is ok, and so is a record that a member refused.
   */
  readonly ok: boolean;
  readonly ms: number;
  readonly reason?: string;
}

const DEFAULTS: Required<DhtOptions> = {
  replication: LIMITS.replication,
  timeoutMs: 3_000,
  requestMs: 1_000,
  graceMs: 200,
  republishMs: 3_600_000,
  republishSoonMs: 5_000,
  retryMs: 1_000,
  repairAfterMs: 10_000,
  repairRankMs: 20_000,
};

/** Requests to one peer under way at once, and waiting for that. */
const PARALLEL = 6;
const WAITING = 1_024;
/** Behind each slice of a pass over all records. */
const SLICE_PAUSE_MS = 100;
/** How often the repairer looks who is there. */
const LOOK_MS = 1_000;
/** How long the leader's order may take, and how many holders look after a record. */
const ORDER_MS = 20_000;
const RANKS = 3;

/** Replicated records. `start` and `stop` concern the background work only. */
export class DhtStore implements RecordStore, Service {
  readonly name = 'dht';
  readonly counters: Counters;
  readonly #options: Required<DhtOptions>;
  readonly #deps: DhtDeps;
  readonly #own: OwnCopies;
  readonly #wire: Wire;
  readonly #copies: Copies;
  /** Who has a content; also of what is not a record. */
  readonly providers: Providers;
  readonly #replicator: Replicator;
  readonly #republisher: Republisher;
  readonly #network: Listeners<NetworkEvent>;
  /** Brings copies back after holders died, and to those that return. */
  readonly repairer: Repairer;
  #stop = new AbortController();
  #closed = false;
  #known: ReadonlySet<PeerId> = new Set();
  #health: HealthStatus;

  /** @throws INTERNAL when `deps.kad` is another version than this was written for. */
  constructor(options: DhtOptions, deps: DhtDeps) {
    const { clock, counters, random, log } = deps;
    this.#options = { ...DEFAULTS, ...options };
    this.#deps = deps;
    this.counters = counters;
    this.#own = new OwnCopies(deps);
    this.#network = new Listeners(log);
    this.#wire = createWire(
      deps.kad,
      { requestMs: this.#options.requestMs, parallel: PARALLEL, waiting: WAITING },
      { clock, onBusy: () => counters.add('busy') },
    );
    attributeWrites(deps.kad, (peer, work) => deps.guard.sentBy(peer, work));
    this.#copies = new Copies(this.#options, { ...deps, wire: this.#wire });
    this.providers = new Providers(deps, this.#options);
    const { retryMs, republishMs: intervalMs, republishSoonMs: soonMs, timeoutMs } = this.#options;
    const replicator = (): Replicator => this.#replicator;
    const own = { own: this.#own, copies: this.#copies, replicator, timeoutMs };
    const upkeep = new Upkeep({ ...deps, ...own });
    const ensure = upkeep.complete.bind(upkeep);
    this.#replicator = new Replicator({ retryMs }, { clock, random, log, counters, ensure });
    this.#republisher = new Republisher(
      { intervalMs, soonMs, pauseMs: SLICE_PAUSE_MS },
      { clock, random, log, slice: upkeep.republish.bind(upkeep) },
    );
    this.repairer = this.#repairerOver(upkeep);
    this.#health = this.#status('degraded', 0, 'not probed yet');
  }

  async start(): Promise<void> {
    this.#stop = new AbortController();
    this.#known = new Set(this.#deps.members());
    this.#replicator.start();
    this.#republisher.start();
    this.repairer.start();
  }

  /** Ends background work and every call under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.#replicator, this.#republisher, this.repairer].map((w) => w.stop()));
  }

  /** Call it whenever the roster changed: new members get their copies soon. */
  membersChanged(): void {
    const now = new Set(this.#deps.members());
    const grown = [...now].some((member) => !this.#known.has(member));
    this.#known = now;
    if (grown) this.#republisher.grown();
  }

  /** A pass over all records soon: some were written while this store was not in use. */
  republishSoon(): void {
    this.#republisher.grown();
  }

  /**
   * Calls back after each put, get and probe that needed the network. Not where the roster has no
   * other member, and not for calls that the end of this store cut off.
   */
  onNetwork(listener: (event: NetworkEvent) => void): Cancel {
    return this.#network.add(listener);
  }

  /** Records whose copies are not complete, and retried in the background. */
  get backlog(): number {
    return this.#replicator.size;
  }

  /** @throws BAD_MESSAGE, DISK_FAILED, NO_QUORUM (below `require`; the value stays journalled). */
  async put(
    namespace: string,
    suffix: string,
    value: Uint8Array,
    options: PutOptions = {},
  ): Promise<PutOutcome> {
    this.#requireOpen();
    const { rules, self, counters } = this.#deps;
    const key = rules.key(namespace, suffix);
    await this.#deps.journal.write(key, value);
    counters.add('put');
    if (options.background === true) {
      this.#replicator.add(nameOf(rules.of(key)), key);
      return outcomeOf(this.#copies.need(), self, [self]);
    }
    // With what was held before: holders then get one union instead of two parts.
    const whole = (await this.#own.read(key)) ?? value;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs;
    const started = this.#deps.clock.now();
    const first = options.shared === true ? 'ask' : 'write';
    const holders = await this.#copies.make(key, whole, first, timeoutMs, this.#stop.signal);
    const need = this.#copies.need();
    this.#tell(started, unanswered(holders, self));
    const outcome = outcomeOf(need, self, holders);
    if (outcome.pending > 0) this.#replicator.add(nameOf(rules.of(key)), key);
    if (outcome.ack !== 'quorum') counters.add('putBelowQuorum');
    const { copies, quorum } = need;
    const why = `${holders.length} of ${copies} copies were read back, ${quorum} are a quorum`;
    const record = `record ${namespace}/${suffix}`;
    return requireAck(record, outcome, options.require, why, { quorum });
  }

  /** @throws BAD_MESSAGE (the key), DISK_FAILED. */
  async get(
    namespace: string,
    suffix: string,
    options: GetOptions = {},
  ): Promise<Found | undefined> {
    this.#requireOpen();
    const { rules, self, counters, guard } = this.#deps;
    const key = rules.key(namespace, suffix);
    const rule = rules.of(key);
    counters.add('get');
    const local = await this.#own.read(key);
    if (options.localOnly === true || (local !== undefined && options.merge !== true)) {
      return local && { value: local, source: 'local', holders: [self] };
    }
    const merge = options.merge === true;
    const started = this.#deps.clock.now();
    const seen = await readNetwork(
      { key, rule, local, merge, signal: this.#stop.signal },
      {
        timeoutMs: options.timeoutMs ?? this.#options.timeoutMs,
        graceMs: this.#options.graceMs,
      },
      { ...this.#deps, copies: this.#copies, wire: this.#wire },
    );
    this.#tell(started, seen.served ? undefined : 'nobody answered a read');
    if (seen.value === undefined) {
      counters.add('getMiss');
      return undefined;
    }
    if (seen.repair) {
      counters.add('readRepair');
      await guard.store(key, seen.value).then(
        () => this.#replicator.add(nameOf(rule), key),
        // A full or failing store must not fail the read; the guard counted a refusal.
        (err) => this.#deps.log.warn({ err, record: nameOf(rule) }, 'a repair was not stored'),
      );
    }
    const source = local !== undefined && equalBytes(local, seen.value) ? 'local' : 'dht';
    const holders = local === undefined ? seen.holders : [self, ...seen.holders];
    return { value: seen.value, source, holders, ...(merge ? { majority: seen.majority } : {}) };
  }

  /**
   * Writes, reads and drops a value: on the disk, synced, and in the `probe` namespace at the other
   * members. `degraded` when the network gives less than a quorum, `failed` when the disk fails.
   */
  async probe(): Promise<HealthStatus> {
    this.#requireOpen();
    const { clock, counters } = this.#deps;
    const started = clock.now();
    let status: HealthStatus['status'] = 'healthy';
    let reason: string | undefined;
    try {
      reason = await this.#probeNetwork();
      if (reason !== undefined) status = 'degraded';
      await this.#deps.journal.checkDisk();
    } catch (thrown) {
      status = 'failed';
      reason = toBzzzError(thrown).message;
    }
    if (status !== 'healthy') counters.add('probeFailed');
    this.#health = this.#status(status, clock.now() - started, reason);
    return this.#health;
  }

  /** Succeeds with whom it reached. @throws BAD_MESSAGE, DISK_FAILED, DRAINING. */
  async provide(cid: string, options: ProviderOptions = {}): Promise<void> {
    this.#requireOpen();
    const limit = this.#limit(options);
    try {
      await this.providers.provide(cid, limit.signal);
    } finally {
      limit.end();
    }
  }

  /** @throws BAD_MESSAGE, DRAINING. */
  async *findProviders(cid: string, options: ProviderOptions = {}): AsyncGenerator<PeerId> {
    this.#requireOpen();
    const limit = this.#limit(options);
    try {
      yield* this.providers.find(cid, limit.signal);
    } finally {
      limit.end();
    }
  }

  subscribe(listener: (stored: Stored) => void): Cancel {
    return this.#own.subscribe(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.stop();
  }

  /** The last probe's result, without a new one. */
  get health(): HealthStatus {
    return this.#health;
  }

  #repairerOver(upkeep: Upkeep): Repairer {
    const { members, self } = this.#deps;
    const { repairAfterMs: patienceMs, repairRankMs: rankMs } = this.#options;
    const tickMs = Math.min(LOOK_MS, patienceMs / 4);
    const pace = { patienceMs, rankMs, orderMs: ORDER_MS, ranks: RANKS, tickMs };
    return new Repairer(
      { ...pace, pauseMs: SLICE_PAUSE_MS },
      {
        ...this.#deps,
        // The peering takes those that do not answer from the routing table.
        present: () => {
          const inside = new Set(members());
          return this.#wire.peers().filter((peer) => peer !== self && inside.has(peer));
        },
        copies: () => this.#copies.need().copies,
        page: (after) => upkeep.page(after),
        journalled: () => upkeep.journalled(),
        cameAt: (key) => this.#deps.guard.cameAt(key),
        ensure: async (key, signal) => (await upkeep.ensure(key, signal)) ?? Number.MAX_VALUE,
      },
    );
  }

  #requireOpen(): void {
    if (this.#closed) throw closedError();
  }

  #limit(options: ProviderOptions): ReturnType<typeof deadline> {
    const ms = options.timeoutMs ?? this.#options.timeoutMs;
    return deadline(this.#deps.clock, ms, this.#stop.signal);
  }

  async #probeNetwork(): Promise<string | undefined> {
    const { rules, self, clock, random, guard } = this.#deps;
    const key = rules.key(PROBE.name, self);
    const value = probeValue(clock.wallMs(), random.bytes(16));
    const { timeoutMs } = this.#options;
    const ownTaken = await this.#copies.makeOwn(key, value);
    const started = clock.now();
    const holders = await this.#copies.make(key, value, 'write', timeoutMs, this.#stop.signal);
    await guard.drop(key);
    const reason = tooFew(this.#copies.need(), holders);
    this.#tell(started, unanswered(holders, self));
    return ownTaken ? reason : 'this node cannot store records for others';
  }

  /** @param reason why the network did not do; undefined when it did. */
  #tell(started: number, reason: string | undefined): void {
    const { clock, members, self } = this.#deps;
    if (this.#stop.signal.aborted || !members().some((member) => member !== self)) return;
    const ms = clock.now() - started;
    const ok = reason === undefined;
    this.#network.emit(ok ? { ok, ms } : { ok, ms, reason });
  }

  #status(status: HealthStatus['status'], ms: number, reason?: string): HealthStatus {
    const { clock, counters } = this.#deps;
    const errors = counters.get('peerError') + counters.get('rubbish') + counters.get('falseAck');
    const wallMs = clock.wallMs();
    return healthStatus({ component: 'dht', backend: 'real', status, reason, wallMs, ms, errors });
  }
}

/**
 * The network is there as long as anybody answers: what is below a quorum then is completed in the
 * background, while giving the network up would leave a record at its writer alone.
 */
const unanswered = (holders: readonly PeerId[], self: PeerId): string | undefined =>
  holders.some((holder) => holder !== self) ? undefined : 'nobody answered a write';

/** Why these are no quorum; undefined when they are. */
function tooFew({ copies, quorum }: Need, holders: readonly PeerId[]): string | undefined {
  if (holders.length >= quorum) return undefined;
  return `${holders.length} of ${copies} copies reached, ${quorum} needed`;
}
