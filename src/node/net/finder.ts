/**
 * What discovery asks the DHT: where a peer is, who provides a CID.
 * @module
 */
import type { PeerId as LibPeerId } from '@libp2p/interface';
import type { KadDHT } from '@libp2p/kad-dht';
import { BzzzError } from '../../base/errors.ts';
import type { Finder } from './discovery.ts';

/** kad-dht's routing table, which its public type leaves out. */
export interface Table {
  readonly size: number;
  remove(peer: LibPeerId): Promise<void>;
}

export const tableOf = (dht: KadDHT): Table =>
  (dht as unknown as { readonly routingTable: Table }).routingTable;

/** Reads kad-dht's event streams; every call ends with its signal. */
export function finderOf(dht: KadDHT): Finder {
  return {
    size: () => tableOf(dht).size,
    async findPeer(peer, options) {
      for await (const event of dht.findPeer(peer, options)) {
        if (event.name === 'FINAL_PEER') return event.peer;
      }
      throw new BzzzError('NOT_FOUND', `${peer} is not in the DHT`);
    },
    async provide(cid, options) {
      for await (const event of dht.provide(cid, options)) {
        // Each is one peer's answer; who did not take it is asked again when it is reprovided.
        if (event.name === 'QUERY_ERROR') continue;
      }
    },
    async *findProviders(cid, options) {
      for await (const event of dht.findProviders(cid, options)) {
        if (event.name === 'PROVIDER') yield* event.providers;
      }
    },
  };
}
