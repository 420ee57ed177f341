/**
 * Merges what mDNS, the bootstrap list, the DHT and announcements say about where peers are. Any
 * one of them is enough; what one forgets another brings back, and a member is never given up.
 * @module
 */
import type { AbortOptions, PeerId as LibPeerId, PeerInfo } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import type { CID } from 'multiformats/cid';
import { z } from 'zod';
import type { PeerId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel, Clock, KeyValue, Logger } from '../../base/ports.ts';
import type { RosterView } from '../../roster/types.ts';
import { AddressBook, type Source } from './address-book.ts';
import { rendezvousCid } from './protocols.ts';

/** @property refreshMs `BZZZ_DISCOVERY_REFRESH`: how often missing members are looked for. */
export interface DiscoveryOptions {
  readonly self: PeerId;
  readonly refreshMs: number;
}

/** The DHT as discovery uses it; `size` is that of its routing table. */
export interface Finder {
  size(): number;
  findPeer(peer: LibPeerId, options: AbortOptions): Promise<PeerInfo>;
  provide(cid: CID, options: AbortOptions): Promise<void>;
  findProviders(cid: CID, options: AbortOptions): AsyncIterable<PeerInfo>;
}

export interface DiscoveryDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly roster: () => RosterView;
  readonly isConnected: (peer: PeerId) => boolean;
  readonly finder: Finder;
  /** A namespace of its own: the last known addresses of members survive a restart. */
  readonly store: KeyValue;
  /** A peer was sighted; `fresh` with an address that was not known. */
  readonly found: (peer: PeerId, fresh: boolean) => void;
}

const KEY = 'addresses';
const SAVE_MS = 1_000;
/** The first look goes out early: a member may be known by nobody but the DHT. */
const FIRST_LOOK_MS = 1_500;
const LOOKUP_MS = 3_000;
const LOOKUPS = 4;
const STORED_BYTES = LIMITS.rosterMembers * LIMITS.addressesPerPeer * 320;

const storedSchema = z
  .array(
    z.strictObject({
      peer: field.peerId,
      addrs: z.array(z.string().max(256)).max(LIMITS.addressesPerPeer),
    }),
  )
  .max(LIMITS.rosterMembers);

/** The merged book and the search for those who are missing. */
export class Discovery {
  readonly book = new AddressBook();
  readonly #options: DiscoveryOptions;
  readonly #deps: DiscoveryDeps;
  #look: Cancel | undefined;
  #save: Cancel | undefined;
  #saving: Promise<void> = Promise.resolve();
  #looking = false;
  #provided = false;
  #stopped = false;

  constructor(options: DiscoveryOptions, deps: DiscoveryDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Reads the stored addresses. A record that does not hold is dropped: it is only a hint. */
  async start(): Promise<void> {
    const bytes = await this.#deps.store.get(KEY);
    if (bytes !== undefined) this.#load(bytes);
    this.#plan(FIRST_LOOK_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#look?.();
    this.#save?.();
    this.#store();
    await this.#saving;
  }

  /** A source, or the peer itself when the source is absent, says where a peer is. */
  sighted(source: Source | undefined, peer: PeerId, addrs: readonly string[]): void {
    if (peer === this.#options.self || this.#stopped) return;
    const fresh = this.book.sighted(source, peer, addrs, this.#deps.clock.now());
    this.book.prune((other) => this.#isMember(other));
    if (fresh.length > 0) {
      this.#deps.log.debug({ peer, source, addrs: fresh }, 'new addresses of a peer');
      this.#saveSoon();
    }
    this.#deps.found(peer, fresh.length > 0);
  }

  /** Somebody is new in the roster, or lost: do not wait for the next sweep. */
  lookSoon(): void {
    if (!this.#looking) this.#plan(FIRST_LOOK_MS);
  }

  // -- the search

  #plan(ms: number): void {
    if (this.#stopped) return;
    this.#look?.();
    this.#look = this.#deps.clock.after(ms, () => void this.#sweep());
  }

  async #sweep(): Promise<void> {
    this.#looking = true;
    try {
      if (this.#deps.finder.size() > 0) {
        await this.#provide();
        await this.#searchMissing();
      }
    } catch (thrown) {
      // One source of several; the others go on, and the next sweep tries again.
      this.#deps.log.debug({ error: String(thrown) }, 'the search in the DHT failed');
    } finally {
      this.#looking = false;
      this.#plan(this.#options.refreshMs);
    }
  }

  async #provide(): Promise<void> {
    if (this.#provided || !this.#isMember(this.#options.self)) return;
    const cid = rendezvousCid(this.#deps.roster().clusterId);
    await this.#deps.finder.provide(cid, { signal: AbortSignal.timeout(LOOKUP_MS) });
    this.#provided = true;
  }

  async #searchMissing(): Promise<void> {
    const missing = [...this.#deps.roster().members.keys()].filter(
      (peer) => peer !== this.#options.self && !this.#deps.isConnected(peer),
    );
    if (missing.length === 0) return;
    for (let at = 0; at < missing.length; at += LOOKUPS) {
      await Promise.all(missing.slice(at, at + LOOKUPS).map((peer) => this.#find(peer)));
    }
    const cid = rendezvousCid(this.#deps.roster().clusterId);
    const signal = AbortSignal.timeout(LOOKUP_MS);
    for await (const provider of this.#deps.finder.findProviders(cid, { signal })) {
      this.#seen(provider);
    }
  }

  async #find(peer: PeerId): Promise<void> {
    try {
      const signal = AbortSignal.timeout(LOOKUP_MS);
      this.#seen(await this.#deps.finder.findPeer(peerIdFromString(peer), { signal }));
    } catch (thrown) {
      this.#deps.log.debug({ peer, error: String(thrown) }, 'not found in the DHT');
    }
  }

  #seen(info: PeerInfo): void {
    const peer = info.id.toString() as PeerId;
    if (info.multiaddrs.length > 0) this.sighted('dht', peer, info.multiaddrs.map(String));
  }

  // -- what survives a restart

  #load(bytes: Uint8Array): void {
    try {
      for (const { peer, addrs } of decode('stored addresses', storedSchema, bytes, STORED_BYTES)) {
        this.sighted(undefined, peer, addrs);
      }
    } catch (thrown) {
      const { message } = toBzzzError(thrown);
      this.#deps.log.warn({ message }, 'stored addresses are unreadable; starting without them');
    }
  }

  #saveSoon(): void {
    if (this.#save !== undefined || this.#stopped) return;
    this.#save = this.#deps.clock.after(SAVE_MS, () => this.#store());
  }

  #store(): void {
    this.#save = undefined;
    const members = [...this.#deps.roster().members.keys()].map((peer) => ({
      peer,
      addrs: this.book.addrs(peer),
    }));
    const known = members.filter(({ addrs }) => addrs.length > 0).slice(0, LIMITS.rosterMembers);
    if (known.length === 0) return;
    this.#saving = this.#deps.store.put(KEY, encode(known)).catch((thrown: unknown) => {
      this.#deps.log.warn({ error: String(thrown) }, 'could not store addresses');
    });
  }

  #isMember(peer: PeerId): boolean {
    return this.#deps.roster().standing(peer) === 'member';
  }
}
