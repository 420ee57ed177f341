/**
 * Since when each member is connected, or gone, as this node saw it. By the monotonic clock, from
 * this node's own start on.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import type { Cancel, Clock, Direct } from '../../base/ports.ts';

interface Seen {
  readonly live: boolean;
  readonly since: number;
}

/** Observed, never told: nobody makes itself look better here. */
export class Presence {
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #seen = new Map<PeerId, Seen>();
  readonly #end: Cancel;

  constructor(direct: Pick<Direct, 'onPeer'>, clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#end = direct.onPeer((peer, live) => {
      this.#seen.set(peer, { live, since: clock.now() });
    });
  }

  /** How long the peer has been connected without a gap, in ms; 0 when it is not. */
  connectedMs(peer: PeerId): number {
    const seen = this.#seen.get(peer);
    return seen?.live === true ? this.#clock.now() - seen.since : 0;
  }

  /** How long the peer has been gone, in ms; 0 when it is connected. */
  absentMs(peer: PeerId): number {
    const seen = this.#seen.get(peer);
    if (seen?.live === true) return 0;
    return this.#clock.now() - (seen?.since ?? this.#startedAt);
  }

  /** Forgets who is no member any more. */
  keep(isMember: (peer: PeerId) => boolean): void {
    for (const peer of this.#seen.keys()) if (!isMember(peer)) this.#seen.delete(peer);
  }

  stop(): void {
    this.#end();
  }
}
