/**
 * The rules on which safety rests, each in one place. Whoever breaks one of these lines breaks an
 * invariant, and the simulator says which (test/sim/mutants.test.ts).
 * @module
 */
import type { Epoch, Term } from '../base/brands.ts';
import type { Accepted, Hard, RosterFacts, Standing } from './types.ts';

/** An act of a term below the highest one seen is refused (E5). */
export const isStale = (term: Term, hard: Hard): boolean => term < hard.term;

/** A candidate must not have an older roster than its elector: it could certify a second entry. */
export const isBehind = (candidate: Standing, elector: Standing): boolean =>
  candidate.rosterTerm < elector.rosterTerm ||
  (candidate.rosterTerm === elector.rosterTerm && candidate.epoch < elector.epoch);

/** Whether this node signed an entry for `epoch` under `ballot` already: it signs no other (E8). */
export const isTaken = (accepted: Accepted | null, ballot: Term, epoch: number): boolean =>
  accepted !== null && accepted.body.epoch === epoch && accepted.ballot >= ballot;

/** Of two accepted entries for `epoch` the one that may have been certified: Paxos' choice. */
export function higherBallot(
  a: Accepted | null,
  b: Accepted | null,
  epoch: number,
): Accepted | null {
  const [x, y] = [a, b].map((accepted) => (accepted?.body.epoch === epoch ? accepted : null));
  if (x === null || x === undefined) return y ?? null;
  if (y === null || y === undefined) return x;
  return y.ballot > x.ballot ? y : x;
}

/**
 * The term to stand in: above the own one, and above the roster's, which a node may have from
 * others: after a recovery nobody need have seen its term, and the terms of entries never fall.
 */
export const nextTerm = (hard: Hard, roster: Pick<RosterFacts, 'term'>): Term =>
  (Math.max(hard.term, roster.term) + 1) as Term;
export const nextEpoch = (epoch: Epoch): Epoch => (epoch + 1) as Epoch;
