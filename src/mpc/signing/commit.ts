/**
 * A holder's first round: it commits to a nonce pair for one slot of one driver, and for nothing
 * else. RFC 9591 §5.1.
 * @module
 */
import { BzzzError } from '../../base/errors.ts';
import { type Context, canSign, send, sendSealed, setTimer, slotName } from './draft.ts';
import { type MessageOf, type Received, sealMessage } from './messages.ts';
import { slotOf } from './package.ts';
import type { SignedCommitment, Slot } from './types.ts';

/** Answers a driver: with the same commitment to the same question, with a new one to a later. */
export function onCommitRequest(
  context: Context,
  received: Received<MessageOf<'commitRequest'>>,
): void {
  const { state } = context;
  const { author } = received;
  const slot = slotOf(received);
  if (state.supersededBy !== undefined) {
    send(context, [author], { kind: 'superseded', by: state.supersededBy });
    return;
  }
  if (!canSign(context)) throw new BzzzError('BAD_MESSAGE', 'asked for a commitment, cannot sign');
  const known = state.vault.commitmentFor(slot);
  if (known !== undefined) {
    sendSealed(context, [author], known);
    return;
  }
  if (!state.vault.isOpen(slot)) {
    throw new BzzzError('BAD_MESSAGE', `attempt ${slotName(slot)} of ${author} is over`);
  }
  const commitment = makeCommitment(context, slot);
  if (commitment !== undefined) sendSealed(context, [author], commitment.envelope);
  noteProgress(context, slot, 'request');
}

/** Draws nonces for a slot and keeps them. @returns undefined without a share. */
export function makeCommitment({ state, deps }: Context, slot: Slot): SignedCommitment | undefined {
  const { start, sid } = state.session;
  if (start.share === undefined) return undefined;
  const { nonces, commitment } = deps.suite.commit(start.share, deps.random);
  const { hiding, binding, index } = commitment;
  const holderBoot = start.boot;
  const envelope = sealMessage(
    sid,
    { kind: 'commitment', ...slot, holderBoot, hiding, binding },
    deps,
  );
  state.vault.put({ slot, nonces, commitment, envelope });
  return { author: deps.self, index, holderBoot, hiding, binding, envelope };
}

/**
 * A driver got on: the next one waits again. Each step counts once, and only so many of one driver,
 * because a faulty one could otherwise hold everybody until the deadline.
 */
export function noteProgress(context: Context, slot: Slot, step: string): void {
  const { state, deps } = context;
  if (state.session.rank === 0 || state.drive !== undefined || slot.driver === deps.self) return;
  const steps = state.progress.get(slot.driver) ?? new Set<string>();
  const name = `${slotName(slot)}/${step}`;
  if (steps.has(name) || steps.size >= deps.timing.patienceSteps) return;
  state.progress.set(slot.driver, new Set([...steps, name]));
  setTimer(context, 'takeover', state.turn * deps.timing.rankMs);
}
