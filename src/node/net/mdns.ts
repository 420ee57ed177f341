/**
 * mDNS as one source of discovery among others.
 *
 * libp2p reports a peer once, when it enters the peer store, and puts whatever a datagram claims
 * there. Here every sighting is passed on and nothing is stored: the addresses of a spoofed
 * datagram fail at Noise and change no state.
 * @module
 */

import type { PeerDiscovery, PeerInfo } from '@libp2p/interface';
import { mdns } from '@libp2p/mdns';
import type { PeerId } from '../../base/brands.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/ports.ts';

/** The question goes out at start and then at this pace. */
const QUERY_MS = 2_500;
/** And soon again: hosts that start together ask before the others listen. */
const EXTRA_MS = [150, 500, 1_200];

type MdnsComponents = Parameters<ReturnType<typeof mdns>>[0];

export interface MdnsDeps {
  readonly log: Logger;
  readonly seen: (peer: PeerId, addrs: readonly string[]) => void;
}

/** A libp2p service around `@libp2p/mdns` that stays out of the peer store. */
export class MdnsService {
  readonly #inner: PeerDiscovery & Emitting;
  readonly #deps: MdnsDeps;
  readonly #serviceTag: string;
  #timers: NodeJS.Timeout[] = [];
  #warned = false;

  constructor(options: { serviceTag: string }, components: MdnsComponents, deps: MdnsDeps) {
    this.#deps = deps;
    this.#serviceTag = options.serviceTag;
    this.#inner = mdns({ serviceTag: options.serviceTag, interval: QUERY_MS })(
      components,
    ) as PeerDiscovery & Emitting;
    this.#inner.addEventListener('peer', (event: CustomEvent<PeerInfo>) => {
      const addrs = event.detail.multiaddrs.slice(0, LIMITS.addressesPerPeer).map(String);
      deps.seen(event.detail.id.toString() as PeerId, addrs);
    });
  }

  async start(): Promise<void> {
    await this.#inner.start();
    const warn = (error: Error): void => {
      if (this.#warned) return;
      this.#warned = true;
      this.#deps.log.warn({ error: error.message }, 'mDNS does not work on this host');
    };
    this.#inner.mdns?.on('warning', warn);
    this.#inner.mdns?.on('error', warn);
    this.#timers = EXTRA_MS.map((ms) => setTimeout(() => this.#query(), ms).unref());
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    await this.#inner.stop();
  }

  #query(): void {
    this.#inner.mdns?.query({ questions: [{ name: this.#serviceTag, type: 'PTR' }] });
  }
}

interface Emitting {
  start(): Promise<void>;
  stop(): Promise<void>;
  mdns?: {
    on(event: 'warning' | 'error', listener: (error: Error) => void): void;
    query(packet: { questions: readonly { name: string; type: 'PTR' }[] }): void;
  };
}
