/**
 * Nonce commitments that are exchanged ahead, so that a signature takes one exchange instead of two
 * (RFC 9591 §5.1 allows it). Two halves, each a table in memory and nothing else:
 *
 * - a holder's *stock*: secret pairs, each issued to one driver for one epoch of a key;
 * - a driver's *pool*: the commitments that holders issued to it, their points checked.
 *
 * A pair's life, as its holder sees it:
 *
 * | state  | what happens                                  | next   |
 * | ------ | --------------------------------------------- | ------ |
 * | -      | its driver asks for pairs                     | issued |
 * | issued | a package of its driver names it              | spent  |
 * | issued | stock full, driver restarted, key epoch over  | gone   |
 * | spent  | anything; whatever became of the package      | spent  |
 * | gone   | anything                                      | gone   |
 *
 * Numbers grow over all pairs of one run of the holder, so a number never means two pairs, and a
 * pair that was spent cannot come back. A restart loses everything: nothing here is ever written
 * down (N3), and a driver that names a lost pair is told so and is at no fault.
 * @module
 */
import type { KeyId, PeerId } from '../../base/brands.ts';
import type { NonceCommitment, SigningNonces } from '../suites/types.ts';

/** What pairs are for: they serve no other key, and no other epoch of it. */
export interface Lane {
  readonly keyId: KeyId;
  readonly epoch: number;
}

/** A holder's commitment to a pair, as the pool and packages carry it. */
export interface PooledCommitment extends NonceCommitment {
  readonly author: PeerId;
  /** Which run of the holder; the pair died with it. */
  readonly holderBoot: number;
  /** The pair's number within that run. */
  readonly seq: number;
}

/** A pair that just left the stock; whoever took it uses it once or wipes it. */
export interface TakenPair {
  readonly nonces: SigningNonces;
  readonly commitment: NonceCommitment;
}

/** What a holder finds under a pair's name. */
export type Taking =
  | { readonly found: 'pair'; readonly pair: TakenPair }
  /** It was spent for this package, as its driver signed it. */
  | { readonly found: 'use'; readonly package: Uint8Array }
  | { readonly found: 'nothing' };

/** What a signing session sees of both halves, for its own key. */
export interface NoncePort {
  /**
   * Commitments for one package of this party: its own and those of as many connected holders as
   * the key's threshold takes. Each is handed out once.
   * @returns undefined when too few of `usable` have any left.
   */
  draw(usable: readonly PeerId[]): readonly PooledCommitment[] | undefined;
  /**
   * Removes a pair of this holder, if it was issued to `driver` and not used (N1, N2).
   * @param envelope the package that it is for.
   */
  take(driver: PeerId, seq: number, envelope: Uint8Array): Taking;
  /** `holder` does not know a pair that was drawn: it was restarted, or its stock ran over. */
  lost(holder: PeerId): void;
  /** `holder` owes a share and is silent: the next sessions take others while there are any. */
  slow(holder: PeerId): void;
}

/** Bounds, in pairs unless the name says otherwise. */
export interface NonceLimits {
  /** Issued to one driver for one lane, and not used; the oldest make room. */
  readonly stockPairs: number;
  /** Packages remembered by what they spent, per driver and lane: a second use is a proof. */
  readonly uses: number;
  /** Lanes times drivers; the least recently used make room. */
  readonly lanes: number;
  /** In one answer. */
  readonly batchPairs: number;
  /** A driver asks for more below this. */
  readonly lowWater: number;
  /** Issued to one driver in a second, over all lanes. */
  readonly perSecond: number;
}

/** Enough for some 500 signatures per second of one driver. */
export const NONCE_LIMITS: NonceLimits = {
  stockPairs: 96,
  uses: 32,
  lanes: 128,
  batchPairs: 32,
  lowWater: 48,
  perSecond: 1_024,
};
