/**
 * Keeps every roster member connected, and a node that is none on its way in. Nothing else in the
 * daemon dials: libp2p 3 does not by itself, and what its services would dial the gater refuses.
 * @module
 */
import type { AbortOptions, Connection, PeerId as LibPeerId } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import type { Entrance } from '../../../bootstrap/entrance.ts';
import type { PeerId } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import type { Cancel, Clock, Logger } from '../../base/ports.ts';
import type { RosterView } from '../../roster/types.ts';
import {
  emptyPeering,
  type PeeringEffect,
  type PeeringInput,
  type PeeringState,
  stepPeering,
  type TargetKey,
} from './peering-core.ts';

export interface PeeringOptions {
  readonly self: PeerId;
  readonly entrances: readonly Entrance[];
  /** How long two connections to one peer may stand side by side. */
  readonly duplicateMs?: number;
}

/** The parts of libp2p that peering uses. */
export interface PeeringHost {
  dial(to: Multiaddr, options: AbortOptions): Promise<Connection>;
  getConnections(peer?: LibPeerId): Connection[];
  addEventListener(
    type: 'connection:open' | 'connection:close',
    listener: (event: CustomEvent<Connection>) => void,
  ): void;
  removeEventListener(
    type: 'connection:open' | 'connection:close',
    listener: (event: CustomEvent<Connection>) => void,
  ): void;
}

export interface PeeringDeps {
  readonly host: PeeringHost;
  readonly clock: Clock;
  readonly log: Logger;
  readonly chance: () => number;
  readonly roster: () => RosterView;
  readonly addrs: (peer: PeerId) => readonly string[];
  /** Somebody answered at an entrance. */
  readonly entered: (peer: PeerId, addr: string) => void;
  /** Takes a peer out of the DHT's routing table. */
  readonly evict: (peer: LibPeerId) => Promise<void>;
}

type Event = PeeringInput extends infer I ? (I extends unknown ? Omit<I, 'now'> : never) : never;

type DialEffect = Extract<PeeringEffect, { readonly type: 'dial' }>;

/** What libp2p calls a connection that was taken and then came to nothing. */
const GREETING_ERRORS: ReadonlySet<string> = new Set([
  'EncryptionFailedError',
  'MuxerUnavailableError',
]);
/** Addresses tried in one dial; the next attempt begins with the next ones. */
const ADDRS_PER_DIAL = 4;
const DUPLICATE_MS = 500;

/** The shell around `stepPeering`. */
export class Peering {
  readonly #options: PeeringOptions;
  readonly #deps: PeeringDeps;
  readonly #dialling = new Set<PeerId>();
  /** Who answered at an address whose owner the list does not name; `self` at our own. */
  readonly #owners = new Map<TargetKey, PeerId>();
  readonly #onOpen = (event: CustomEvent<Connection>): void => this.#opened(event.detail);
  readonly #onClose = (event: CustomEvent<Connection>): void => this.#closed(event.detail);
  #state: PeeringState = emptyPeering;
  #wake: Cancel | undefined;
  #stopped = true;

