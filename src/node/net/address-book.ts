/**
 * Where peers may be reached, and which source said so. Pure: the caller tells the time.
 *
 * Members are never forgotten; what strangers claim is bounded. Addresses are hints: whoever
 * answers there proves its identity by Noise, or is not talked to.
 * @module
 */
import { multiaddr } from '@multiformats/multiaddr';
import type { PeerId } from '../../base/brands.ts';
import { compareText } from '../../base/bytes.ts';
import { LIMITS } from '../../base/limits.ts';

/** Where an address came from, as `bzzz peers` shows it. */
export const SOURCES = ['mdns', 'dht', 'bootstrap', 'announce', 'token'] as const;
export type Source = (typeof SOURCES)[number];

interface Known {
  /** Address -> when it was last sighted, or answered. */
  readonly addrs: Map<string, number>;
  readonly sources: Set<Source>;
  sightedAt: number;
}

/** Peers that are no members and may be remembered, for a node that looks for a way in. */
const STRANGERS = 256;

/** Addresses by peer, newest first, at most `LIMITS.addressesPerPeer` of each. */
export class AddressBook {
  readonly #known = new Map<PeerId, Known>();

  /**
   * Remembers what a source said; the source is absent for a peer's own word on a connection and
   * for what was stored.
   * @returns the addresses that were not known.
   */
  sighted(
    source: Source | undefined,
    peer: PeerId,
    addrs: readonly string[],
    nowMs: number,
  ): readonly string[] {
    const usable = addrs.flatMap((addr) => normalise(addr, peer) ?? []);
    const known = this.#known.get(peer) ?? newcomer();
    if (usable.length === 0 && known.addrs.size === 0) return [];
    this.#known.set(peer, known);
    known.sightedAt = nowMs;
    if (source !== undefined) known.sources.add(source);
    const fresh = [...new Set(usable)].filter((addr) => !known.addrs.has(addr));
    for (const addr of usable) known.addrs.set(addr, nowMs);
    for (const [addr] of oldestFirst(known.addrs)) {
      if (known.addrs.size <= LIMITS.addressesPerPeer) break;
      known.addrs.delete(addr);
    }
    return fresh.filter((addr) => known.addrs.has(addr));
  }

  /** Best first: what was sighted or answered last. */
  addrs(peer: PeerId): readonly string[] {
    const known = this.#known.get(peer);
    return known === undefined
      ? []
      : oldestFirst(known.addrs)
          .map(([addr]) => addr)
          .reverse();
  }

  sources(peer: PeerId): readonly Source[] {
    const seen = this.#known.get(peer)?.sources;
    return SOURCES.filter((source) => seen?.has(source) === true);
  }

  peers(): readonly PeerId[] {
    return [...this.#known.keys()];
  }

  /** Keeps every member and the strangers sighted last. */
  prune(isMember: (peer: PeerId) => boolean): void {
    const strangers = [...this.#known].filter(([peer]) => !isMember(peer));
    strangers.sort(([, a], [, b]) => b.sightedAt - a.sightedAt);
    for (const [peer] of strangers.slice(STRANGERS)) this.#known.delete(peer);
  }
}

const newcomer = (): Known => ({ addrs: new Map(), sources: new Set(), sightedAt: 0 });

const oldestFirst = (addrs: ReadonlyMap<string, number>): readonly (readonly [string, number])[] =>
  [...addrs].sort(([a, t], [b, u]) => t - u || compareText(a, b));

/**
 * A TCP multiaddr without its peer id.
 * @returns undefined for anything else, and for an address that names another peer.
 */
export function normalise(text: string, peer?: PeerId): string | undefined {
  try {
    const parts = multiaddr(text).getComponents();
    const [host, tcp, p2p, ...rest] = parts;
    const hosts = ['ip4', 'ip6', 'dns', 'dns4', 'dns6'];
    if (host === undefined || !hosts.includes(host.name) || tcp?.name !== 'tcp') return undefined;
    if (Number(tcp.value) < 1 || rest.length > 0) return undefined;
    if (p2p !== undefined && (p2p.name !== 'p2p' || (peer !== undefined && p2p.value !== peer))) {
      return undefined;
    }
    if (host.value === '0.0.0.0' || host.value === '::') return undefined;
    return `/${host.name}/${host.value}/tcp/${tcp.value}`;
  } catch {
    // Not a multiaddr; whoever sent it gains nothing by that.
    return undefined;
  }
}
