/**
 * A bounded queue for one slow consumer. When it is full the oldest item goes, and the consumer is
 * told how many it missed by a `lagged` marker, so a producer never waits.
 * @module
 */

export type QueueItem<T> =
  | { readonly kind: 'item'; readonly value: T }
  | { readonly kind: 'lagged'; readonly missed: number };

/** First in, first out; iterate to consume, `close` to end. */
export class BoundedQueue<T> implements AsyncIterable<QueueItem<T>> {
  readonly #limit: number;
  #items: T[] = [];
  #missed = 0;
  #droppedTotal = 0;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Items lost since the queue was made; a metric. */
  get dropped(): number {
    return this.#droppedTotal;
  }

  get size(): number {
    return this.#items.length;
  }

  push(value: T): void {
    if (this.#closed) return;
    if (this.#items.length >= this.#limit) {
      this.#items.shift();
      this.#missed++;
      this.#droppedTotal++;
    }
    this.#items.push(value);
    this.#wake?.();
  }

  /** Ends iteration after the items that are waiting. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  /** Takes the next item or marker without waiting. */
  take(): QueueItem<T> | undefined {
    if (this.#missed > 0) {
      const missed = this.#missed;
      this.#missed = 0;
      return { kind: 'lagged', missed };
    }
    const value = this.#items.shift();
    return value === undefined ? undefined : { kind: 'item', value };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<QueueItem<T>, void, undefined> {
    for (;;) {
      const next = this.take();
      if (next !== undefined) {
        yield next;
      } else if (this.#closed) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
