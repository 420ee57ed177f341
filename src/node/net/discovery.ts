/**
 * Merges what mDNS, the bootstrap list, the DHT and announcements say about where peers are. Any
 * one of them is enough; what one forgets another brings back, and a member is never given up.
 *
 * Its backends differ in the sources that they listen to:
 *
 * | backend | bootstrap, tokens, peers that connect | earlier runs | mDNS, announcements, DHT |
 * | ------- | ------------------------------------- | ------------ | ------------------------ |
 * | mock    | yes                                   | yes          | no                       |
 * | real    | yes                                   | no           | yes                      |
 * | hybrid  | yes                                   | yes          | yes, until they fail     |
 *
 * When they fail, `hybrid` has the addresses that it knows tried at once, and listens for the
 * first sign of life.
 * @module
 */
import type { AbortOptions, PeerId as LibPeerId, PeerInfo } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import type { CID } from 'multiformats/cid';
import { z } from 'zod';
import { type Arm, BackendMeter, type HybridCounts } from '../../base/backend-meter.ts';
import type { PeerId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel, Clock, KeyValue, Logger } from '../../base/ports.ts';
import { type Backend, mainBackend, Switch } from '../../base/switch.ts';
import type { RosterView } from '../../roster/types.ts';
import { AddressBook, type Source } from './address-book.ts';
import { type LiveChange, LiveSources } from './live-sources.ts';
import { rendezvousCid } from './protocols.ts';

/** @property refreshMs `BZZZ_DISCOVERY_REFRESH`: how often missing members are looked for. */
export interface DiscoveryOptions {
  readonly self: PeerId;
  readonly refreshMs: number;
  /** @default hybrid */
  readonly backend?: Backend | undefined;
  /** Vain sweeps in a row after which the live sources have failed. @default 3 */
  readonly thresholdErrors?: (() => number) | undefined;
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
  /** `hybrid` fell back to what it knows, or came back to the live sources. */
  readonly changed?: (change: 'fallback' | 'recovery') => void;
}

/** An operator names the others, in the configuration or with a token. */
const isLive = (source: Source | undefined): boolean =>
  source === 'mdns' || source === 'announce' || source === 'dht';

