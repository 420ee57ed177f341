/**
 * How long the attempts of a key take lately, and how long a session therefore waits. On hosts that
 * are busy a fixed wait calls everybody silent; each further attempt, and each share that goes to
 * all signers, then makes them busier still, and they stay so.
 *
 * The estimate is that of a round trip in TCP, RFC 6298 §2. What is waited is a quarter more than
 * the mean and two deviations instead of four: an attempt too many costs little, and a signer that
 * died is to be replaced soon.
 * @module
 */
import type { SigningTiming } from './timing.ts';

/** Moving mean and mean deviation, in ms. */
export interface Pace {
  readonly meanMs: number;
  readonly deviationMs: number;
}

/** What one attempt adds at most: a driver that was stopped meanwhile says little. In ms. */
const LONGEST_MS = 2_000;
/** The longest wait for a signer or a driver: a request ends within 1.5 s when one of them dies. */
const PATIENT_MS = 600;
const MEAN_GAIN = 1 / 8;
const DEVIATION_GAIN = 1 / 4;

/** The pace after one more attempt took `ms`. */
export function stepPace(pace: Pace | undefined, ms: number): Pace {
  const took = Math.min(ms, LONGEST_MS);
  if (pace === undefined) return { meanMs: took, deviationMs: took / 2 };
  const { meanMs, deviationMs } = pace;
  return {
    meanMs: meanMs + MEAN_GAIN * (took - meanMs),
    deviationMs: deviationMs + DEVIATION_GAIN * (Math.abs(took - meanMs) - deviationMs),
  };
}

/** Nearly all attempts of this pace end within this, in ms. */
const attemptMs = ({ meanMs, deviationMs }: Pace): number =>
  Math.min(LONGEST_MS, 1.25 * meanMs + 2 * deviationMs);

/**
 * Nearly all sessions of this pace end within this, in ms: the beginning and the end of a session
 * wait for the same hosts as its attempt.
 */
export const sessionMs = (pace: Pace): number => Math.min(LONGEST_MS, 2 * attemptMs(pace));

/** Waits that an attempt of this pace keeps; never shorter than those of `timing`. */
export function atPace(timing: SigningTiming, pace: Pace | undefined): SigningTiming {
  if (pace === undefined) return timing;
  const needMs = attemptMs(pace);
  const patientMs = Math.min(PATIENT_MS, needMs);
  return {
    ...timing,
    sharesMs: Math.max(timing.sharesMs, patientMs),
    rankMs: Math.max(timing.rankMs, patientMs),
    // Nobody waits for this one: who takes over makes a package of its own.
    exchangeMs: Math.max(timing.exchangeMs, needMs),
  };
}
