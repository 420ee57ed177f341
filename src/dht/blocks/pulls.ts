/**
 * How pieces come to this node: from whom, for whom, and one transfer a content at a time.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import type { Clock, Random } from '../../base/ports.ts';
import { RequestSlots } from '../slots.ts';
import type { Asker } from './ask.ts';
import type { BlockCounters } from './counters.ts';
import { decodeBlockList } from './list.ts';
import { ranked } from './placement.ts';
import type { BlockStore, Pin } from './store.ts';
import { Transfer } from './transfer.ts';

export interface PullsOptions {
  /** Members that rank first are asked before those that say they have it. */
  readonly home: number;
}

export interface PullsDeps {
  readonly self: PeerId;
  readonly members: () => readonly PeerId[];
  readonly providers: { find(cid: string, signal?: AbortSignal): AsyncIterable<PeerId> };
  readonly store: BlockStore;
  readonly asker: Asker;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: BlockCounters;
  /** All of a content is here now. */
  readonly came: (root: string) => void;
  /** Part of a content is here, and the rest was not to be had. */
  readonly stuck: (root: string) => void;
}

/** Contents fetched at once for others, and waiting for it. */
const PULLS = 4;
const PULLS_WAITING = 64;
/** Members asked for a piece whose home and providers all failed. */
const REACH = 20;
/** How often whoever waits for a holder hears of it. */
const PROGRESS_MS = 1_000;

/** Fetches contents; what it fetches is verified before it is stored. */
export class Pulls {
  readonly #options: PullsOptions;
  readonly #deps: PullsDeps;
  readonly #slots: RequestSlots;
  /** One a content, whoever asked for it. */
  readonly #running = new Map<string, Promise<void>>();

  constructor(options: PullsOptions, deps: PullsDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#slots = new RequestSlots(PULLS, PULLS_WAITING, () => deps.counters.add('busy'));
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }

  /**
   * Another member wants this node to hold a content.
   * @param list one that `decodeBlockList` takes.
   * @throws why it does not.
   */
  async hold(
    peer: PeerId,
    list: Uint8Array,
    progress: (have: number) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, came, stuck } = this.#deps;
    const pin = await store.pin(list, peer);
    if (store.complete(pin.root)) return;
    const missing = (): number => store.missing(pin).length;
    const before = missing();
    const still = this.#beat(async () => progress(pin.chunks.length - missing()));
    try {
      await this.#slots.run(signal, () => this.pull(pin, peer, signal));
      came(pin.root);
    } catch (thrown) {
      // A content of which nothing was to be had would only take room from others.
      if (missing() === before) await store.unpin(pin.root);
      else stuck(pin.root);
      throw thrown;
    } finally {
      still();
    }
  }

  /** Fetches what is missing of a pinned content; whoever comes meanwhile waits for the same. */
  pull(pin: Pin, first: PeerId | undefined, signal: AbortSignal): Promise<void> {
    const running = this.#running.get(pin.root);
    if (running !== undefined) return running;
    const pull = this.#fetchInto(pin, first, signal).finally(() => this.#running.delete(pin.root));
    this.#running.set(pin.root, pull);
    return pull;
  }

  /** A way to get pieces of a content. `end` it. */
  transfer(root: string, list: Uint8Array, signal: AbortSignal, first?: PeerId): Transfer {
    const { asker, clock, random } = this.#deps;
    const sources = this.#sources(root, signal, first);
    return new Transfer(decodeBlockList(list), sources, { asker, clock, random });
  }

  async #fetchInto(pin: Pin, first: PeerId | undefined, signal: AbortSignal): Promise<void> {
    const { store } = this.#deps;
    const missing = store.missing(pin);
    if (missing.length === 0) return;
    const transfer = this.transfer(pin.root, pin.list, signal, first);
    try {
      let next = 0;
      for await (const bytes of transfer.fetch(missing, signal)) {
        await store.put(pin.chunks[missing[next++] ?? 0] ?? '', bytes);
      }
    } finally {
      await transfer.end();
    }
  }

  /** Whom to ask, best first: who asked us, the content's home, who says so, then the others. */
  async *#sources(
    root: string,
    signal: AbortSignal,
    first: PeerId | undefined,
  ): AsyncGenerator<PeerId> {
    const { self, members, providers } = this.#deps;
    const { home } = this.#options;
    if (first !== undefined) yield first;
    const order = ranked(root, members()).filter((peer) => peer !== self);
    yield* order.slice(0, home);
    for await (const peer of providers.find(root, signal)) if (peer !== self) yield peer;
    yield* order.slice(home, REACH);
  }

  /** Calls `tell` every second until the returned function is called. */
  #beat(tell: () => Promise<void>): () => void {
    let over = false;
    let cancel = (): void => {};
    const next = (): void => {
      if (over) return;
      cancel = this.#deps.clock.after(PROGRESS_MS, () => {
        // Who does not hear it any more has closed the stream, and that ends the request.
        tell().then(next, () => {});
      });
    };
    next();
    return () => {
      over = true;
      cancel();
    };
  }
}
