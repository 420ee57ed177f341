/**
 * Members only. kad-dht, gossipsub and our own protocols get their streams and their topology from
 * here: a stranger's stream is reset, a stranger is never announced to them, a stranger that became
 * a member is, and a member that was removed disappears.
 *
 * libp2p's own middleware (`use`) cannot do it: connection.js pushes the handler into the stored
 * middleware for every inbound stream. So the services get a registrar that wraps handlers and
 * topologies; identify, ping, the roster exchange and join use the real one.
 * @module
 */
import type {
  Connection,
  PeerId as LibPeerId,
  Stream,
  StreamHandler,
  StreamHandlerOptions,
  Topology,
} from '@libp2p/interface';
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Cancel, Clock, Logger } from '../../base/ports.ts';
import type { Judge } from './ports.ts';

/** The part of libp2p's registrar that services use. */
export interface RegistrarLike {
  handle(protocol: string, handler: StreamHandler, options?: StreamHandlerOptions): Promise<void>;
  register(protocol: string, topology: Topology): Promise<string>;
  unregister(id: string): void;
  getTopologies(protocol: string): Topology[];
}

/** @property sweepMs how often topologies are told again who is there; see {@link Gate.sweep}. */
export interface GateOptions {
  readonly sweepMs: number;
}

export interface GateDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** What must happen before topologies are told again who is there. */
  readonly beforeSweep?: () => void;
}

/** One topology behind the gate, and the peers that speak its protocol. */
interface Guarded {
  readonly inner: Topology;
  readonly immediate: boolean;
  readonly candidates: Map<PeerId, Connection>;
  readonly admitted: Set<PeerId>;
}

/** When topologies are told again after one of two connections closed. */
const MEND_MS = [100, 500];

const idOf = (peer: LibPeerId): PeerId => peer.toString() as PeerId;

/** Made before libp2p, because its services are; `bind` gives it the judge afterwards. */
export class Gate {
  readonly #options: GateOptions;
  readonly #deps: GateDeps;
  readonly #guarded = new Set<Guarded>();
  #judge: Judge | undefined;
  #cancelSweep: Cancel | undefined;
  readonly #mending = new Set<Cancel>();
  /** One open connection of every connected peer, member or not. */
  readonly #connections = new Map<PeerId, Connection>();
  /** Connections that stood at the last sweep already. */
  readonly #swept = new Map<PeerId, string>();
  #refused = 0;

