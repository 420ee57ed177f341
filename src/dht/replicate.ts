/**
 * Completes copies in the background: a bounded backlog, a few at a time, with back-off.
 * @module
 */
import type { Millis } from '../base/brands.ts';
import type { Cancel, Clock, Logger, Random } from '../base/ports.ts';
import { Backlog } from './backlog.ts';
import type { Counters } from './counters.ts';
import { chanceOf } from './republish.ts';

export interface ReplicatorDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly counters: Counters;
  /** @returns whether all copies are there now. */
  ensure(key: Uint8Array, signal: AbortSignal): Promise<boolean>;
}

const LIMIT = 1_024;
const PARALLEL = 4;
/** The longest wait, in first waits. */
const MAX_FACTOR = 60;
/**
 * Rest after a round, in lengths of it; longer when copies failed. Peers that do not answer in time
 * have much to do, and copies that are only looked after must not be what they have to do.
 */
const REST = { done: 1, failed: 4 } as const;

/** Works between `start` and `stop`; `add` before `start` waits for it. */
export class Replicator {
  readonly #deps: ReplicatorDeps;
  readonly #backlog: Backlog;
  #cancel: Cancel | undefined;
  #stop: AbortController | undefined;
  #round: Promise<void> | undefined;
  #restsUntil: Millis = 0 as Millis;

  constructor(options: { readonly retryMs: number }, deps: ReplicatorDeps) {
    const firstMs = options.retryMs;
    this.#backlog = new Backlog({ limit: LIMIT, firstMs, maxMs: firstMs * MAX_FACTOR });
    this.#deps = deps;
  }

  get size(): number {
    return this.#backlog.size;
  }

  start(): void {
    this.#stop = new AbortController();
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#stop?.abort();
    this.#stop = undefined;
    this.#cancel?.();
    await this.#round;
  }

  /** Notes that `key` lacks copies. */
  add(name: string, key: Uint8Array): void {
    const { clock, counters } = this.#deps;
    if (this.#backlog.add(name, key, clock.now())) counters.add('replicateDropped');
    this.#arm();
  }

  /** One timer for the earliest attempt; a round under way arms it anew when it ends. */
  #arm(): void {
    if (this.#stop === undefined || this.#round !== undefined) return;
    const at = this.#backlog.nextAt();
    this.#cancel?.();
    if (at === undefined) return;
    const { clock } = this.#deps;
    const from = Math.max(at, this.#restsUntil);
    this.#cancel = clock.after(Math.max(0, from - clock.now()), () => {
      const signal = this.#stop?.signal;
      if (signal === undefined || this.#round !== undefined) return;
      this.#round = this.#work(signal).finally(() => {
        this.#round = undefined;
        this.#arm();
      });
    });
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const since = clock.now();
    const due = this.#backlog.due(since, PARALLEL);
    const done = await Promise.all(due.map(({ name, key }) => this.#one(name, key, signal)));
    const { done: short, failed: long } = REST;
    const lengths = done.every((one) => one) ? short : long;
    this.#restsUntil = (clock.now() + lengths * (clock.now() - since)) as Millis;
  }

  /** @returns whether it has all copies now. */
  async #one(name: string, key: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const { clock, counters, log, random, ensure } = this.#deps;
    try {
      if (await ensure(key, signal)) {
        this.#backlog.settle(name);
        counters.add('replicated');
        return true;
      }
    } catch (err) {
      log.warn({ err, record: name }, 'copies of a record could not be completed');
    }
    counters.add('replicateFailed');
    this.#backlog.postpone(name, clock.now(), chanceOf(random));
    return false;
  }
}
