/**
 * Second round: each dealer gives each receiver its subshare, alone. A bad one is shown to all.
 * @module
 */
import { complain } from './complaint.ts';
import {
  type Draft,
  dealersOf,
  enter,
  head,
  indexOf,
  peerOf,
  receives,
  seal,
  sendTo,
} from './draft.ts';
import { pack, type Said } from './messages.ts';

/** The first round is agreed on: hand out the subshares, and check those that came early. */
export function beginRound2(draft: Draft): void {
  const { state } = draft;
  enter(draft, 'round2');
  const { secret, round1, dealing } = state;
  const subshares = secret === undefined ? [] : dealing.subshares(secret, round1);
  for (const [receiver, subshare] of subshares) {
    if (receiver === state.index) continue;
    const envelope = seal(draft, 'round2', { ...head(draft), receiver, subshare });
    sendTo(draft, peerOf(draft, receiver), pack('round2', envelope));
    subshare.fill(0);
  }
  for (const [dealer, said] of state.round2) verify(draft, dealer, said);
}

/** A subshare. The first that a dealer sends counts; one for another receiver is none of ours. */
export function onRound2(draft: Draft, said: Said<'round2'>): void {
  const { state } = draft;
  const dealer = indexOf(draft, said.author);
  if (!dealersOf(draft).includes(dealer) || dealer === state.index) return;
  if (said.payload.receiver !== state.index || state.round2.has(dealer)) return;
  if (!['accepting', 'round1', 'echo', 'round2'].includes(state.phase)) return;
  state.round2.set(dealer, said);
  if (state.phase === 'round2') verify(draft, dealer, said);
}

function verify(draft: Draft, dealer: number, { payload, envelope }: Said<'round2'>): void {
  const { deps, state } = draft;
  const round1 = state.round1.get(dealer);
  if (state.phase !== 'round2' || round1 === undefined) return;
  if (deps.suite.verifySubshare(round1.commitments, state.index, payload.subshare)) return;
  complain(draft, dealer, 'subshare', [round1.envelope, envelope]);
}

/** Dealers whose subshare has not come; none for a seat that gets no share. */
export const missingRound2 = (draft: Draft): readonly number[] =>
  receives(draft)
    ? dealersOf(draft).filter((i) => i !== draft.state.index && !draft.state.round2.has(i))
    : [];
