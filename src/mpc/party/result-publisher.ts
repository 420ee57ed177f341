/**
 * Brings results to their addresses, behind the signatures: whoever asked is answered first.
 *
 * | role    | what it does                                                                   |
 * | ------- | ------------------------------------------------------------------------------ |
 * | author  | publishes one by one, a moment later; a small part of the time while this node  |
 * |         | signs, without a pause when it does not                                        |
 * | witness | looks after a while whether the record has arrived here, and if not publishes it |
 *
 * A record in the DHT costs more than its signature: each holder that has the result would put it
 * there, and all of them at once. The author's put brings it to the others; they act only when it
 * did not come, because the author died.
 * @module
 */
import type { Cancel, Clock, Logger } from '../../base/ports.ts';
import type { RecordsPort } from './ports.ts';

/** Before a publication: the answer goes out first. In ms. */
const MOMENT_MS = 15;
/** This node signs while sessions run, and so long after a result. In ms. */
const SIGNING_MS = 500;
/** While it does: the shortest and the longest pause behind a publication, in ms. */
const PAUSE_MS = [200, 3_000] as const;
/** And how many times as long as the publication it is: the slower the machine, the longer. */
const PAUSE_FACTOR = 30;
/** A witness waits so long for the author's record. */
const WITNESS_MS = 3_000;
/** Results that wait. What comes on top goes to the store's own backlog, which is bounded too. */
const BACKLOG = 4_096;

interface Result {
  readonly address: string;
  readonly record: Uint8Array;
}

/** @property busy whether sessions are under way. */
export interface PublisherDeps {
  readonly records: RecordsPort;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly busy: () => boolean;
  /** The record stands at its address, or the store sees to that from now on. */
  readonly done: (address: string) => void;
}

/** The results of this node on their way. Failures are logged; the store tries again by itself. */
export class ResultPublisher {
  readonly #deps: PublisherDeps;
  readonly #waiting: Result[] = [];
  readonly #watched: Result[] = [];
  #publishing = false;
  #newest = Number.NEGATIVE_INFINITY;
  #pause: Cancel | undefined;
  #look: Cancel | undefined;
  #closed = false;

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
  }

  /** Timers under way. */
  get timers(): number {
    return [this.#pause, this.#look].filter((timer) => timer !== undefined).length;
  }

  /** This node sealed the record. */
  author(result: Result): void {
    if (this.#waiting.length >= BACKLOG) {
      void this.#publish(result, 'witness');
      return;
    }
    this.#waiting.push(result);
    this.#newest = this.#deps.clock.now();
    this.#arm(MOMENT_MS);
  }

  /** Another node sealed it, and should publish it. */
  witness(result: Result): void {
    if (this.#watched.length >= BACKLOG) {
      void this.#publish(result, 'witness');
      return;
    }
    this.#watched.push(result);
    this.#look ??= this.#deps.clock.after(WITNESS_MS, () => this.#lookAround());
  }

  /** Writes down what waits, without the network: the node is stopping. */
  async flush(): Promise<void> {
    const waiting = this.#waiting.splice(0);
    await Promise.all(waiting.map((result) => this.#publish(result, 'witness')));
  }

  close(): void {
    this.#closed = true;
    this.#pause?.();
    this.#look?.();
    this.#pause = undefined;
    this.#look = undefined;
    this.#watched.length = 0;
  }

  #arm(ms: number): void {
    if (this.#publishing || this.#pause !== undefined || this.#closed) return;
    if (this.#waiting.length === 0) return;
    this.#pause = this.#deps.clock.after(ms, () => {
      this.#pause = undefined;
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const { clock, busy } = this.#deps;
      const started = clock.now();
      this.#publishing = true;
      void this.#publish(next, 'author').then(() => {
        this.#publishing = false;
        const now = clock.now();
        const signing = busy() || now - this.#newest < SIGNING_MS;
        this.#arm(signing ? pauseAfter(now - started) : 0);
      });
    });
  }

  /** What was being watched at the beginning of the wait has had its time, and more. */
  #lookAround(): void {
    this.#look = undefined;
    const due = this.#watched.splice(0);
    const work = async (): Promise<void> => {
      for (const result of due) {
        if (this.#closed) return;
        const { records, done } = this.#deps;
        if (await records.isStored(result.address)) done(result.address);
        else await this.#publish(result, 'witness');
      }
    };
    work().catch((error: unknown) => this.#failed(error));
  }

  async #publish({ address, record }: Result, role: 'author' | 'witness'): Promise<void> {
    try {
      await this.#deps.records.publish(address, record, role);
      this.#deps.done(address);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    this.#deps.logger.warn({ error: String(error) }, 'publish result failed');
  }
}

const pauseAfter = (spentMs: number): number =>
  Math.min(PAUSE_MS[1], Math.max(PAUSE_MS[0], PAUSE_FACTOR * spentMs));
