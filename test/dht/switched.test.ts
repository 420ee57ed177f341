/** The switched record store: which backend a call ends on, what is counted, what is told. */
import { describe, expect, it } from 'vitest';
import { ArmCounts, BackendMeter } from '../../src/base/backend-meter.ts';
import type { PeerId } from '../../src/base/brands.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { type Backend, backendFor, Switch } from '../../src/base/switch.ts';
import type { Found, HealthStatus, PutOutcome, RecordStore } from '../../src/dht/store.ts';
import { SwitchedStore } from '../../src/dht/switched.ts';
import { testClock } from '../support/world.ts';

const SELF = 'self' as PeerId;

/** A backend over a disk that all share; each call waits until it is let go, if it is held. */
class Paper implements RecordStore {
  readonly asked: string[] = [];
  failWith: BzzzError | undefined;
  closed = false;
  gate: Promise<void> = Promise.resolve();
  readonly #disk: Map<string, Uint8Array>;
  readonly #word: Backend;

  constructor(word: Backend, disk: Map<string, Uint8Array>) {
    this.#word = word;
    this.#disk = disk;
  }

  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.gate = promise;
    return resolve;
  }

  async #pass(what: string): Promise<void> {
    this.asked.push(what);
    if (this.closed) throw new BzzzError('DRAINING', 'closed');
    const { gate, failWith } = this;
    await gate;
    if (failWith !== undefined) throw failWith;
  }

  async put(namespace: string, suffix: string, value: Uint8Array): Promise<PutOutcome> {
    this.#disk.set(`${namespace}/${suffix}`, value);
    await this.#pass(`put ${suffix}`);
    return { ack: this.#word === 'mock' ? 'local' : 'quorum', holders: [SELF], pending: 0 };
  }

  async get(namespace: string, suffix: string): Promise<Found | undefined> {
    await this.#pass(`get ${suffix}`);
    const value = this.#disk.get(`${namespace}/${suffix}`);
    return value && { value, source: 'local', holders: [SELF] };
  }

  async provide(cid: string): Promise<void> {
    await this.#pass(`provide ${cid}`);
  }

  async *findProviders(cid: string): AsyncGenerator<PeerId> {
    await this.#pass(`find ${cid}`);
    yield SELF;
    yield 'other' as PeerId;
  }

  subscribe(): () => void {
    this.asked.push('subscribe');
    return () => void this.asked.push('unsubscribe');
  }

  async probe(): Promise<HealthStatus> {
    await this.#pass('probe');
    return {
      component: 'dht',
      backend: 'real',
      status: 'healthy',
      last_check: '2026-01-01T00:00:00.000Z',
      error_count: 0,
      latency_ms: 1,
    };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** What the hybrid backend counted itself. */
const HYBRID = { arms: new ArmCounts(), fallbacks: 2, recoveries: 1 };
HYBRID.arms.add('mock', 7, true);
HYBRID.arms.add('real', 15, true);
HYBRID.arms.add('real', 25, false);

function world(backend: Backend = 'hybrid', percent = 100) {
  const disk = new Map<string, Uint8Array>();
  const backends = {
    mock: new Paper('mock', disk),
    real: new Paper('real', disk),
    hybrid: new Paper('hybrid', disk),
  };
  const choice = new Switch('dht', { backend, percent });
  const meter = new BackendMeter('dht', () => HYBRID);
  const clock = testClock();
  const told: boolean[] = [];
  const store = new SwitchedStore({
    ...{ backends, choice, meter, clock },
    network: (inUse) => void told.push(inUse),
  });
  const set = (to: Backend, share = 100) =>
    choice.apply({ kind: 'set', choice: { backend: to, percent: share } });
  return { disk, backends, choice, meter, clock, told, store, set };
}

const bytes = Uint8Array.of(1, 2, 3);
/** Lets everything run that waits for nothing but its turn. */
const settled = () => new Promise((done) => setImmediate(done));

describe('the switched record store', () => {
  it('asks the backend that is chosen, for every call', async () => {
    for (const backend of ['mock', 'real', 'hybrid'] as const) {
      const w = world('hybrid');
      w.set(backend);
      await w.store.put('i', 'a', bytes);
      expect((await w.store.get('i', 'a'))?.value).toEqual(bytes);
      await w.store.provide('cid');
      const found: PeerId[] = [];
      for await (const peer of w.store.findProviders('cid')) found.push(peer);
      expect(found).toEqual([SELF, 'other']);
      expect((await w.store.probe()).backend).toBe(backend);
      expect(w.backends[backend].asked).toEqual([
        'put a',
        'get a',
        'provide cid',
        'find cid',
        'probe',
      ]);
      const others = Object.values(w.backends).filter((b) => b !== w.backends[backend]);
      expect(others.flatMap(({ asked }) => asked)).toEqual([]);
    }
  });

  it('ends a call on the backend that it began on', async () => {
    const w = world('hybrid');
    const release = w.backends.hybrid.hold();
    const put = w.store.put('i', 'a', bytes);
    await settled();
    w.set('mock');
    // The network stays in use for as long as the call needs it.
    expect([w.store.usesNetwork, w.told]).toEqual([true, []]);
    expect((await w.store.put('i', 'b', bytes)).ack).toBe('local');
    release();
    expect((await put).ack).toBe('quorum');
    expect([w.store.usesNetwork, w.told]).toEqual([false, [false]]);
    expect(w.backends.hybrid.asked).toEqual(['put a']);
    expect(w.backends.mock.asked).toEqual(['put b']);
  });

  it('fails no call and loses no write in 100 switches under load (R68, A7)', async () => {
    const w = world('hybrid');
    const words = ['mock', 'real', 'hybrid'] as const;
    const written = new Set<string>();
    let failed = 0;
    let stop = false;
    const worker = async (id: number): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const suffix = `${id}-${n}`;
        try {
          await w.store.put('i', suffix, bytes);
          written.add(suffix);
          if ((await w.store.get('i', suffix)) === undefined) failed++;
        } catch {
          failed++;
        }
        await settled();
      }
    };
    const workers = Array.from({ length: 20 }, (_, id) => worker(id));
    for (let n = 0; w.choice.state.generation < 100; n++) {
      if (n % 10 === 9) w.choice.apply({ kind: n % 20 === 9 ? 'rollback' : 'isolate' });
      else w.set(words[n % 3] ?? 'mock', n % 4 === 0 ? 50 : 100);
      await settled();
    }
    stop = true;
    await Promise.all(workers);
    expect(failed).toBe(0);
    expect(written.size).toBeGreaterThan(1_000);
    for (const suffix of written) expect(await w.store.get('i', suffix)).toBeDefined();
    for (const { asked } of Object.values(w.backends)) expect(asked.length).toBeGreaterThan(100);
  });

  it('tells of what was written without the network, also of what ended late (A7)', async () => {
    const w = world('mock');
    expect(w.store.usesNetwork).toBe(false);
    const release = w.backends.mock.hold();
    const late = w.store.put('i', 'late', bytes);
    const reading = w.store.get('i', 'x');
    await settled();
    w.set('real');
    expect([w.store.usesNetwork, w.told]).toEqual([true, [true]]);
    w.backends.mock.gate = Promise.resolve();
    release();
    await Promise.all([late, reading]);
    expect(w.told).toEqual([true, true]);
    // Nothing is news to the network in a switch between its own backends.
    w.set('hybrid');
    await w.store.put('i', 'b', bytes);
    expect(w.told).toEqual([true, true]);
  });

  it('waits for the writes of before only, and not at all when it is local again', async () => {
    const w = world('mock');
    const release = w.backends.mock.hold();
    const before = w.store.put('i', 'before', bytes);
    await settled();
    w.set('hybrid', 1);
    const key = Array.from({ length: 99 }, (_, n) => `k${n}`).find(
      (k) => backendFor(w.choice.state, `i/${k}`) === 'mock',
    );
    const again = w.backends.mock.hold();
    const after = w.store.put('i', String(key), bytes);
    await settled();
    release();
    await before;
    expect(w.told).toEqual([true, true]);
    again();
    await after;
    expect(w.told).toEqual([true, true]);

    const third = w.backends.mock.hold();
    const lost = w.store.put('i', String(key), bytes);
    await settled();
    w.set('hybrid', 2);
    w.choice.apply({ kind: 'isolate' });
    third();
    await lost;
    expect(w.told).toEqual([true, true, true, false]);
  });

  it('tells when the share grows, and not when it shrinks', () => {
    const w = world('hybrid', 30);
    w.set('hybrid', 60);
    expect(w.told).toEqual([true]);
    w.set('hybrid', 20);
    expect(w.told).toEqual([true]);
  });

  it('serves each key by its share, always the same one (R70)', async () => {
    const w = world('real', 30);
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < 1_000; n++) await w.store.put('i', `${n}`, bytes);
    }
    const [mock, real] = [w.backends.mock.asked, w.backends.real.asked];
    expect(mock.length + real.length).toBe(2_000);
    expect(new Set(mock).size + new Set(real).size).toBe(1_000);
    expect(real.length / 2_000).toBeGreaterThan(0.25);
    expect(real.length / 2_000).toBeLessThan(0.35);
    const { mock_requests, real_requests } = w.meter.metrics();
    expect([mock_requests, real_requests]).toEqual([
      mock.length + HYBRID.arms.count('mock').requests,
      real.length + HYBRID.arms.count('real').requests,
    ]);
  });

  it('counts with the documented names, by who answered', async () => {
    const w = world('hybrid');
    const timed = async (work: Promise<unknown>, ms: number) => {
      w.clock.advance(ms);
      return work.catch((thrown: unknown) => thrown);
    };
    w.set('real');
    await timed(w.store.put('i', 'a', bytes), 30);
    w.backends.real.failWith = new BzzzError('NO_QUORUM', 'too few');
    await timed(w.store.put('i', 'b', bytes), 10);
    // The caller's own mistake is not the backend's.
    w.backends.real.failWith = new BzzzError('BAD_MESSAGE', 'not a record');
    await timed(w.store.put('i', 'c', bytes), 2);
    w.set('mock');
    await timed(w.store.get('i', 'a'), 5);
    // Counted by the hybrid backend, if at all.
    w.set('hybrid');
    await timed(w.store.get('i', 'a'), 1_000);
    expect(w.meter.metrics()).toEqual({
      component: 'dht',
      mock_requests: 2,
      real_requests: 5,
      fallback_events: 2,
      recovery_events: 1,
      avg_latency_mock: 6,
      avg_latency_real: 16.4,
      error_rate_mock: 0,
      error_rate_real: 0.4,
    });
  });

  it('has zeros, not gaps, where nothing was asked', () => {
    const meter = new BackendMeter('dht', () => ({ fallbacks: 0, recoveries: 0 }));
    expect(meter.metrics()).toEqual({
      component: 'dht',
      mock_requests: 0,
      real_requests: 0,
      fallback_events: 0,
      recovery_events: 0,
      avg_latency_mock: 0,
      avg_latency_real: 0,
      error_rate_mock: 0,
      error_rate_real: 0,
    });
  });

  it('frees the backend when a reader of providers has had enough', async () => {
    const w = world('real');
    for await (const peer of w.store.findProviders('cid')) {
      expect(peer).toBe(SELF);
      break;
    }
    w.set('mock');
    expect(w.store.usesNetwork).toBe(false);
  });

  it('closes all backends, and subscribes to one', async () => {
    const w = world();
    w.store.subscribe(() => {})();
    expect(w.backends.mock.asked).toEqual(['subscribe', 'unsubscribe']);
    await w.store.close();
    expect(Object.values(w.backends).every(({ closed }) => closed)).toBe(true);
    await expect(w.store.get('i', 'a')).rejects.toMatchObject({ code: 'DRAINING' });
    w.set('mock');
    expect(w.told).toEqual([]);
  });
});
