/** What a run may find, by names of the project's invariants. */

export type Invariant =
  | 'E1'
  | 'E2'
  | 'E3'
  | 'E4'
  | 'E5'
  | 'E6'
  | 'E7'
  | 'E8'
  | 'S1'
  | 'S2'
  | 'S3'
  | 'S4'
  | 'S5'
  | 'S6'
  | 'N1'
  | 'N2'
  | 'K1'
  | 'K2'
  | 'K4'
  /** Every wish is answered once; nothing is thrown. */
  | 'ANSWER'
  | 'LOOP';

/** Thrown at the first fault: what comes after it means nothing. */
export class Violation extends Error {
  readonly invariant: Invariant;
  constructor(invariant: Invariant, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}
