/**
 * Streams for pieces of large contents, over the connections that peering keeps. Members only.
 * @module
 */
import type { Connection, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import type { PeerId } from '../../base/brands.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { BlockNet, BlockStream } from '../../dht/blocks/wire.ts';
import type { DirectHost } from './direct.ts';
import { frameStream } from './frames.ts';
import type { Gate } from './gate.ts';

/** @property stepMs a read or a write that takes longer fails; default 5000. */
export interface BlockStreamsOptions {
  readonly protocol: string;
  readonly stepMs?: number;
}

export interface BlockStreamsDeps {
  readonly host: DirectHost;
  readonly gate: Pick<Gate, 'guard'>;
}

/** On one connection and in one direction; above what the serving and the asking end allow. */
const STREAMS = 32;
const STEP_MS = 5_000;

/** One stream a request. */
export class BlockStreams implements BlockNet {
  readonly #options: Required<BlockStreamsOptions>;
  readonly #deps: BlockStreamsDeps;

  constructor(options: BlockStreamsOptions, deps: BlockStreamsDeps) {
    this.#options = { stepMs: STEP_MS, ...options };
    this.#deps = deps;
  }

  /** Hands streams of members to `accept` from now on. */
  async start(accept: (peer: PeerId, stream: BlockStream) => Promise<void>): Promise<void> {
    const { host, gate } = this.#deps;
    const inbound = gate.guard((stream, connection) =>
      accept(connection.remotePeer.toString() as PeerId, this.#frames(stream)),
    );
    await host.handle(this.#options.protocol, inbound, {
      maxInboundStreams: STREAMS,
      maxOutboundStreams: STREAMS,
    });
  }

  async stop(): Promise<void> {
    await this.#deps.host.unhandle(this.#options.protocol);
  }

  async open(peer: PeerId, signal: AbortSignal): Promise<BlockStream> {
    const [connection] = this.#deps.host.getConnections(peerIdFromString(peer)).filter(isOpen);
    if (connection === undefined) {
      throw new BzzzError('PEER_UNREACHABLE', `${peer} is not connected`);
    }
    try {
      const timed = AbortSignal.any([signal, AbortSignal.timeout(this.#options.stepMs)]);
      return this.#frames(await connection.newStream(this.#options.protocol, { signal: timed }));
    } catch (thrown) {
      throw toBzzzError(thrown, 'PEER_UNREACHABLE');
    }
  }

  #frames(stream: Stream): BlockStream {
    return frameStream(stream, { maxBytes: LIMITS.blockFrameBytes, stepMs: this.#options.stepMs });
  }
}

const isOpen = ({ status }: Connection): boolean => status === 'open';
