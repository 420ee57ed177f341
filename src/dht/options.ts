/**
 * The settings of kad-dht that work on a LAN.
 *
 * By default it starts as a client, strips private addresses, and lets a request take up to 60 s.
 * @module
 */
import { type KadDHTInit, passthroughMapper } from '@libp2p/kad-dht';
import type { Counters } from './counters.ts';
import { KAD_PREFIX } from './guard.ts';
import { createRules, type Rules, refusalOf, refused } from './rules.ts';
import type { Namespace } from './store.ts';

/** Streams of the protocol on one connection, either way; above the store's own parallel limit. */
const MAX_STREAMS = 256;
/** Peers named in answers wait here to be tried; a hostile answer may name thousands. */
const MAX_TABLE_UPDATES = 512;

/**
 * The init of `kadDHT(...)`.
 * @param tag of the cluster: two clusters on one LAN never share a table.
 * @param namespaces the same list that the guard and the store are given.
 * @param counters what peers sent and was refused here, before it came to the guard.
 */
export function kadInit(
  tag: string,
  namespaces: readonly Namespace[],
  counters?: Counters,
): KadDHTInit {
  const rules = createRules(namespaces);
  const counted = (thrown: unknown): unknown => {
    const refusal = refusalOf(thrown);
    if (refusal !== undefined) counters?.add(`refused.${refusal}`);
    return thrown;
  };
  const validate = (key: Uint8Array, value: Uint8Array): void => {
    try {
      rules.check(key, value);
    } catch (thrown) {
      throw counted(thrown);
    }
  };
  const refuse = (): never => {
    // kad-dht accepts `/pk/` by itself; nothing here uses it.
    throw counted(refused('namespace', 'public key records are not kept'));
  };
  const select = (key: Uint8Array, records: readonly Uint8Array[]): number =>
    selectBest(rules, key, records);
  return {
    protocol: `/bzzz/${tag}/kad/1.0.0`,
    datastorePrefix: KAD_PREFIX,
    clientMode: false,
    peerInfoMapper: passthroughMapper,
    initialQuerySelfInterval: 100,
    networkDialTimeout: { minTimeout: 500, maxTimeout: 2_000 },
    pingNewContactTimeout: { minTimeout: 500, maxTimeout: 2_000 },
    pingOldContactTimeout: { minTimeout: 500, maxTimeout: 2_000 },
    onPeerConnectTimeout: 2_000,
    maxInboundStreams: MAX_STREAMS,
    maxOutboundStreams: MAX_STREAMS,
    routingTableUpdateMaxQueueSize: MAX_TABLE_UPDATES,
    validators: { ucxl: validate, probe: validate, pk: refuse },
    selectors: { ucxl: select, probe: select, pk: () => 0 },
  };
}

/**
 * The index of the record that contains the most: one that covers those before it replaces them.
 * Kad-dht can only choose; unions are formed by the guard and by merging reads.
 */
function selectBest(rules: Rules, key: Uint8Array, records: readonly Uint8Array[]): number {
  const rule = rules.of(key);
  let best = 0;
  for (const [i, record] of records.entries()) {
    const leader = records[best];
    if (leader !== undefined && i !== best && rules.covers(rule, record, leader)) {
      if (!rules.covers(rule, leader, record)) best = i;
    }
  }
  return best;
}
