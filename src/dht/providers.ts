/**
 * Who has a content: provider records of kad-dht, asked for and written peer by peer.
 *
 * kad-dht's own `provide` reports every peer as told, although ADD_PROVIDER has no answer and a
 * peer without a word drops records of hashes other than SHA-256, of providers without an address,
 * and what its guard refuses. Its `findProviders` is a query that hangs while the routing table is
 * empty. And its GET_PROVIDERS fails as a whole when one of the providers has left the peer store
 * (rpc/handlers/get-providers.ts), and names records that expired up to an hour ago. Here each
 * record is read back, each question has a deadline, and this node names only members whom it
 * knows, and only within their time.
 *
 * A record lives 48 h. kad-dht reprovides this node's own ones while they stand; `withdraw` ends
 * that, and what others have of it then expires. Nothing proves that a named provider has anything.
 * @module
 */
import type { PeerId as Libp2pPeerId } from '@libp2p/interface';
import { type KadDHT, MessageType, type QueryEvent } from '@libp2p/kad-dht';
import { peerIdFromString } from '@libp2p/peer-id';
import type { CID } from 'multiformats/cid';
import type { PeerId } from '../base/brands.ts';
import { sha256 } from '../base/bytes.ts';
import { assert } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { pause } from '../base/pause.ts';
import type { Clock } from '../base/ports.ts';
import { BoundedQueue } from '../base/queue.ts';
import type { Counters } from './counters.ts';
import { deadline } from './deadline.ts';
import { providableCid } from './providable.ts';
import { needOf } from './quorum.ts';
import { spread } from './spread.ts';

export interface ProvidersDeps {
  readonly self: PeerId;
  /** The roster's members, this node included once it is admitted. */
  readonly members: () => readonly PeerId[];
  /** Made with `kadInit`. */
  readonly kad: KadDHT;
  readonly clock: Clock;
  readonly counters: Counters;
}

/** Times in ms. */
export interface ProvidersOptions {
  /** Wanted holders of the record, this node included. @default LIMITS.replication */
  readonly replication?: number;
  /** Of one request to one peer. @default 1000 */
  readonly requestMs?: number;
  /** Of a whole `provide` or `find`. @default 3000 */
  readonly timeoutMs?: number;
}

/** Used of the class behind the interface; its version is pinned, and a test holds it. */
interface KadInside {
  readonly routingTable: {
    closestPeers(kadId: Uint8Array, options: { count: number }): Iterable<Libp2pPeerId>;
  };
  readonly providers: {
    addProvider(cid: CID, provider: Libp2pPeerId): Promise<void>;
    removeProvider(cid: CID, provider: Libp2pPeerId): Promise<void>;
    getProviders(cid: CID): Promise<Libp2pPeerId[]>;
    /** Who, and when the record was written. */
    loadProviders(cid: CID): Promise<Iterable<[Libp2pPeerId, Date]>>;
  };
  readonly network: { sendRequest: Send; sendMessage: Send };
  readonly components: {
    readonly peerId: Libp2pPeerId;
    readonly peerStore: { has(peer: Libp2pPeerId): Promise<boolean> };
    readonly addressManager: { getAddresses(): readonly { readonly bytes: Uint8Array }[] };
  };
}

type Send = (
  to: Libp2pPeerId,
  message: object,
  options: { signal: AbortSignal; path: typeof NO_PATH },
) => AsyncIterable<QueryEvent>;

const NO_PATH = { index: -1, queued: 0, running: 0, total: 0 } as const;
/** Peers asked at most: the bucket size of Kademlia. */
const REACH = 20;
/** How long a provider record counts (libp2p kad-dht specification, content provider records). */
const LIFE_MS = 48 * 3_600_000;
/** ADD_PROVIDER has no answer, so the first look may come before the record was written. */
const READ_BACK_MS = [0, 30, 150, 500];

/** Provider records, replicated over the members nearest to the content. */
export class Providers {
  readonly #options: Required<ProvidersOptions>;
  readonly #deps: ProvidersDeps;
  readonly #kad: KadInside;

  /** @throws INTERNAL when `deps.kad` is another version than this was written for. */
  constructor(deps: ProvidersDeps, options: ProvidersOptions = {}) {
    const { replication = LIMITS.replication, requestMs = 1_000, timeoutMs = 3_000 } = options;
    this.#options = { replication, requestMs, timeoutMs };
    this.#deps = deps;
    this.#kad = insideOf(deps.kad);
    this.#kad.providers.getProviders = (cid) => this.#standing(cid);
  }

  /**
   * Says that this node has `cid`. Succeeds with what it reached; `announce` tells how much.
   * @throws BAD_MESSAGE: not a CID over SHA-256, or no more room here; DISK_FAILED.
   */
  async provide(cid: string, signal?: AbortSignal): Promise<void> {
    await this.announce(cid, signal);
  }

