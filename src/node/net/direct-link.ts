/**
 * One stream of a direct channel: hello first, then frames, with bounds on size and patience.
 * @module
 */
import type { Stream } from '@libp2p/interface';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel, Clock } from '../../base/ports.ts';
import {
  decodeDirectFrame,
  encodeDirectFrame,
  type Frame,
  type Hello,
  type Note,
} from './direct-wire.ts';
import { encodeFrame, FrameDecoder } from './frames.ts';

/** @property helloMs,frameMs patience for the first frame, and for the rest of a begun one. */
export interface LinkOptions {
  readonly helloMs: number;
  readonly frameMs: number;
}

/** What a channel hears from a link. `frames` get everything that one chunk completed. */
export interface LinkEvents {
  greeted(link: DirectLink, hello: Hello): void;
  frames(link: DirectLink, frames: readonly Frame[]): void;
  drained(link: DirectLink): void;
  /** Once. `fault` when the other side broke the protocol. */
  closed(link: DirectLink, fault: BzzzError | undefined): void;
}

export interface LinkDeps {
  readonly clock: Clock;
  readonly events: LinkEvents;
  readonly greeting: Hello;
}

/**
 * Notes written behind a full buffer until it drains. Without them a heartbeat would never get past
 * a queue of large messages, which fills the buffer again whenever it drains.
 */
const NOTES_BEHIND = 16;

/** States: greeting (ours is sent, theirs not seen) -> live -> closed. */
export class DirectLink {
  readonly opener: 'self' | 'peer';
  readonly #stream: Stream;
  readonly #options: LinkOptions;
  readonly #deps: LinkDeps;
  readonly #decoder = new FrameDecoder(LIMITS.directFrameBytes);
  #state: 'greeting' | 'live' | 'closed' = 'greeting';
  #instance: Uint8Array | undefined;
  #full = false;
  #notesBehind = 0;
  #patience: Cancel | undefined;
  #stall: Cancel | undefined;

  constructor(stream: Stream, opener: 'self' | 'peer', options: LinkOptions, deps: LinkDeps) {
    this.#stream = stream;
    this.opener = opener;
    this.#options = options;
    this.#deps = deps;
  }

  /** Attaches to the stream; separate from the constructor because events may come at once. */
  begin(): void {
    const stream = this.#stream;
    this.#expect(this.#options.helloMs, 'no hello');
    stream.addEventListener('close', () => this.#end(undefined));
    stream.addEventListener('remoteCloseWrite', () => this.close());
    stream.addEventListener('drain', () => {
      this.#full = false;
      this.#notesBehind = 0;
      this.#cancelStall();
      if (this.#state === 'live') this.#deps.events.drained(this);
    });
    stream.addEventListener('message', (event) => this.#received(event.data.subarray()));
    this.#put(this.#deps.greeting);
    if (stream.status !== 'open') this.#end(undefined);
  }

  get live(): boolean {
    return this.#state === 'live';
  }

  /** Live, and the other side reads what it is sent. */
  get writable(): boolean {
    return this.#state === 'live' && !this.#full;
  }

  /** The run of the peer at the other end; known once live. */
  get instance(): Uint8Array | undefined {
    return this.#instance;
  }

  /** Several frames are one write: what a small frame costs is the write. */
  write(...frames: readonly Frame[]): void {
    if (this.#state === 'live' && frames.length > 0) this.#put(...frames);
  }

  /** @returns false when the stream takes no note now. */
  note(note: Note): boolean {
    if (this.#state !== 'live') return false;
    if (this.#full && this.#notesBehind++ >= NOTES_BEHIND) return false;
    this.#put(note);
    return this.live;
  }

  /** Ends the stream in good order; what it loses is repeated on the next one. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#end(undefined);
    this.#stream
      .close({ signal: AbortSignal.timeout(1_000) })
      .catch((error: unknown) => this.#stream.abort(toBzzzError(error)));
  }

  /** Resets the stream. */
  abort(reason: BzzzError, fault = false): void {
    if (this.#state === 'closed') return;
    this.#end(fault ? reason : undefined);
    this.#stream.abort(reason);
  }

  #put(...frames: readonly Frame[]): void {
    try {
      const parts = frames.map((frame) => encodeFrame(encodeDirectFrame(frame)));
      const [only] = parts;
      const one = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
      this.#full = !this.#stream.send(one);
      if (this.#full) this.#stalls();
    } catch {
      // The stream closed under our hands; its close event may be on the way or long past.
      this.#end(undefined);
    }
  }

  #received(chunk: Uint8Array): void {
    if (this.#state === 'closed') return;
    try {
      const frames = this.#decoder.push(chunk).map(decodeDirectFrame);
      if (this.#state === 'live' && frames.length > 0) this.#cancelPatience();
      const rest = this.#state === 'greeting' ? this.#greeted(frames) : frames;
      if (rest.length > 0) this.#deps.events.frames(this, rest);
      if (this.live && this.#decoder.partial && this.#patience === undefined) {
        this.#expect(this.#options.frameMs, 'a frame began and did not end');
      }
    } catch (thrown) {
      this.abort(toBzzzError(thrown, 'BAD_MESSAGE'), true);
    }
  }

  #greeted(frames: readonly Frame[]): readonly Frame[] {
    const [hello, ...rest] = frames;
    if (hello === undefined) return [];
    if (hello.kind !== 'hello') throw new BzzzError('BAD_MESSAGE', 'a stream without hello');
    this.#cancelPatience();
    this.#state = 'live';
    this.#instance = hello.instance;
    this.#deps.events.greeted(this, hello);
    return rest;
  }

  #expect(ms: number, what: string): void {
    this.#patience = this.#deps.clock.after(ms, () => {
      this.abort(new BzzzError('TIMEOUT', `${what} for ${ms} ms`), true);
    });
  }

  /** A peer that stops reading would keep its stream, and our memory, for ever. */
  #stalls(): void {
    this.#stall ??= this.#deps.clock.after(this.#options.frameMs, () => {
      const ms = this.#options.frameMs;
      this.abort(new BzzzError('TIMEOUT', `the peer read nothing for ${ms} ms`), true);
    });
  }

  #cancelStall(): void {
    this.#stall?.();
    this.#stall = undefined;
  }

  #cancelPatience(): void {
    this.#patience?.();
    this.#patience = undefined;
  }

  #end(fault: BzzzError | undefined): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#cancelPatience();
    this.#cancelStall();
    this.#deps.events.closed(this, fault);
  }
}
