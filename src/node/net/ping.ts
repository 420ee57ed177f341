/**
 * Liveness: answers the connection monitor and pings on behalf of the DHT's routing table.
 *
 * Same bytes as `/ipfs/ping/1.0.0` (https://github.com/libp2p/specs/blob/master/ping/ping.md),
 * under the cluster's own prefix.
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { AbortOptions, Connection, PeerId, Stream } from '@libp2p/interface';
import { byteStream } from '@libp2p/utils';
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
      const bytes = byteStream(stream);
      await bytes.write(sent, { signal });
      const received = await bytes.read({ bytes: PING_BYTES, signal });
      if (!equalBytes(sent, received.subarray())) {
        throw new BzzzError('BAD_MESSAGE', `${peer} answered a ping with other bytes`);
      }
      await stream.close({ signal });
      return performance.now() - started;
    } catch (thrown) {
      stream.abort(thrown instanceof Error ? thrown : new Error('ping'));
      throw thrown;
    }
  }
}

/** Sends every 32 bytes back until the other side is done. */
async function answer(stream: Stream): Promise<void> {
  const bytes = byteStream(stream, { maxBufferSize: 64 * PING_BYTES });
  for (;;) {
    const signal = AbortSignal.timeout(IDLE_MS);
    const chunk = await bytes.read({ signal });
    if (chunk === null) break;
    await bytes.write(chunk.subarray(), { signal });
  }
  await stream.close({ signal: AbortSignal.timeout(PING_MS) });
}