  constructor(options: GateOptions, deps: GateDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Streams of non-members that were reset; a metric. */
  get refused(): number {
    return this.#refused;
  }

  /** Until this is called everybody is a stranger. */
  bind(judge: Judge): void {
    this.#judge = judge;
  }

  start(): void {
    this.#cancelSweep = this.#deps.clock.after(this.#options.sweepMs, () => {
      this.sweep();
      this.start();
    });
  }

  stop(): void {
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
    for (const cancel of this.#mending) cancel();
    this.#mending.clear();
  }

  isMember(peer: PeerId): boolean {
    return this.#judge?.standing(peer) === 'member';
  }

  /** A stream handler that runs for members only, after the roster exchange had its chance. */
  guard(handler: StreamHandler): StreamHandler {
    return async (stream: Stream, connection: Connection): Promise<void> => {
      const peer = idOf(connection.remotePeer);
      const standing = (await this.#judge?.settled(peer)) ?? 'stranger';
      if (stream.status !== 'open') return;
      if (standing === 'member') {
        await handler(stream, connection);
        return;
      }
      this.#refused++;
      const { protocol } = stream;
      this.#deps.log.debug({ peer, protocol, standing }, 'refused a stream of a non-member');
      stream.abort(new BzzzError('NOT_A_MEMBER', `${peer} is no member`));
    };
  }

  /** The components of libp2p as a members-only service sees them. `extra` replaces others. */
  components<C extends { readonly registrar: RegistrarLike }>(
    components: C,
    extra: Partial<Record<keyof C, unknown>> = {},
  ): C {
    const { registrar } = components;
    const guarded = new Proxy(registrar, {
      get: (target, key, receiver) => {
        if (key === 'handle') {
          return (protocol: string, handler: StreamHandler, options?: StreamHandlerOptions) =>
            target.handle(protocol, this.guard(handler), options);
        }
        if (key === 'register') {
          return (protocol: string, topology: Topology) =>
            target.register(protocol, this.topology(topology));
        }
        const value: unknown = Reflect.get(target, key, receiver);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    return new Proxy(components, {
      get: (target, key, receiver) => {
        if (key === 'registrar') return guarded;
        if (Object.hasOwn(extra, key)) return Reflect.get(extra, key);
        return Reflect.get(target, key, receiver);
      },
    });
  }

  /**
   * Hides non-members from `inner`. Give the result to the registrar, or let it be `immediate`:
   * then it hears of every connection at once, and need not wait for identify.
   */
  topology(inner: Topology, immediate = false): Topology {
    const guarded: Guarded = { inner, immediate, candidates: new Map(), admitted: new Set() };
    this.#guarded.add(guarded);
    return {
      notifyOnLimitedConnection: inner.notifyOnLimitedConnection ?? false,
      onConnect: (peer, connection) => {
        guarded.candidates.set(idOf(peer), connection);
        if (this.isMember(idOf(peer))) this.#admit(guarded, idOf(peer));
      },
      onDisconnect: (peer) => {
        guarded.candidates.delete(idOf(peer));
        this.#dismiss(guarded, idOf(peer), peer);
      },
    };
  }

  /** A connection opened. */
  connected(connection: Connection): void {
    const peer = idOf(connection.remotePeer);
    const known = this.#connections.get(peer);
    if (known?.status === 'open') return;
    this.#connections.set(peer, connection);
    for (const guarded of this.#guarded) {
      if (!guarded.immediate) continue;
      guarded.candidates.set(peer, connection);
      if (this.isMember(peer)) this.#admit(guarded, peer);
    }
  }

  /** The standing of `peer` may have changed. */
  judged(peer: PeerId): void {
    const member = this.isMember(peer);
    for (const guarded of this.#guarded) {
      const connection = guarded.candidates.get(peer);
      if (connection === undefined) continue;
      if (!member) this.#dismiss(guarded, peer, connection.remotePeer);
      else if (!guarded.admitted.has(peer)) this.#admit(guarded, peer);
    }
  }

  /**
   * A connection closed while others to the same peer stay: libp2p tells no topology, and gossipsub
   * would keep silent for ever on the streams that went with it.
   */
  moved(closed: Connection, remaining: readonly Connection[]): void {
    const peer = idOf(closed.remotePeer);
    const next = remaining.find((c) => c.id !== closed.id && c.status === 'open');
    if (next === undefined) this.#lost(peer, closed);
    else this.#connections.set(peer, next);
    for (const guarded of this.#guarded) {
      if (next === undefined || guarded.candidates.get(peer)?.id !== closed.id) continue;
      guarded.candidates.set(peer, next);
      if (this.isMember(peer)) this.#admit(guarded, peer);
    }
    // gossipsub takes the end of its old stream for the end of the peer, and drops the new one too.
    if (next === undefined) return;
    for (const ms of MEND_MS) this.#later(ms);
  }

  /** The last connection of a peer closed; of the other topologies libp2p takes care. */
  #lost(peer: PeerId, closed: Connection): void {
    this.#connections.delete(peer);
    this.#swept.delete(peer);
    for (const guarded of this.#guarded) {
      if (!guarded.immediate || !guarded.candidates.delete(peer)) continue;
      this.#dismiss(guarded, peer, closed.remotePeer);
    }
  }

  #propose(peer: PeerId, connection: Connection): void {
    if (connection.status !== 'open' || !this.isMember(peer)) return;
    for (const { candidates } of this.#guarded) {
      if (!candidates.has(peer)) candidates.set(peer, connection);
    }
  }

  #later(ms: number): void {
    const cancel = this.#deps.clock.after(ms, () => {
      this.#mending.delete(cancel);
      this.sweep();
    });
    this.#mending.add(cancel);
  }

  /**
   * Tells every topology again who is there. gossipsub and kad-dht take a known peer as a no-op,
   * and mend a stream that the other side had reset before it knew this node as a member. A member
   * that identify did not finish with, on a busy host, gets its chance with all protocols.
   */
  sweep(): void {
    this.#deps.beforeSweep?.();
    for (const [peer, connection] of this.#connections) {
      if (this.#swept.get(peer) === connection.id) this.#propose(peer, connection);
      this.#swept.set(peer, connection.id);
    }
    for (const guarded of this.#guarded) {
      for (const [peer, connection] of guarded.candidates) {
        if (connection.status !== 'open') continue;
        if (this.isMember(peer)) this.#admit(guarded, peer);
        else this.#dismiss(guarded, peer, connection.remotePeer);
      }
    }
  }

  #admit(guarded: Guarded, peer: PeerId): void {
    const connection = guarded.candidates.get(peer);
    if (connection === undefined || connection.status !== 'open') return;
    guarded.admitted.add(peer);
    this.#tell(() => guarded.inner.onConnect?.(connection.remotePeer, connection));
  }

  #dismiss(guarded: Guarded, peer: PeerId, remote: LibPeerId): void {
    if (!guarded.admitted.delete(peer)) return;
    this.#tell(() => guarded.inner.onDisconnect?.(remote));
  }

  /** What fails in a listener is its own affair, and no reason to lose the judge. */
  #tell(call: () => void | Promise<void>): void {
    const failed = (error: unknown): void => {
      this.#deps.log.warn({ error: String(error) }, 'a topology listener failed');
    };
    try {
      const answer = call();
      if (answer instanceof Promise) answer.catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
