/**
 * How long the attempts of a key take lately, and how long a session therefore waits. On hosts that
 * are busy a fixed wait calls everybody silent; each further attempt, and each share that goes to
 * all signers, then makes them busier still, and they stay so.
 *
 * The measure is the median: a host that died or was stopped makes some attempts long, and the
 * next ones must not wait longer for whoever dies then.
 * @module
 */
import type { SigningTiming } from './timing.ts';

/** Durations of the last attempts in ms, the latest at the end; one at least. */
export type Pace = readonly number[];

const ATTEMPTS = 9;
/** Attempts wait for twice the median. */
const PATIENCE = 2;
/** The shortest wait for a signer: a host that pauses is not silent yet. */
const LEAST_MS = 240;
/** The longest: a request ends within 1.5 s when a signer or a driver dies. */
const PATIENT_MS = 600;
/** The longest wait where nobody waits along. */
const LONGEST_MS = 2_000;

/** The pace after one more attempt took `ms`. */
export const stepPace = (pace: Pace | undefined, ms: number): Pace => [
  ...(pace ?? []).slice(1 - ATTEMPTS),
  ms,
];

/** Nearly all attempts of this pace end within this, in ms. */
function attemptMs(pace: Pace): number {
  const median = [...pace].sort((a, b) => a - b)[pace.length >> 1] ?? 0;
  return Math.min(LONGEST_MS, PATIENCE * median);
}

/**
 * Nearly all sessions of this pace end within this, in ms: the beginning and the end of a session
 * wait for the same hosts as its attempt.
 */
export const sessionMs = (pace: Pace): number => Math.min(LONGEST_MS, 2 * attemptMs(pace));

/** Waits that an attempt of this pace keeps; those of `timing` while nothing is known. */
export function atPace(timing: SigningTiming, pace: Pace | undefined): SigningTiming {
  if (pace === undefined) return timing;
  const needMs = attemptMs(pace);
  const sharesMs = Math.min(PATIENT_MS, Math.max(LEAST_MS, needMs));
  return {
    ...timing,
    sharesMs,
    // A signer still has its share with the driver when that one asks others, and none when the
    // next one drives.
    bindsMs: 1.25 * sharesMs,
    rankMs: 1.5 * sharesMs,
    // Nobody waits for this one: who takes over makes a package of its own.
    exchangeMs: Math.max(timing.exchangeMs, needMs),
  };
}
