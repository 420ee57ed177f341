/**
 * The record store of a node with its three backends, put together: what runs while which of them
 * is chosen, and what is said of them.
 *
 * All three stand on one journal. While no record uses the network, the network's store knows of
 * no member but this node: it serves what it holds, and copies nothing. With the switch back, it
 * knows the others again and goes over everything that was written meanwhile.
 * @module
 */
import { type Arm, BackendMeter } from '../base/backend-meter.ts';
import type { PeerId } from '../base/brands.ts';
import { toBzzzError } from '../base/errors.ts';
import type { Clock, KeyValue, Logger, Random, Service } from '../base/ports.ts';
import { type Choice, mainBackend, Switch } from '../base/switch.ts';
import type { Counters } from '../dht/counters.ts';
import type { RecordGuard } from '../dht/guard.ts';
import { healthStatus } from '../dht/health.ts';
import { HybridStore } from '../dht/hybrid.ts';
import type { HybridOptions, HybridTuning } from '../dht/hybrid-options.ts';
import type { HybridEvent } from '../dht/hybrid-types.ts';
import type { Journal } from '../dht/journal.ts';
import type { DhtStore } from '../dht/kad.ts';
import { LocalRecords } from '../dht/local-records.ts';
import { needOf } from '../dht/quorum.ts';
import type { Rules } from '../dht/rules.ts';
import type { HealthStatus } from '../dht/store.ts';
import { SwitchedStore } from '../dht/switched.ts';
import type { SwitchedComponent } from './backends.ts';

export interface RecordBackendsOptions {
  readonly choice: Choice;
  readonly hybrid: HybridOptions;
  readonly replication: number;
}

export interface RecordBackendsDeps {
  readonly self: PeerId;
  /** The roster's members. */
  readonly members: () => readonly PeerId[];
  readonly rules: Rules;
  readonly guard: RecordGuard;
  readonly journal: Journal;
  readonly counters: Counters;
  /** A namespace of the embedded store of its own, for what waits for the network. */
  readonly disk: KeyValue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
  /** Makes the network's store, for which `members` are all there are. */
  readonly dht: (members: () => readonly PeerId[]) => DhtStore;
}

/** `start` and `stop` concern the background work of whichever backend is chosen. */
export class RecordBackends implements Service, SwitchedComponent {
  readonly name = 'records';
  readonly choice: Switch;
  readonly meter: BackendMeter;
  /** What the node uses. */
  readonly store: SwitchedStore;
  readonly dht: DhtStore;
  readonly hybrid: HybridStore;
  readonly #deps: RecordBackendsDeps;
  #localHealth: HealthStatus;
  #running = false;
  #hybridRuns = false;
  /** Starts and stops of the hybrid store, one after the other. */
  #turns: Promise<void> = Promise.resolve();

  constructor(options: RecordBackendsOptions, deps: RecordBackendsDeps) {
    const { self, clock, random, log, rules, journal } = deps;
    this.#deps = deps;
    this.choice = new Switch('dht', options.choice);
    this.dht = deps.dht(() => this.members());
    const local = new LocalRecords(deps);
    this.hybrid = new HybridStore(options.hybrid, {
      ...{ self, clock, random, log, rules, journal, local, disk: deps.disk },
      network: this.dht,
      need: () => needOf(options.replication, deps.members().length),
    });
    this.meter = new BackendMeter('dht', () => this.hybrid.counts());
    this.store = new SwitchedStore({
      ...{ choice: this.choice, meter: this.meter, clock },
      backends: { mock: local, real: this.dht, hybrid: this.hybrid },
      network: (inUse) => this.#network(inUse),
    });
    this.hybrid.onChange((event) => this.#tell(event));
    this.choice.onChange(() => this.#turn());
    this.#localHealth = healthStatus({
      ...{ component: 'dht', backend: 'mock', status: 'degraded', reason: 'not probed yet' },
      wallMs: clock.wallMs(),
    });
  }

  /** The roster's members; this node alone while no record uses the network. */
  members(): readonly PeerId[] {
    const { members, self } = this.#deps;
    return this.store.usesNetwork ? members() : [self];
  }

  get hybridArm(): Arm {
    return this.hybrid.status.fallenBack ? 'mock' : 'real';
  }

  async start(): Promise<void> {
    this.#running = true;
    await this.dht.start();
    this.#turn();
    await this.#turns;
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.#turn();
    await this.#turns;
    await this.store.close();
    await this.dht.stop();
  }

  /** Call it whenever the roster changed. */
  membersChanged(): void {
    this.dht.membersChanged();
  }

  /** Other thresholds and pauses of the fallback. */
  configure(options: HybridTuning): void {
    this.hybrid.configure(options);
  }

  async probe(): Promise<HealthStatus> {
    const health = await this.store.probe();
    if (health.backend === 'mock') this.#localHealth = health;
    return health;
  }

  /** As the last probe of the chosen backend found it. */
  get health(): HealthStatus {
    const backend = mainBackend(this.choice.state);
    if (backend === 'mock') return this.#localHealth;
    return backend === 'hybrid' ? this.hybrid.health : this.dht.health;
  }

  #network(inUse: boolean): void {
    this.dht.membersChanged();
    if (inUse) this.dht.republishSoon();
  }

  /** The hybrid store probes and replays while it is chosen, and only then. */
  #turn(): void {
    this.#turns = this.#turns.then(async () => {
      const wanted = this.#running && mainBackend(this.choice.state) === 'hybrid';
      if (wanted === this.#hybridRuns) return;
      this.#hybridRuns = wanted;
      try {
        await (wanted ? this.hybrid.start() : this.hybrid.stop());
      } catch (thrown) {
        // The next turn tries again; until then it works without probes and replay.
        this.#hybridRuns = !wanted;
        const { code, message } = toBzzzError(thrown);
        this.#deps.log.error({ code, message }, 'the hybrid store did not start or stop');
      }
    });
  }

  #tell(event: HybridEvent): void {
    const { type, ...data } = event;
    const kind = type === 'dead_letter' ? type : `backend.${type}`;
    this.#deps.log.info({ ...data }, `records: ${type}`);
    this.#deps.emit(kind, { component: 'dht', ...data });
  }
}
