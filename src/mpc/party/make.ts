/**
 * Makes a key as its proposer: plans, tells the parties, waits for the certificate.
 * @module
 */
import type { KeyId, PeerId } from '../../base/brands.ts';
import { BzzzError, type ErrorShape, toBzzzError } from '../../base/errors.ts';
import type { Cancel } from '../../base/ports.ts';
import { checkKeygen } from '../policy/policy.ts';
import type { KeygenProposal } from '../types.ts';
import { gatheringWish } from './gatherings.ts';
import type { Live } from './live.ts';
import type { Plan } from './plan.ts';
import { planKey } from './plan-key.ts';
import type { CreateKeyRequest } from './ports.ts';
import type { SessionRegistry } from './registry.ts';
import type { Kind, Session } from './session.ts';
import { failureError, throwIfGone, waitForEnd } from './wait.ts';
import { type ProposeBody, TOPICS, wire } from './wire.ts';

/** A session that needs all of its parties. */
type Proposed = Live & Pick<Session<Kind>, 'giveUp'>;

/**
 * Waits for parties (`gatherings.ts`) when there are too few and discovery itself fails (R43).
 * @returns the id of the certified key.
 * @throws what `planKey` and `checkKeygen` throw, before anything is sent or remembered (R39); the
 * refusal of a party; SESSION_FAILED, SESSION_EXPIRED, CANCELLED; INTERRUPTED; what `Gatherings`
 * throw.
 */
export async function makeKey(
  request: CreateKeyRequest,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<KeyId> {
  throwIfGone(signal);
  const { deps, options } = registry;
  const taken = (name: string): boolean => registry.nameTaken(name);
  let plan: Plan<KeygenProposal>;
  try {
    plan = planKey(request, taken, options, deps);
  } catch (thrown) {
    const wish = gatheringWish(request, thrown, options, deps);
    if (wish === undefined) throw thrown;
    return registry.gatherings.gather(wish, signal, async (timeoutMs, pool) => {
      const ready = planKey({ ...request, timeoutMs }, taken, options, { ...deps, pool });
      return runKeygen(ready, signal, registry);
    });
  }
  return runKeygen(plan, signal, registry);
}

/**
 * Tells the parties and waits for the certificate.
 * @throws as {@link makeKey}.
 */
export async function runKeygen(
  plan: Plan<KeygenProposal>,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<KeyId> {
  const { self } = registry;
  const taken = (name: string): boolean => registry.nameTaken(name);
  const { proposal } = plan.sealed;
  const parties = proposal.parties.map(({ peerId }) => peerId);
  if (parties.includes(self)) checkKeygen(proposal, registry.policy, taken);
  const session = await registry.openKeygen(plan.sealed, plan.body);
  proposeToAll(session, plan.body, registry);
  const outcome = await untilClientGoes(session, signal, registry);
  if (outcome.state !== 'completed') throw failureError(outcome, session.sid);
  return outcome.keyInfo.keyId;
}

/**
 * The end of a session that this node proposed for a client; it is cancelled when the client goes.
 * @throws INTERRUPTED then.
 */
export function untilClientGoes<E>(
  session: Proposed & { onEnd(callback: (end: E) => void): Cancel },
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<E> {
  const reason = 'its client went away';
  return waitForEnd(session, signal, () => {
    session.cancel(registry.self, reason);
    tellCancel(session, reason, registry);
  });
}

/** Hands the proposal to everybody with a seat. */
export function proposeToAll(
  session: Proposed,
  body: ProposeBody,
  registry: SessionRegistry,
): void {
  const frame = wire.propose(body);
  for (const peer of session.parties) {
    if (peer === registry.self) continue;
    registry.background('propose', propose(session, peer, frame, registry));
  }
}

/** Every party is needed: one refusal, or one that cannot be reached, ends the session. */
async function propose(
  session: Proposed,
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
    details: { ...failed.details, party: peer },
  }).toShape();
  session.giveUp(reason);
  tellCancel(session, reason.message, registry);
}

/** Tells the parties that the proposer gave up, so that nobody waits for the deadline. */
export function tellCancel(session: Live, reason: string, registry: SessionRegistry): void {
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
