/**
 * Says who this node is every 10 s and on change, and hears the others: over gossip, and at once
 * from each member it connects to, so that the addresses of everybody spread with the first
 * connection.
 * @module
 */
import { z } from 'zod';
import type { PeerId, Term } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel, Clock, Direct, Gossip, Logger, Signer } from '../../base/ports.ts';
import type { Resources } from '../../election/score.ts';
import type { RosterView } from '../../roster/types.ts';
import {
  type Announcement,
  AnnouncementBook,
  boundedResources,
  type Entry,
  openAnnouncement,
  sealAnnouncement,
} from './announcement.ts';

/** The part of an announcement that the daemon decides. */
export interface SelfState {
  readonly partyReady: boolean;
  readonly draining: boolean;
  readonly suites: readonly string[];
  readonly protocols: readonly string[];
  readonly load: number;
  /** Highest election term seen; absent where there is no election. */
  readonly term?: Term;
  readonly configHash: string;
}

export interface AnnouncerOptions {
  readonly intervalMs: number;
  readonly boot: number;
  /** 8 bytes. */
  readonly run: Uint8Array;
  readonly version: string;
  readonly name: string | undefined;
  readonly state: SelfState;
  /** Changes within this time go out together. */
  readonly coalesceMs?: number;
}

export interface AnnouncerDeps {
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly direct: Direct & {
    onPeer(listener: (peer: PeerId, live: boolean) => void): Cancel;
  };
  readonly gossip: Gossip;
  readonly roster: () => RosterView;
  /** Multiaddrs without a peer id. */
  readonly addrs: () => readonly string[];
  /** Of this host, asked at every announcement; without it nothing is said of them. */
  readonly resources?: () => Resources;
  /** A new word of a member. */
  readonly heard: (announcement: Announcement) => void;
  /** The same identity runs twice; `peer` may be this node itself. */
  readonly copied: (peer: PeerId) => void;
}

/** What was refused; metrics. */
export interface AnnouncerCounters {
  forged: number;
  old: number;
}

const TOPIC = 'announce';
const SYNC = 'announce/sync';
/** Envelopes in one sync message; it stays far below the frame limit. */
const BATCH = 64;

const syncSchema = z
  .array(z.strictObject({ age: field.uint, sealed: z.instanceof(Uint8Array) }))
  .max(BATCH);

/** Announces this node and keeps the book of the others. */
export class Announcer {
  readonly #options: AnnouncerOptions;
  readonly #deps: AnnouncerDeps;
  readonly #book = new AnnouncementBook();
  readonly #listeners = new Set<() => void>();
  readonly #warned = new Set<PeerId>();
  readonly counters: AnnouncerCounters = { forged: 0, old: 0 };
  #state: SelfState;
  #seq = 0;
  #own: Uint8Array | undefined;
  #tick: Cancel | undefined;
  #soon: Cancel | undefined;
  #unsubscribe: Cancel | undefined;
  #stopped = false;

  constructor(options: AnnouncerOptions, deps: AnnouncerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#state = options.state;
    deps.direct.handle(SYNC, async (from, body) => {
      this.#sync(from, body);
      return undefined;
    });
    deps.gossip.subscribe(
      TOPIC,
      (from, body) => this.#accept(from, body),
      (_from, body) => this.#hear(body, 0),
    );
  }

