/**
 * Everything between this node and one member: the session, the streams that carry it, the calls
 * that wait for an answer, and the work that its messages asked for.
 *
 * Both sides may open a stream. Each writes on one of its choice, the one that the smaller peer id
 * opened if there is one, and reads from all, so no agreement is needed; the larger id closes its
 * own as soon as the other's is there.
 * @module
 */
import type { Stream } from '@libp2p/interface';
import type { PeerId } from '../../base/brands.ts';
import { equalBytes } from '../../base/bytes.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel, Clock, DirectHandler, Logger, NoteHandler } from '../../base/ports.ts';
import { DirectInbox, type InboxOptions } from './direct-inbox.ts';
import { DirectLink, type LinkOptions } from './direct-link.ts';
import { DirectNotes } from './direct-notes.ts';
import { DirectSession, type Run, type SessionOptions } from './direct-session.ts';
import { type DataFrame, type Frame, type Hello, type Payload, sizeOf } from './direct-wire.ts';

/** What went wrong or round about, over all peers; metrics. */
export interface DirectCounters {
  dropped: number;
  expired: number;
  repeated: number;
  duplicates: number;
  /** Streams closed because of garbage, an oversized or a slow frame. */
  faults: number;
  /** Streams closed because their messages came faster than they were handled. */
  overloads: number;
  /** Notes that found no stream to be written to. */
  lostNotes: number;
  /** Notes that nobody here listens to, or whose handler failed. */
  idleNotes: number;
}

/** @property reopenMs shortest and longest pause before a lost stream is opened again. */
export interface ChannelOptions {
  readonly self: PeerId;
  readonly peer: PeerId;
  readonly run: Run;
  readonly session: SessionOptions;
  readonly inbox: InboxOptions;
  readonly link: LinkOptions;
  readonly reopenMs: readonly [number, number];
}

export interface ChannelDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: DirectCounters;
  readonly handlers: ReadonlyMap<string, DirectHandler>;
  readonly noteHandlers: ReadonlyMap<string, NoteHandler>;
  /** A new stream over a connection that is open. */
  readonly open: () => Promise<Stream>;
  readonly up: (live: boolean) => void;
  readonly anomaly: (kind: 'two-runs' | 'boot-not-higher') => void;
  /** The peer keeps breaking the protocol. */
  readonly cut: (reason: string) => void;
}

interface Call {
  accepted: boolean;
  readonly finish: (result: Uint8Array | BzzzError) => void;
}

/** A link that lived this long resets the back-off. */
const STEADY_MS = 2_000;
/** The larger id leaves the smaller one this much time to open first. */
const YIELD_MS = 300;
const LINKS = 4;
/** An acknowledgement waits so long, in ms, for a frame that it can travel with. */
const ACK_MS = 40;
/** And for so many frames: the sender's queue must not fill up meanwhile. */
const ACK_FRAMES = 32;
/** Frames up to this size together are one write. */
const WRITE_BYTES = 32_768;
/** Broken streams within a minute before the connection is cut. */
const FAULTS = 5;
const FAULT_WINDOW_MS = 60_000;

/** The channel to one member; lives as long as the membership. */
export class DirectChannel {
  readonly #options: ChannelOptions;
  readonly #deps: ChannelDeps;
  readonly #session: DirectSession;
  readonly #inbox: DirectInbox;
  readonly #notes: DirectNotes;
  readonly #links = new Set<DirectLink>();
  readonly #born = new Map<DirectLink, number>();
  /** Links that wait for an acknowledgement, and how many frames it is for. */
  readonly #owed = new Map<DirectLink, number>();
  #ackTimer: Cancel | undefined;
  #pumping = false;
  /** What waits for an acknowledgement, by sequence number. */
  readonly #waiting = new Map<number, { cancel: Cancel; settle: (error?: BzzzError) => void }>();
  readonly #calls = new Map<number, Call>();
  #current: DirectLink | undefined;
  #nextCall = 1;
  #present = false;
  #opening = false;
  #failures = 0;
  #faults: number[] = [];
  #retry: Cancel | undefined;
  #closed: BzzzError | undefined;

