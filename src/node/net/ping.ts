/**
 * Liveness: answers the connection monitor and pings on behalf of the DHT's routing table.
 *
 * Same bytes as `/ipfs/ping/1.0.0` (https://github.com/libp2p/specs/blob/master/ping/ping.md),
 * under the cluster's own prefix.
 * @module
 */
import { randomBytes } from 'node:crypto';
import type {
  AbortOptions,
  Connection,
  PeerId,
  Stream,
  StreamMessageEvent,
} from '@libp2p/interface';
import { equalBytes } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';

const PING_BYTES = 32;
const PING_MS = 5_000;
/** An idle ping stream of a peer that pings now and then is closed after this time. */
const IDLE_MS = 30_000;
/** `@libp2p/interface`'s `serviceCapabilities`, which is a registered symbol. */
const CAPABILITIES = Symbol.for('@libp2p/service-capabilities');

/** The parts of libp2p that ping uses. */
export interface PingComponents {
  readonly registrar: {
    handle(
      protocol: string,
      handler: (stream: Stream, connection: Connection) => void | Promise<void>,
      options: { maxInboundStreams: number; maxOutboundStreams: number },
    ): Promise<void>;
    unhandle(protocol: string): Promise<void>;
  };
  readonly connectionManager: { getConnections(peer: PeerId): Connection[] };
}

/** A libp2p service that kad-dht accepts as its ping. */
export class PingService {
  readonly [CAPABILITIES]: readonly string[] = ['@libp2p/ping'];
  readonly #protocol: string;
  readonly #components: PingComponents;

  constructor(prefix: string, components: PingComponents) {
    this.#protocol = `/${prefix}/ping/1.0.0`;
    this.#components = components;
  }

  async start(): Promise<void> {
    await this.#components.registrar.handle(this.#protocol, answer, {
      maxInboundStreams: 4,
      maxOutboundStreams: 4,
    });
  }

  async stop(): Promise<void> {
    await this.#components.registrar.unhandle(this.#protocol);
  }

  /**
   * Round trip over an open connection; never dials.
   * @returns milliseconds. @throws PEER_UNREACHABLE.
   */
  async ping(peer: PeerId, options: AbortOptions = {}): Promise<number> {
    const [connection] = this.#components.connectionManager.getConnections(peer);
    if (connection === undefined) {
      throw new BzzzError('PEER_UNREACHABLE', `no connection to ${peer}`);
    }
    const signal = options.signal ?? AbortSignal.timeout(PING_MS);
    const stream = await connection.newStream(this.#protocol, { signal });
    const started = performance.now();
    try {
      const sent = new Uint8Array(randomBytes(PING_BYTES));
      const echo = received(stream, signal);
      // When nothing can be sent, that is the error, and the abort below ends this wait unheard.
      echo.catch(() => {});
      stream.send(sent);
      if (!equalBytes(sent, await echo)) {
        throw new BzzzError('BAD_MESSAGE', `${peer} answered a ping with other bytes`);
      }
      await stream.close({ signal });
      return performance.now() - started;
    } catch (thrown) {
      stream.abort(asError(thrown));
      throw thrown;
    }
  }
}

/** The first 32 bytes that come. @throws PEER_UNREACHABLE at the end of the stream, TIMEOUT. */
function received(stream: Stream, signal: AbortSignal): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let length = 0;
    const end = (settle: () => void): void => {
      stream.removeEventListener('message', onMessage);
      stream.removeEventListener('close', onEnd);
      stream.removeEventListener('remoteCloseWrite', onEnd);
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onMessage = (event: StreamMessageEvent): void => {
      const part = event.data.slice();
      parts.push(part);
      length += part.length;
      if (length < PING_BYTES) return;
      end(() => resolve(new Uint8Array(Buffer.concat(parts)).subarray(0, PING_BYTES)));
    };
    const onEnd = (): void =>
      end(() => reject(new BzzzError('PEER_UNREACHABLE', 'the stream ended before the answer')));
    const onAbort = (): void => end(() => reject(new BzzzError('TIMEOUT', 'a ping took too long')));
    stream.addEventListener('message', onMessage);
    stream.addEventListener('close', onEnd);
    stream.addEventListener('remoteCloseWrite', onEnd);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    else if (stream.status !== 'open') onEnd();
  });
}

/**
 * Sends every byte back until the other side is done. What it cannot send it does not read, so a
 * peer that pings without reading fills its own window and nothing here.
 */
function answer(stream: Stream): void {
  let idle = setTimeout(onIdle, IDLE_MS).unref();
  function onIdle(): void {
    stream.abort(new BzzzError('TIMEOUT', `no ping for ${IDLE_MS} ms`));
  }
  stream.addEventListener('message', (event) => {
    clearTimeout(idle);
    idle = setTimeout(onIdle, IDLE_MS).unref();
    try {
      // A copy: received bytes are views.
      if (!stream.send(event.data.slice())) stream.pause();
    } catch (thrown) {
      // The other side closed while its ping was on the way.
      stream.abort(asError(thrown));
    }
  });
  stream.addEventListener('drain', () => {
    // A stream that closes sends what it has left, and cannot be resumed any more.
    if (stream.status === 'open' && stream.readStatus === 'paused') stream.resume();
  });
  stream.addEventListener('close', () => clearTimeout(idle));
  stream.addEventListener('remoteCloseWrite', () => {
    const signal = AbortSignal.timeout(PING_MS);
    stream.close({ signal }).catch((thrown: unknown) => stream.abort(asError(thrown)));
  });
}

const asError = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));
