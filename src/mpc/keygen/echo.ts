/**
 * Echo: everybody signs what it saw of the whole first round, so that nobody can show different
 * commitments to different parties. Where two views differ, both sides pass on the signed first
 * round they hold; if the dealer signed two, everybody has the proof. If one side only claims to
 * have seen another, it cannot show it, and the session expires without blame.
 * @module
 */
import { equalBytes } from '../../base/bytes.ts';
import { allRound1 } from './attestation.ts';
import { complain } from './complaint.ts';
import {
  type Draft,
  dealersOf,
  enter,
  event,
  head,
  indexOf,
  othersOf,
  peerOf,
  seal,
  sendParties,
} from './draft.ts';
import { pack, type Said } from './messages.ts';

/** All first rounds are here: publish the view, and compare those that came early. */
export function beginEcho(draft: Draft): void {
  const hashes = (allRound1(draft) ?? []).map(({ hash }) => hash);
  enter(draft, 'echo');
  sendParties(draft, pack('echo', seal(draft, 'echo', { ...head(draft), hashes })));
  for (const said of draft.state.echoes.values()) dispute(draft, said);
}

/** Another's view. */
export function onEcho(draft: Draft, said: Said<'echo'>): void {
  const { state } = draft;
  const author = indexOf(draft, said.author);
  if (author === 0 || author === state.index) return;
  const known = state.echoes.get(author);
  if (known !== undefined) {
    if (equalBytes(known.bytes, said.bytes)) return;
    complain(draft, author, 'two-echo', [known.envelope, said.envelope]);
    return;
  }
  if (!['accepting', 'round1', 'echo'].includes(state.phase)) return;
  if (said.payload.hashes.length !== dealersOf(draft).length) return;
  state.echoes.set(author, said);
  if (state.phase === 'echo') dispute(draft, said);
}

/** Passes on every first round that the other saw otherwise. */
function dispute(draft: Draft, said: Said<'echo'>): void {
  for (const index of differences(draft, said)) {
    const mine = draft.state.round1.get(index);
    if (mine === undefined) continue;
    event(draft, 'dispute', { with: said.author, about: peerOf(draft, index) });
    sendParties(draft, pack('round1', mine.envelope));
  }
}

/** Dealers about whom another's view differs from this party's. */
function differences(draft: Draft, { payload }: Said<'echo'>): readonly number[] {
  return dealersOf(draft).filter((dealer, i) => {
    const mine = draft.state.round1.get(dealer);
    const theirs = payload.hashes[i];
    return mine === undefined || theirs === undefined || !equalBytes(mine.hash, theirs);
  });
}

/** Parties whose echo is missing or differs. Empty: the first round is agreed on. */
export const disagreeing = (draft: Draft): readonly number[] =>
  othersOf(draft).filter((index) => {
    const said = draft.state.echoes.get(index);
    return said === undefined || differences(draft, said).length > 0;
  });
