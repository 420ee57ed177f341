/**
 * Names that contain the cluster's tag, so that two clusters on one LAN never speak to each other.
 * @module
 */
import type { CID } from 'multiformats/cid';
import type { ClusterId } from '../../base/brands.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import { contentCid } from '../../base/codec.ts';

/** Every protocol id, topic and service tag of one cluster. */
export interface ProtocolNames {
  /** Open to everyone: comparing and extending roster chains. */
  readonly roster: string;
  /** Open to everyone: asking for admission. */
  readonly join: string;
  /** Members only: the long-lived message stream. */
  readonly direct: string;
  /** Members only: pieces of large contents. */
  readonly blocks: string;
  /** Members only: the one wire version of gossipsub in use. */
  readonly gossip: string;
  /** Prefix of identify and of the connection monitor's ping, open to everyone. */
  readonly prefix: string;
  /** DNS-SD service name; its first label has 30 bytes (RFC 6335 asks for short ones). */
  readonly mdns: string;
  topic(name: string): string;
}

/** @param tag `RosterView.tag`: base32, 24 characters. */
export function protocolNames(tag: string): ProtocolNames {
  const prefix = `bzzz/${tag}`;
  return {
    prefix,
    roster: `/${prefix}/roster/1.0.0`,
    join: `/${prefix}/join/1.0.0`,
    direct: `/${prefix}/direct/1.0.0`,
    blocks: `/${prefix}/blocks/1`,
    gossip: `/${prefix}/meshsub/1.2.0`,
    mdns: `_bzzz-${tag}._udp.local`,
    topic: (name) => `/${prefix}/${name}/1`,
  };
}

/** What every member provides in the DHT, so that members find each other there. */
export const rendezvousCid = (clusterId: ClusterId): CID =>
  contentCid(utf8Bytes(`bzzz/rendezvous/1/${clusterId}`));