  constructor(options: PeeringOptions, deps: PeeringDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  async start(): Promise<void> {
    this.#stopped = false;
    this.#deps.host.addEventListener('connection:open', this.#onOpen);
    this.#deps.host.addEventListener('connection:close', this.#onClose);
    this.refresh();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    this.#deps.host.removeEventListener('connection:open', this.#onOpen);
    this.#deps.host.removeEventListener('connection:close', this.#onClose);
  }

  /** The gater's question: is this dial one of ours? */
  mayDial(peer: PeerId): boolean {
    return this.#dialling.has(peer);
  }

  /** The roster changed, or a connection did: who is wanted now? */
  refresh(): void {
    if (this.#stopped) return;
    const { self } = this.#options;
    const view = this.#deps.roster();
    const standing = view.standing(self);
    const members = [...view.members.keys()].filter((peer) => peer !== self);
    const missing = members.some((peer) => !this.isConnected(peer));
    const keys = standing === 'removed' ? [] : members.map(peerKey);
    // An entrance is of use while somebody is missing: behind it may be whoever knows where.
    const outside = standing === 'stranger' || (standing === 'member' && missing);
    if (outside) keys.push(...this.#entrances());
    this.#step({ type: 'want', keys });
    for (const key of keys) {
      const peer = this.#ownerOf(key);
      if (peer !== undefined && this.isConnected(peer)) this.#step({ type: 'connected', key });
    }
  }

  /** A source sighted a peer. */
  hint(peer: PeerId, fresh: boolean): void {
    this.#step({ type: 'hint', key: peerKey(peer), fresh });
  }

  isConnected(peer: PeerId): boolean {
    return this.#open(peer).length > 0;
  }

  #entrances(): readonly TargetKey[] {
    const { self, entrances } = this.#options;
    const keys = entrances.map(({ addr, peerId }) =>
      peerId === undefined ? addrKey(addr) : peerKey(peerId),
    );
    return [...new Set(keys)].filter((key) => this.#ownerOf(key) !== self);
  }

  #ownerOf(key: TargetKey): PeerId | undefined {
    return key.startsWith('peer:') ? (key.slice(5) as PeerId) : this.#owners.get(key);
  }

  #keysOf(peer: PeerId): readonly TargetKey[] {
    const addresses = [...this.#owners].filter(([, owner]) => owner === peer).map(([key]) => key);
    return [peerKey(peer), ...addresses];
  }

  // -- connections

  #opened(connection: Connection): void {
    const peer = idOf(connection.remotePeer);
    for (const key of this.#keysOf(peer)) this.#step({ type: 'connected', key });
    if (this.#open(peer).length > 1) {
      const ms = this.#options.duplicateMs ?? DUPLICATE_MS;
      this.#deps.clock.after(ms, () => this.#dropDuplicates(peer));
    }
    this.refresh();
  }

  #closed(connection: Connection): void {
    const peer = idOf(connection.remotePeer);
    if (this.#open(peer).some((c) => c.id !== connection.id)) return;
    for (const key of this.#keysOf(peer)) this.#step({ type: 'lost', key });
    this.refresh();
  }

  /**
   * Both sides dialled at once: the connection that the smaller id dialled stays. Only that side
   * closes the other, and only after both had time to see both, or each might close another one.
   */
  #dropDuplicates(peer: PeerId): void {
    if (this.#stopped) return;
    const open = [...this.#open(peer)].sort((a, b) => a.timeline.open - b.timeline.open);
    if (open.length < 2 || this.#options.self > peer) return;
    const keep = open.find((c) => c.direction === 'outbound') ?? open[0];
    for (const connection of open) {
      if (connection === keep) continue;
      this.#deps.log.debug({ peer, direction: connection.direction }, 'dropped a duplicate');
      connection
        .close({ signal: AbortSignal.timeout(1_000) })
        .catch((error: unknown) => connection.abort(toBzzzError(error)));
    }
  }

  #open(peer: PeerId): readonly Connection[] {
    return this.#deps.host
      .getConnections(peerIdFromString(peer))
      .filter((connection) => connection.status === 'open');
  }

  // -- the core

  #step(event: Event): void {
    if (this.#stopped) return;
    const { clock, chance } = this.#deps;
    const first = (key: TargetKey): boolean =>
      !key.startsWith('peer:') || this.#options.self < key.slice(5);
    const input = { ...event, now: clock.now() } as PeeringInput;
    const { state, effects } = stepPeering(this.#state, input, { chance, first });
    this.#state = state;
    for (const effect of effects) this.#run(effect);
  }

  #run(effect: PeeringEffect): void {
    const { clock, log } = this.#deps;
    if (effect.type === 'wake') {
      this.#wake?.();
      const ms = Math.max(1, effect.at - clock.now());
      this.#wake = clock.after(ms, () => this.#step({ type: 'tick' }));
    } else if (effect.type === 'dial') {
      void this.#dial(effect);
    } else {
      const peer = this.#ownerOf(effect.key);
      if (peer === undefined) return;
      this.#deps.evict(peerIdFromString(peer)).catch((error: unknown) => {
        log.debug({ peer, error: String(error) }, 'could not evict a peer from the routing table');
      });
    }
  }

  async #dial({ key, attempt, patienceMs }: DialEffect): Promise<void> {
    const peer = key.startsWith('peer:') ? (key.slice(5) as PeerId) : undefined;
    try {
      const addrs = peer === undefined ? [multiaddr(key.slice(5))] : this.#addrsOf(peer, attempt);
      if (peer !== undefined) this.#dialling.add(peer);
      const { connection, slow } = await this.#dialOne(addrs, { key, attempt, patienceMs });
      if (connection === undefined) this.#step({ type: 'failed', key, slow });
      else this.#answered(key, connection);
    } finally {
      if (peer !== undefined) this.#dialling.delete(peer);
    }
  }

  /** One address after the other. `slow`: one of them was there, and took too long. */
  async #dialOne(
    addrs: readonly Multiaddr[],
    { key, attempt, patienceMs }: Omit<DialEffect, 'type'>,
  ): Promise<{ readonly connection: Connection | undefined; readonly slow: boolean }> {
    const { host, log } = this.#deps;
    let slow = false;
    for (const addr of addrs) {
      try {
        const signal = AbortSignal.timeout(patienceMs);
        return { connection: await host.dial(addr, { signal }), slow };
      } catch (thrown) {
        const error = String(thrown);
        log.debug({ key, addr: addr.toString(), attempt, patienceMs, error }, 'a dial failed');
        slow ||= thrown instanceof Error && GREETING_ERRORS.has(thrown.name);
      }
    }
    return { connection: undefined, slow };
  }

  #answered(key: TargetKey, connection: Connection): void {
    const owner = idOf(connection.remotePeer);
    if (key.startsWith('addr:')) this.#owners.set(key, owner);
    if (owner === this.#options.self) {
      connection.abort(toBzzzError(new Error('this node dialled itself')));
      this.refresh();
    } else if (connection.status === 'open') {
      if (key.startsWith('addr:')) this.#deps.entered(owner, key.slice(5));
      this.#step({ type: 'connected', key });
    } else {
      this.#step({ type: 'failed', key, slow: false });
    }
  }

  /** A few addresses at a time, others at the next attempt: a dead one costs a second. */
  #addrsOf(peer: PeerId, attempt: number): readonly Multiaddr[] {
    const listed = this.#options.entrances.filter((e) => e.peerId === peer).map((e) => e.addr);
    const all = [...new Set([...this.#deps.addrs(peer), ...listed])];
    const from = all.length === 0 ? 0 : (attempt * ADDRS_PER_DIAL) % all.length;
    const turned = [...all.slice(from), ...all.slice(0, from)];
    return turned.slice(0, ADDRS_PER_DIAL).map((addr) => multiaddr(`${addr}/p2p/${peer}`));
  }
}

const idOf = (peer: LibPeerId): PeerId => peer.toString() as PeerId;
const peerKey = (peer: PeerId): TargetKey => `peer:${peer}`;
const addrKey = (addr: string): TargetKey => `addr:${addr}`;
