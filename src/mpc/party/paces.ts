/**
 * Reads off the events of signing sessions how long attempts take on this node's keys.
 *
 * | event      | of                              | what it tells                                 |
 * | ---------- | ------------------------------- | --------------------------------------------- |
 * | `package`  | any attempt                     | it begins                                     |
 * | `gathered` | an attempt whose shares are here | its time, also when another was begun since  |
 * | `result`   | the one attempt of another node | its time, when its own driver gave the result |
 *
 * Of several attempts elsewhere nobody can tell which one made the result.
 * @module
 */
import { BoundedMap } from '../../base/bounded.ts';
import type { KeyId, Millis } from '../../base/brands.ts';
import type { Clock } from '../../base/ports.ts';
import { atPace, type Pace, sessionMs, stepPace } from '../signing/pace.ts';
import { SIGNING_TIMING, type SigningTiming } from '../signing/timing.ts';

/** Keys of which the pace is known; the one that was not used for longest makes room. */
const KEYS = 256;

/** Takes the events of one session. */
export type PaceReader = (kind: string, data: Readonly<Record<string, unknown>>) => void;

/** The pace of each key. */
export class Paces {
  readonly #clock: Clock;
  readonly #paces = new BoundedMap<KeyId, Pace>(KEYS);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long a session of this key, begun now, waits for what. */
  timing(keyId: KeyId): SigningTiming {
    return atPace(SIGNING_TIMING, this.#paces.get(keyId));
  }

  /** When a session of this key has taken longer than others do, in ms; not before `leastMs`. */
  longMs(keyId: KeyId, leastMs: number): number {
    const pace = this.#paces.get(keyId);
    return pace === undefined ? leastMs : Math.max(leastMs, sessionMs(pace));
  }

  /** For one session. */
  reader(keyId: KeyId): PaceReader {
    const begun = new Map<unknown, { readonly driver: unknown; readonly at: Millis }>();
    const took = (since: Millis): void =>
      this.#paces.set(keyId, stepPace(this.#paces.get(keyId), this.#clock.now() - since));
    return (kind, { attempt, driver, author }) => {
      if (kind === 'package') begun.set(attempt, { driver, at: this.#clock.now() });
      const gathered = kind === 'gathered' ? begun.get(attempt) : undefined;
      const [only, more] = kind === 'result' ? [...begun.values()] : [];
      const told = more === undefined && only?.driver === author ? only : undefined;
      const done = gathered ?? told;
      if (done === undefined) return;
      took(done.at);
      begun.clear();
    };
  }
}
