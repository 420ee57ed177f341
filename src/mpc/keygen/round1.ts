/**
 * First round: every dealer commits to a polynomial and proves that it may.
 * @module
 */
import { equalBytes, taggedHash } from '../../base/bytes.ts';
import { complain, holds } from './complaint.ts';
import {
  type Draft,
  dealersOf,
  enter,
  event,
  head,
  indexOf,
  open,
  seal,
  sendParties,
} from './draft.ts';
import { pack, type Said } from './messages.ts';
import type { Round1Entry } from './types.ts';

const entryOf = ({ payload, bytes, envelope }: Said<'round1'>): Round1Entry => ({
  commitments: payload.commitments,
  proof: payload.proof,
  envelope,
  bytes,
  hash: taggedHash('bzzz/keygen/round1/1', bytes),
});

/** The session is on the disk: a dealer draws its polynomial and publishes the commitments. */
export function beginRound1(draft: Draft): void {
  const { deps, state } = draft;
  if (!dealersOf(draft).includes(state.index)) {
    enter(draft, 'round1');
    return;
  }
  const { secret, round1 } = state.dealing.begin(state.index, deps.random);
  state.secret = secret;
  const envelope = seal(draft, 'round1', { ...head(draft), ...round1 });
  state.round1.set(state.index, entryOf(open(draft, 'round1', envelope)));
  enter(draft, 'round1');
  sendParties(draft, pack('round1', envelope));
}

/**
 * A first round, from its dealer or passed on by a party whose echo differs. Two that a dealer
 * signed for one session convict it, whenever the second comes.
 */
export function onRound1(draft: Draft, said: Said<'round1'>): void {
  const { state } = draft;
  const dealer = indexOf(draft, said.author);
  if (!dealersOf(draft).includes(dealer)) return;
  const known = state.round1.get(dealer);
  if (known !== undefined) {
    if (equalBytes(known.bytes, said.bytes)) return;
    // Another first round under this node's own key: its data directory runs twice.
    if (dealer === state.index) event(draft, 'copied-identity', { party: said.author });
    else complain(draft, dealer, 'two-round1', [known.envelope, said.envelope]);
    return;
  }
  if (state.phase !== 'accepting' && state.phase !== 'round1') return;
  if (dealer === state.index) return;
  if (holds(draft, dealer, said)) state.round1.set(dealer, entryOf(said));
  else complain(draft, dealer, 'round1', [said.envelope]);
}
