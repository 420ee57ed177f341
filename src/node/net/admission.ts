/**
 * Who is at the other end: runs the roster exchange on every connection, judges by the newest
 * roster, judges again when it grows, and shows the door.
 *
 * | standing | may use                         | stays                                        |
 * | -------- | ------------------------------- | -------------------------------------------- |
 * | member   | everything                      | as long as it is one                         |
 * | stranger | identify, roster exchange, join | `LIMITS.strangerMs` from its first connection |
 * | removed  | identify, roster exchange       | until it has the entry, at most `removedMs`  |
 * @module
 */
import type { Connection, PeerId as LibPeerId, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { BoundedMap } from '../../base/bounded.ts';
import type { PeerId } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel, Clock, Logger } from '../../base/ports.ts';
import type { Standing } from '../../roster/types.ts';
import { frameStream } from './frames.ts';
import type { Gate } from './gate.ts';
import type { Judge, RosterPort } from './ports.ts';

/** Times in ms; all but `self` and `protocol` have defaults. */
export interface AdmissionOptions {
  readonly self: PeerId;
  /** `ProtocolNames.roster`. */
  readonly protocol: string;
  readonly strangerMs?: number;
  /** From learning of a removal to the end of the connection; it must stay below 2 s. */
  readonly removedMs?: number;
  readonly exchangeMs?: number;
  /** How long a stream waits for the verdict on its peer. */
  readonly settleMs?: number;
  /** Changes of the roster within this time go out in one exchange. */
  readonly pushMs?: number;
}

/** The parts of libp2p that admission uses. */
export interface AdmissionHost {
  readonly peerId: LibPeerId;
  handle(
    protocol: string,
    handler: (stream: Stream, connection: Connection) => void | Promise<void>,
    options: { maxInboundStreams: number; maxOutboundStreams: number },
  ): Promise<void>;
  unhandle(protocol: string): Promise<void>;
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

export interface AdmissionDeps {
  readonly host: AdmissionHost;
  readonly gate: Gate;
  readonly roster: RosterPort;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What is known of a connected peer beside the roster. */
interface Guest {
  readonly peer: PeerId;
  /** Exchanges under way, ours and theirs. */
  running: number;
  /** Ours; at most one. */
  own: Promise<void> | undefined;
  /** News came while ours was running. */
  again: boolean;
  /** Monotonic end of the last exchange. */
  last: number | undefined;
  readonly arrived: number;
  /** When this node learnt, during the connection, that it is removed. */
  removed: number | undefined;
  door: Cancel | undefined;
  readonly waiting: Set<() => void>;
}

/** An exchange this recent is not repeated for a stream that asks to be let in. */
const FRESH_MS = 1_000;
/** The side that was dialled starts the exchange itself when the dialler does not. */
const DIALLER_MS = 2_000;

/** The {@link Judge} of a node. */
export class Admission implements Judge {
  readonly #options: Required<AdmissionOptions>;
  readonly #deps: AdmissionDeps;
  readonly #guests = new Map<PeerId, Guest>();
  /** What was told of peers whose roster is another one. */
  readonly #forks = new BoundedMap<PeerId, string>(LIMITS.rosterMembers);
  readonly #onOpen = (event: CustomEvent<Connection>): void => this.#opened(event.detail);
  readonly #onClose = (event: CustomEvent<Connection>): void => this.#closed(event.detail);
  #unsubscribe: (() => void) | undefined;
  #push: Cancel | undefined;
  #stopped = false;

