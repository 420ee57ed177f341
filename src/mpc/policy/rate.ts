/**
 * How often each requester of a key may ask: a token bucket for each (key, requester) that holds a
 * minute's worth. Every holder counts what it admits, so a requester gains nothing by asking
 * several.
 *
 * Time is the holder's own monotonic clock. A restart fills the buckets.
 * @module
 */

import { BoundedMap } from '../../base/bounded.ts';
import type { KeyId, Millis, PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { KeyInfo } from '../types.ts';

interface Bucket {
  readonly tokens: number;
  readonly at: Millis;
}

const MINUTE_MS = 60_000;

/** The buckets of one node. */
export class RateBook {
  /** Who asked longest ago is forgotten first. */
  readonly #buckets = new BoundedMap<string, Bucket>(LIMITS.ratedRequesters);

  /**
   * Takes one request out of the bucket.
   * @returns 0 when it may pass, else the ms until one may.
   */
  take(keyId: KeyId, requester: PeerId, perMinute: number, now: Millis): number {
    const name = `${keyId}/${requester}`;
    const known = this.#buckets.get(name) ?? { tokens: perMinute, at: now };
    const gained = ((now - known.at) * perMinute) / MINUTE_MS;
    const tokens = Math.min(perMinute, known.tokens + gained);
    if (tokens < 1) {
      this.#buckets.set(name, { tokens, at: now });
      return Math.ceil(((1 - tokens) * MINUTE_MS) / perMinute);
    }
    this.#buckets.set(name, { tokens: tokens - 1, at: now });
    return 0;
  }
}

/**
 * Counts a request against the rate of its requester; to be called once a session, after every
 * other check.
 * @throws REFUSED_BY_POLICY.
 */
export function checkRate(key: KeyInfo, requester: PeerId, rates: RateBook, now: Millis): void {
  const perMinute = key.limits?.perMinute;
  if (perMinute === undefined) return;
  const waitMs = rates.take(key.keyId, requester, perMinute, now);
  if (waitMs === 0) return;
  throw new BzzzError('REFUSED_BY_POLICY', `${requester} asks too often for key ${key.name}`, {
    why: `${perMinute} a minute are allowed`,
    hint: `ask again in ${Math.ceil(waitMs / 1_000)} s`,
    details: { rule: 'rate', waitMs },
  });
}
