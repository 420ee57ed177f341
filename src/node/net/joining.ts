/**
 * Asking for admission, and passing such requests to the desk.
 *
 * A joining node asks the members it is connected to, one after the other, until one admits it, a
 * refusal is final, or the invitation is long past. Members answer strangers here and nowhere else.
 * @module
 */
import type { Connection, PeerId as LibPeerId, Stream } from '@libp2p/interface';
import type { PeerId } from '../../base/brands.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel, Clock, Logger } from '../../base/ports.ts';
import { isFinalRefusal } from '../../roster/join.ts';
import { frameStream } from './frames.ts';
import type { JoinPort } from './ports.ts';

export interface JoiningOptions {
  /** `ProtocolNames.join`. */
  readonly protocol: string;
  /** Shortest and longest pause between rounds over the connected peers. */
  readonly retryMs?: readonly [number, number];
}

/** The parts of libp2p that joining uses. */
export interface JoiningHost {
  handle(
    protocol: string,
    handler: (stream: Stream, connection: Connection) => void | Promise<void>,
    options: { maxInboundStreams: number; maxOutboundStreams: number },
  ): Promise<void>;
  unhandle(protocol: string): Promise<void>;
  getConnections(): Connection[];
  addEventListener(type: 'peer:connect', listener: () => void): void;
  removeEventListener(type: 'peer:connect', listener: () => void): void;
}

export interface JoiningDeps {
  readonly host: JoiningHost;
  readonly clock: Clock;
  readonly log: Logger;
  /** 0 <= x < 1, for jitter. */
  readonly chance: () => number;
  readonly serveJoin: (request: Uint8Array, from: PeerId) => Promise<Uint8Array>;
  /** This node's own wish; absent when it is a member already. */
  readonly wish: JoinPort | undefined;
  readonly isAdmitted: () => boolean;
  /** Whether a peer's word is final: a refusal by somebody else is no reason to give up. */
  readonly isMember: (peer: PeerId) => boolean;
  /** Once, when no further attempt makes sense. */
  readonly refused: (reason: BzzzError) => void;
}

/** A request to a member that has to pass it on takes two round trips and a synced write. */
const ANSWER_MS = 8_000;
/** Hosts' clocks may be 10 minutes apart, and the issuer's alone decides. */
const GRACE_MS = 600_000;
const REQUEST_BYTES = 16_384;

/** Both sides of the join protocol. */
export class Joining {
  readonly #options: Required<JoiningOptions>;
  readonly #deps: JoiningDeps;
  readonly #onConnect = (): void => this.#soon(0);
  #timer: Cancel | undefined;
  #running = false;
  #round = 0;
  #done = false;

  constructor(options: JoiningOptions, deps: JoiningDeps) {
    this.#options = { retryMs: [500, 15_000], ...options };
    this.#deps = deps;
  }

  async start(): Promise<void> {
    const { host, wish } = this.#deps;
    await host.handle(this.#options.protocol, (stream, c) => this.#serve(stream, c), {
      maxInboundStreams: 2,
      maxOutboundStreams: 2,
    });
    if (wish === undefined) return;
    host.addEventListener('peer:connect', this.#onConnect);
    this.#soon(0);
  }

  async stop(): Promise<void> {
    this.#end();
    await this.#deps.host.unhandle(this.#options.protocol);
  }

  async #serve(stream: Stream, connection: Connection): Promise<void> {
    const peer = idOf(connection.remotePeer);
    const frames = frameStream(stream, { maxBytes: REQUEST_BYTES, stepMs: LIMITS.directRequestMs });
    try {
      const answer = await this.#deps.serveJoin(await frames.read(), peer);
      await frames.write(answer);
      await frames.close();
    } catch (thrown) {
      const error = toBzzzError(thrown, 'BAD_MESSAGE');
      const { code, message } = error;
      this.#deps.log.warn({ peer, code, message }, 'a join request broke off');
      frames.abort(error);
    }
  }

  #soon(ms: number): void {
    if (this.#done || this.#running) return;
    this.#timer?.();
    this.#timer = this.#deps.clock.after(ms, () => void this.#try());
  }

  async #try(): Promise<void> {
    const { wish, clock, chance, host, isAdmitted } = this.#deps;
    if (wish === undefined || this.#done) return;
    this.#running = true;
    const open = host.getConnections().filter((c) => c.status === 'open');
    for (const connection of open) {
      if (!this.#done && !isAdmitted()) await this.#ask(wish, connection);
    }
    this.#running = false;
    if (this.#done) return;
    if (isAdmitted()) return this.#end();
    if (clock.wallMs() > wish.expiresAt + GRACE_MS) {
      return this.#refuse(new BzzzError('INVITATION_EXPIRED', 'the invitation has expired'));
    }
    const [shortest, longest] = this.#options.retryMs;
    const pause = Math.min(longest, shortest * 2 ** Math.min(this.#round++, 8));
    this.#soon(pause * (0.5 + chance() / 2));
  }

  async #ask(wish: JoinPort, connection: Connection): Promise<void> {
    const peer = idOf(connection.remotePeer);
    try {
      const signal = AbortSignal.timeout(LIMITS.directRequestMs);
      const stream = await connection.newStream(this.#options.protocol, { signal });
      const frames = frameStream(stream, {
        maxBytes: LIMITS.rosterFrameBytes,
        stepMs: ANSWER_MS,
      });
      try {
        await frames.write(wish.request());
        const admitted = await wish.accept(await frames.read());
        await frames.close();
        this.#deps.log.info({ peer, admitted }, 'a member answered the request to join');
      } catch (thrown) {
        frames.abort(toBzzzError(thrown));
        throw thrown;
      }
    } catch (thrown) {
      const error = toBzzzError(thrown, 'PEER_UNREACHABLE');
      const { code, message, why } = error;
      if (isFinalRefusal(code) && this.#deps.isMember(peer)) return this.#refuse(error);
      this.#deps.log.warn({ peer, code, message, why }, 'not admitted yet; trying again');
    }
  }

  #refuse(reason: BzzzError): void {
    if (this.#done) return;
    this.#end();
    const { code, message, why } = reason;
    this.#deps.log.error({ code, message, why }, 'this node was refused');
    this.#deps.refused(reason);
  }

  #end(): void {
    this.#done = true;
    this.#timer?.();
    this.#deps.host.removeEventListener('peer:connect', this.#onConnect);
  }
}

const idOf = (peer: LibPeerId): PeerId => peer.toString() as PeerId;