  constructor(options: AdmissionOptions, deps: AdmissionDeps) {
    this.#options = {
      strangerMs: LIMITS.strangerMs,
      removedMs: 1_000,
      exchangeMs: 5_000,
      settleMs: 3_000,
      pushMs: 20,
      ...options,
    };
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { host, roster } = this.#deps;
    const answer = (stream: Stream, connection: Connection): Promise<void> =>
      this.#talk(this.#guest(idOf(connection.remotePeer)), stream);
    await host.handle(this.#options.protocol, answer, {
      maxInboundStreams: 4,
      maxOutboundStreams: 4,
    });
    host.addEventListener('connection:open', this.#onOpen);
    host.addEventListener('connection:close', this.#onClose);
    this.#unsubscribe = roster.onChange(() => this.#changed());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const { host } = this.#deps;
    this.#unsubscribe?.();
    this.#push?.();
    host.removeEventListener('connection:open', this.#onOpen);
    host.removeEventListener('connection:close', this.#onClose);
    for (const guest of this.#guests.values()) this.#leave(guest);
    await host.unhandle(this.#options.protocol);
  }

  standing(peer: PeerId): Standing {
    const { roster } = this.#deps;
    const view = roster.view();
    const standing = view.standing(peer);
    if (standing !== 'member') return standing;
    const judges = roster.ready() && view.standing(this.#options.self) === 'member';
    return judges ? 'member' : 'stranger';
  }

  async settled(peer: PeerId): Promise<Standing> {
    const { clock } = this.#deps;
    const deadline = clock.now() + this.#options.settleMs;
    for (;;) {
      const standing = this.standing(peer);
      const guest = this.#guests.get(peer);
      const left = deadline - clock.now();
      if (standing === 'member' || guest === undefined || left <= 0) return standing;
      // A member that admitted this node opens its streams while the entry is still on its way.
      if (guest.running === 0 && !this.#awaitsAdmission(peer)) {
        const recent = guest.last !== undefined && clock.now() - guest.last < FRESH_MS;
        if (recent || this.#stopped) return standing;
        void this.exchange(peer);
      }
      await this.#news(guest, left);
    }
  }

  /** The peer is a member by the newest roster, and this node is not one yet. */
  #awaitsAdmission(peer: PeerId): boolean {
    const view = this.#deps.roster.view();
    const waits = view.standing(this.#options.self) === 'stranger' || !this.#deps.roster.ready();
    return waits && !this.#stopped && view.standing(peer) === 'member';
  }

  /** Compares rosters with a connected peer, now. Never throws. */
  async exchange(peer: PeerId): Promise<void> {
    const guest = this.#guests.get(peer);
    if (guest === undefined || this.#stopped) return;
    if (guest.own !== undefined) {
      guest.again = true;
      return guest.own;
    }
    guest.running++;
    guest.own = this.#begin(guest).finally(() => {
      guest.running--;
      guest.own = undefined;
      this.#ended(guest);
      if (!guest.again) return;
      guest.again = false;
      void this.exchange(peer);
    });
    return guest.own;
  }

  /** Closes every connection to a peer. */
  cut(peer: PeerId, reason: string): void {
    const connections = this.#deps.host.getConnections(peerIdFromString(peer));
    if (connections.length === 0) return;
    this.#deps.log.info({ peer, reason }, 'disconnected a peer');
    for (const connection of connections) {
      connection
        .close({ signal: AbortSignal.timeout(250) })
        .catch((error: unknown) => connection.abort(toBzzzError(error)));
    }
  }

  // -- connections

  #opened(connection: Connection): void {
    const guest = this.#guest(idOf(connection.remotePeer));
    this.#deps.gate.connected(connection);
    this.#door(guest);
    if (connection.direction === 'outbound') {
      void this.exchange(guest.peer);
      return;
    }
    this.#deps.clock.after(DIALLER_MS, () => {
      if (guest.last === undefined && guest.running === 0) void this.exchange(guest.peer);
    });
  }

  #closed(connection: Connection): void {
    const remaining = this.#deps.host
      .getConnections(connection.remotePeer)
      .filter((c) => c.id !== connection.id && c.status === 'open');
    this.#deps.gate.moved(connection, remaining);
    const guest = this.#guests.get(idOf(connection.remotePeer));
    if (remaining.length === 0 && guest !== undefined) this.#leave(guest);
  }

  #guest(peer: PeerId): Guest {
    const existing = this.#guests.get(peer);
    if (existing !== undefined) return existing;
    const guest: Guest = {
      peer,
      running: 0,
      own: undefined,
      again: false,
      last: undefined,
      arrived: this.#deps.clock.now(),
      removed: undefined,
      door: undefined,
      waiting: new Set(),
    };
    this.#guests.set(peer, guest);
    return guest;
  }

  #leave(guest: Guest): void {
    guest.door?.();
    this.#guests.delete(guest.peer);
    this.#wake(guest);
  }

