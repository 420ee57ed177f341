/**
 * Runs handlers for one peer: messages of a topic one after the other, topics and requests side by
 * side, so that a slow handler holds up its own topic and nothing else.
 * @module
 */
import type { Clock } from '../../base/ports.ts';

export interface InboxOptions {
  /** Work that may wait or run. */
  readonly items: number;
  readonly bytes: number;
  /** A message handler that takes longer no longer holds up its successors. */
  readonly slowMs: number;
}

export interface InboxDeps {
  readonly clock: Clock;
  readonly slow: (topic: string) => void;
}

interface Job {
  readonly size: number;
  readonly run: () => Promise<void>;
}

/** Bounded. `run` never rejects: whoever offers it deals with its errors. */
export class DirectInbox {
  readonly #options: InboxOptions;
  readonly #deps: InboxDeps;
  readonly #topics = new Map<string, Job[]>();
  #items = 0;
  #bytes = 0;

  constructor(options: InboxOptions, deps: InboxDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Runs after the earlier messages of the topic. @returns false when there is no room. */
  ordered(topic: string, size: number, run: () => Promise<void>): boolean {
    if (!this.#enter(size)) return false;
    const queue = this.#topics.get(topic);
    if (queue !== undefined) {
      queue.push({ size, run });
      return true;
    }
    this.#topics.set(topic, []);
    void this.#work(topic, { size, run });
    return true;
  }

  /** Runs at once. @returns false when there is no room. */
  concurrent(size: number, run: () => Promise<void>): boolean {
    if (!this.#enter(size)) return false;
    void run().finally(() => this.#leave(size));
    return true;
  }

  async #work(topic: string, first: Job): Promise<void> {
    for (let job: Job | undefined = first; job !== undefined; ) {
      const { size } = job;
      const done = job.run().finally(() => this.#leave(size));
      await this.#patiently(topic, done);
      job = this.#topics.get(topic)?.shift();
    }
    this.#topics.delete(topic);
  }

  #patiently(topic: string, done: Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#deps.clock.after(this.#options.slowMs, () => {
        this.#deps.slow(topic);
        resolve();
      });
      void done.then(() => {
        cancel();
        resolve();
      });
    });
  }

  #enter(size: number): boolean {
    if (this.#items >= this.#options.items) return false;
    if (this.#bytes + size > this.#options.bytes && this.#items > 0) return false;
    this.#items++;
    this.#bytes += size;
    return true;
  }

  #leave(size: number): void {
    this.#items--;
    this.#bytes -= size;
  }
}
