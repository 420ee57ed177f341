/**
 * The serving end: one request a stream, few streams at once, one piece in memory each. Whoever
 * reads slowly waits alone, and not for ever.
 * @module
 */
import { setMaxListeners } from 'node:events';
import type { PeerId } from '../../base/brands.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import type { Clock, Logger } from '../../base/ports.ts';
import { deadline } from '../deadline.ts';
import type { BlockCounters } from './counters.ts';
import { decodeBlockList } from './list.ts';
import { possessionOf } from './possession.ts';
import {
  type BlockRequest,
  type BlockResponse,
  type BlockStream,
  DATA_BYTES,
  decodeBlockRequest,
  encodeBlockFrame,
} from './wire.ts';

export interface ServerOptions {
  /** Requests served at once to one member, and to all. With one piece each that bounds memory. */
  readonly perPeer: number;
  readonly total: number;
  /** Longest time that a request for pieces may take, in ms. */
  readonly serveMs: number;
}

export interface ServerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: BlockCounters;
  /** A piece by the text of its CID. */
  load(cid: string): Promise<Uint8Array | undefined>;
  /**
   * Fetches and keeps a content for `peer`.
   * @throws why it is refused.
   */
  hold(
    peer: PeerId,
    list: Uint8Array,
    progress: (have: number) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
}

/** Give it every stream of the protocol that a member opened. */
export class BlockServer {
  readonly #options: ServerOptions;
  readonly #deps: ServerDeps;
  readonly #perPeer = new Map<PeerId, number>();
  #total = 0;
  #stop = stopper();

  constructor(options: ServerOptions, deps: ServerDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Requests being served. */
  get active(): number {
    return this.#total;
  }

  start(): void {
    this.#stop = stopper();
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Serves until the request is answered. Never throws. */
  async accept(peer: PeerId, stream: BlockStream): Promise<void> {
    const { perPeer, total } = this.#options;
    const mine = this.#perPeer.get(peer) ?? 0;
    const signal = this.#stop.signal;
    if (signal.aborted) return stream.abort(new BzzzError('DRAINING', 'this node is stopping'));
    const room = mine < perPeer && this.#total < total;
    // Those who are sent away are served, too: a crowd of them is cut off.
    if (!room && this.#total >= total * 2) return this.#cutOff(stream);
    this.#perPeer.set(peer, mine + 1);
    this.#total++;
    const abort = (): void => stream.abort(new BzzzError('TIMEOUT', 'the time is up'));
    const limit = deadline(this.#deps.clock, this.#options.serveMs, signal);
    limit.signal.addEventListener('abort', abort, { once: true });
    try {
      if (!room) await this.#sendAway(stream);
      else await this.#serve(peer, stream, limit.end);
      // Not waited for: whoever keeps its end open would keep its place.
      void stream.close();
    } catch (thrown) {
      this.#failed(peer, stream, thrown);
    } finally {
      limit.signal.removeEventListener('abort', abort);
      limit.end();
      this.#total--;
      const left = (this.#perPeer.get(peer) ?? 1) - 1;
      if (left === 0) this.#perPeer.delete(peer);
      else this.#perPeer.set(peer, left);
    }
  }

  async #serve(peer: PeerId, stream: BlockStream, unlimited: () => void): Promise<void> {
    const { counters } = this.#deps;
    const request = decodeBlockRequest(await stream.read());
    counters.add('served');
    const write = (frame: BlockResponse): Promise<void> => stream.write(encodeBlockFrame(frame));
    if (request.t === 'want') return this.#give(request, write);
    const { chunks } = decodeBlockList(request.list);
    if (request.t === 'prove') {
      const hash = await possessionOf(request.nonce, chunks, this.#deps.load);
      return write(hash === undefined ? { t: 'missing', i: 0 } : { t: 'proof', hash });
    }
    // What is fetched for it has deadlines of its own, and may be large.
    unlimited();
    const stop = this.#stop.signal;
    const abort = (): void => stream.abort(new BzzzError('DRAINING', 'this node is stopping'));
    stop.addEventListener('abort', abort, { once: true });
    try {
      const progress = (have: number): Promise<void> => write({ t: 'progress', have });
      await this.#deps.hold(peer, request.list, progress, stop);
      await write({ t: 'held' });
    } catch (thrown) {
      const { code, message } = toBzzzError(thrown);
      counters.add('refused');
      this.#deps.log.debug({ peer, code, reason: message }, 'a content is not held');
      await write({ t: 'refused', code });
    } finally {
      stop.removeEventListener('abort', abort);
    }
  }

  async #give(
    { blocks }: Extract<BlockRequest, { t: 'want' }>,
    write: (frame: BlockResponse) => Promise<void>,
  ): Promise<void> {
    for (const [i, { cid, from }] of blocks.entries()) {
      const bytes = await this.#deps.load(cid.toString());
      if (bytes === undefined || from >= bytes.length) {
        await write({ t: 'missing', i });
        continue;
      }
      for (let at = from; at < bytes.length; at += DATA_BYTES) {
        const part = bytes.subarray(at, at + DATA_BYTES);
        await write({ t: 'data', i, from: at, bytes: part });
        this.#deps.counters.add('sentBytes', part.length);
      }
    }
  }

  async #sendAway(stream: BlockStream): Promise<void> {
    this.#deps.counters.add('busy');
    await stream.write(encodeBlockFrame({ t: 'busy' }));
  }

  #cutOff(stream: BlockStream): void {
    this.#deps.counters.add('busy');
    stream.abort(new BzzzError('BUSY', 'too many requests for pieces'));
  }

  #failed(peer: PeerId, stream: BlockStream, thrown: unknown): void {
    const { counters, log } = this.#deps;
    const error = toBzzzError(thrown);
    const garbage = error.code === 'BAD_MESSAGE' || error.code === 'TOO_LARGE';
    counters.add(garbage ? 'garbage' : 'silent');
    log.debug({ peer, code: error.code, reason: error.message }, 'a request for pieces broke off');
    stream.abort(error);
  }
}

/** Every request being served listens to it. */
function stopper(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}
