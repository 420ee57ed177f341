/**
 * Ends inbound streams of the libraries' own protocols that nobody reads: identify leaves the half
 * that a peer keeps open, and gossipsub stops reading after a frame that it cannot decode, without
 * resetting the stream.
 * @module
 */
import type { GossipSub } from '@libp2p/gossipsub';
import type { Connection, Stream } from '@libp2p/interface';
import { BzzzError } from '../../base/errors.ts';
import type { Clock, Logger } from '../../base/ports.ts';
import type { ProtocolNames } from './protocols.ts';

export interface StrayDeps {
  readonly host: { getConnections(): Connection[] };
  readonly pubsub: GossipSub;
  readonly names: ProtocolNames;
  readonly clock: Clock;
  readonly log: Logger;
  /** When a peer's last whole gossip frame came, by the monotonic clock; undefined for never. */
  readonly lastFrame: (peer: string) => number | undefined;
}

/** An exchange of identities, and the first frame of a gossip stream, take moments. */
const PATIENCE_MS = 10_000;
/** A stream is first seen at a sweep, a little after its first frame. */
const SWEEP_MARGIN_MS = 4_000;

/** What gossipsub has no public door for. */
interface Insides {
  readonly streamsInbound: Map<string, { readonly rawStream: Stream }>;
}

/** Call `sweep` every few seconds. */
export class StrayStreams {
  readonly #deps: StrayDeps;
  readonly #seen = new WeakMap<Stream, number>();

  constructor(deps: StrayDeps) {
    this.#deps = deps;
  }

  sweep(): void {
    const { host, log } = this.#deps;
    for (const connection of host.getConnections()) {
      for (const stream of connection.streams) {
        if (stream.direction !== 'inbound' || stream.status !== 'open') continue;
        const reason = this.#reason(stream, connection.remotePeer.toString());
        if (reason === undefined) continue;
        const { protocol } = stream;
        log.warn({ peer: connection.remotePeer.toString(), protocol, reason }, 'stream reset');
        stream.abort(new BzzzError('BAD_MESSAGE', `${protocol}: ${reason}`));
      }
    }
  }

  #reason(stream: Stream, peer: string): string | undefined {
    const { names, clock, pubsub } = this.#deps;
    const now = clock.now();
    const since = this.#seen.get(stream) ?? now;
    this.#seen.set(stream, since);
    if (stream.protocol === `/${names.prefix}/id/1.0.0`) {
      return now - since > PATIENCE_MS ? 'left open' : undefined;
    }
    if (stream.protocol !== names.gossip) return undefined;
    const { streamsInbound } = pubsub as unknown as Insides;
    if (streamsInbound.get(peer)?.rawStream !== stream) {
      return now > since ? 'not in use any more' : undefined;
    }
    const last = this.#deps.lastFrame(peer);
    const silent = last === undefined || last < since - SWEEP_MARGIN_MS;
    return silent && now - since > PATIENCE_MS ? 'no frame was completed' : undefined;
  }
}
