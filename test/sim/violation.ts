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
