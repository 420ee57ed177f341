/**
 * Large contents of one node: cut into pieces, held by several members, fetched from any of them.
 *
 * Records stay small and stand in the DHT; the list of a content is one of them. The pieces are
 * here. What is pinned is held until it is dropped: its holders complete it among themselves in
 * the background, and whoever finds holders missing calls `ensure`.
 * @module
 */
import { setMaxListeners } from 'node:events';
import type { PeerId } from '../../base/brands.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import { contentCid } from '../../base/codec.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Clock, KeyValue, Logger, Random, Service } from '../../base/ports.ts';
import { contentTooLarge } from '../../base/too-large.ts';
import { Counters } from '../counters.ts';
import { needOf, outcomeOf } from '../quorum.ts';
import { Replicator } from '../replicate.ts';
import { Republisher } from '../republish.ts';
import type { PutOutcome } from '../store.ts';
import { Asker, type AskerOptions } from './ask.ts';
import { BlockCounters } from './counters.ts';
import { Holders } from './holders.ts';
import { asBlockList, cut, decodeBlockList, encodeBlockList, rootOf } from './list.ts';
import { ranked } from './placement.ts';
import { Pulls } from './pulls.ts';
import { BlockServer, type ServerOptions } from './serve.ts';
import { BlockStore, type BlockStoreOptions } from './store.ts';
import type { BlockNet, BlockStream } from './wire.ts';

/** Every time in ms. */
export interface BlocksOptions {
  /** Wanted holders. @default LIMITS.replication */
  readonly replication?: number;
  /** Room on the disk. */
  readonly store?: BlockStoreOptions;
  readonly ask?: Partial<AskerOptions>;
  readonly serve?: Partial<ServerOptions>;
  /** What slow holders get after a quorum holds. @default 1000 */
  readonly graceMs?: number;
  /** Between two passes over all contents. @default 3600000 */
  readonly republishMs?: number;
  /** From the start, or new members, to a pass. @default 5000 */
  readonly republishSoonMs?: number;
  /** First retry of missing holders; doubles up to 60 times as much. @default 5000 */
  readonly retryMs?: number;
}

export interface BlocksDeps {
  readonly self: PeerId;
  /** The roster's members; this node alone while others are not to be asked. */
  readonly members: () => readonly PeerId[];
  readonly net: BlockNet;
  /** A namespace of the embedded store of its own. */
  readonly disk: KeyValue;
  /** `Providers` of the same DHT. */
  readonly providers: {
    provide(cid: string, signal?: AbortSignal): Promise<void>;
    find(cid: string, signal?: AbortSignal): AsyncIterable<PeerId>;
    withdraw(cid: string): Promise<void>;
  };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** A content that was stored here. */
export interface Added {
  /** The name of the content: the CID of its list. */
  readonly root: string;
  readonly list: Uint8Array;
  readonly size: number;
  /** False when it was here already. */
  readonly isNew: boolean;
}

/** For status and metrics. */
export interface BlocksStatus {
  readonly usedBytes: number;
  readonly contents: number;
  /** Contents of which pieces are missing here. */
  readonly incomplete: number;
  /** Contents that wait for holders. */
  readonly backlog: number;
  /** Contents dropped from that queue; the next pass finds them again. */
  readonly dropped: number;
  /** Pieces that the disk gave back changed. */
  readonly damaged: number;
}

const ASK: AskerOptions = { requestMs: 30_000, parallel: 4, holds: 2, waiting: 256 };
const SERVE: ServerOptions = { perPeer: 8, total: 64, serveMs: 60_000 };
const SLICE = 16;
const SLICE_PAUSE_MS = 100;

/** `start` before anything else; `accept` takes the streams of the protocol. */
export class Blocks implements Service {
  readonly name = 'blocks';
  readonly counters = new BlockCounters();
  /** `replicated`, `replicateFailed`, `replicateDropped`: contents and their holders. */
  readonly #background = new Counters();
  readonly #options: BlocksOptions;
  readonly #deps: BlocksDeps;
  readonly #store: BlockStore;
  readonly #asker: Asker;
  readonly #server: BlockServer;
  readonly #holders: Holders;
  readonly #replicator: Replicator;
  readonly #republisher: Republisher;
  readonly #pulls: Pulls;
  /** What was missing of a content at the last pass. */
  readonly #stalled = new Map<string, number>();
  #stop = stopper();

