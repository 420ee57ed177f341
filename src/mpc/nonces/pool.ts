/**
 * A driver's commitments, by key and holder. Public points only; each leaves the pool when it is
 * put into a package, so an honest driver never names one twice.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import type { Lane, NonceLimits, PooledCommitment } from './types.ts';

interface Shelf {
  readonly lane: Lane;
  readonly holder: PeerId;
  holderBoot: number;
  /** The highest number seen: an answer that comes twice adds nothing. */
  highest: number;
  /** Oldest first. */
  readonly pairs: PooledCommitment[];
}

const nameOf = ({ keyId, epoch }: Lane, holder: PeerId): string => `${keyId}/${epoch}/${holder}`;

/** Bounded; the least recently used holders of the least recently used keys make room. */
export class CommitmentPool {
  readonly #limits: NonceLimits;
  readonly #shelves = new Map<string, Shelf>();

  constructor(limits: NonceLimits) {
    this.#limits = limits;
  }

  /** Commitments that are left of one holder. */
  left(lane: Lane, holder: PeerId): number {
    return this.#shelves.get(nameOf(lane, holder))?.pairs.length ?? 0;
  }

  /** Takes in commitments of one holder, whose points were checked. */
  add(lane: Lane, holder: PeerId, pairs: readonly PooledCommitment[]): void {
    const name = nameOf(lane, holder);
    const shelf = this.#shelves.get(name) ?? {
      ...{ lane, holder, holderBoot: 0, highest: 0, pairs: [] },
    };
    this.#shelves.delete(name);
    this.#shelves.set(name, shelf);
    for (const pair of pairs) put(shelf, pair);
    shelf.pairs.splice(0, shelf.pairs.length - this.#limits.stockPairs);
    for (const oldest of this.#shelves.keys()) {
      if (this.#shelves.size <= this.#limits.lanes) break;
      this.#shelves.delete(oldest);
    }
  }

  /**
   * One commitment each of `self` and of `others` with the most left, in index order.
   * @returns undefined, and nothing is taken, unless `count` holders have one.
   */
  draw(
    lane: Lane,
    self: PeerId,
    others: readonly PeerId[],
    count: number,
  ): readonly PooledCommitment[] | undefined {
    const own = this.#shelves.get(nameOf(lane, self));
    const shelves = others
      .filter((peer) => peer !== self)
      .flatMap((peer) => this.#shelves.get(nameOf(lane, peer)) ?? [])
      .filter(({ pairs }) => pairs.length > 0)
      .sort((a, b) => b.pairs.length - a.pairs.length)
      .slice(0, count - 1);
    if (own === undefined || own.pairs.length === 0 || shelves.length < count - 1) return undefined;
    return [own, ...shelves]
      .flatMap(({ pairs }) => pairs.shift() ?? [])
      .sort((a, b) => a.index - b.index);
  }

  /** Forgets what a holder no longer knows. */
  drop(lane: Lane, holder: PeerId): void {
    this.#shelves.get(nameOf(lane, holder))?.pairs.splice(0);
  }

  /** Forgets what is of no use any more. */
  prune(useless: (lane: Lane, holder: PeerId) => boolean): void {
    for (const [name, { lane, holder }] of this.#shelves) {
      if (useless(lane, holder)) this.#shelves.delete(name);
    }
  }
}

function put(shelf: Shelf, pair: PooledCommitment): void {
  if (pair.holderBoot < shelf.holderBoot) return;
  if (pair.holderBoot > shelf.holderBoot) {
    // A later run of the holder: what its earlier run issued died with it.
    shelf.holderBoot = pair.holderBoot;
    shelf.highest = 0;
    shelf.pairs.splice(0);
  }
  if (pair.seq <= shelf.highest) return;
  shelf.highest = pair.seq;
  shelf.pairs.push(pair);
}