  // -- the exchange

  async #begin(guest: Guest): Promise<void> {
    const { host } = this.#deps;
    try {
      const [connection] = host
        .getConnections(peerIdFromString(guest.peer))
        .filter((c) => c.status === 'open');
      if (connection === undefined) return;
      const signal = AbortSignal.timeout(this.#options.exchangeMs);
      const stream = await connection.newStream(this.#options.protocol, { signal });
      await this.#converse(guest, stream);
    } catch (thrown) {
      this.#failed(guest, thrown);
    }
  }

  /** The peer began. */
  async #talk(guest: Guest, stream: Stream): Promise<void> {
    guest.running++;
    try {
      await this.#converse(guest, stream);
    } catch (thrown) {
      this.#failed(guest, thrown);
    } finally {
      guest.running--;
      this.#ended(guest);
    }
  }

  async #converse(guest: Guest, stream: Stream): Promise<void> {
    const { exchangeMs } = this.#options;
    const frames = frameStream(stream, { maxBytes: LIMITS.rosterFrameBytes, stepMs: exchangeMs });
    try {
      await this.#deps.roster.exchange(frames, guest.peer, exchangeMs);
      await frames.close();
    } catch (thrown) {
      frames.abort(toBzzzError(thrown));
      throw thrown;
    }
  }

  #failed(guest: Guest, thrown: unknown): void {
    const { code, message, details } = toBzzzError(thrown, 'PEER_UNREACHABLE');
    const fields = { peer: guest.peer, code, message, details };
    if (code === 'ROSTER_FORK') this.#forked(guest.peer, message, fields);
    else if (code === 'BAD_MESSAGE') this.#deps.log.warn(fields, 'roster exchange failed');
    else this.#deps.log.debug(fields, 'roster exchange failed');
  }

  /** Told once for each fork: the two meet again at every turn. */
  #forked(peer: PeerId, message: string, fields: object): void {
    if (this.#forks.get(peer) === message) return;
    this.#forks.set(peer, message);
    this.#deps.log.error(fields, 'the peer has another roster');
  }

  #ended(guest: Guest): void {
    guest.last = this.#deps.clock.now();
    this.#judge(guest);
    this.#wake(guest);
  }

  // -- the verdict

  #changed(): void {
    for (const guest of [...this.#guests.values()]) {
      this.#judge(guest);
      if (this.#deps.roster.view().standing(guest.peer) === 'removed') {
        void this.exchange(guest.peer);
      }
    }
    if (this.#push !== undefined) return;
    this.#push = this.#deps.clock.after(this.#options.pushMs, () => {
      this.#push = undefined;
      for (const guest of this.#guests.values()) {
        const standing = this.#deps.roster.view().standing(guest.peer);
        if (standing === 'member') void this.exchange(guest.peer);
      }
    });
  }

  #judge(guest: Guest): void {
    if (this.#guests.get(guest.peer) !== guest) return;
    this.#deps.gate.judged(guest.peer);
    this.#door(guest);
    this.#wake(guest);
  }

  /** Sets or clears the time at which the peer is shown out. */
  #door(guest: Guest): void {
    guest.door?.();
    guest.door = undefined;
    const { roster, clock } = this.#deps;
    // Judged by the roster alone: a node that is joining must not turn away the members.
    const standing = roster.view().standing(guest.peer);
    // Counted from the first moment, or a peer could put it off by exchanging without end.
    guest.removed = standing === 'removed' ? (guest.removed ?? clock.now()) : undefined;
    if (standing === 'member' || !roster.ready()) return;
    const { strangerMs, removedMs } = this.#options;
    const end =
      guest.removed === undefined ? guest.arrived + strangerMs : guest.removed + removedMs;
    const left = Math.max(0, end - clock.now());
    guest.door = clock.after(left, () => this.cut(guest.peer, standing));
  }

  #news(guest: Guest, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel();
        guest.waiting.delete(end);
        resolve();
      };
      const cancel = this.#deps.clock.after(ms, end);
      guest.waiting.add(end);
    });
  }

  #wake(guest: Guest): void {
    for (const end of [...guest.waiting]) end();
  }
}

const idOf = (peer: LibPeerId): PeerId => peer.toString() as PeerId;
