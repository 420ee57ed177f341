import { describe, expect, it } from 'vitest';
import type { KeyId, Millis, PeerId } from '../../../src/base/brands.ts';
import { RateBook } from '../../../src/mpc/policy/rate.ts';

const key = (n: number) => String(n).padStart(64, '0') as KeyId;
const ann = 'ann' as PeerId;
const ben = 'ben' as PeerId;
const at = (ms: number) => ms as Millis;

describe('rates of requesters', () => {
  it('lets a minute’s worth pass at once, then one each share of a minute', () => {
    const book = new RateBook();
    for (let i = 0; i < 6; i++) expect(book.take(key(1), ann, 6, at(0))).toBe(0);
    expect(book.take(key(1), ann, 6, at(0))).toBe(10_000);
    expect(book.take(key(1), ann, 6, at(4_000))).toBe(6_000);
    expect(book.take(key(1), ann, 6, at(10_000))).toBe(0);
    expect(book.take(key(1), ann, 6, at(10_001))).toBeGreaterThan(9_000);
  });

  it('holds no more than a minute’s worth after a long silence', () => {
    const book = new RateBook();
    expect(book.take(key(1), ann, 2, at(0))).toBe(0);
    const passed = [1, 2, 3, 4].filter(() => book.take(key(1), ann, 2, at(9_999_999)) === 0);
    expect(passed).toHaveLength(2);
  });

  it('counts each requester and each key alone', () => {
    const book = new RateBook();
    expect(book.take(key(1), ann, 1, at(0))).toBe(0);
    expect(book.take(key(1), ben, 1, at(0))).toBe(0);
    expect(book.take(key(2), ann, 1, at(0))).toBe(0);
    expect(book.take(key(1), ann, 1, at(0))).toBe(60_000);
  });

  it('is bounded, and forgets who has been silent longest', () => {
    const book = new RateBook();
    for (let i = 0; i < 16_384; i++) book.take(key(i), ann, 1, at(0));
    expect(book.take(key(0), ann, 1, at(1))).toBeGreaterThan(0);
    book.take(key(99_999), ann, 1, at(1));
    expect(book.take(key(0), ann, 1, at(1))).toBeGreaterThan(0);
    expect(book.take(key(1), ann, 1, at(1))).toBe(0);
  });
});
