/**
 * Keys of policy `approve`: each holder's operator decides whether that holder signs.
 *
 * | this holder | input                        | next                                           |
 * | ----------- | ---------------------------- | ---------------------------------------------- |
 * | waiting     | approved, with its share     | signing: it drives at once                     |
 * | waiting     | withdraw, with the reason    | failed; the others hear the refusal            |
 * | waiting     | a verifying result           | completed, as everybody is                     |
 * | waiting     | cancel, timer `deadline`     | cancelled, expired, as everybody is            |
 * | waiting     | a driver's questions         | waiting: no commitment is made without a share |
 *
 * A holder that waits has no share in its machine: nothing that a peer sends can make it sign.
 * Whoever says yes last completes the signers, so it drives; the others ask again too seldom.
 * @module
 */
import { assert } from '../../base/errors.ts';
import type { KeyShare } from '../types.ts';
import { type Context, clearTimer, event } from './draft.ts';
import { startAttempt } from './drive.ts';

/** Takes up signing with the share that the operator released; without effect after the end. */
export function onApproved(context: Context, share: KeyShare): void {
  const { state, deps } = context;
  const { session, phase } = state;
  if ((phase !== 'ready' && phase !== 'running') || session.start.share !== undefined) return;
  assert(session.holders.get(deps.self) === share.index, 'the share of this holder');
  state.session = { ...session, start: { ...session.start, share } };
  event(context, 'approved');
  if (phase !== 'running' || state.supersededBy !== undefined) return;
  clearTimer(context, 'drive');
  startAttempt(context);
}
