/**
 * One request to one member: a few pieces, or to hold a content. All answers are untrusted.
 * @module
 */
import { CID } from 'multiformats/cid';
import type { PeerId } from '../../base/brands.ts';
import { contentCid } from '../../base/codec.ts';
import { BzzzError, isBadMessage } from '../../base/errors.ts';
import type { Clock } from '../../base/ports.ts';
import { deadline } from '../deadline.ts';
import { RequestSlots } from '../slots.ts';
import type { BlockCounters } from './counters.ts';
import {
  type BlockNet,
  type BlockRequest,
  type BlockResponse,
  type BlockStream,
  decodeBlockResponse,
  encodeBlockFrame,
} from './wire.ts';

/** A piece that arrives: what is here of it outlives the peer that sent it. */
export interface Arriving {
  readonly cid: string;
  readonly bytes: Uint8Array;
  filled: number;
  /** Who sent what is here; whoever alone sent all of a wrong piece is to blame for it. */
  readonly from: Set<PeerId>;
}

export const arriving = (cid: string, size: number): Arriving => ({
  cid,
  bytes: new Uint8Array(size),
  filled: 0,
  from: new Set(),
});

/** How a request for pieces ended. What arrived in full before is good in any case. */
export type Ending =
  | 'done'
  | 'busy'
  /** It lacks the next piece, so it is of no use for now. */
  | 'missing'
  /** Nothing more came in time, or the stream broke. */
  | 'silent'
  /** It sent other bytes than were asked for. */
  | 'wrong'
  /** Parts of several peers make no piece, and any of them may be to blame: ask for the whole. */
  | 'mixed';

export interface AskerOptions {
  /** Of one request for pieces, in ms. */
  readonly requestMs: number;
  /** Requests for pieces to one member under way at once; below what a server allows. */
  readonly parallel: number;
  /** The same for contents to hold. */
  readonly holds: number;
  /** Requests waiting for their turn; more are refused. */
  readonly waiting: number;
}

export interface AskerDeps {
  readonly net: BlockNet;
  readonly clock: Clock;
  readonly counters: BlockCounters;
}

/** Asks members; a line for each, so that one that stalls holds up nobody else's requests. */
export class Asker {
  readonly #options: AskerOptions;
  readonly #deps: AskerDeps;
  readonly #lines = new Map<PeerId, RequestSlots>();
  readonly #holds = new Map<PeerId, RequestSlots>();

  constructor(options: AskerOptions, deps: AskerDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Fills `pieces` in order, each verified when it is full. Throws only when `signal` aborts. */
  async want(
    peer: PeerId,
    pieces: readonly Arriving[],
    take: (piece: Arriving) => Promise<void>,
    outer: AbortSignal,
  ): Promise<Ending> {
    const { clock, counters } = this.#deps;
    const limit = deadline(clock, this.#options.requestMs, outer);
    try {
      return await this.#line(this.#lines, peer, this.#options.parallel).run(
        limit.signal,
        async () => {
          const blocks = pieces.map(({ cid, filled }) => ({ cid: CID.parse(cid), from: filled }));
          return this.#talk(peer, { t: 'want', blocks }, limit.signal, async (read) => {
            for (const [i, piece] of pieces.entries()) {
              const ending = await this.#fill(peer, i, piece, read);
              if (ending !== 'done') return ending;
              await take(piece);
            }
            return 'done';
          });
        },
      );
    } catch (thrown) {
      outer.throwIfAborted();
      if (thrown instanceof BzzzError && thrown.code === 'DISK_FAILED') throw thrown;
      const garbage = isBadMessage(thrown);
      counters.add(garbage ? 'garbage' : 'silent');
      return garbage ? 'wrong' : 'silent';
    } finally {
      limit.end();
    }
  }

  /**
   * Has a member hold a content, and waits as long as it says that it goes on.
   * @returns whether it says that it does. @throws PEER_UNREACHABLE, TIMEOUT, BAD_MESSAGE.
   */
  async hold(peer: PeerId, list: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const line = this.#line(this.#holds, peer, this.#options.holds);
    return line.run(signal, () =>
      this.#talk(peer, { t: 'hold', list }, signal, async (read) => {
        for (;;) {
          const answer = await read();
          if (answer.t === 'progress') continue;
          if (answer.t === 'held') return true;
          if (answer.t === 'refused' || answer.t === 'busy') return false;
          throw new BzzzError('BAD_MESSAGE', `${answer.t} is no answer to hold`);
        }
      }),
    );
  }

  /**
   * What a member shows for having all of a content; see possession.ts.
   * @returns undefined when it has not. @throws PEER_UNREACHABLE, TIMEOUT, BAD_MESSAGE.
   */
  async prove(
    peer: PeerId,
    list: Uint8Array,
    nonce: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const line = this.#line(this.#holds, peer, this.#options.holds);
    return line.run(signal, () =>
      this.#talk(peer, { t: 'prove', list, nonce }, signal, async (read) => {
        const answer = await read();
        if (answer.t === 'proof') return answer.hash;
        if (answer.t === 'missing' || answer.t === 'busy') return undefined;
        throw new BzzzError('BAD_MESSAGE', `${answer.t} is no answer to prove`);
      }),
    );
  }

  async #talk<T>(
    peer: PeerId,
    request: BlockRequest,
    signal: AbortSignal,
    work: (read: () => Promise<BlockResponse>) => Promise<T>,
  ): Promise<T> {
    const stream = await this.#deps.net.open(peer, signal);
    const abort = (): void => stream.abort(new BzzzError('TIMEOUT', 'the time is up'));
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      await stream.write(encodeBlockFrame(request));
      const done = await work(() => this.#read(stream));
      // Nothing of interest follows, and a peer that goes on sending is not to be waited for.
      stream.close().catch(abort);
      return done;
    } catch (thrown) {
      stream.abort(thrown instanceof Error ? thrown : new Error(String(thrown)));
      throw thrown;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  async #read(stream: BlockStream): Promise<BlockResponse> {
    return decodeBlockResponse(await stream.read());
  }

  async #fill(
    peer: PeerId,
    i: number,
    piece: Arriving,
    read: () => Promise<BlockResponse>,
  ): Promise<Ending> {
    const { counters } = this.#deps;
    while (piece.filled < piece.bytes.length) {
      const answer = await read();
      if (answer.t === 'busy') return 'busy';
      if (answer.t === 'missing' && answer.i === i) {
        counters.add('missing');
        return 'missing';
      }
      const fits =
        answer.t === 'data' &&
        answer.i === i &&
        answer.from === piece.filled &&
        answer.bytes.length <= piece.bytes.length - piece.filled;
      if (!fits) throw new BzzzError('BAD_MESSAGE', 'no bytes of the piece that was asked for');
      piece.bytes.set(answer.bytes, piece.filled);
      piece.filled += answer.bytes.length;
      piece.from.add(peer);
      counters.add('receivedBytes', answer.bytes.length);
    }
    if (contentCid(piece.bytes).toString() === piece.cid) return 'done';
    counters.add('wrong');
    const alone = piece.from.size === 1;
    piece.filled = 0;
    piece.from.clear();
    return alone ? 'wrong' : 'mixed';
  }

  #line(lines: Map<PeerId, RequestSlots>, peer: PeerId, parallel: number): RequestSlots {
    const busy = (): void => this.#deps.counters.add('busy');
    const line = lines.get(peer) ?? new RequestSlots(parallel, this.#options.waiting, busy);
    lines.set(peer, line);
    return line;
  }
}