  constructor(options: BlocksOptions, deps: BlocksDeps) {
    const { clock, random, log, self } = deps;
    const { counters } = this;
    this.#options = options;
    this.#deps = deps;
    this.#store = new BlockStore(options.store ?? {}, { self, disk: deps.disk, log });
    this.#asker = new Asker({ ...ASK, ...options.ask }, { net: deps.net, clock, counters });
    this.#server = new BlockServer(
      { ...SERVE, ...options.serve },
      {
        ...{ clock, log, counters },
        load: (cid) => this.#store.get(cid),
        hold: (peer, list, progress, signal) => this.#pulls.hold(peer, list, progress, signal),
      },
    );
    this.#pulls = new Pulls(
      { home: options.replication ?? LIMITS.replication },
      {
        ...{ ...deps, counters, store: this.#store, asker: this.#asker },
        came: (root) => this.#announce(root),
        stuck: (root) => this.#retry(root),
      },
    );
    this.#holders = new Holders(
      { graceMs: options.graceMs ?? 1_000 },
      { asker: this.#asker, clock, random, counters },
    );
    this.#replicator = new Replicator(
      { retryMs: options.retryMs ?? 5_000 },
      {
        ...{ clock, random, log, counters: this.#background },
        ensure: (key, signal) => this.#ensured(textOf(key), signal),
      },
    );
    this.#republisher = new Republisher(
      {
        intervalMs: options.republishMs ?? 3_600_000,
        soonMs: options.republishSoonMs ?? 5_000,
        pauseMs: SLICE_PAUSE_MS,
      },
      { clock, random, log, slice: (from, signal) => this.#pass(from, signal) },
    );
  }

  /** Reads what the disk has. @throws DISK_FAILED. */
  async start(): Promise<void> {
    this.#stop = stopper();
    await this.#store.open();
    this.#server.start();
    this.#replicator.start();
    this.#republisher.start();
  }

