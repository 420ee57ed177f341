/** Server-sent events: in order, none twice, none lost without a word. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/base/limits.ts';
import type { BoundedQueue } from '../../../src/base/queue.ts';
import { ControlClient, type ControlEvent } from '../../../src/node/control/client.ts';
import {
  EventFramer,
  parseEventId,
  type ResumePoint,
} from '../../../src/node/control/event-stream.ts';
import { type SseEvent, SseParser } from '../../../src/node/control/sse.ts';
import { EventLog, type NodeEvent } from '../../../src/node/events.ts';
import { systemClock } from '../../../src/node/system.ts';
import { Harness } from './harness.ts';

let h: Harness;
beforeEach(async () => {
  h = await Harness.start({ heartbeatMs: 100 });
});
afterEach(() => h.stop());

/** A raw subscription. */
async function subscribe(
  headers = '',
  query = '',
): Promise<{
  text: () => string;
  events: () => SseEvent[];
  destroy: () => void;
}> {
  const socket = await h.raw();
  let text = '';
  const started = new Promise<void>((done) => {
    socket.on('data', (chunk) => {
      text += chunk;
      if (text.includes('retry:')) done();
    });
  });
  socket.write(`GET /v1/events${query} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
  await started;
  return {
    text: () => text,
    // Chunk sizes stand between the events; they carry no field.
    events: () => new SseParser().push(text.replaceAll(/\r\n[0-9a-f]*\r?\n?/g, '')),
    destroy: () => socket.destroy(),
  };
}

const ns = (events: readonly { data: unknown }[]): unknown[] =>
  events.map(({ data }) => {
    const document = typeof data === 'string' ? JSON.parse(data) : data;
    return document.data?.n ?? document;
  });

describe('GET /v1/events', () => {
  it('sends what happens, with id, kind and data', async () => {
    const s = await subscribe();
    h.node.events.emit('peer.connected', { n: 1 });
    await expect.poll(() => s.events().length).toBe(1);
    const [event] = s.events();
    expect(event?.event).toBe('peer.connected');
    expect(event?.id).toMatch(/^[0-9a-f]{12}\.1$/);
    expect(JSON.parse(event?.data ?? '')).toEqual({
      id: 1,
      kind: 'peer.connected',
      time: expect.any(String),
      data: { n: 1 },
    });
    s.destroy();
  });

  it('sends comments when nothing happens', async () => {
    const s = await subscribe();
    await expect.poll(() => s.text().split(': alive').length).toBeGreaterThan(2);
    expect(s.events()).toEqual([]);
    s.destroy();
  });

  it('resumes after the last event seen: no gap, none twice', async () => {
    const first = await subscribe();
    for (let n = 1; n <= 20; n++) h.node.events.emit('x', { n });
    await expect.poll(() => first.events().length).toBe(20);
    first.destroy();
    const seen = first.events().slice(0, 12);
    for (let n = 21; n <= 25; n++) h.node.events.emit('x', { n });
    const second = await subscribe(`Last-Event-ID: ${seen.at(-1)?.id}\r\n`);
    h.node.events.emit('x', { n: 26 });
    await expect.poll(() => second.events().length).toBe(14);
    expect(ns([...seen, ...second.events()])).toEqual(Array.from({ length: 26 }, (_, i) => i + 1));
    second.destroy();
  });

  it('says how many were lost when the history no longer has them', async () => {
    const first = await subscribe();
    h.node.events.emit('x', { n: 1 });
    await expect.poll(() => first.events().length).toBe(1);
    const id = first.events()[0]?.id;
    first.destroy();
    const more = LIMITS.eventHistory + 10;
    for (let n = 2; n <= more; n++) h.node.events.emit('x', { n });
    const second = await subscribe(`Last-Event-ID: ${id}\r\n`, '?follow=0');
    await expect.poll(() => second.events().some((e) => e.event === 'x')).toBe(true);
    const newest = () => JSON.parse(second.events().at(-1)?.data ?? '{}').data?.n;
    await expect.poll(newest, { timeout: 20_000 }).toBe(more);
    const events = second.events();
    expect(events[0]?.event).toBe('lagged');
    const missed = JSON.parse(events[0]?.data ?? '').missed;
    expect(missed + events.filter((e) => e.event === 'x').length).toBe(more - 1);
  });

  it('after a restart of the daemon gives all of the new run, whatever the old number was', async () => {
    const s = await subscribe('Last-Event-ID: 0123456789ab.500\r\n');
    h.node.events.emit('x', { n: 1 });
    await expect.poll(() => ns(s.events())).toEqual([1]);
    s.destroy();
    const later = await subscribe('Last-Event-ID: 0123456789ab.500\r\n');
    await expect.poll(() => ns(later.events())).toEqual([1]);
    later.destroy();
  });

  it('a client that does not read holds up nobody and is told what it missed', async () => {
    const slow = await h.raw();
    slow.pause();
    slow.write('GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n');
    const quick = await subscribe();
    const filler = 'x'.repeat(2_000);
    const many = 6_000;
    for (let n = 1; n <= many; n++) {
      h.node.events.emit('x', { n, filler });
      if (n % 500 === 0) await h.get('/livez');
    }
    await expect.poll(() => quick.text().includes(`"n":${many},`), { timeout: 10_000 }).toBe(true);
    let text = '';
    slow.on('data', (chunk) => (text += chunk));
    slow.resume();
    await expect.poll(() => text.includes(`"n":${many},`), { timeout: 10_000 }).toBe(true);
    expect(text).toContain('event: lagged');
    quick.destroy();
    slow.destroy();
  });

  it('gives its queue back when the client goes away', async () => {
    const released: unknown[] = [];
    const { events } = h.node;
    const original = events.release.bind(events);
    events.release = (queue) => {
      released.push(queue);
      original(queue);
    };
    const s = await subscribe();
    s.destroy();
    await expect.poll(() => new Set(released).size).toBe(1);
  });
});

describe('the client', () => {
  const client = (signal?: AbortSignal): ControlClient =>
    new ControlClient({
      socketPath: h.path,
      timeoutMs: 5_000,
      ...(signal === undefined ? {} : { signal }),
    });

  it('reads the history and ends', async () => {
    for (let n = 1; n <= 3; n++) h.node.events.emit('x', { n });
    const seen: ControlEvent[] = [];
    for await (const event of client().events({ after: '0.0', follow: false })) seen.push(event);
    expect(ns(seen)).toEqual([1, 2, 3]);
  });

  it('goes on over a lost connection: no gap, none twice', async () => {
    const abort = new AbortController();
    const seen: ControlEvent[] = [];
    const reading = (async () => {
      for await (const event of client(abort.signal).events({ after: '0.0', follow: true })) {
        seen.push(event);
      }
    })().catch((e: unknown) => e);
    for (let n = 1; n <= 5; n++) h.node.events.emit('x', { n });
    await expect.poll(() => seen.length).toBe(5);
    await h.server.stop();
    h.server = h.make();
    // The same process keeps its events, but a new server is a new run to its clients, and resumes
    // with everything it remembers.
    const before = seen.length;
    h.node.events.emit('x', { n: 6 });
    await h.server.start();
    await expect.poll(() => seen.length, { timeout: 5_000 }).toBe(before + 6);
    expect(ns(seen.slice(before))).toEqual([1, 2, 3, 4, 5, 6]);
    abort.abort();
    expect(await reading).toMatchObject({ code: 'INTERRUPTED' });
  });

  it('says at once that no daemon is there', async () => {
    await h.server.stop();
    const events = client().events({ follow: true });
    await expect(events.next()).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE', exit: 3 });
  });
});

/** Reads the frames of one subscription after the other, each resumed after the last id. */
class Client {
  readonly ids: number[] = [];
  missed = 0;
  readonly #log: EventLog;
  #last: ResumePoint = { run: '0a', id: 0 };
  #queue: BoundedQueue<NodeEvent>;
  #framer: EventFramer;

  constructor(log: EventLog) {
    this.#log = log;
    this.#queue = log.subscribe(0);
    this.#framer = new EventFramer('0a', this.#last);
  }

  reconnect(): void {
    this.#log.release(this.#queue);
    this.#queue = this.#log.subscribe(this.#last.id);
    this.#framer = new EventFramer('0a', this.#last);
  }

  read(count: number): void {
    const parser = new SseParser();
    for (let i = 0; i < count; i++) {
      const item = this.#queue.take();
      if (item === undefined) return;
      for (const { id, event, data } of parser.push(this.#framer.next(item))) {
        if (event === 'lagged') this.missed += JSON.parse(data).missed;
        else {
          this.#last = parseEventId(id) ?? this.#last;
          this.ids.push(this.#last.id);
        }
      }
    }
  }
}

describe('parts', () => {
  it('ids are read back, and nothing else is', () => {
    expect(parseEventId('00ff.12')).toEqual({ run: '00ff', id: 12 });
    for (const bad of [undefined, '', '12', 'a.b', '-1.1', 'a.1.1', `a.${'9'.repeat(16)}`]) {
      expect(parseEventId(bad)).toBeUndefined();
    }
  });

  it('a gap is said once, whether the queue or the history lost the events', () => {
    const log = new EventLog(systemClock);
    const queue = log.subscribe();
    for (let n = 0; n < LIMITS.subscriberQueue + 7; n++) log.emit('x', {});
    const framer = new EventFramer('r', { run: 'r', id: 0 });
    let text = '';
    for (let item = queue.take(); item !== undefined; item = queue.take()) {
      text += framer.next(item);
    }
    expect(text.match(/event: lagged/g)).toHaveLength(1);
    expect(text).toContain('{"missed":7}');
  });

  it('a client that comes back with its last id: none twice, none missing, or told how many', () => {
    const step = fc.oneof(
      fc.record({ emit: fc.integer({ min: 0, max: 3_000 }) }),
      fc.record({ read: fc.integer({ min: 0, max: 3_000 }) }),
      fc.constant({ back: true }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const log = new EventLog(systemClock);
        const client = new Client(log);
        for (const one of steps) {
          for (let n = 0; 'emit' in one && n < one.emit; n++) log.emit('x', {});
          if ('read' in one) client.read(one.read);
          if ('back' in one) client.reconnect();
        }
        client.reconnect();
        client.read(Number.POSITIVE_INFINITY);
        const gaps = client.ids.map((id, i) => id - (client.ids[i - 1] ?? 0) - 1);
        expect(Math.min(0, ...gaps), 'in order, none twice').toBe(0);
        const total = steps.reduce((sum, one) => sum + ('emit' in one ? one.emit : 0), 0);
        expect(client.ids.at(-1) ?? 0).toBe(total);
        expect(client.missed).toBe(gaps.reduce((sum, gap) => sum + gap, 0));
      }),
      { numRuns: 20 },
    );
  });

  it('loses nothing that the history still has, however many came meanwhile', () => {
    const log = new EventLog(systemClock);
    const client = new Client(log);
    log.emit('x', {});
    client.read(1);
    for (let n = 1; n < LIMITS.eventHistory; n++) log.emit('x', {});
    client.reconnect();
    client.read(Number.POSITIVE_INFINITY);
    expect(client.missed).toBe(0);
    expect(client.ids).toEqual(Array.from({ length: LIMITS.eventHistory }, (_, i) => i + 1));
  });

  it('the parser takes chunks cut anywhere', () => {
    const text = 'id: a.1\nevent: x\ndata: {"a":1}\n\n: hi\n\ndata: b\ndata: c\n\n';
    for (let cut = 0; cut <= text.length; cut++) {
      const parser = new SseParser();
      const events = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
      expect(events).toEqual([
        { id: 'a.1', event: 'x', data: '{"a":1}' },
        { id: 'a.1', event: 'message', data: 'b\nc' },
      ]);
    }
    expect(() => new SseParser().push('x'.repeat(5_000_000))).toThrow(RangeError);
  });
});
