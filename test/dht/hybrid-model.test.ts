/**
 * The hybrid store against a model, over random faults, crashes and concurrent writes: nothing
 * acknowledged is ever lost, no acknowledgement claims more than was read back, and the values of
 * a key reach the network in the order of their writes.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { PutOutcome } from '../../src/dht/store.ts';
import { type Lab, lab, type Mode, settle } from './hybrid-support.ts';
import { seqOf, sequence } from './support.ts';

type Command =
  | { readonly do: 'put'; readonly key: number; readonly wait: boolean; readonly hasty: boolean }
  | { readonly do: 'mode'; readonly mode: Mode }
  | { readonly do: 'latency'; readonly ms: number }
  | { readonly do: 'turn'; readonly ms: number }
  | { readonly do: 'crash' };

const KEYS = ['a', 'b', 'c', 'd'];
const MODES: readonly Mode[] = ['up', 'down', 'silent', 'dead'];
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('put' as const),
      key: fc.nat(KEYS.length - 1),
      wait: fc.boolean(),
      hasty: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('mode' as const), mode: fc.constantFrom(...MODES) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('latency' as const), ms: fc.constantFrom(0, 30, 700) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('turn' as const),
      ms: fc.integer({ min: 1, max: 6_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
);

/** One history: labs that follow each other over one disk and one network. */
class History {
  at: Lab;
  /** Highest sequence number a key was given, and was acknowledged with. */
  readonly #given = KEYS.map(() => 0);
  readonly #acked = KEYS.map(() => 0);
  readonly #limit: number;
  #life = 0;

  private constructor(at: Lab, limit: number) {
    this.at = at;
    this.#limit = limit;
  }

  static async begin(limit: number): Promise<History> {
    return new History(await lab({ queueLimit: limit }), limit);
  }

  async run(step: Command): Promise<void> {
    if (step.do === 'mode') this.at.network.mode = step.mode;
    if (step.do === 'latency') this.at.network.latencyMs = step.ms;
    if (step.do === 'turn') await this.at.turn(step.ms, 250);
    if (step.do === 'crash') await this.#crash();
    if (step.do === 'put') await this.#put(step);
  }

  async #put({ key, wait, hasty }: Extract<Command, { readonly do: 'put' }>): Promise<void> {
    const name = KEYS[key]!;
    const seq = ++this.#given[key]!;
    const life = this.#life;
    const options = hasty ? { timeoutMs: 40 } : {};
    const put = this.at.store.put('n', name, sequence(name, seq), options);
    const judged = put.then((outcome) => {
      // What a crashed store says reaches nobody.
      if (life === this.#life) this.#judge(key, seq, outcome);
    });
    if (!wait) return void judged;
    for (let i = 0; i < 40 && (await pending(judged)); i++) await this.at.turn(100);
  }

  #judge(key: number, seq: number, { ack, holders }: PutOutcome): void {
    const name = `n/${KEYS[key]}`;
    this.#acked[key] = Math.max(this.#acked[key]!, seq);
    const stored = [...this.at.map].find(([at]) => at.endsWith(`journal!${name}`));
    expect(seqOf(stored![1]), `${name} journalled`).toBeGreaterThanOrEqual(seq);
    const held = this.at.network.held.get(name);
    if (ack !== 'local') expect(seqOf(held!), `${name} held`).toBeGreaterThanOrEqual(seq);
    expect(holders.length).toBe(ack === 'local' ? 1 : 5);
  }

  /** What was not on the disk is gone; the network and what it holds stay. */
  async #crash(): Promise<void> {
    this.checkOrder();
    this.#life++;
    const { held, mode, short } = this.at.network;
    this.at = await lab({ queueLimit: this.#limit }, new Map(this.at.map));
    for (const [name, value] of held) this.at.network.held.set(name, value);
    // A network store looks through the journal when it starts.
    for (const [name, value] of short) this.at.network.short.set(name, value);
    this.at.network.mode = mode;
    await this.checkJournal();
  }

  async checkJournal(): Promise<void> {
    for (const [key, name] of KEYS.entries()) {
      if (this.#acked[key] === 0) continue;
      const found = await this.at.store.get('n', name, { localOnly: true });
      expect(seqOf(found!.value), `n/${name} kept`).toBeGreaterThanOrEqual(this.#acked[key]!);
    }
  }

  /** Within a life of the store; after a crash the journal's newest comes again. */
  checkOrder(): void {
    expect(this.at.network.trespasses).toBe(0);
    for (const name of KEYS) {
      const sent = this.at.network.puts.filter((put) => put.name === `n/${name}`);
      const seqs = sent.map(({ value }) => seqOf(value));
      expect(seqs, `order of n/${name}`).toEqual([...seqs].sort((a, b) => a - b));
    }
  }

  async heal(): Promise<void> {
    this.at.network.mode = 'up';
    this.at.network.latencyMs = 0;
    await this.at.turn(180_000, 1_000);
    this.checkOrder();
    await this.checkJournal();
    expect(this.at.store.status).toMatchObject({ fallenBack: false, queued: 0 });
    expect(this.at.store.deadLetters()).toEqual([]);
    for (const [key, name] of KEYS.entries()) {
      if (this.#acked[key] === 0) continue;
      const held = this.at.network.held.get(`n/${name}`);
      expect(seqOf(held!), `n/${name} replicated`).toBeGreaterThanOrEqual(this.#acked[key]!);
    }
    await this.at.store.close();
  }
}

async function pending(work: Promise<unknown>): Promise<boolean> {
  const mark = {};
  return (await Promise.race([work, settle().then(() => mark)])) === mark;
}

it('over random faults: nothing acknowledged is lost, no ack claims too much, order holds', async () => {
  const schedule = fc.array(command, { minLength: 5, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(schedule, fc.constantFrom(2, 1_000), async (steps, limit) => {
      const history = await History.begin(limit);
      for (const step of steps) await history.run(step);
      await history.heal();
    }),
    { numRuns: 60 },
  );
});
