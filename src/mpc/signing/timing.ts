/**
 * How long a signing session waits for what. No safety rests on these; they decide only how soon
 * somebody else goes on.
 * @module
 */

/** All in ms, except where the name says otherwise. */
export interface SigningTiming {
  /** The holder at rank r drives after r times this without progress. */
  readonly rankMs: number;
  /** The same, once the stream to the driver has closed. */
  readonly goneMs: number;
  /** A driver asks again those who have not committed; doubled each time, up to `retryMaxMs`. */
  readonly askMs: number;
  /** A driver waits this long for the shares of an attempt; half as long again each time. */
  readonly sharesMs: number;
  /**
   * A share that a driver has got binds its holder to that session for so long, among several of
   * one request: longer than the driver waits for others, shorter than others wait for the driver.
   */
  readonly bindsMs: number;
  readonly retryMaxMs: number;
  /** A signer sends its share to the other signers after so much silence of their driver. */
  readonly exchangeMs: number;
  /** A signer aggregates after this much silence times its place among the signers. */
  readonly aggregateMs: number;
  /**
   * So many steps of one driver postpone the others. A driver that only pretends to work would
   * otherwise hold everybody until the deadline.
   */
  readonly patienceSteps: number;
}

/** The timing of a LAN. */
export const SIGNING_TIMING: SigningTiming = {
  rankMs: 500,
  goneMs: 50,
  askMs: 100,
  sharesMs: 300,
  bindsMs: 400,
  retryMaxMs: 2_000,
  exchangeMs: 100,
  aggregateMs: 200,
  patienceSteps: 9,
};