  async start(): Promise<void> {
    this.#unsubscribe = this.#deps.direct.onPeer((peer, live) => {
      if (live) void this.#greet(peer);
    });
    this.#beat();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#tick?.();
    this.#soon?.();
    this.#unsubscribe?.();
  }

  /** Changes what this node says of itself and says it soon. */
  update(change: Partial<SelfState>): void {
    this.#state = { ...this.#state, ...change };
    this.poke();
  }

  /** Something else that the announcement contains changed: addresses, role, roster. */
  poke(): void {
    if (this.#stopped || this.#soon !== undefined) return;
    this.#soon = this.#deps.clock.after(this.#options.coalesceMs ?? 50, () => {
      this.#soon = undefined;
      this.#say();
      this.#sayDirectly();
    });
  }

  /** Says it now, and to every connected member directly; for "I am draining" before a stop. */
  async flush(change: Partial<SelfState> = {}): Promise<void> {
    this.#state = { ...this.#state, ...change };
    this.#say();
    const { direct } = this.#deps;
    await Promise.allSettled(direct.connected().map((peer) => this.#greet(peer, 500)));
  }

  /** Announcements of members within their 30 s; never this node's own. */
  fresh(): readonly Announcement[] {
    return this.#book.fresh(this.#deps.clock.now()).map((entry) => entry.announcement);
  }

  /** The newest word of a member, however old, and whether it is fresh. */
  latest(
    peer: PeerId,
  ): { readonly announcement: Announcement; readonly fresh: boolean } | undefined {
    const entry = this.#book.get(peer);
    if (entry === undefined) return undefined;
    const fresh = this.#book.isFresh(peer, this.#deps.clock.now());
    return { announcement: entry.announcement, fresh };
  }

  /** Calls back when an announcement came in. Ageing has no event: ask `fresh` at each choice. */
  onChange(listener: () => void): Cancel {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** What this node says now. */
  self(): Announcement {
    const { signer, roster, addrs, resources } = this.#deps;
    const { boot, run, version, name } = this.#options;
    const { partyReady, draining, suites, protocols, load, term, configHash } = this.#state;
    const view = roster();
    return {
      v: 1,
      peerId: signer.peerId,
      boot,
      seq: this.#seq,
      run,
      addrs: addrs().slice(0, LIMITS.addressesPerPeer),
      role: view.members.get(signer.peerId)?.role ?? null,
      partyReady,
      draining,
      capabilities: { suites, protocols },
      load,
      ...(term === undefined ? {} : { term }),
      ...(resources === undefined ? {} : { resources: boundedResources(resources()) }),
      rosterEpoch: view.epoch,
      configHash,
      version,
      ...(name === undefined || name === '' ? {} : { name: name.slice(0, LIMITS.nameBytes) }),
    };
  }

  membersChanged(): void {
    this.#book.keep((peer) => this.#isMember(peer));
    this.poke();
  }

  // -- speaking

  #beat(): void {
    if (this.#stopped) return;
    this.#say();
    this.#tick = this.#deps.clock.after(this.#options.intervalMs, () => this.#beat());
  }

  #say(): void {
    const sealed = this.#seal();
    if (!this.#isMember(this.#deps.signer.peerId)) return;
    this.#deps.gossip.publish(TOPIC, sealed).catch((thrown: unknown) => {
      this.#deps.log.warn({ error: String(thrown) }, 'could not publish the announcement');
    });
  }

  /** A change must not wait for the next beat where gossip has no stream yet, or lost it. */
  #sayDirectly(): void {
    const { direct, log } = this.#deps;
    const news = encode([{ age: 0, sealed: this.#own ?? this.#seal() }]);
    for (const peer of direct.connected()) {
      direct.send(peer, SYNC, news).catch((thrown: unknown) => {
        log.debug({ peer, error: String(thrown) }, 'could not tell a member of a change');
      });
    }
  }

  #seal(): Uint8Array {
    this.#seq++;
    this.#own = sealAnnouncement(this.#deps.roster().clusterId, this.#deps.signer, this.self());
    return this.#own;
  }

  /** Tells a member everything that is fresh, this node's own word first. */
  async #greet(peer: PeerId, ttlMs?: number): Promise<void> {
    const { clock, direct, log } = this.#deps;
    const now = clock.now();
    const own = { age: 0, sealed: this.#own ?? this.#seal() };
    const others = this.#book
      .fresh(now)
      .filter((entry) => entry.announcement.peerId !== peer)
      .map((entry) => ({ age: ageOf(entry, now), sealed: entry.sealed }));
    const all = [own, ...others];
    try {
      for (let at = 0; at < all.length; at += BATCH) {
        await direct.send(peer, SYNC, encode(all.slice(at, at + BATCH)), ttlMs);
      }
    } catch (thrown) {
      // It is greeted again when its stream is up again.
      log.debug({ peer, error: String(thrown) }, 'could not greet a member');
    }
  }

  // -- hearing

  /** Gossip travels on only if it is what it claims to be; old news ends here, as no offence. */
  #accept(from: PeerId, body: Uint8Array): boolean {
    try {
      return openAnnouncement(this.#deps.roster().clusterId, body).peerId === from;
    } catch {
      this.counters.forged++;
      return false;
    }
  }

  #sync(from: PeerId, body: Uint8Array): void {
    const most = BATCH * (LIMITS.announcementBytes + 64);
    for (const { age, sealed } of decode('announcements', syncSchema, body, most)) {
      this.#hear(sealed, age, from);
    }
  }

  #hear(sealed: Uint8Array, ageMs: number, from?: PeerId): void {
    let announcement: Announcement;
    try {
      announcement = openAnnouncement(this.#deps.roster().clusterId, sealed);
    } catch (thrown) {
      this.counters.forged++;
      const { message } = toBzzzError(thrown);
      this.#deps.log.warn({ from, message }, 'refused an announcement');
      return;
    }
    const { peerId } = announcement;
    if (peerId === this.#deps.signer.peerId) {
      this.#mirror(announcement);
      return;
    }
    if (!this.#isMember(peerId)) return;
    const word = { announcement, sealed: new Uint8Array(sealed), ageMs, own: from === peerId };
    const { isNew, isCopy } = this.#book.take(word, this.#now());
    if (isCopy) this.#copied(peerId);
    if (!isNew) {
      this.counters.old++;
      return;
    }
    this.#deps.heard(announcement);
    for (const listener of this.#listeners) listener();
  }

  /** This node's own word came back. Unless it said it, somebody else has its key. */
  #mirror(announcement: Announcement): void {
    const { boot, run } = this.#options;
    const former = announcement.boot < boot;
    if (former || toHex(announcement.run) === toHex(run)) return;
    this.#copied(announcement.peerId);
  }

  #copied(peer: PeerId): void {
    if (this.#warned.has(peer)) return;
    this.#warned.add(peer);
    this.#deps.log.error({ peer }, 'one identity runs twice: its data directory was copied');
    this.#deps.copied(peer);
  }

  #isMember(peer: PeerId): boolean {
    return this.#deps.roster().standing(peer) === 'member';
  }

  #now(): number {
    return this.#deps.clock.now();
  }
}

const ageOf = (entry: Entry, now: number): number =>
  Math.max(0, Math.round(now - entry.receivedAt));
