/**
 * Brings a proposal to a holder, in one frame with the first thing that this node's machine has to
 * say to it.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { type BzzzError, toBzzzError } from '../../base/errors.ts';
import type { Refusal } from '../signing/types.ts';
import type { SessionRegistry } from './registry.ts';
import type { SigningSession } from './signing-session.ts';
import { TOPICS, wire } from './wire.ts';

/**
 * Resolves when the holder has answered, or has not. Its refusal goes to the session; of one that
 * has its result there is nothing to refuse, and no answer is asked for.
 */
export async function bringProposal(
  session: SigningSession,
  peer: PeerId,
  first: Uint8Array | null,
  registry: SessionRegistry,
): Promise<void> {
  const { direct, logger } = registry.deps;
  try {
    const frame = wire.propose(session.body, first);
    if (session.ended) {
      await direct.send(peer, TOPICS.propose, frame);
      return;
    }
    const refusal = wire.readAnswer(await direct.request(peer, TOPICS.propose, frame));
    if (refusal?.code === 'STALE_EPOCH') await overtake(session, peer, registry);
    if (refusal !== undefined) session.refused(peer, refusalOf(refusal));
  } catch (thrown) {
    // Silence of a holder is no refusal: it may come later.
    const { code, message } = toBzzzError(thrown);
    logger.debug({ sessionId: session.sid, peer, code }, `a holder did not answer: ${message}`);
  }
}

/** A holder has newer shares: its certificate tells, and the request begins anew with them. */
async function overtake(
  session: SigningSession,
  peer: PeerId,
  { certificates, deps, self }: SessionRegistry,
): Promise<void> {
  await certificates.pull(peer);
  const { keyId, keyEpoch, proposer } = session.sealed.proposal;
  const now = deps.keyring.byId(keyId)?.key.epoch ?? 0;
  if (now > keyEpoch && proposer === self) session.cancel(self, `the key is in epoch ${now}`);
}

/** A holder's answer to the proposal as the machine takes it. */
const refusalOf = ({ code, message, details }: BzzzError): Refusal => ({
  code,
  reason: message,
  ...(typeof details.rule === 'string' ? { rule: details.rule } : {}),
});
