/**
 * Brings results to their addresses, behind the signatures: whoever asked is answered first.
 *
 * | role    | what it does                                                                     |
 * | ------- | -------------------------------------------------------------------------------- |
 * | author  | sees to all copies, one result after the other, a moment later; a small part of   |
 * |         | the time while this node signs, without a pause when it does not                 |
 * | witness | stores its own copy a few seconds later, unless the author's has come            |
 *
 * A record in the DHT costs more than its signature, so only one of those that have the result
 * looks after all of its copies. The others have theirs anyway and ask nobody; should the author
 * die, those that hold its records bring back what lacks copies (src/dht/repair.ts).
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
/** A witness waits so long for the author's record: it comes soon while there is little to do. */
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
      void this.#bring(result, 'publish');
      return;
    }
    this.#waiting.push(result);
    this.#newest = this.#deps.clock.now();
    this.#arm(MOMENT_MS);
  }

  /** Another node sealed it, and sees to its copies. */
  witness(result: Result): void {
    this.#watched.push(result);
    this.#look ??= this.#deps.clock.after(WITNESS_MS, () => this.#lookAround());
  }

  /** Writes down what waits, without the network: the node is stopping. */
  async flush(): Promise<void> {
    const waiting = this.#waiting.splice(0);
    await Promise.all(waiting.map((result) => this.#bring(result, 'publish')));
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
      void this.#bring(next, 'complete').then(() => {
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
      for (const result of due) if (!this.#closed) await this.#bring(result, 'keep');
    };
    void work();
  }

  async #bring({ address, record }: Result, how: 'complete' | 'keep' | 'publish'): Promise<void> {
    const { records, done } = this.#deps;
    try {
      // Written down only; what lacks copies then is completed by the store.
      if (how === 'publish') await records.publish(address, record, 'witness');
      else await records[how](address, record);
      done(address);
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
