/**
 * `GET /v1/events`: the node's events as server-sent events
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 *
 * An id is `<run>.<n>`: event numbers begin anew in each run of the daemon, and a client that
 * resumes over a restart must neither miss the new ones nor take them for old. What was lost,
 * because the history is bounded or the client slow, is said by a `lagged` event.
 * @module
 */
import type { QueueItem } from '../../base/queue.ts';
import type { EventLog, NodeEvent } from '../events.ts';

/** Where a client stopped; undefined when it begins. */
export interface ResumePoint {
  readonly run: string;
  readonly id: number;
}

/** Reads an id that this or an earlier run gave. Anything else counts as a fresh start. */
export function parseEventId(text: string | undefined): ResumePoint | undefined {
  const match = /^([0-9a-z]{1,16})\.(\d{1,15})$/.exec(text ?? '');
  return match === null ? undefined : { run: match[1] ?? '', id: Number(match[2]) };
}

const frame = (id: string | undefined, event: string, data: unknown): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

/** A comment line, which clients ignore; it keeps the connection known to be alive. */
export const HEARTBEAT = ': alive\n\n';

/** Turns queue items into frames, and gaps in the numbering into `lagged` events. Pure. */
export class EventFramer {
  readonly #run: string;
  /** Number of the next event if nothing is lost; undefined: not known. */
  #expected: number | undefined;

  constructor(run: string, resume: ResumePoint | undefined) {
    this.#run = run;
    // After a restart the whole history of the new run is owed.
    if (resume !== undefined) this.#expected = resume.run === run ? resume.id + 1 : 1;
  }

  /** The frames of one item, none, one or two. */
  next(item: QueueItem<NodeEvent>): string {
    if (item.kind === 'lagged') {
      // With a known number the gap in front of the next event says the same, once.
      return this.#expected === undefined ? this.#lagged(item.missed) : '';
    }
    const { id, kind, ...rest } = item.value;
    const missed = this.#expected === undefined ? 0 : id - this.#expected;
    this.#expected = id + 1;
    const event = frame(`${this.#run}.${id}`, kind, { id, kind, ...rest });
    return missed > 0 ? this.#lagged(missed) + event : event;
  }

  #lagged(missed: number): string {
    return frame(undefined, 'lagged', { missed });
  }
}

/** What the stream needs of the world. */
export interface EventStreamOptions {
  readonly run: string;
  readonly resume: ResumePoint | undefined;
  readonly heartbeatMs: number;
  /** false: ends after what has happened so far. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/**
 * The body of the response. A client that reads slowly fills its own bounded queue and nothing
 * else: a frame is made only when the connection takes one.
 */
export function eventStream(
  events: EventLog,
  options: EventStreamOptions,
): ReadableStream<Uint8Array> {
  const { run, resume, heartbeatMs, follow, signal } = options;
  const after = resume === undefined ? undefined : resume.run === run ? resume.id : 0;
  const queue = events.subscribe(after);
  const framer = new EventFramer(run, resume);
  const items = queue[Symbol.asyncIterator]();
  const end = (): void => events.release(queue);
  signal.addEventListener('abort', end, { once: true });
  let waiting: Promise<IteratorResult<QueueItem<NodeEvent>>> | undefined;
  const bytes = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => controller.enqueue(bytes.encode('retry: 500\n\n')),
      async pull(controller) {
        for (;;) {
          if (!follow && queue.size === 0) {
            end();
            return controller.close();
          }
          waiting ??= items.next();
          const next = await orHeartbeat(waiting, heartbeatMs);
          if (next === 'heartbeat') return controller.enqueue(bytes.encode(HEARTBEAT));
          waiting = undefined;
          if (next.done === true) return controller.close();
          const text = framer.next(next.value);
          if (text !== '') return controller.enqueue(bytes.encode(text));
        }
      },
      cancel: end,
    },
    { highWaterMark: 1 },
  );
}

async function orHeartbeat<T>(work: Promise<T>, ms: number): Promise<T | 'heartbeat'> {
  let timer: NodeJS.Timeout | undefined;
  const beat = new Promise<'heartbeat'>((done) => {
    timer = setTimeout(done, ms, 'heartbeat');
    timer.unref();
  });
  try {
    return await Promise.race([work, beat]);
  } finally {
    clearTimeout(timer);
  }
}
