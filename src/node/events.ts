/**
 * What happened on this node, for the control socket: numbered, with a bounded history, so that a
 * subscriber can resume where it stopped.
 * @module
 */
import { LIMITS } from '../base/limits.ts';
import type { Clock } from '../base/ports.ts';
import { BoundedQueue } from '../base/queue.ts';

export interface NodeEvent {
  /** Counts from 1 in each run of the daemon. */
  readonly id: number;
  /** ISO 8601 UTC. */
  readonly time: string;
  /** `peer.connected`, `roster.changed`, `session.completed`, ... */
  readonly kind: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Emits to any number of subscribers, none of whom can hold up another. */
export class EventLog {
  readonly #clock: Clock;
  readonly #queues = new Set<BoundedQueue<NodeEvent>>();
  #history: NodeEvent[] = [];
  #nextId = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  emit(kind: string, data: Readonly<Record<string, unknown>> = {}): void {
    const time = new Date(this.#clock.wallMs()).toISOString();
    const event = { id: this.#nextId++, time, kind, data };
    this.#history.push(event);
    if (this.#history.length > LIMITS.eventHistory) this.#history.shift();
    for (const queue of this.#queues) queue.push(event);
  }

  /** A queue of its own, filled with what came after `afterId`. Give it back with `release`. */
  subscribe(afterId?: number): BoundedQueue<NodeEvent> {
    const owed = afterId === undefined ? [] : this.#history.filter(({ id }) => id > afterId);
    // What the history still has is never lost for want of room; the events are shared.
    const queue = new BoundedQueue<NodeEvent>(LIMITS.subscriberQueue + owed.length);
    for (const event of owed) queue.push(event);
    this.#queues.add(queue);
    return queue;
  }

  release(queue: BoundedQueue<NodeEvent>): void {
    queue.close();
    this.#queues.delete(queue);
  }
}