  /** Ends every transfer under way. */
  async stop(): Promise<void> {
    this.#stop.abort(new BzzzError('DRAINING', 'this node is stopping'));
    this.#server.stop();
    await Promise.all([this.#replicator.stop(), this.#republisher.stop()]);
    await this.#pulls.settled();
  }

  /** A stream that a member opened. Never throws. */
  accept(peer: PeerId, stream: BlockStream): Promise<void> {
    return this.#server.accept(peer, stream);
  }

  /** Call it whenever members came, went or were found dead: a pass over all contents follows. */
  membersChanged(): void {
    this.#republisher.grown();
  }

  status(): BlocksStatus {
    const pins = this.#store.pins();
    return {
      usedBytes: this.#store.usedBytes,
      contents: pins.length,
      incomplete: pins.filter(({ root }) => !this.#store.complete(root)).length,
      backlog: this.#replicator.size,
      dropped: this.#background.get('replicateDropped'),
      damaged: this.#store.damaged,
    };
  }

  /**
   * Stores a content here, piece by piece, and pins it. `ensure` finds other holders for it.
   * @throws TOO_LARGE over `LIMITS.chunkedBytes` or when there is no room; DISK_FAILED; BAD_REQUEST
   * for no bytes at all; what `source` throws. Nothing is kept then.
   */
  async add(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Added> {
    const chunks: string[] = [];
    let size = 0;
    try {
      for await (const piece of cut(source)) {
        size += piece.length;
        if (size > LIMITS.chunkedBytes) throw contentTooLarge();
        const cid = contentCid(piece).toString();
        this.#store.claim(cid, piece.length);
        chunks.push(cid);
        await this.#store.put(cid, piece);
      }
      if (size === 0) throw new BzzzError('BAD_REQUEST', 'empty content has no pieces');
      const list = encodeBlockList({ size, chunks });
      const root = rootOf(list);
      const isNew = this.#store.pinned(root) === undefined;
      await this.#store.pin(list, this.#deps.self);
      return { root, list, size, isNew };
    } finally {
      await this.#store.release(chunks);
    }
  }

  /**
   * Sees to it that r = min(5, members) members hold a content, this node among them if it does;
   * what is missing then is completed in the background.
   * @param list of the content; needed where it is not pinned here.
   * @returns the members that hold all of it and showed it, byte for byte, if this node has it to
   * compare; else those that gave samples back.
   * @throws NOT_FOUND for a content that is not pinned here, without its list; BAD_MESSAGE.
   */
  async ensure(root: string, list?: Uint8Array): Promise<PutOutcome> {
    const outcome = await this.#place(root, this.#listOf(root, list), 'put', this.#stop.signal);
    if (outcome.pending > 0 && this.#store.pinned(root) !== undefined) this.#retry(root);
    return outcome;
  }

  /**
   * The bytes of a content in order: what is here from here, the rest from others, verified.
   * @throws NOT_FOUND when a piece is not to be had; BAD_MESSAGE.
   */
  async *read(list: Uint8Array, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const blocks = decodeBlockList(list);
    const root = rootOf(list);
    const until = AbortSignal.any([this.#stop.signal, ...(signal === undefined ? [] : [signal])]);
    setMaxListeners(0, until);
    const transfer = this.#pulls.transfer(root, list, until);
    try {
      for (let at = 0; at < blocks.chunks.length; ) {
        const own = await this.#store.get(blocks.chunks[at] ?? '');
        if (own !== undefined) {
          yield own;
          at++;
          continue;
        }
        // As many as are missing in a row, for one request.
        const missing = [at];
        while (missing.length < LIMITS.blockWants && this.#lacks(blocks.chunks[++at])) {
          missing.push(at);
        }
        if (missing.length === LIMITS.blockWants) at++;
        yield* transfer.fetch(missing, until);
      }
    } finally {
      await transfer.end();
    }
  }

  /** Whether all of a content is here. */
  has(root: string): boolean {
    return this.#store.complete(root);
  }

  /** Lets a content go: its pieces, as far as nothing else names them, and what says it is here. */
  async drop(root: string): Promise<void> {
    await this.#deps.providers.withdraw(root);
    await this.#store.unpin(root);
  }

  #lacks(cid: string | undefined): boolean {
    return cid !== undefined && !this.#store.has(cid);
  }

  #listOf(root: string, list: Uint8Array | undefined): Uint8Array {
    const known = this.#store.pinned(root)?.list ?? list;
    if (known === undefined) throw new BzzzError('NOT_FOUND', `no content ${root} is held here`);
    if (rootOf(known) !== root || asBlockList(known) === undefined) {
      throw new BzzzError('BAD_MESSAGE', `the list is not that of ${root}`);
    }
    return known;
  }

  #retry(root: string): void {
    this.#replicator.add(root, utf8Bytes(root));
  }

  async #place(
    root: string,
    list: Uint8Array,
    during: 'put' | 'pass',
    signal: AbortSignal,
  ): Promise<PutOutcome> {
    const { self, members } = this.#deps;
    const need = needOf(this.#options.replication ?? LIMITS.replication, members().length);
    const pin = this.#store.pinned(root);
    if (pin !== undefined) await this.#pulls.pull(pin, undefined, this.#stop.signal).catch(ignored);
    const own = this.#store.complete(root) ? [self] : [];
    if (own.length > 0) this.#announce(root);
    const held = await this.#holders.find({
      list,
      peers: ranked(root, members()).filter((peer) => peer !== self),
      wanted: need.copies - own.length,
      enough: need.quorum - own.length,
      signal,
      look: during === 'pass' ? 'ends' : own.length > 0 ? 'all' : 'samples',
      own: (cid) => this.#store.get(cid),
    });
    return outcomeOf(need, self, [...own, ...held]);
  }

  async #ensured(root: string, signal: AbortSignal): Promise<boolean> {
    const pin = this.#store.pinned(root);
    if (pin === undefined) return true;
    return (await this.#place(root, pin.list, 'pass', signal)).pending === 0;
  }

  /** Says that the content is here; behind every answer, because finding it works without, too. */
  #announce(root: string): void {
    this.#deps.providers.provide(root, this.#stop.signal).catch((err) => {
      this.#deps.log.debug({ err, root }, 'a provider record was not written');
    });
  }

  /** One slice of a pass over all contents, in the order of their names. */
  async #pass(from: string, signal: AbortSignal): Promise<string | undefined> {
    const roots = this.#store.pins().map(({ root }) => root);
    const slice = roots
      .filter((root) => root > from)
      .sort()
      .slice(0, SLICE);
    for (const root of slice) {
      if (signal.aborted) return undefined;
      if (!(await this.#ensured(root, signal))) this.#retry(root);
      await this.#giveUp(root);
    }
    return slice.length < SLICE ? undefined : slice.at(-1);
  }

  /** What another had us hold, and of which nothing came between two passes, is let go. */
  async #giveUp(root: string): Promise<void> {
    const pin = this.#store.pinned(root);
    const missing = pin === undefined ? 0 : this.#store.missing(pin).length;
    const stalled = missing > 0 && this.#stalled.get(root) === missing;
    if (missing === 0) this.#stalled.delete(root);
    else this.#stalled.set(root, missing);
    if (!stalled || pin?.owner === this.#deps.self) return;
    this.#stalled.delete(root);
    this.#deps.log.warn({ root, missing }, 'a content that nobody completes is let go');
    await this.drop(root);
  }
}

/** Every transfer listens to it. */
function stopper(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

const textOf = (key: Uint8Array): string => new TextDecoder().decode(key);

/** For failures that the state afterwards shows. */
const ignored = (): void => {};
