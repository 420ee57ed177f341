/** Stocks and pools of the nodes of a {@link Net}, as the shell keeps them. */
import type { PeerId } from '../../../src/base/brands.ts';
import { CommitmentPool } from '../../../src/mpc/nonces/pool.ts';
import { NonceStock } from '../../../src/mpc/nonces/stock.ts';
import {
  NONCE_LIMITS,
  type NoncePort,
  type PooledCommitment,
  type TakenPair,
} from '../../../src/mpc/nonces/types.ts';
import type { Net } from './net.ts';

interface Halves {
  readonly boot: number;
  readonly stock: NonceStock;
  readonly pool: CommitmentPool;
}

/** All nodes of one net. Pairs are issued at once when `issue` is called, over no network. */
export class Pools {
  readonly #halves = new Map<PeerId, Halves>();
  /** Told by the machines. */
  readonly lost: PeerId[] = [];
  readonly slow: PeerId[] = [];

  readonly portOf = (net: Net, peerId: PeerId): NoncePort => {
    const lane = { keyId: net.dealt.key.keyId, epoch: net.dealt.key.epoch };
    const { stock, pool } = this.of(net, peerId);
    return {
      draw: (usable) => {
        const up = usable.filter((peer) => net.node(peer).alive);
        return pool.draw(lane, peerId, up, net.dealt.key.threshold);
      },
      take: (driver, seq, envelope) => stock.take(lane, driver, seq, envelope),
      lost: (holder) => {
        this.lost.push(holder);
        pool.drop(lane, holder);
      },
      slow: (holder) => void this.slow.push(holder),
    };
  };

  /** A restarted node has nothing of its earlier run. */
  of(net: Net, peerId: PeerId): Halves {
    const { boot } = net.node(peerId);
    const known = this.#halves.get(peerId);
    if (known?.boot === boot) return known;
    // The memory of the earlier run is gone.
    known?.stock.clear();
    const wipe = ({ nonces }: TakenPair): void => net.suite.wipeNonces(nonces);
    const fresh = {
      boot,
      stock: new NonceStock({ limits: NONCE_LIMITS, wipe }),
      pool: new CommitmentPool(NONCE_LIMITS),
    };
    this.#halves.set(peerId, fresh);
    return fresh;
  }

  /** `count` pairs of every holder for one driver. */
  issue(net: Net, driver: PeerId, count: number): readonly PooledCommitment[] {
    const { key, shares } = net.dealt;
    const lane = { keyId: key.keyId, epoch: key.epoch };
    const all: PooledCommitment[] = [];
    for (const [holder, share] of shares) {
      const node = net.node(holder);
      if (!node.alive) continue;
      const { stock } = this.of(net, holder);
      const pairs = Array.from({ length: count }, () => {
        const pair = net.suite.commit(share, node.random);
        const seq = stock.add(lane, driver, net.node(driver).boot, pair);
        return { ...pair.commitment, author: holder, holderBoot: node.boot, seq };
      });
      this.of(net, driver).pool.add(lane, holder, pairs);
      all.push(...pairs);
    }
    return all;
  }

  /** What no session used. */
  clear(): void {
    for (const { stock } of this.#halves.values()) stock.clear();
  }
}