const KEY = 'addresses';
const SAVE_MS = 1_000;
/** The first look goes out early: a member may be known by nobody but the DHT. */
const FIRST_LOOK_MS = 1_500;
const LOOKUP_MS = 3_000;
const LOOKUPS = 4;
/** A backend that was just switched to, or that has failed, is looked at again so soon. */
const SWITCHED_MS = 50;
const FAILED_MS = 2_000;
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
  readonly choice: Switch;
  readonly meter: BackendMeter;
  readonly live: LiveSources;
  readonly #options: DiscoveryOptions;
  readonly #deps: DiscoveryDeps;
  #look: Cancel | undefined;
  #save: Cancel | undefined;
  #saving: Promise<void> = Promise.resolve();
  #looking = false;
  #provided = false;
  #loaded = false;
  #stopped = false;
  #unsubscribe: Cancel | undefined;

  constructor(options: DiscoveryOptions, deps: DiscoveryDeps) {
    this.#options = options;
    this.#deps = deps;
    const { backend = 'hybrid', thresholdErrors = () => 3 } = options;
    this.choice = new Switch('discovery', { backend, percent: 100 });
    this.live = new LiveSources(thresholdErrors);
    this.meter = new BackendMeter('discovery', () => this.#counts());
  }

  /** Reads the stored addresses. A record that does not hold is dropped: it is only a hint. */
  async start(): Promise<void> {
    this.#unsubscribe = this.choice.onChange(() => this.#switched());
    if (this.#backend !== 'real') await this.#load();
    this.#plan(FIRST_LOOK_MS);
  }

  /** Whom `hybrid` asks now. */
  get hybridArm(): Arm {
    return this.live.failed ? 'mock' : 'real';
  }

  /** Why the live sources are of no use now; undefined when they are, or nobody wants them. */
  get trouble(): string | undefined {
    if (this.#backend === 'mock' || !this.live.failed) return undefined;
    const { missing } = this.live.last ?? { missing: 0 };
    return `mDNS, announcements and DHT say nothing of ${missing} missing members`;
  }

  get #backend(): Backend {
    return mainBackend(this.choice.state);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#look?.();
    this.#save?.();
    this.#store();
    await this.#saving;
  }

  /** A source, or the peer itself when the source is absent, says where a peer is. */
  sighted(source: Source | undefined, peer: PeerId, addrs: readonly string[]): void {
    if (isLive(source) && this.choice.backendFor(peer) === 'mock') return;
    this.#take(source, peer, addrs);
  }

  #take(source: Source | undefined, peer: PeerId, addrs: readonly string[]): void {
    if (peer === this.#options.self || this.#stopped) return;
    if (isLive(source)) this.#changed(this.live.sighted());
    const fresh = this.book.sighted(source, peer, addrs, this.#deps.clock.now());
    this.book.prune((other) => this.#isMember(other));
    if (fresh.length > 0) {
      this.#deps.log.debug({ peer, source, addrs: fresh }, 'new addresses of a peer');
      this.#saveSoon();
    }
    // Somebody stands there with a token, and waits: no pause after earlier failures holds it up.
    this.#deps.found(peer, fresh.length > 0 || source === 'token');
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

  /** Looks once, on the backend that is chosen now; the next look follows its end. */
  async #sweep(): Promise<void> {
    this.#looking = true;
    const backend = this.#backend;
    try {
      const missing = this.#missing();
      const fallen = backend === 'hybrid' && this.live.failed;
      if (backend === 'mock' || fallen) this.#tryKnown(missing);
      if (backend !== 'mock') await this.#searchLive(missing);
    } finally {
      this.#looking = false;
      // Of another backend the next look is due soon.
      const same = backend === this.#backend;
      const pace = this.trouble === undefined ? Infinity : FAILED_MS;
      this.#plan(same ? Math.min(this.#options.refreshMs, pace) : SWITCHED_MS);
    }
  }

  #missing(): readonly PeerId[] {
    return [...this.#deps.roster().members.keys()].filter(
      (peer) => peer !== this.#options.self && !this.#deps.isConnected(peer),
    );
  }

  /** Has the addresses in the book dialled, without the pauses that failures have earned. */
  #tryKnown(missing: readonly PeerId[]): void {
    const known = missing.filter((peer) => this.book.addrs(peer).length > 0);
    for (const peer of known) this.#deps.found(peer, true);
    this.meter.add('mock', 0, known.length === missing.length);
  }

  async #searchLive(missing: readonly PeerId[]): Promise<void> {
    const { clock, finder, log } = this.#deps;
    const started = clock.now();
    let answered = false;
    try {
      if (finder.size() > 0) {
        await this.#provide();
        answered = await this.#searchMissing(missing);
      }
    } catch (thrown) {
      // One source of several; the others go on, and the next sweep tries again.
      log.debug({ error: String(thrown) }, 'the search in the DHT failed');
    }
    const ms = clock.now() - started;
    const errors = this.live.errors;
    const sweep = { missing: missing.length, answered, ms, wallMs: clock.wallMs() };
    this.#changed(this.live.swept(sweep));
    this.meter.add('real', ms, this.live.errors === errors);
  }

  #changed(change: LiveChange): void {
    if (change === undefined || this.#backend !== 'hybrid') return;
    const what = change === 'failed' ? 'fallback' : 'recovery';
    this.#deps.log.info({ change: what }, 'discovery: the live sources');
    this.#deps.changed?.(what);
    // The way back is told by a sighting, or by the sweep that is just ending.
    if (change === 'failed') this.#tryKnown(this.#missing());
  }

  #switched(): void {
    if (this.#backend !== 'real') {
      this.#load().catch((thrown: unknown) => {
        this.#deps.log.warn({ error: String(thrown) }, 'stored addresses could not be read');
      });
    }
    if (!this.#looking) this.#plan(SWITCHED_MS);
  }

  /** The meter counts every sweep by itself; what is left are the falls. */
  #counts(): HybridCounts {
    const { failures: fallbacks, recoveries } = this.live;
    return { fallbacks, recoveries };
  }

  async #provide(): Promise<void> {
    if (this.#provided || !this.#isMember(this.#options.self)) return;
    const cid = rendezvousCid(this.#deps.roster().clusterId);
    await this.#deps.finder.provide(cid, { signal: AbortSignal.timeout(LOOKUP_MS) });
    this.#provided = true;
  }

  /** @returns whether the DHT knew any of them. */
  async #searchMissing(missing: readonly PeerId[]): Promise<boolean> {
    if (missing.length === 0) return true;
    let answered = false;
    for (let at = 0; at < missing.length; at += LOOKUPS) {
      const some = missing.slice(at, at + LOOKUPS);
      const found = await Promise.all(some.map((peer) => this.#find(peer)));
      answered ||= found.includes(true);
    }
    const cid = rendezvousCid(this.#deps.roster().clusterId);
    const signal = AbortSignal.timeout(LOOKUP_MS);
    for await (const provider of this.#deps.finder.findProviders(cid, { signal })) {
      answered = this.#seen(provider) || answered;
    }
    return answered;
  }

  async #find(peer: PeerId): Promise<boolean> {
    try {
      const signal = AbortSignal.timeout(LOOKUP_MS);
      return this.#seen(await this.#deps.finder.findPeer(peerIdFromString(peer), { signal }));
    } catch (thrown) {
      this.#deps.log.debug({ peer, error: String(thrown) }, 'not found in the DHT');
      return false;
    }
  }

  /** Taken whatever is chosen by now: a search ends on the backend that it began on. */
  #seen(info: PeerInfo): boolean {
    const peer = info.id.toString() as PeerId;
    if (info.multiaddrs.length === 0 || peer === this.#options.self) return false;
    this.#take('dht', peer, info.multiaddrs.map(String));
    return true;
  }

  // -- what survives a restart

  async #load(): Promise<void> {
    if (this.#loaded) return;
    this.#loaded = true;
    const bytes = await this.#deps.store.get(KEY);
    if (bytes === undefined) return;
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
