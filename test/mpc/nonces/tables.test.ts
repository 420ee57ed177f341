/** Stock and pool: each pair once, for one driver, and never more than there is room for. */
import { describe, expect, it } from 'vitest';
import type { KeyId } from '../../../src/base/brands.ts';
import { CommitmentPool } from '../../../src/mpc/nonces/pool.ts';
import { NonceStock } from '../../../src/mpc/nonces/stock.ts';
import {
  type Lane,
  NONCE_LIMITS,
  type PooledCommitment,
  type TakenPair,
} from '../../../src/mpc/nonces/types.ts';
import { peer } from '../signing/net.ts';

const LIMITS = { ...NONCE_LIMITS, stockPairs: 4, lanes: 3, uses: 2 };
const lane = (n = 1, epoch = 0): Lane => ({
  keyId: String(n).padStart(64, '0') as KeyId,
  epoch,
});
const use = Uint8Array.of(1);

function makeStock() {
  const wiped: TakenPair[] = [];
  const stock = new NonceStock({ limits: LIMITS, wipe: (pair) => void wiped.push(pair) });
  return { stock, wiped };
}
const pair = (): TakenPair => ({
  nonces: { secret: 'nonces' },
  commitment: { index: 1, hiding: new Uint8Array(32), binding: new Uint8Array(32) },
});
const pooled = (holder: number, seq: number, holderBoot = 1): PooledCommitment => ({
  ...pair().commitment,
  ...{ author: peer(holder), index: holder, seq, holderBoot },
});

describe('N1: the stock', () => {
  it('gives a pair once, to its driver, for its key and epoch', () => {
    const { stock } = makeStock();
    const one = pair();
    const seq = stock.add(lane(), peer(1), 1, one);
    expect(stock.take(lane(), peer(2), seq, use).found).toBe('nothing');
    expect(stock.take(lane(2), peer(1), seq, use).found).toBe('nothing');
    expect(stock.take(lane(1, 1), peer(1), seq, use).found).toBe('nothing');
    expect(stock.take(lane(), peer(1), seq + 1, use).found).toBe('nothing');
    expect(stock.take(lane(), peer(1), seq, use)).toEqual({ found: 'pair', pair: one });
    expect(stock.take(lane(), peer(1), seq, Uint8Array.of(2))).toEqual({
      ...{ found: 'use', package: use },
    });
  });

  it('numbers grow over all lanes, and after everything was wiped', () => {
    const { stock } = makeStock();
    const seqs = [1, 2, 1].map((n) => stock.add(lane(n), peer(n), 1, pair()));
    stock.clear();
    seqs.push(stock.add(lane(), peer(1), 1, pair()));
    expect(seqs).toEqual([1, 2, 3, 4]);
    for (const seq of [1, 2, 3])
      expect(stock.take(lane(), peer(1), seq, use).found).toBe('nothing');
  });

  it('a driver that was restarted gets none of the pairs of its earlier run', () => {
    const { stock, wiped } = makeStock();
    const old = pair();
    const seq = stock.add(lane(), peer(1), 1, old);
    stock.add(lane(), peer(1), 2, pair());
    expect(wiped).toEqual([old]);
    expect(stock.take(lane(), peer(1), seq, use).found).toBe('nothing');
  });

  it('P3: is bounded in pairs and lanes, and wipes what makes room', () => {
    const { stock, wiped } = makeStock();
    for (let i = 0; i < 10; i++) stock.add(lane(), peer(1), 1, pair());
    expect([stock.size, wiped.length]).toEqual([4, 6]);
    for (let n = 2; n <= 4; n++) stock.add(lane(n), peer(1), 1, pair());
    expect([stock.size, wiped.length]).toEqual([3, 10]);
    stock.prune(({ keyId }) => keyId === lane(3).keyId);
    expect([stock.size, wiped.length]).toEqual([2, 11]);
    stock.clear();
    expect([stock.size, wiped.length]).toEqual([0, 13]);
  });

  it('P3: remembers a bounded number of uses', () => {
    const { stock } = makeStock();
    const seqs = [1, 2, 3].map(() => stock.add(lane(), peer(1), 1, pair()));
    for (const seq of seqs) stock.take(lane(), peer(1), seq, use);
    expect(seqs.map((seq) => stock.take(lane(), peer(1), seq, use).found)).toEqual([
      ...['nothing', 'use', 'use'],
    ]);
  });
});

describe('the pool', () => {
  it('draws its own and those with the most left, in index order, each once', () => {
    const pool = new CommitmentPool(LIMITS);
    pool.add(
      lane(),
      peer(3),
      [1, 2].map((seq) => pooled(3, seq)),
    );
    pool.add(
      lane(),
      peer(1),
      [1].map((seq) => pooled(1, seq)),
    );
    pool.add(
      lane(),
      peer(2),
      [7].map((seq) => pooled(2, seq)),
    );
    const draw = (count: number) =>
      pool.draw(lane(), peer(3), [1, 2, 3].map(peer), count)?.map(({ index, seq }) => [index, seq]);
    expect(draw(4)).toBeUndefined();
    expect(draw(2)).toEqual([
      [1, 1],
      [3, 1],
    ]);
    expect(draw(2)).toEqual([
      [2, 7],
      [3, 2],
    ]);
    expect(draw(2)).toBeUndefined();
  });

  it('N1: takes no number twice, and nothing of an earlier run of the holder', () => {
    const pool = new CommitmentPool(LIMITS);
    const batch = [1, 2].map((seq) => pooled(2, seq));
    pool.add(lane(), peer(2), batch);
    pool.add(lane(), peer(2), batch);
    expect(pool.left(lane(), peer(2))).toBe(2);
    pool.add(lane(), peer(2), [pooled(2, 1, 2)]);
    expect(pool.left(lane(), peer(2))).toBe(1);
    pool.add(lane(), peer(2), [pooled(2, 9, 1)]);
    expect(pool.left(lane(), peer(2))).toBe(1);
    pool.drop(lane(), peer(2));
    pool.add(lane(), peer(2), [pooled(2, 1, 2)]);
    expect(pool.left(lane(), peer(2))).toBe(0);
  });

  it('P3: is bounded', () => {
    const pool = new CommitmentPool(LIMITS);
    pool.add(
      lane(),
      peer(1),
      [1, 2, 3, 4, 5, 6].map((seq) => pooled(1, seq)),
    );
    expect(pool.left(lane(), peer(1))).toBe(4);
    for (const n of [2, 3, 4]) pool.add(lane(), peer(n), [pooled(n, 1)]);
    expect(pool.left(lane(), peer(1))).toBe(0);
    pool.prune((_lane, holder) => holder === peer(2));
    expect([2, 3, 4].map((n) => pool.left(lane(), peer(n)))).toEqual([0, 1, 1]);
  });
});
