import { describe, expect, test } from 'vitest';
import { ByteCache } from '../../src/ucxl/cache.ts';
import { testClock } from '../support/world.ts';

/** Room for `entries` entries of 488 bytes: 1,000 each with the overhead. */
function cacheFor(entries: number) {
  const clock = testClock();
  return { clock, cache: new ByteCache<string>({ maxBytes: entries * 1_000 }, { clock }) };
}

describe('the cache', () => {
  test('what was used longest ago goes first (P3)', () => {
    const { cache } = cacheFor(2);
    cache.set('a', 'A', 488);
    cache.set('b', 'B', 488);
    expect(cache.get('a')).toBe('A');
    cache.set('c', 'C', 488);
    expect(cache.get('b')).toBeUndefined();
    expect([cache.get('a'), cache.get('c')]).toEqual(['A', 'C']);
  });

  test('its bytes are bounded, whatever is put in, and come back when entries go', () => {
    const { cache } = cacheFor(3);
    for (let i = 0; i < 100; i++) {
      cache.set(`${i % 17}`, 'x', (i * 137) % 900);
      expect(cache.bytes).toBeLessThanOrEqual(3_000);
    }
    for (let i = 0; i < 17; i++) cache.delete(`${i}`);
    expect(cache.bytes).toBe(0);
    expect(cache.size).toBe(0);
    cache.delete('never there');
    expect(cache.bytes).toBe(0);
  });

  test('one large entry pushes several small ones out, and one too large nothing', () => {
    const { cache } = cacheFor(3);
    for (const key of ['a', 'b', 'c']) cache.set(key, key, 488);
    cache.set('huge', 'x', 3_000);
    expect(cache.size).toBe(3);
    cache.set('large', 'x', 2_000);
    expect(cache.get('large')).toBe('x');
    expect(cache.get('a')).toBeUndefined();
    expect(cache.get('c')).toBeUndefined();
  });

  test('a value that is too large also replaces an older one of its key', () => {
    const { cache } = cacheFor(1);
    cache.set('a', 'old', 1);
    cache.set('a', 'new', 5_000);
    expect(cache.get('a')).toBeUndefined();
  });

  test('a life ends by the monotonic clock; without one it does not end', () => {
    const { cache, clock } = cacheFor(3);
    cache.set('short', 'x', 1, 5_000);
    cache.set('ever', 'x', 1);
    clock.advance(4_999);
    expect(cache.get('short')).toBe('x');
    clock.advance(1);
    expect(cache.get('short')).toBeUndefined();
    clock.advance(1e9);
    expect(cache.get('ever')).toBe('x');
    expect(cache.size).toBe(1);
  });

  test('room for nothing keeps nothing', () => {
    const { cache } = cacheFor(0);
    cache.set('a', 'A', 0);
    expect(cache.get('a')).toBeUndefined();
  });
});
