/**
 * The {@link Direct} port over libp2p: one channel per member, streams held open.
 * @module
 */
import type { Connection, PeerId as LibPeerId, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type {
  Cancel,
  Clock,
  Direct,
  DirectHandler,
  Logger,
  NoteHandler,
} from '../../base/ports.ts';
import { DirectChannel, type DirectCounters } from './direct-channel.ts';
import type { Run } from './direct-session.ts';
import { traceFrame } from './direct-trace.ts';
import type { Gate } from './gate.ts';

/** @property helloMs,frameMs,slowMs,reopenMs see the link, the inbox and the channel. */
export interface DirectOptions {
  readonly self: PeerId;
  readonly run: Run;
  readonly protocol: string;
  readonly helloMs?: number;
  readonly frameMs?: number;
  readonly slowMs?: number;
  readonly reopenMs?: readonly [number, number];
}

/** The parts of libp2p that direct streams use. */
export interface DirectHost {
  handle(
    protocol: string,
    handler: (stream: Stream, connection: Connection) => void | Promise<void>,
    options: { maxInboundStreams: number; maxOutboundStreams: number },
  ): Promise<void>;
  unhandle(protocol: string): Promise<void>;
  getConnections(peer?: LibPeerId): Connection[];
}

export interface DirectDeps {
  readonly host: DirectHost;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly log: Logger;
  /** By the roster alone, whether it is connected or not. */
  readonly isMember: (peer: PeerId) => boolean;
  readonly anomaly: (peer: PeerId, kind: 'two-runs' | 'boot-not-higher') => void;
  readonly cut: (peer: PeerId, reason: string) => void;
}

const QUEUE_BYTES = 16 * 1_048_576;
const OPEN_MS = 3_000;
const STREAMS = 4;

/** Register handlers before `start`; a message of an unknown topic is refused, not kept. */
export class DirectService implements Direct {
  readonly #options: DirectOptions;
  readonly #deps: DirectDeps;
  readonly #handlers = new Map<string, DirectHandler>();
  readonly #noteHandlers = new Map<string, NoteHandler>();
  readonly #channels = new Map<PeerId, DirectChannel>();
  readonly #listeners = new Set<(peer: PeerId, live: boolean) => void>();
  readonly counters: DirectCounters = {
    dropped: 0,
    expired: 0,
    repeated: 0,
    duplicates: 0,
    faults: 0,
    overloads: 0,
    lostNotes: 0,
    idleNotes: 0,
  };
  #stopped = false;

  constructor(options: DirectOptions, deps: DirectDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { host, gate } = this.#deps;
    const inbound = gate.guard((stream, connection) => {
      if (this.#stopped) throw new BzzzError('PEER_UNREACHABLE', 'this node is stopping');
      this.#channel(idOf(connection.remotePeer)).adopt(stream, 'peer');
    });
    await host.handle(this.#options.protocol, inbound, {
      maxInboundStreams: STREAMS,
      maxOutboundStreams: STREAMS,
    });
    const listener = {
      onConnect: (peer: LibPeerId) => {
        if (!this.#stopped) this.#channel(idOf(peer)).connection(true);
      },
      onDisconnect: (peer: LibPeerId) => this.#channels.get(idOf(peer))?.connection(false),
    };
    gate.topology(listener, true);
  }

  /** Whoever waits for a peer gets PEER_UNREACHABLE. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const reason = new BzzzError('PEER_UNREACHABLE', 'this node is stopping');
    for (const channel of this.#channels.values()) channel.close(reason);
    this.#channels.clear();
    await this.#deps.host.unhandle(this.#options.protocol);
  }

  /** The roster changed: channels of those who left it end. */
  membersChanged(): void {
    for (const [peer, channel] of this.#channels) {
      if (this.#deps.isMember(peer)) continue;
      this.#channels.delete(peer);
      channel.close(new BzzzError('NOT_A_MEMBER', `${peer} is no longer a member`));
    }
  }

  async send(to: PeerId, topic: string, body: Uint8Array, ttlMs?: number): Promise<void> {
    this.#check(to, topic, body);
    traceFrame(to, topic, body);
    await this.#channel(to).send(topic, body, ttlMs ?? LIMITS.directTtlMs);
  }

  async request(
    to: PeerId,
    topic: string,
    body: Uint8Array,
    timeoutMs?: number,
  ): Promise<Uint8Array> {
    this.#check(to, topic, body);
    traceFrame(to, topic, body);
    return this.#channel(to).request(topic, body, timeoutMs ?? LIMITS.directRequestMs);
  }

  handle(topic: string, handler: DirectHandler): void {
    if (this.#handlers.has(topic)) throw new BzzzError('INTERNAL', `${topic} has a handler`);
    this.#handlers.set(topic, handler);
  }

  note(to: PeerId, topic: string, body: Uint8Array): boolean {
    if (body.length > LIMITS.noteBytes) {
      throw new BzzzError('TOO_LARGE', `${topic}: ${body.length} bytes in one note`);
    }
    // A channel is what members had a connection with; nobody else is written to.
    const channel = this.#deps.isMember(to) ? this.#channels.get(to) : undefined;
    if (channel !== undefined) return channel.note(topic, body);
    this.counters.lostNotes++;
    return false;
  }

  onNote(topic: string, handler: NoteHandler): void {
    if (this.#noteHandlers.has(topic)) throw new BzzzError('INTERNAL', `${topic} has a handler`);
    this.#noteHandlers.set(topic, handler);
  }

  connected(): readonly PeerId[] {
    return [...this.#channels].flatMap(([peer, channel]) => (channel.live ? [peer] : []));
  }

  onPeer(listener: (peer: PeerId, live: boolean) => void): Cancel {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #check(to: PeerId, topic: string, body: Uint8Array): void {
    if (this.#stopped) throw new BzzzError('PEER_UNREACHABLE', 'this node is stopping');
    if (to === this.#options.self) throw new BzzzError('INTERNAL', `${topic} to this node itself`);
    if (!this.#deps.isMember(to)) throw new BzzzError('NOT_A_MEMBER', `${to} is no member`);
    if (body.length > LIMITS.directFrameBytes - 1_024) {
      throw new BzzzError('TOO_LARGE', `${topic}: ${body.length} bytes in one message`);
    }
  }

  #channel(peer: PeerId): DirectChannel {
    const existing = this.#channels.get(peer);
    if (existing !== undefined) return existing;
    const { self, run } = this.#options;
    const { clock, log, anomaly, cut } = this.#deps;
    const channel = new DirectChannel(
      {
        self,
        peer,
        run,
        session: { frames: LIMITS.directQueue, bytes: QUEUE_BYTES },
        inbox: {
          items: LIMITS.directQueue,
          bytes: QUEUE_BYTES,
          slowMs: this.#options.slowMs ?? LIMITS.directRequestMs,
        },
        link: {
          helloMs: this.#options.helloMs ?? LIMITS.streamFirstByteMs,
          frameMs: this.#options.frameMs ?? LIMITS.streamIdleMs,
        },
        reopenMs: this.#options.reopenMs ?? [25, 2_000],
      },
      {
        clock,
        log,
        counters: this.counters,
        handlers: this.#handlers,
        noteHandlers: this.#noteHandlers,
        open: () => this.#open(peer),
        up: (live) => this.#up(peer, live),
        anomaly: (kind) => anomaly(peer, kind),
        cut: (reason) => cut(peer, reason),
      },
    );
    this.#channels.set(peer, channel);
    return channel;
  }

  #up(peer: PeerId, live: boolean): void {
    this.#deps.log.debug({ peer, live }, 'direct stream');
    for (const listener of this.#listeners) listener(peer, live);
  }

  async #open(peer: PeerId): Promise<Stream> {
    const connections = this.#deps.host
      .getConnections(peerIdFromString(peer))
      .filter((connection) => connection.status === 'open');
    // Of two connections peering keeps the one that the smaller id dialled.
    const kept = this.#options.self < peer ? 'outbound' : 'inbound';
    const open = connections.find((c) => c.direction === kept) ?? connections[0];
    if (open === undefined) throw new BzzzError('PEER_UNREACHABLE', `no connection to ${peer}`);
    return open.newStream(this.#options.protocol, { signal: AbortSignal.timeout(OPEN_MS) });
  }
}

const idOf = (peer: LibPeerId): PeerId => peer.toString() as PeerId;