  constructor(options: ChannelOptions, deps: ChannelDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#session = new DirectSession(options.run, options.session);
    this.#notes = new DirectNotes(options.peer, deps);
    this.#inbox = new DirectInbox(options.inbox, {
      clock: deps.clock,
      slow: (topic) => deps.log.warn({ peer: options.peer, topic }, 'a message handler is slow'),
    });
  }

  get live(): boolean {
    return this.#current !== undefined;
  }

  /** There is a connection to the member, or none any more. */
  connection(present: boolean): void {
    this.#present = present;
    this.#failures = 0;
    if (present) this.#schedule(this.#first() ? 0 : YIELD_MS);
    else this.#cancelRetry();
  }

  /** Takes over a stream. */
  adopt(stream: Stream, opener: 'self' | 'peer'): void {
    if (this.#closed !== undefined || this.#links.size >= LINKS) {
      stream.abort(this.#closed ?? new BzzzError('TOO_LARGE', 'too many streams of one peer'));
      return;
    }
    const link = new DirectLink(stream, opener, this.#options.link, {
      clock: this.#deps.clock,
      greeting: this.#session.greeting(),
      events: {
        greeted: (_from, hello) => this.#greeted(hello),
        frames: (from, frames) => this.#frames(from, frames),
        drained: (from) => this.#drained(from),
        closed: (from, fault) => this.#lost(from, fault),
      },
    });
    this.#links.add(link);
    this.#born.set(link, this.#deps.clock.now());
    link.begin();
  }

  /** @returns false when it was dropped. */
  note(topic: string, body: Uint8Array): boolean {
    const written = this.#current?.note({ kind: 'note', topic, body }) ?? false;
    if (!written) this.#deps.counters.lostNotes++;
    return written;
  }

  send(topic: string, body: Uint8Array, ttlMs: number): Promise<void> {
    const payload = { kind: 'msg', topic, body: new Uint8Array(body) } as const;
    return new Promise((resolve, reject) => {
      this.#enqueue(payload, ttlMs, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  request(topic: string, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const id = this.#nextCall++;
    const payload = { kind: 'request', id, topic, body: new Uint8Array(body) } as const;
    return new Promise((resolve, reject) => {
      const cancel = this.#deps.clock.after(timeoutMs, () => {
        const { peer } = this.#options;
        const error = new BzzzError('TIMEOUT', `${peer} took ${topic} and did not answer`);
        this.#calls.get(id)?.finish(error);
      });
      const finish = (result: Uint8Array | BzzzError): void => {
        cancel();
        if (!this.#calls.delete(id)) return;
        if (result instanceof BzzzError) reject(result);
        else resolve(result);
      };
      const call: Call = { accepted: false, finish };
      this.#calls.set(id, call);
      // One millisecond less, so that "never arrived" is told apart from "never answered".
      this.#enqueue(payload, timeoutMs - 1, (error) => {
        if (error === undefined) call.accepted = true;
        else finish(error);
      });
    });
  }

  /** Ends everything; whoever waits gets `reason`. */
  close(reason: BzzzError): void {
    this.#closed = reason;
    this.#cancelRetry();
    this.#ackTimer?.();
    this.#owed.clear();
    for (const [seq, { cancel, settle }] of [...this.#waiting]) {
      cancel();
      this.#waiting.delete(seq);
      this.#session.drop(seq);
      settle(reason);
    }
    for (const call of [...this.#calls.values()]) call.finish(reason);
    for (const link of [...this.#links]) link.close();
  }

  // -- sending

  #enqueue(payload: Payload, ttlMs: number, settle: (error?: BzzzError) => void): void {
    const { peer } = this.#options;
    if (this.#closed !== undefined) {
      settle(this.#closed);
      return;
    }
    const seq = this.#session.enqueue(payload);
    if (seq === undefined) {
      this.#deps.counters.dropped++;
      settle(new BzzzError('PEER_UNREACHABLE', `the queue to ${peer} is full`));
      return;
    }
    const cancel = this.#deps.clock.after(ttlMs, () => {
      this.#waiting.delete(seq);
      this.#session.drop(seq);
      this.#deps.counters.expired++;
      settle(new BzzzError('PEER_UNREACHABLE', `${peer} did not take a message in ${ttlMs} ms`));
    });
    this.#waiting.set(seq, { cancel, settle });
    this.#pumpSoon();
    if (this.#current === undefined && this.#failures === 0) this.#schedule(0);
  }

  /** What is sent in one go is written in one go: also what promises that are settled lead to. */
  #pumpSoon(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    process.nextTick(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#current?.writable === true) {
      const frames = this.#nextFrames();
      if (frames.length === 0) return;
      this.#current.write(...this.#takeAck(this.#current), ...frames);
    }
  }

  #nextFrames(): readonly Frame[] {
    const frames: Frame[] = [];
    for (let size = 0; size < WRITE_BYTES; ) {
      const frame = this.#session.next();
      if (frame === undefined) break;
      frames.push(frame);
      size += sizeOf(frame);
    }
    return frames;
  }

  #settle(acked: readonly number[]): void {
    for (const seq of acked) {
      const waiting = this.#waiting.get(seq);
      this.#waiting.delete(seq);
      waiting?.cancel();
      waiting?.settle();
    }
  }

  // -- receiving

  #frames(link: DirectLink, frames: readonly Frame[]): void {
    const { instance } = link;
    if (instance === undefined) return;
    let taken = 0;
    for (const frame of frames) {
      if (frame.kind === 'hello') throw new BzzzError('BAD_MESSAGE', 'a second hello');
      if (frame.kind === 'note') {
        if (this.#notes.take(frame)) continue;
        this.#overloaded(link, 'notes');
        return;
      }
      if (frame.kind === 'ack') {
        this.#settle(this.#session.acknowledge(frame.seq));
      } else if (!this.#session.isNew(instance, frame.seq)) {
        this.#deps.counters.duplicates++;
        taken++;
      } else if (this.#take(frame)) {
        this.#session.delivered(instance, frame.seq);
        taken++;
      } else {
        this.#overloaded(link, 'work');
        return;
      }
    }
    if (taken > 0) this.#owe(link, taken);
  }

  #overloaded(link: DirectLink, what: string): void {
    this.#deps.counters.overloads++;
    const { peer } = this.#options;
    link.abort(new BzzzError('TOO_LARGE', `more ${what} from ${peer} than allowed`));
  }

  /** Nobody waits for an acknowledgement: it goes with the next frame, or soon by itself. */
  #owe(link: DirectLink, frames: number): void {
    const owed = (this.#owed.get(link) ?? 0) + frames;
    this.#owed.set(link, owed);
    if (owed >= ACK_FRAMES) this.#acknowledge(link);
    else this.#ackTimer ??= this.#deps.clock.after(ACK_MS, () => this.#acknowledgeAll());
  }

  #acknowledgeAll(): void {
    this.#ackTimer = undefined;
    for (const link of [...this.#owed.keys()]) this.#acknowledge(link);
  }

  /** What is owed on a full link is paid when it has drained. */
  #acknowledge(link: DirectLink): void {
    if (link.writable) link.write(...this.#takeAck(link));
  }

  /** The acknowledgement that is due on a link, if one is. */
  #takeAck(link: DirectLink): readonly Frame[] {
    const seq = link.instance === undefined ? 0 : this.#session.received(link.instance);
    return this.#owed.delete(link) && seq > 0 ? [{ kind: 'ack', seq }] : [];
  }

  /** @returns false when there is no room for the work. */
  #take(frame: DataFrame): boolean {
    const size = sizeOf(frame);
    if (frame.kind === 'msg') {
      return this.#inbox.ordered(frame.topic, size, () => this.#handle(frame));
    }
    if (frame.kind === 'request') {
      return this.#inbox.concurrent(size, () => this.#answer(frame));
    }
    const call = this.#calls.get(frame.id);
    call?.finish(frame.kind === 'response' ? frame.body : BzzzError.fromShape(frame.error));
    return true;
  }

  async #handle(frame: { readonly topic: string; readonly body: Uint8Array }): Promise<void> {
    const { peer } = this.#options;
    const handler = this.#deps.handlers.get(frame.topic);
    try {
      if (handler === undefined) throw new BzzzError('NOT_SUPPORTED', `no topic ${frame.topic}`);
      await handler(peer, frame.body);
    } catch (thrown) {
      // The sender asked for no answer, so the fault is ours to report.
      const { code, message } = toBzzzError(thrown);
      this.#deps.log.warn({ peer, topic: frame.topic, code, message }, 'a message was refused');
    }
  }

  async #answer(frame: {
    readonly id: number;
    readonly topic: string;
    readonly body: Uint8Array;
  }): Promise<void> {
    const { id, topic } = frame;
    const handler = this.#deps.handlers.get(topic);
    let payload: Payload;
    try {
      if (handler === undefined) throw new BzzzError('NOT_SUPPORTED', `no topic ${topic}`);
      const body = (await handler(this.#options.peer, frame.body)) ?? new Uint8Array();
      payload = { kind: 'response', id, body: new Uint8Array(body) };
    } catch (thrown) {
      payload = { kind: 'error', id, error: shapeOf(toBzzzError(thrown)) };
    }
    // An answer that cannot be sent is a time-out to the one who asked; counted in #enqueue.
    this.#enqueue(payload, LIMITS.directTtlMs, () => undefined);
  }

  // -- streams

  #greeted(hello: Hello): void {
    const { acked, restarted, anomaly } = this.#session.greeted(hello);
    this.#settle(acked);
    if (anomaly !== undefined) this.#deps.anomaly(anomaly);
    if (restarted) this.#restarted(hello.instance);
    this.#choose();
    for (const other of [...this.#links]) {
      const redundant = other.opener === 'self' && other !== this.#current && other.live;
      if (redundant) other.close();
    }
  }

  /** The former run is gone: its streams are, and so are its answers. */
  #restarted(instance: Uint8Array): void {
    for (const other of [...this.#links]) {
      if (other.instance !== undefined && !equalBytes(other.instance, instance)) {
        other.abort(new BzzzError('PEER_UNREACHABLE', 'the peer has restarted'));
      }
    }
    const error = new BzzzError(
      'PEER_UNREACHABLE',
      `${this.#options.peer} restarted before it answered`,
    );
    for (const call of [...this.#calls.values()]) if (call.accepted) call.finish(error);
  }

  #choose(): void {
    const preferred = this.#first() ? 'self' : 'peer';
    const live = [...this.#links].filter((link) => link.live);
    const best = live.findLast((link) => link.opener === preferred) ?? live.at(-1);
    if (best === this.#current) return;
    const wasLive = this.#current !== undefined;
    this.#current = best;
    this.#deps.counters.repeated += this.#session.rewind();
    this.#pump();
    if (wasLive !== (this.#current !== undefined)) this.#deps.up(!wasLive);
  }

  #drained(link: DirectLink): void {
    this.#acknowledge(link);
    if (link === this.#current) this.#pump();
  }

  #lost(link: DirectLink, fault: BzzzError | undefined): void {
    this.#links.delete(link);
    this.#owed.delete(link);
    const age = this.#deps.clock.now() - (this.#born.get(link) ?? 0);
    this.#born.delete(link);
    if (fault !== undefined) this.#fault(fault);
    this.#failures = age >= STEADY_MS ? 0 : this.#failures + 1;
    this.#choose();
    if (this.#current === undefined) this.#schedule(this.#pause());
  }

  #fault(fault: BzzzError): void {
    const { peer } = this.#options;
    this.#deps.counters.faults++;
    this.#deps.log.warn({ peer, code: fault.code, message: fault.message }, 'closed a stream');
    const now = this.#deps.clock.now();
    this.#faults = [...this.#faults.filter((at) => now - at < FAULT_WINDOW_MS), now];
    if (this.#faults.length >= FAULTS) this.#deps.cut('broken direct streams');
  }

  #schedule(ms: number): void {
    if (!this.#present || this.#closed !== undefined || this.#opening) return;
    this.#cancelRetry();
    this.#retry = this.#deps.clock.after(ms, () => void this.#open());
  }

  async #open(): Promise<void> {
    const own = [...this.#links].some((link) => link.opener === 'self');
    if (this.#opening || own || this.#current !== undefined || !this.#present) return;
    this.#opening = true;
    try {
      const stream = await this.#deps.open();
      this.#opening = false;
      this.adopt(stream, 'self');
    } catch (thrown) {
      this.#opening = false;
      this.#failures++;
      const { peer } = this.#options;
      this.#deps.log.debug({ peer, error: String(thrown) }, 'could not open a direct stream');
      this.#schedule(this.#pause());
    }
  }

  #pause(): number {
    const [shortest, longest] = this.#options.reopenMs;
    return Math.min(longest, shortest * 2 ** Math.min(this.#failures, 10));
  }

  #first(): boolean {
    return this.#options.self < this.#options.peer;
  }

  #cancelRetry(): void {
    this.#retry?.();
    this.#retry = undefined;
  }
}

/** Details may hold anything an error's maker put there; only JSON crosses the wire. */
function shapeOf(error: BzzzError): ReturnType<BzzzError['toShape']> {
  return JSON.parse(JSON.stringify(error.toShape()));
}
