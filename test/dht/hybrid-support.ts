/** A network store whose faults a test chooses, and a hybrid store over it with a turned clock. */
import type { PeerId } from '../../src/base/brands.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { Cancel, KeyValue } from '../../src/base/ports.ts';
import { Counters } from '../../src/dht/counters.ts';
import { HybridStore } from '../../src/dht/hybrid.ts';
import type { HybridOptions } from '../../src/dht/hybrid-options.ts';
import type { HybridEvent, NetworkStore } from '../../src/dht/hybrid-types.ts';
import { Journal } from '../../src/dht/journal.ts';
import type { NetworkEvent } from '../../src/dht/kad.ts';
import { LocalRecords } from '../../src/dht/local-records.ts';
import { needOf, outcomeOf } from '../../src/dht/quorum.ts';
import { partsOf } from '../../src/dht/replayer.ts';
import type { Found, GetOptions, HealthStatus, PutOptions } from '../../src/dht/store.ts';
import {
  memoryKeyValue,
  quietLogger,
  type TestClock,
  testClock,
  testRandom,
} from '../support/world.ts';
import { NOTHING_HELD, RULES } from './support.ts';

export const SELF = 'self' as PeerId;
export const OTHERS = ['p1', 'p2', 'p3', 'p4'] as PeerId[];

/**
 * `up`: answers after `latencyMs`. `down`: answers at once that nobody answered. `silent`: says
 * nothing until the time is up. `dead`: not even then.
 */
export type Mode = 'up' | 'down' | 'silent' | 'dead';

/** Members behind one map; a put is read back by all of them, by some, or by none. */
export class FakeNetwork implements NetworkStore {
  readonly held = new Map<string, Uint8Array>();
  readonly providers = new Map<string, PeerId[]>();
  /** Puts that it answered with less than a quorum: its own backlog completes them later. */
  readonly short = new Map<string, Uint8Array>();
  /** Every put that was begun, in order. */
  readonly puts: { readonly name: string; readonly value: Uint8Array }[] = [];
  /** Puts of one name that ran at the same time. */
  overlaps = 0;
  /** Puts that were begun although the store had fallen back. */
  trespasses = 0;
  hasFallenBack: () => boolean = () => false;
  mode: Mode = 'up';
  latencyMs = 0;
  /** Names that the rules of the others refuse, and names that they take and do not keep. */
  readonly refused = new Set<string>();
  readonly forgotten = new Set<string>();
  readonly #clock: TestClock;
  readonly #running = new Set<string>();
  readonly #listeners = new Set<(event: NetworkEvent) => void>();

  constructor(clock: TestClock) {
    this.#clock = clock;
  }

  async put(namespace: string, suffix: string, value: Uint8Array, options: PutOptions = {}) {
    const name = `${namespace}/${suffix}`;
    this.puts.push({ name, value });
    if (this.hasFallenBack()) this.trespasses++;
    if (this.#running.has(name)) this.overlaps++;
    this.#running.add(name);
    try {
      const reached = await this.#transit(options.timeoutMs);
      if (reached && this.refused.has(name)) throw new BzzzError('BAD_MESSAGE', 'not for us');
      const kept = reached && !this.forgotten.has(name);
      if (kept) merge(this.held, name, value);
      else if (!this.forgotten.has(name)) merge(this.short, name, value);
      return outcomeOf(needOf(5, 5), SELF, kept ? [SELF, ...OTHERS] : [SELF]);
    } finally {
      this.#running.delete(name);
    }
  }

  async get(
    namespace: string,
    suffix: string,
    options: GetOptions = {},
  ): Promise<Found | undefined> {
    const reached = await this.#transit(options.timeoutMs);
    const value = reached ? this.held.get(`${namespace}/${suffix}`) : undefined;
    return value && { value, source: 'dht', holders: OTHERS };
  }

  async provide(cid: string, options: { timeoutMs?: number } = {}): Promise<void> {
    if (!(await this.#transit(options.timeoutMs))) {
      throw new BzzzError('PEER_UNREACHABLE', 'nobody to tell');
    }
    this.providers.set(cid, [SELF]);
  }

  async *findProviders(cid: string, options: { timeoutMs?: number } = {}) {
    if (!(await this.#transit(options.timeoutMs))) return;
    yield* this.providers.get(cid) ?? [];
  }

  subscribe(): Cancel {
    return () => {};
  }

  async probe(): Promise<HealthStatus> {
    const reached = await this.#transit(3_000);
    return {
      ...{ component: 'dht', backend: 'real', last_check: '', error_count: 0, latency_ms: 0 },
      status: reached ? 'healthy' : 'degraded',
    };
  }

  async close(): Promise<void> {}

  onNetwork(listener: (event: NetworkEvent) => void): Cancel {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #transit(timeoutMs = 3_000): Promise<boolean> {
    const { mode } = this;
    const ms = mode === 'silent' ? timeoutMs : mode === 'up' ? this.latencyMs : 0;
    if (mode === 'dead') await new Promise(() => {});
    if (ms > 0) await new Promise<void>((resolve) => this.#clock.after(ms, resolve));
    // Who died while it was asked does not answer.
    const ok = mode === 'up' && this.mode === 'up';
    if (ok) for (const [name, value] of this.short) merge(this.held, name, value);
    if (ok) this.short.clear();
    for (const listener of this.#listeners) listener({ ok, ms, reason: 'nobody answered' });
    return ok;
  }
}

function merge(into: Map<string, Uint8Array>, name: string, value: Uint8Array): void {
  const { namespace, suffix } = partsOf(name);
  const before = into.get(name);
  const rule = RULES.of(RULES.key(namespace, suffix));
  into.set(name, before === undefined ? value : RULES.merge(rule, before, value));
}

export interface Lab {
  readonly clock: TestClock;
  readonly network: FakeNetwork;
  readonly store: HybridStore;
  readonly journal: Journal;
  readonly events: HybridEvent[];
  /** The disk below everything. */
  readonly map: Map<string, Uint8Array>;
  /** Turns the clock by `ms` in steps, with everything done in between. */
  turn(ms: number, step?: number): Promise<void>;
}

/** Lets everything run that needs no clock. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** @param map what an earlier lab left on its disk. @param disk replaces the memory over it. */
export async function lab(
  options: HybridOptions = {},
  map = new Map<string, Uint8Array>(),
  disk: KeyValue = memoryKeyValue(map),
  clock = testClock(),
): Promise<Lab> {
  const network = new FakeNetwork(clock);
  const shared = {
    ...{ rules: RULES, clock, log: quietLogger, counters: new Counters() },
    random: testRandom('hybrid'),
  };
  const journal = new Journal({ ...shared, disk: disk.sub('journal') });
  const members = () => [SELF, 'other' as PeerId];
  const own = { self: SELF, members, journal, guard: NOTHING_HELD };
  const local = new LocalRecords({ ...shared, ...own });
  const store = new HybridStore(options, {
    ...{ ...shared, self: SELF, need: () => needOf(5, 5), local, network, journal },
    disk: disk.sub('hybrid'),
  });
  network.hasFallenBack = () => store.status.fallenBack;
  const events: HybridEvent[] = [];
  store.onChange((event) => void events.push(event));
  await store.start();
  return {
    ...{ clock, network, store, journal, events, map },
    async turn(ms, step = 100) {
      await settle();
      for (let at = 0; at < ms; at += step) {
        clock.advance(Math.min(step, ms - at));
        await settle();
      }
    },
  };
}
