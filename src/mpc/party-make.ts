/**
 * Makes a key as its proposer: plans, tells the parties, waits for the certificate.
 * @module
 */
import type { KeyId, PeerId } from '../base/brands.ts';
import { BzzzError, type ErrorShape, toBzzzError } from '../base/errors.ts';
import type { KeygenSession } from './party-keygen.ts';
import { planKey } from './party-plan.ts';
import type { CreateKeyRequest } from './party-ports.ts';
import type { SessionRegistry } from './party-registry.ts';
import { failureError, throwIfGone, waitForEnd } from './party-wait.ts';
import { TOPICS, wire } from './party-wire.ts';
import { checkKeygen } from './policy.ts';

/**
 * @returns the id of the certified key.
 * @throws what `planKey` and `checkKeygen` throw, before anything is sent or remembered (R39); the
 * refusal of a party; SESSION_FAILED, SESSION_EXPIRED, CANCELLED; INTERRUPTED.
 */
export async function makeKey(
  request: CreateKeyRequest,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<KeyId> {
  throwIfGone(signal);
  const { deps, options, self } = registry;
  const taken = (name: string): boolean => registry.nameTaken(name);
  const plan = planKey(request, taken, options, deps);
  const { proposal } = plan.sealed;
  const parties = proposal.parties.map(({ peerId }) => peerId);
  if (parties.includes(self)) checkKeygen(proposal, registry.policy, taken);
  const session = await registry.openKeygen(plan.sealed, plan.body);
  const body = wire.propose(plan.body);
  for (const peer of parties) {
    if (peer !== self) registry.background('propose', propose(session, peer, body, registry));
  }
  const outcome = await waitForEnd(session, signal, () => {
    session.cancel(self, 'its client went away');
    tellCancel(session, 'its client went away', registry);
  });
  if (outcome.state !== 'completed') throw failureError(outcome, session.sid);
  return outcome.keyInfo.keyId;
}

/** A key needs every party: one refusal, or one that cannot be reached, ends the session. */
async function propose(
  session: KeygenSession,
  peer: PeerId,
  body: Uint8Array,
  registry: SessionRegistry,
): Promise<void> {
  const failed = await registry.deps.direct.request(peer, TOPICS.propose, body).then(
    (answer) => wire.readAnswer(answer),
    (thrown: unknown) => toBzzzError(thrown),
  );
  if (failed === undefined || session.ended) return;
  const reason: ErrorShape = new BzzzError(failed.code, `party ${peer}: ${failed.message}`, {
    details: { party: peer },
  }).toShape();
  session.giveUp(reason);
  tellCancel(session, reason.message, registry);
}

/** Tells the parties that the proposer gave up, so that nobody waits for the deadline. */
export function tellCancel(
  session: KeygenSession,
  reason: string,
  registry: SessionRegistry,
): void {
  const { direct, logger } = registry.deps;
  const body = wire.cancel(session.sid, reason);
  for (const peer of session.parties) {
    if (peer === registry.self) continue;
    direct.send(peer, TOPICS.cancel, body).catch((thrown: unknown) => {
      const { code } = toBzzzError(thrown);
      logger.debug({ sessionId: session.sid, peer, code }, 'a cancellation was not heard');
    });
  }
}
