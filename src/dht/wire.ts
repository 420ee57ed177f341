/**
 * Single requests to single peers in kad-dht's own protocol, and nothing that it decides for us.
 *
 * kad-dht's `put` and `get` are whole queries: they wait for every peer (a stalled one costs each
 * call its time-out), hang while the routing table is empty, and report neither what was refused
 * nor what was stored. This asks named peers, each with a deadline of its own; only the last resort
 * of a read, `walk`, is a query of the library.
 * @module
 */
import type { PeerId as Libp2pPeerId } from '@libp2p/interface';
import { type KadDHT, MessageType, type QueryEvent } from '@libp2p/kad-dht';
import { peerIdFromString } from '@libp2p/peer-id';
import { Libp2pRecord } from '@libp2p/record';
import type { PeerId } from '../base/brands.ts';
import { equalBytes, sha256 } from '../base/bytes.ts';
import { assert, BzzzError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';
import { deadline } from './deadline.ts';
import { RequestSlots } from './slots.ts';

/** What a peer answered to a read. The value is unchecked; `rubbish` is a record of another key. */
export type Answer =
  | { readonly kind: 'none' }
  | { readonly kind: 'rubbish' }
  | { readonly kind: 'value'; readonly value: Uint8Array };

/** One peer's copy found by a walk. */
export interface Sighting {
  readonly from: PeerId;
  readonly value: Uint8Array;
}

/** Requests to peers. All answers are untrusted. */
export interface Wire {
  /** How many peers the routing table has. */
  size(): number;
  /** All of them. */
  peers(): readonly PeerId[];
  /** The `count` known peers nearest to `key`, nearest first (Kademlia paper, section 2.1). */
  closest(key: Uint8Array, count: number): readonly PeerId[];
  /** Resolves when the peer says that it stored; whether it did, only a `fetch` tells. */
  store(peer: PeerId, key: Uint8Array, value: Uint8Array, signal: AbortSignal): Promise<void>;
  fetch(peer: PeerId, key: Uint8Array, signal: AbortSignal): Promise<Answer>;
  /**
   * Asks peers of peers; ends when nobody is left or `signal` aborts. Never throws. As in all of
   * Kademlia it goes only to peers nearer to the key than who named them, so it can miss a copy
   * that lies farther away: a last resort, not a proof that there is none.
   */
  walk(key: Uint8Array, signal: AbortSignal): AsyncIterable<Sighting>;
}

export interface WireOptions {
  /** Deadline of one request. */
  readonly requestMs: number;
  /** Requests to one peer under way at once. More would only make each of them slower. */
  readonly parallel: number;
  /** Requests to one peer waiting for that; more are refused. */
  readonly waiting: number;
}

interface Handler {
  handle(peer: Libp2pPeerId, message: unknown): Promise<unknown>;
}

/**
 * Has every write by a peer run under its name.
 * @throws INTERNAL when `dht` is not the kad-dht that this was written for.
 */
export function attributeWrites(dht: KadDHT, sentBy: <T>(peer: PeerId, work: () => T) => T): void {
  const { handlers } = insideOf(dht).rpc;
  const stored = handlers[MessageType.PUT_VALUE];
  assert(stored !== undefined, 'this kad-dht takes values');
  handlers[MessageType.PUT_VALUE] = {
    handle: (peer, message) =>
      sentBy(peer.toString() as PeerId, () => stored.handle(peer, message)),
  };
}

/**
 * What of the class behind the `KadDHT` interface is used beyond that interface. Its version is
 * pinned; a test holds that these are there.
 */
interface KadInside {
  readonly routingTable: {
    readonly size: number;
    closestPeers(kadId: Uint8Array, options: { count: number }): Iterable<Libp2pPeerId>;
  };
  readonly rpc: {
    readonly handlers: Record<string, Handler>;
  };
  readonly network: {
    sendRequest(
      to: Libp2pPeerId,
      message: { type: MessageType; key: Uint8Array; record?: Uint8Array },
      options: { signal: AbortSignal; path: typeof NO_PATH },
    ): AsyncIterable<QueryEvent>;
  };
}

/** An identifier to order peers by where their order does not matter. */
const NOWHERE = new Uint8Array(32);
/** Requests outside a query belong to no path of it. */
const NO_PATH = { index: -1, queued: 0, running: 0, total: 0 } as const;

/** @throws INTERNAL when `dht` is not the kad-dht that this was written for. */
export function createWire(
  dht: KadDHT,
  options: WireOptions,
  deps: { readonly clock: Clock; readonly onBusy: () => void },
): Wire {
  const inside = insideOf(dht);
  // A line for each peer: one that stalls holds up nobody else's requests.
  const lines = new Map<PeerId, RequestSlots>();
  const lineOf = (peer: PeerId): RequestSlots => {
    const line =
      lines.get(peer) ?? new RequestSlots(options.parallel, options.waiting, deps.onBusy);
    lines.set(peer, line);
    return line;
  };

  const send = async (
    peer: PeerId,
    message: { type: MessageType; key: Uint8Array; record?: Uint8Array },
    outer: AbortSignal,
  ): Promise<Libp2pRecord | undefined> =>
    lineOf(peer).run(outer, async () => {
      const limit = deadline(deps.clock, options.requestMs, outer);
      try {
        const path = NO_PATH;
        const to = peerIdFromString(peer);
        for await (const event of inside.network.sendRequest(to, message, {
          signal: limit.signal,
          path,
        })) {
          if (event.name === 'QUERY_ERROR') throw unreachable(peer, event.error);
          if (event.name === 'PEER_RESPONSE') return recordOf(event.record);
        }
        throw unreachable(peer, undefined);
      } finally {
        limit.end();
      }
    });

  return {
    size: () => inside.routingTable.size,
    peers() {
      const count = inside.routingTable.size;
      const all = inside.routingTable.closestPeers(NOWHERE, { count });
      return [...all].map((peer) => peer.toString() as PeerId);
    },
    closest(key, count) {
      const peers = inside.routingTable.closestPeers(sha256(key), { count });
      return [...peers].map((peer) => peer.toString() as PeerId);
    },
    async store(peer, key, value, signal) {
      // The receiver stamps its own time; any fixed one keeps this machine's clock to itself.
      const record = new Libp2pRecord(key, value, new Date(0)).serialize();
      const echo = await send(peer, { type: MessageType.PUT_VALUE, key, record }, signal);
      if (echo !== undefined && equalBytes(echo.value, value)) return;
      throw new BzzzError('PEER_UNREACHABLE', `${peer} did not confirm the record`);
    },
    async fetch(peer, key, signal) {
      const record = await send(peer, { type: MessageType.GET_VALUE, key }, signal);
      if (record === undefined) return { kind: 'none' };
      if (!equalBytes(record.key, key)) return { kind: 'rubbish' };
      return { kind: 'value', value: new Uint8Array(record.value) };
    },
    async *walk(key, signal) {
      if (inside.routingTable.size === 0) return;
      try {
        for await (const event of dht.get(key, { signal })) {
          if (event.name !== 'PEER_RESPONSE' || event.record === undefined) continue;
          if (!equalBytes(event.record.key, key)) continue;
          const from = event.from.toString() as PeerId;
          yield { from, value: new Uint8Array(event.record.value) };
        }
      } catch {
        // The query ended early: time is up, or a correction of another peer's copy failed, which
        // says nothing about the copies that were found.
      }
    },
  };
}

function insideOf(dht: KadDHT): KadInside {
  const inside = dht as unknown as Partial<KadInside>;
  const { routingTable, network, rpc } = inside;
  assert(
    typeof routingTable?.closestPeers === 'function' &&
      typeof network?.sendRequest === 'function' &&
      typeof rpc?.handlers === 'object',
    'this kad-dht has a routing table, a network and handlers',
  );
  return { routingTable, network, rpc };
}

/** kad-dht types it as a plain shape; the key and value are all that counts. */
function recordOf(
  record: { readonly key: Uint8Array; readonly value: Uint8Array } | undefined,
): Libp2pRecord | undefined {
  return record && new Libp2pRecord(record.key, record.value, new Date(0));
}

const unreachable = (peer: PeerId, cause: unknown): BzzzError =>
  new BzzzError('PEER_UNREACHABLE', `${peer} did not answer a record request`, { cause });
