/**
 * Exactly once to the handler, over streams that come and go: the pure half of the direct port.
 *
 * Sender: frames get consecutive numbers and stay in the outbox until they are acknowledged. A new
 * stream begins with everything unacknowledged, in order, before anything new.
 *
 * Receiver: a stream is first in, first out, so on every stream the numbers rise, and a number is
 * new exactly when it exceeds the highest one delivered from that run of the sender. A gap is a
 * frame that its sender gave up. The state is one number per run of the peer, and acknowledgements
 * are cumulative.
 *
 * Across a restart of the receiver delivery is at least once: what the old process took may come
 * again to the new one.
 * @module
 */
import { toHex } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import type { DataFrame, Hello, Payload } from './direct-wire.ts';
import { sizeOf } from './direct-wire.ts';

/** One run of a daemon: the durable boot counter and 16 random bytes. */
export interface Run {
  readonly boot: number;
  readonly instance: Uint8Array;
}

/** @property frames,bytes bounds of the outbox. */
export interface SessionOptions {
  readonly frames: number;
  readonly bytes: number;
}

/** What a hello taught. */
export interface Greeted {
  /** Outbox numbers that are settled now. */
  readonly acked: readonly number[];
  /** The peer runs anew: what its former run accepted and did not answer stays unanswered. */
  readonly restarted: boolean;
  /** Two processes use the peer's identity, or an old copy of its data does. */
  readonly anomaly?: 'two-runs' | 'boot-not-higher';
}

interface Waiting {
  readonly frame: DataFrame;
  readonly size: number;
}

/** Former runs whose last number is remembered. */
const RUNS = 4;

/** Numbers, acknowledgements and repetition towards one peer. No I/O, no clock. */
export class DirectSession {
  readonly #self: Run;
  readonly #options: SessionOptions;
  #outbox: Waiting[] = [];
  #bytes = 0;
  #nextSeq = 1;
  /** How many entries of the outbox stand on the current stream. */
  #written = 0;
  /** Highest number ever written to a stream: nothing above it can be acknowledged. */
  #highest = 0;
  /** Last number delivered from each run of the peer, oldest run first. */
  readonly #delivered = new Map<string, number>();
  #peer: { readonly boot: number; readonly instance: Uint8Array } | undefined;

  constructor(self: Run, options: SessionOptions) {
    this.#self = self;
    this.#options = options;
  }

  /** Frames not acknowledged yet. */
  get pending(): number {
    return this.#outbox.length;
  }

  /** What this side says first on every stream. */
  greeting(): Hello {
    const peer = this.#peer;
    const got =
      peer === undefined
        ? null
        : { instance: peer.instance, seq: this.#delivered.get(toHex(peer.instance)) ?? 0 };
    return { kind: 'hello', v: 1, boot: this.#self.boot, instance: this.#self.instance, got };
  }

  /** What the peer said first. */
  greeted(hello: Hello): Greeted {
    const id = toHex(hello.instance);
    const former = this.#peer;
    const known = this.#delivered.has(id);
    const same = former !== undefined && toHex(former.instance) === id;
    if (!known) this.#delivered.set(id, 0);
    if (!same) this.#peer = { boot: hello.boot, instance: hello.instance };
    for (const oldest of this.#delivered.keys()) {
      if (this.#delivered.size <= RUNS) break;
      if (oldest !== id) this.#delivered.delete(oldest);
    }
    const mine = hello.got !== null && toHex(hello.got.instance) === toHex(this.#self.instance);
    const acked = mine && hello.got !== null ? this.acknowledge(hello.got.seq) : [];
    if (former === undefined || same) return { acked, restarted: false };
    if (known) return { acked, restarted: true, anomaly: 'two-runs' };
    if (hello.boot <= former.boot) return { acked, restarted: true, anomaly: 'boot-not-higher' };
    return { acked, restarted: true };
  }

  /** @returns the number, or undefined when the outbox is full. */
  enqueue(payload: Payload): number | undefined {
    const size = sizeOf(payload);
    if (this.#outbox.length >= this.#options.frames) return undefined;
    if (this.#bytes + size > this.#options.bytes) return undefined;
    const seq = this.#nextSeq++;
    this.#outbox.push({ frame: { ...payload, seq }, size });
    this.#bytes += size;
    return seq;
  }

  /** Another stream is the current one: everything unacknowledged is to be written again. */
  rewind(): number {
    const again = this.#written;
    this.#written = 0;
    return again;
  }

  /** The next frame for the current stream; the caller writes it. */
  next(): DataFrame | undefined {
    const entry = this.#outbox[this.#written];
    if (entry === undefined) return undefined;
    this.#written++;
    this.#highest = Math.max(this.#highest, entry.frame.seq);
    return entry.frame;
  }

  /**
   * The peer has everything up to `seq`.
   * @returns the numbers this settles.
   * @throws BAD_MESSAGE for a number that was never sent.
   */
  acknowledge(seq: number): readonly number[] {
    if (seq > this.#highest) {
      throw new BzzzError('BAD_MESSAGE', `acknowledges ${seq}, sent up to ${this.#highest}`);
    }
    const acked: number[] = [];
    for (const { frame } of this.#outbox) {
      if (frame.seq > seq) break;
      acked.push(frame.seq);
    }
    for (const { size } of this.#outbox.splice(0, acked.length)) this.#bytes -= size;
    this.#written = Math.max(0, this.#written - acked.length);
    return acked;
  }

  /** Gives a frame up. @returns false when it is settled already. */
  drop(seq: number): boolean {
    const at = this.#outbox.findIndex((entry) => entry.frame.seq === seq);
    const [gone] = at < 0 ? [] : this.#outbox.splice(at, 1);
    if (gone === undefined) return false;
    this.#bytes -= gone.size;
    if (at < this.#written) this.#written--;
    return true;
  }

  /** Whether a frame of that run of the peer was not delivered before. */
  isNew(instance: Uint8Array, seq: number): boolean {
    return seq > (this.#delivered.get(toHex(instance)) ?? 0);
  }

  /** The frame was handed on; it will not be new again. */
  delivered(instance: Uint8Array, seq: number): void {
    this.#delivered.set(toHex(instance), seq);
  }

  /** What to acknowledge to that run of the peer; 0 means nothing yet. */
  received(instance: Uint8Array): number {
    return this.#delivered.get(toHex(instance)) ?? 0;
  }
}