  /** As `provide`. @returns the members whose record was read back, this node included. */
  async announce(cid: string, signal?: AbortSignal): Promise<readonly PeerId[]> {
    const target = providableCid(cid);
    const { self, members, clock, counters } = this.#deps;
    await this.#kad.providers.addProvider(target, this.#kad.components.peerId);
    const others = needOf(this.#options.replication, members().length).copies - 1;
    if (others === 0) return [self];
    const limit = deadline(clock, this.#options.timeoutMs, signal);
    try {
      const took = await spread<boolean>({
        peers: this.#nearest(target),
        width: others,
        timeoutMs: this.#options.timeoutMs,
        graceMs: 0,
        clock,
        signal: limit.signal,
        rest: 'abort',
        ask: (peer, until) => this.#tell(peer, target, until),
        fills: (taken) => taken,
        judge: (answers) =>
          [...answers.values()].filter((taken) => taken).length >= others ? 'done' : 'more',
        failed: () => counters.add('peerError'),
      });
      return [self, ...[...took].filter(([, taken]) => taken).map(([peer]) => peer)];
    } finally {
      limit.end();
    }
  }

  /** Takes it back: not published again, and not named by this node any more. */
  async withdraw(cid: string): Promise<void> {
    await this.#kad.providers.removeProvider(providableCid(cid), this.#kad.components.peerId);
  }

  /**
   * Members that said they have `cid`, each once, as they are found; ends with its time, at once
   * where nobody can be asked. @throws BAD_MESSAGE: not a CID over SHA-256.
   */
  async *find(cid: string, signal?: AbortSignal): AsyncIterable<PeerId> {
    const target = providableCid(cid);
    const { clock, counters } = this.#deps;
    const found = new BoundedQueue<PeerId>(LIMITS.rosterMembers);
    const seen = new Set<PeerId>();
    const take = (providers: readonly Libp2pPeerId[]): void => {
      for (const peer of this.#membersAmong(providers)) {
        if (seen.has(peer)) continue;
        seen.add(peer);
        found.push(peer);
      }
    };
    take(await this.#standing(target));
    const limit = deadline(clock, this.#options.timeoutMs, signal);
    const asked = spread<void>({
      peers: this.#nearest(target),
      width: this.#options.replication,
      timeoutMs: this.#options.timeoutMs,
      graceMs: 0,
      clock,
      signal: limit.signal,
      rest: 'abort',
      ask: async (peer, until) => take(await this.#ask(peer, target, until)),
      fills: () => false,
      judge: () => 'more',
      failed: () => counters.add('peerError'),
    }).then(() => found.close());
    try {
      for await (const item of found) if (item.kind === 'item') yield item.value;
    } finally {
      limit.abort();
      limit.end();
      await asked;
    }
  }

  #nearest(cid: CID): readonly PeerId[] {
    const id = sha256(cid.multihash.bytes);
    return this.#membersAmong(this.#kad.routingTable.closestPeers(id, { count: REACH })).filter(
      (peer) => peer !== this.#deps.self,
    );
  }

  #membersAmong(peers: Iterable<Libp2pPeerId>): readonly PeerId[] {
    const inside = new Set(this.#deps.members());
    return [...peers].map((peer) => peer.toString() as PeerId).filter((peer) => inside.has(peer));
  }

  /** Whom this node names, to itself and to others. */
  async #standing(cid: CID): Promise<Libp2pPeerId[]> {
    const { members, clock, self } = this.#deps;
    const inside = new Set<string>(members());
    const named: Libp2pPeerId[] = [];
    for (const [peer, written] of await this.#kad.providers.loadProviders(cid)) {
      const id = peer.toString();
      if (clock.wallMs() - written.getTime() >= LIFE_MS && id !== self) continue;
      const known = inside.has(id) || id === self;
      if (known && (await this.#kad.components.peerStore.has(peer))) named.push(peer);
    }
    return named;
  }

  /** @returns whether the record stands there. */
  async #tell(peer: PeerId, cid: CID, signal: AbortSignal): Promise<boolean> {
    const { peerId, addressManager } = this.#kad.components;
    const multiaddrs = addressManager.getAddresses().map(({ bytes }) => bytes);
    const provider = { id: peerId.toMultihash().bytes, multiaddrs };
    const message = { type: MessageType.ADD_PROVIDER, key: cid.multihash.bytes };
    await this.#run(signal, async (until) => {
      const sent = this.#kad.network.sendMessage(
        peerIdFromString(peer),
        { ...message, providers: [provider] },
        { signal: until, path: NO_PATH },
      );
      for await (const event of sent) if (event.name === 'QUERY_ERROR') throw event.error;
    });
    for (const wait of READ_BACK_MS) {
      await pause(this.#deps.clock, wait, signal);
      const back = await this.#ask(peer, cid, signal);
      if (back.some((one) => one.equals(peerId))) return true;
    }
    this.#deps.counters.add('falseAck');
    return false;
  }

  async #ask(peer: PeerId, cid: CID, signal: AbortSignal): Promise<readonly Libp2pPeerId[]> {
    return this.#run(signal, async (until) => {
      const answer = this.#kad.network.sendRequest(
        peerIdFromString(peer),
        { type: MessageType.GET_PROVIDERS, key: cid.multihash.bytes },
        { signal: until, path: NO_PATH },
      );
      for await (const event of answer) {
        if (event.name === 'QUERY_ERROR') throw event.error;
        if (event.name === 'PEER_RESPONSE') return event.providers.map(({ id }) => id);
      }
      return [];
    });
  }

  async #run<T>(outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = deadline(this.#deps.clock, this.#options.requestMs, outer);
    try {
      return await work(limit.signal);
    } finally {
      limit.end();
    }
  }
}

function insideOf(dht: KadDHT): KadInside {
  const inside = dht as unknown as KadInside & {
    readonly providers?: Partial<KadInside['providers']>;
  };
  assert(
    typeof inside.routingTable?.closestPeers === 'function' &&
      typeof inside.network?.sendMessage === 'function' &&
      typeof inside.providers?.loadProviders === 'function' &&
      typeof inside.components?.addressManager?.getAddresses === 'function',
    'this kad-dht has a routing table, a network and providers',
  );
  return inside;
}
