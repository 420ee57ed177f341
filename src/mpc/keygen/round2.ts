/**
 * Second round: each dealer gives each receiver its subshare, alone. A bad one is shown to all.
 * @module
 */
import { complain } from './complaint.ts';
import { type Draft, enter, head, indexOf, othersOf, peerOf, seal, sendTo } from './draft.ts';
import { pack, type Said } from './messages.ts';
import type { Round1Entry } from './types.ts';

/** Every other party's first round, by index. */
export const othersRound1 = (draft: Draft): ReadonlyMap<number, Round1Entry> =>
  new Map([...draft.state.round1].filter(([index]) => index !== draft.state.index));

/** The first round is agreed on: hand out the subshares, and check those that came early. */
export function beginRound2(draft: Draft): void {
  const { deps, state } = draft;
  if (state.secret === undefined) return;
  const subshares = deps.suite.dkgRound2(state.secret, othersRound1(draft));
  enter(draft, 'round2');
  for (const [receiver, subshare] of subshares) {
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
  if (dealer === 0 || dealer === state.index) return;
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

/** Dealers whose subshare has not come. */
export const missingRound2 = (draft: Draft): readonly number[] =>
  othersOf(draft).filter((index) => !draft.state.round2.has(index));
