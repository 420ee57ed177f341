/**
 * The real clock and random source. Only shells import this.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { millis } from '../base/brands.ts';
import type { Clock, Random } from '../base/ports.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  now: () => millis(performance.now()),
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

export const systemRandom: Random = {
  bytes: (length) => new Uint8Array(randomBytes(length)),
};
