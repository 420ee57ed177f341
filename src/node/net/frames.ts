/**
 * Frames: a 32-bit big-endian length, then that many bytes. One decoder for every protocol of ours.
 * @module
 */
import type { Stream } from '@libp2p/interface';
import { BzzzError } from '../../base/errors.ts';
import type { FrameStream } from '../../roster/types.ts';

const HEADER_BYTES = 4;
/** Frames that may wait for a reader before the stream is closed. */
const WAITING_FRAMES = 64;

/** A frame in one piece, ready for the wire. */
export function encodeFrame(payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  new DataView(frame.buffer).setUint32(0, payload.length);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Cuts a byte stream into frames; keeps copies, because received bytes are views. */
export class FrameDecoder {
  readonly #maxBytes: number;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerFilled = 0;
  #parts: Uint8Array[] = [];
  /** Bytes of the body still missing. */
  #missing = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True while a frame has begun and not ended. */
  get partial(): boolean {
    return this.#headerFilled > 0;
  }

  /**
   * The frames that `chunk` completes. Memory grows with the bytes received, never with the length
   * that a header claims.
   * @throws TOO_LARGE when a header claims more than the limit.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#headerFilled < HEADER_BYTES) {
        this.#header[this.#headerFilled++] = chunk[at++] ?? 0;
        if (this.#headerFilled < HEADER_BYTES) continue;
        this.#missing = new DataView(this.#header.buffer).getUint32(0);
        if (this.#missing > this.#maxBytes) {
          throw new BzzzError(
            'TOO_LARGE',
            `a frame of ${this.#missing} bytes, at most ${this.#maxBytes}`,
          );
        }
      }
      const part = chunk.slice(at, at + this.#missing);
      at += part.length;
      this.#missing -= part.length;
      this.#parts.push(part);
      if (this.#missing === 0) frames.push(this.#finish());
    }
    return frames;
  }

  #finish(): Uint8Array {
    const [only] = this.#parts;
    const frame =
      this.#parts.length === 1 && only !== undefined
        ? only
        : new Uint8Array(Buffer.concat(this.#parts));
    this.#parts = [];
    this.#headerFilled = 0;
    return frame;
  }
}

/** Bounds of a {@link FrameStream}. */
export interface FrameStreamOptions {
  readonly maxBytes: number;
  /** A read or a write that takes longer fails. */
  readonly stepMs: number;
}

/** A frame stream over a libp2p stream, with the two ways to end it. */
export interface ClosableFrameStream extends FrameStream {
  /** Says that nothing more follows. Never throws. */
  close(): Promise<void>;
  /** Resets the stream. */
  abort(reason: Error): void;
}

/**
 * Wraps a stream for a short conversation.
 * @throws (from `read`) PEER_UNREACHABLE when the other side closed, TIMEOUT when it is slow,
 *   TOO_LARGE; the stream is reset then.
 */
export function frameStream(stream: Stream, options: FrameStreamOptions): ClosableFrameStream {
  const decoder = new FrameDecoder(options.maxBytes);
  const waiting: Uint8Array[] = [];
  let failure: BzzzError | undefined;
  let wake: (() => void) | undefined;

  const fail = (error: BzzzError): void => {
    failure ??= error;
    wake?.();
  };
  stream.addEventListener('message', (event) => {
    try {
      waiting.push(...decoder.push(event.data.subarray()));
      if (waiting.length > WAITING_FRAMES) {
        throw new BzzzError('TOO_LARGE', `more than ${WAITING_FRAMES} frames waiting`);
      }
      wake?.();
    } catch (thrown) {
      const error = thrown instanceof BzzzError ? thrown : new BzzzError('BAD_MESSAGE', 'frame');
      fail(error);
      stream.abort(error);
    }
  });
  const closed = (): void => fail(new BzzzError('PEER_UNREACHABLE', 'the peer closed the stream'));
  stream.addEventListener('close', closed);
  stream.addEventListener('remoteCloseWrite', closed);
  if (stream.status !== 'open') closed();

  const read = (): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        wake = undefined;
        settle();
      };
      const timer = setTimeout(() => {
        const error = new BzzzError('TIMEOUT', `no frame for ${options.stepMs} ms`);
        end(() => reject(error));
        stream.abort(error);
      }, options.stepMs);
      timer.unref();
      wake = () => {
        const frame = waiting.shift();
        const error = failure;
        if (frame !== undefined) end(() => resolve(frame));
        else if (error !== undefined) end(() => reject(error));
      };
      wake();
    });

  return {
    read,
    async write(frame) {
      if (failure !== undefined && stream.status !== 'open') throw failure;
      if (stream.send(encodeFrame(frame))) return;
      await drained(stream, options.stepMs);
    },
    close: async () => {
      await stream
        .close({ signal: AbortSignal.timeout(options.stepMs) })
        .catch((error: unknown) => stream.abort(asError(error)));
    },
    abort: (reason) => stream.abort(reason),
  };
}

/**
 * Waits until a full stream takes bytes again. `stream.onDrain()` is not used: its promise may
 * reject with an event that nobody awaits, which ends the process.
 */
function drained(stream: Stream, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      stream.removeEventListener('drain', onDrain);
      stream.removeEventListener('close', onClose);
      settle();
    };
    const onDrain = (): void => end(resolve);
    const onClose = (): void =>
      end(() => reject(new BzzzError('PEER_UNREACHABLE', 'the peer closed the stream')));
    const timer = setTimeout(() => {
      const error = new BzzzError('TIMEOUT', `the peer read nothing for ${ms} ms`);
      end(() => reject(error));
      stream.abort(error);
    }, ms);
    timer.unref();
    stream.addEventListener('drain', onDrain);
    stream.addEventListener('close', onClose);
  });
}

const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));
