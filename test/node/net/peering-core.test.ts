/** When to dial whom, on a clock of numbers. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BACKOFF_MS,
  emptyPeering,
  HINT_GAP_MS,
  PATIENCE_MS,
  type PeeringEffect,
  type PeeringInput,
  type PeeringState,
  stepPeering,
} from '../../../src/node/net/peering-core.ts';

type Event = PeeringInput extends infer I ? (I extends unknown ? Omit<I, 'now'> : never) : never;

/** Carries wishes out: a peer that is up answers a dial after `answerMs`. */
class World {
  now = 0;
  state: PeeringState = emptyPeering;
  readonly dials: { key: string; at: number; patienceMs: number }[] = [];
  /** Who does not answer takes the connection all the same. */
  slow = false;
  readonly evicted: string[] = [];
  readonly up = new Set<string>();
  readonly linked = new Set<string>();
  #later: { at: number; event: Event }[] = [];
  #wake = Number.POSITIVE_INFINITY;
  readonly #chance: () => number;
  most = 0;

  constructor(chance: () => number = () => 0.5) {
    this.#chance = chance;
  }

  input(event: Event): void {
    const deps = { chance: this.#chance, first: (key: string) => key < 'm' };
    const input = { ...event, now: this.now } as PeeringInput;
    const { state, effects } = stepPeering(this.state, input, deps);
    this.state = state;
    for (const effect of effects) this.#run(effect);
    const dialling = [...state.targets.values()].filter((t) => t.state === 'dialling').length;
    this.most = Math.max(this.most, dialling);
  }

  #run(effect: PeeringEffect): void {
    if (effect.type === 'wake') this.#wake = effect.at;
    else if (effect.type === 'evict') this.evicted.push(effect.key);
    else {
      const { key } = effect;
      this.dials.push({ key, at: this.now, patienceMs: effect.patienceMs });
      const ok = this.up.has(key);
      if (ok) this.linked.add(key);
      const event: Event = ok
        ? { type: 'connected', key }
        : { type: 'failed', key, slow: this.slow };
      this.#later.push({ at: this.now + 10, event });
    }
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.#later].sort((a, b) => a.at - b.at);
      const at = Math.min(next?.at ?? Number.POSITIVE_INFINITY, this.#wake);
      if (at > end) break;
      this.now = Math.max(this.now, at);
      if (next !== undefined && next.at === at) {
        this.#later = this.#later.filter((l) => l !== next);
        this.input(next.event);
      } else {
        this.#wake = Number.POSITIVE_INFINITY;
        this.input({ type: 'tick' });
      }
    }
    this.now = end;
  }
}

describe('peering', () => {
  it('dials what is wanted, once while it is connected', () => {
    const world = new World();
    world.up.add('a');
    world.input({ type: 'want', keys: ['a'] });
    world.run(60_000);
    expect(world.dials).toHaveLength(1);
  });

  it('dials a member that is down for ever, 0.25 to 15 s apart, and evicts it', () => {
    const world = new World(() => 0.999);
    world.input({ type: 'want', keys: ['a'] });
    world.run(3_600_000);
    const gaps = world.dials.slice(1).map((d, i) => d.at - (world.dials[i]?.at ?? 0));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(BACKOFF_MS.longest + 20);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(BACKOFF_MS.first / 2);
    expect(world.dials.length).toBeGreaterThan(200);
    expect(world.evicted.length).toBeGreaterThanOrEqual(world.dials.length - 1);
  });

  it('dials at once at a fresh address, also in the middle of a long back-off', () => {
    const world = new World();
    world.input({ type: 'want', keys: ['a'] });
    world.run(120_000);
    const before = world.dials.length;
    world.up.add('a');
    world.run(1);
    world.input({ type: 'hint', key: 'a', fresh: true });
    world.run(HINT_GAP_MS + 100);
    expect(world.dials.length).toBe(before + 1);
    expect(world.state.targets.get('a')?.state).toBe('connected');
  });

  it('gives a host that greets too slowly twice the time at each dial, up to a bound', () => {
    const world = new World();
    world.slow = true;
    world.input({ type: 'want', keys: ['a'] });
    world.run(120_000);
    const patience = world.dials.map(({ patienceMs }) => patienceMs);
    expect(patience.slice(0, 6)).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    world.up.add('a');
    world.run(60_000);
    world.up.delete('a');
    world.input({ type: 'lost', key: 'a' });
    world.run(300);
    expect(world.dials.at(-1)?.patienceMs).toBe(PATIENCE_MS.first);
  });

  it('gives an address where nobody is no more time than the first', () => {
    const world = new World();
    world.input({ type: 'want', keys: ['a'] });
    world.run(120_000);
    expect(new Set(world.dials.map(({ patienceMs }) => patienceMs))).toEqual(new Set([1_000]));
  });

  it('dials at most twice a second, whatever is claimed about a peer', () => {
    const world = new World();
    world.input({ type: 'want', keys: ['a'] });
    for (let i = 0; i < 1_000; i++) {
      world.input({ type: 'hint', key: 'a', fresh: true });
      world.run(10);
    }
    expect(world.dials.length).toBeLessThanOrEqual(10_000 / HINT_GAP_MS + 2);
  });

  it('dials again after a loss, and forgets who is no longer wanted', () => {
    const world = new World();
    world.up.add('a');
    world.input({ type: 'want', keys: ['a'] });
    world.run(1_000);
    world.input({ type: 'lost', key: 'a' });
    world.run(1_000);
    expect(world.dials).toHaveLength(2);
    world.input({ type: 'want', keys: [] });
    world.input({ type: 'hint', key: 'a', fresh: true });
    world.run(60_000);
    expect(world.dials).toHaveLength(2);
  });

  it('has at most eight dials under way in a cold start of fifty', () => {
    const world = new World();
    world.input({ type: 'want', keys: Array.from({ length: 50 }, (_, i) => `a${i}`) });
    world.run(30_000);
    expect(world.most).toBe(8);
    expect(new Set(world.dials.map((d) => d.key)).size).toBe(50);
  });

  it('lets the smaller id go first', () => {
    const world = new World();
    world.up.add('a').add('z');
    world.input({ type: 'want', keys: ['z', 'a'] });
    world.run(2_000);
    expect(world.dials.map((d) => d.key)).toEqual(['a', 'z']);
  });

  it('never loses a wanted peer for good, whatever happened before (R10)', () => {
    const key = fc.constantFrom('a', 'b', 'n', 'z');
    const event = fc.oneof(
      fc.record({ type: fc.constant('hint' as const), key, fresh: fc.boolean() }),
      fc.record({ type: fc.constant('connected' as const), key }),
      fc.record({ type: fc.constant('lost' as const), key }),
      fc.record({ type: fc.constant('failed' as const), key, slow: fc.boolean() }),
      fc.record({ type: fc.constant('want' as const), keys: fc.subarray(['a', 'b', 'n', 'z']) }),
      fc.record({ type: fc.constant('tick' as const) }),
    );
    const history = fc.array(fc.tuple(event, fc.nat(3_000)), { maxLength: 60 });
    fc.assert(
      fc.property(history, (events) => {
        const world = new World();
        for (const [what, ms] of events) {
          world.input(what);
          world.run(ms);
        }
        const all = ['a', 'b', 'n', 'z'];
        for (const peer of all) world.up.add(peer);
        world.input({ type: 'want', keys: all });
        for (const peer of all) world.input({ type: 'lost', key: peer });
        world.run(40_000);
        for (const peer of all) expect(world.state.targets.get(peer)?.state).toBe('connected');
      }),
      { numRuns: 200 },
    );
  });
});
