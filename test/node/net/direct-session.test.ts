/** Exactly once over streams that break, by random schedules on two pure sessions. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DirectSession, type Run } from '../../../src/node/net/direct-session.ts';
import type { DataFrame, Frame } from '../../../src/node/net/direct-wire.ts';

const run = (boot: number, fill: number): Run => ({
  boot,
  instance: new Uint8Array(16).fill(fill),
});
const A = run(1, 0xaa);
const B = run(1, 0xbb);
const BOUNDS = { frames: 1_000, bytes: 1_000_000 };
const payload = (n: number) =>
  ({ kind: 'msg', topic: 't', body: Uint8Array.of(n >> 8, n & 0xff) }) as const;
const numberOf = (frame: DataFrame): number =>
  'body' in frame ? ((frame.body[0] ?? 0) << 8) | (frame.body[1] ?? 0) : -1;

/** One direction: A sends, B receives, over streams of which the newest is A's current one. */
class Wire {
  readonly a = new DirectSession(A, BOUNDS);
  readonly b = new DirectSession(B, BOUNDS);
  readonly delivered: number[] = [];
  sent = 0;
  /** First in, first out, each; acknowledgements travel back beside. */
  #streams: { down: Frame[]; up: Frame[] }[] = [];

  open(): void {
    const { acked } = this.a.greeted(this.b.greeting());
    this.b.greeted(this.a.greeting());
    void acked;
    this.#streams.push({ down: [], up: [] });
    this.a.rewind();
    this.pump();
  }

  send(): void {
    if (this.a.enqueue(payload(++this.sent)) === undefined) this.sent--;
    this.pump();
  }

  pump(): void {
    const current = this.#streams.at(-1);
    for (let f = current && this.a.next(); f !== undefined; f = this.a.next()) {
      current?.down.push(f);
    }
  }

  /** One frame arrives on stream `i`, from the oldest. */
  arrive(i: number): void {
    const stream = this.#streams[i % Math.max(1, this.#streams.length)];
    const frame = stream?.down.shift();
    if (stream === undefined || frame === undefined) return;
    if (frame.kind === 'hello' || frame.kind === 'note') return;
    if (frame.kind !== 'ack' && this.b.isNew(A.instance, frame.seq)) {
      this.b.delivered(A.instance, frame.seq);
      this.delivered.push(numberOf(frame));
    }
    stream.up.push({ kind: 'ack', seq: this.b.received(A.instance) });
  }

  acknowledge(i: number): void {
    const frame = this.#streams[i % Math.max(1, this.#streams.length)]?.up.shift();
    if (frame?.kind === 'ack') this.a.acknowledge(frame.seq);
  }

  /** Everything under way on a stream is lost. */
  break(i: number): void {
    if (this.#streams.length === 0) return;
    const wasCurrent = i % this.#streams.length === this.#streams.length - 1;
    this.#streams.splice(i % this.#streams.length, 1);
    if (!wasCurrent) return;
    this.a.rewind();
    this.pump();
  }

  settle(): void {
    this.#streams = [];
    this.open();
    for (let i = 0; i < 10_000 && this.a.pending > 0; i++) {
      this.arrive(0);
      this.acknowledge(0);
    }
  }
}

const step = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ do: 'send' as const, i: 0 }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('arrive' as const), i: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), i: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.constant({ do: 'open' as const, i: 0 }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('break' as const), i: fc.nat(3) }) },
);

describe('a direct session', () => {
  it('delivers each message once and in order, through loss, repetition and many streams (R47)', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const wire = new Wire();
        for (const { do: what, i } of steps) {
          if (what === 'send') wire.send();
          else if (what === 'open') wire.open();
          else wire[what](i);
        }
        wire.settle();
        expect(wire.delivered).toEqual(Array.from({ length: wire.sent }, (_, n) => n + 1));
        expect(wire.a.pending).toBe(0);
      }),
      { numRuns: 400 },
    );
  });

  it('leaves out what its sender gave up, and nothing else', () => {
    const wire = new Wire();
    for (let i = 0; i < 5; i++) wire.send();
    expect(wire.a.drop(3)).toBe(true);
    expect(wire.a.drop(3)).toBe(false);
    wire.settle();
    expect(wire.delivered).toEqual([1, 2, 4, 5]);
  });

  it('is bounded in frames and in bytes (P3)', () => {
    const few = new DirectSession(A, { frames: 2, bytes: 1_000_000 });
    expect([few.enqueue(payload(1)), few.enqueue(payload(2)), few.enqueue(payload(3))]).toEqual([
      1,
      2,
      undefined,
    ]);
    const small = new DirectSession(A, { frames: 100, bytes: 300 });
    expect([
      small.enqueue(payload(1)),
      small.enqueue(payload(2)),
      small.enqueue(payload(3)),
    ]).toEqual([1, 2, undefined]);
  });

  it('refuses an acknowledgement of what was never sent', () => {
    const session = new DirectSession(A, BOUNDS);
    session.enqueue(payload(1));
    expect(() => session.acknowledge(1)).toThrow(/sent up to 0/);
    session.next();
    expect(session.acknowledge(1)).toEqual([1]);
  });

  it('learns from a hello what arrived although its acknowledgement was lost', () => {
    const wire = new Wire();
    wire.open();
    wire.send();
    wire.send();
    wire.arrive(0);
    wire.break(0);
    const { acked } = wire.a.greeted(wire.b.greeting());
    expect(acked).toEqual([1]);
  });

  it('takes no acknowledgement that was meant for its former run', () => {
    const former = new DirectSession(run(1, 0xa0), BOUNDS);
    former.enqueue(payload(1));
    former.next();
    const b = new DirectSession(B, BOUNDS);
    b.greeted(former.greeting());
    b.delivered(run(1, 0xa0).instance, 1);
    const reborn = new DirectSession(run(2, 0xa1), BOUNDS);
    reborn.enqueue(payload(7));
    reborn.next();
    expect(reborn.greeted(b.greeting()).acked).toEqual([]);
    expect(reborn.pending).toBe(1);
  });

  it('delivers anew to and from a peer that runs anew', () => {
    const b = new DirectSession(B, BOUNDS);
    b.greeted(new DirectSession(run(1, 1), BOUNDS).greeting());
    b.delivered(run(1, 1).instance, 9);
    expect(b.greeted(new DirectSession(run(2, 2), BOUNDS).greeting())).toEqual({
      acked: [],
      restarted: true,
    });
    expect(b.isNew(run(2, 2).instance, 1)).toBe(true);
    expect(b.isNew(run(1, 1).instance, 9)).toBe(false);
  });

  it('sees an identity that runs twice, and a boot counter that did not grow', () => {
    const hello = (boot: number, fill: number) =>
      new DirectSession(run(boot, fill), BOUNDS).greeting();
    const twice = new DirectSession(B, BOUNDS);
    twice.greeted(hello(1, 1));
    expect(twice.greeted(hello(2, 2)).anomaly).toBeUndefined();
    expect(twice.greeted(hello(1, 1)).anomaly).toBe('two-runs');
    const copied = new DirectSession(B, BOUNDS);
    copied.greeted(hello(5, 1));
    expect(copied.greeted(hello(5, 2)).anomaly).toBe('boot-not-higher');
  });
});
