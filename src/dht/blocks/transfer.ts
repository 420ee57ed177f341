/**
 * One content on its way: pieces in order, each verified, from whoever has them.
 *
 * A transfer that breaks off goes on where it was, at the byte, with the next provider. A provider
 * that sends wrong bytes is dropped for this content; one that is silent or lacks a piece is asked
 * again only after all others, and not a third time.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { pause } from '../../base/pause.ts';
import type { Clock, Random } from '../../base/ports.ts';
import { chanceOf } from '../republish.ts';
import { type Arriving, type Asker, arriving, type Ending } from './ask.ts';
import { type BlockList, chunkSize } from './list.ts';

export interface TransferDeps {
  readonly asker: Asker;
  readonly clock: Clock;
  readonly random: Random;
}

/** Times that a provider may fail before it is not asked any more. */
const STRIKES = 2;
/** A provider that is busy is asked again after 25 to 50 ms, and so often. */
const BUSY_MS = 50;
const BUSY_TIMES = 100;

const isBegun = ({ filled, bytes }: Arriving): boolean => filled > 0 && filled < bytes.length;

/** Made for one content and one reader. */
export class Transfer {
  readonly #deps: TransferDeps;
  readonly #list: BlockList;
  readonly #more: AsyncIterator<PeerId>;
  /** In the order in which they are asked. */
  readonly #peers: PeerId[] = [];
  readonly #strikes = new Map<PeerId, number>();
  #exhausted = false;
  #unfinished: Arriving | undefined;

  /** @param providers whom to ask, best first; each is taken from it when it is needed. */
  constructor(list: BlockList, providers: AsyncIterable<PeerId>, deps: TransferDeps) {
    this.#list = list;
    this.#more = providers[Symbol.asyncIterator]();
    this.#deps = deps;
  }

  /**
   * The pieces at `indexes`, in order, as they come in; several are asked for at once.
   * @throws NOT_FOUND when no provider is left that could have the next one; what `signal` says.
   */
  async *fetch(indexes: readonly number[], signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < indexes.length; ) {
      const wanted = indexes.slice(at, at + LIMITS.blockWants);
      const came: Uint8Array[] = [];
      await this.#round(wanted, came, signal);
      at += came.length;
      yield* came;
    }
  }

  /** Ends the search for providers. */
  async end(): Promise<void> {
    await this.#more.return?.();
  }

  /** One request to one provider; on success at least one piece came. */
  async #round(indexes: readonly number[], came: Uint8Array[], signal: AbortSignal): Promise<void> {
    const { asker, clock, random } = this.#deps;
    for (let busy = 0; came.length === 0; ) {
      signal.throwIfAborted();
      const peer = this.#peers[0] ?? (await this.#next());
      if (peer === undefined) throw this.#nobody(indexes);
      const pieces = indexes.map((index) => this.#piece(index));
      const take = async (piece: Arriving): Promise<void> => void came.push(piece.bytes);
      const ending = await asker.want(peer, pieces, take, signal);
      // What a liar sent of a piece is worth nothing; what others did is continued by the next.
      this.#unfinished = ending === 'wrong' ? undefined : pieces.find(isBegun);
      if (ending === 'busy' && ++busy < BUSY_TIMES) {
        await pause(clock, BUSY_MS * (0.5 + chanceOf(random) / 2), signal);
      } else if (ending !== 'done' && ending !== 'mixed') {
        await this.#strike(peer, ending);
      }
    }
  }

  #piece(index: number): Arriving {
    const cid = this.#list.chunks[index] ?? '';
    if (this.#unfinished?.cid === cid) return this.#unfinished;
    return arriving(cid, chunkSize(this.#list, index));
  }

  /** Behind all others, or away. */
  async #strike(peer: PeerId, ending: Ending): Promise<void> {
    this.#peers.shift();
    const strikes = (this.#strikes.get(peer) ?? 0) + (ending === 'wrong' ? STRIKES : 1);
    this.#strikes.set(peer, strikes);
    if (strikes < STRIKES) this.#peers.push(peer);
    // A new one is better than one that failed, so it goes to the front.
    const fresh = await this.#next();
    if (fresh !== undefined && this.#peers[0] !== fresh) {
      this.#peers.splice(this.#peers.indexOf(fresh), 1);
      this.#peers.unshift(fresh);
    }
  }

  /** Another provider; undefined when there is none. */
  async #next(): Promise<PeerId | undefined> {
    while (!this.#exhausted) {
      const { value, done } = await this.#more.next();
      if (done === true) this.#exhausted = true;
      else if (!this.#strikes.has(value) && !this.#peers.includes(value)) {
        this.#peers.push(value);
        return value;
      }
    }
    return undefined;
  }

  #nobody([index = 0]: readonly number[]): BzzzError {
    const { chunks } = this.#list;
    const asked = this.#strikes.size;
    return new BzzzError('NOT_FOUND', `piece ${index + 1} of ${chunks.length} was not to be had`, {
      why: asked === 0 ? 'nobody is known to have it' : `${asked} members were asked for it`,
      hint: 'start the hosts that hold it, and try again',
      details: { piece: chunks[index], asked },
    });
  }
}
