/**
 * Stands this node's leadership at its address while it leads: once when it is elected, then again
 * long before the head's time is over, and soon after a failure.
 * @module
 */
import type { Epoch, Term } from '../base/brands.ts';
import { LIMITS } from '../base/limits.ts';
import type { Cancel, Clock, Logger, Signer } from '../base/ports.ts';
import type { Chain } from '../roster/chain.ts';
import { leaderAddress } from '../ucxl/fixed.ts';
import type { Resolver } from '../ucxl/resolver.ts';
import { certifyElection } from './certificate.ts';
import { sealLeaderHead } from './leader-head.ts';

/** What the machine's effect `elected` tells. */
export interface Election {
  readonly term: Term;
  readonly epoch: Epoch;
  /** Sealed; a majority of the voters of `epoch`. */
  readonly votes: readonly Uint8Array[];
}

export interface LeaderPublisherOptions {
  /** @default a quarter of the head's life */
  readonly renewMs?: number;
  /** After a failure. @default 10 s */
  readonly retryMs?: number;
}

export interface LeaderPublisherDeps {
  readonly resolver: Pick<Resolver, 'publish'>;
  readonly chain: () => Chain;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One leadership that is being published. */
interface Reign extends Election {
  readonly certificate: Uint8Array;
  seq: number;
}

/** Publishes one leadership at a time; `elected` and `deposed` return at once and never throw. */
export class LeaderPublisher {
  readonly #options: Required<LeaderPublisherOptions>;
  readonly #deps: LeaderPublisherDeps;
  #reign: Reign | undefined;
  #timer: Cancel | undefined;

  constructor(options: LeaderPublisherOptions, deps: LeaderPublisherDeps) {
    const { renewMs = LIMITS.leaderHeadLifeMs / 4, retryMs = 10_000 } = options;
    this.#options = { renewMs, retryMs };
    this.#deps = deps;
  }

  /** This node leads from now on. */
  elected(election: Election): void {
    this.deposed();
    try {
      const { term, epoch, votes } = election;
      const { chain, signer } = this.#deps;
      const certificate = certifyElection(chain(), { term, epoch, leader: signer.peerId, votes });
      this.#reign = { ...election, certificate, seq: 0 };
    } catch (thrown) {
      // Leading does not need the record; that votes counted and do not open is our own fault.
      const error = String(thrown);
      this.#deps.log.error({ term: election.term, error }, 'no certificate of this leadership');
      return;
    }
    void this.#publish(this.#reign);
  }

  /** It does not any more, or the node stops. What stands stays until a newer leader's does. */
  deposed(): void {
    this.#timer?.();
    this.#timer = undefined;
    this.#reign = undefined;
  }

  async #publish(reign: Reign): Promise<void> {
    const { resolver, chain, signer, clock, log } = this.#deps;
    const { clusterId, name } = chain().genesis;
    const { term, certificate } = reign;
    // A head that failed half way may stand somewhere: the next one is newer than it.
    reign.seq++;
    const head = { certificate, seq: reign.seq, time: clock.wallMs() };
    let nextMs = this.#options.renewMs;
    try {
      const bytes = sealLeaderHead(clusterId, signer, head);
      const { ack } = await resolver.publish(leaderAddress(name), bytes);
      log.debug({ term, seq: reign.seq, ack }, 'published the leader');
    } catch (thrown) {
      nextMs = this.#options.retryMs;
      log.warn({ term, error: String(thrown) }, 'the leader was not published');
    }
    if (this.#reign !== reign) return;
    this.#timer = clock.after(nextMs, () => void this.#publish(reign));
  }
}
