/**
 * Hands a key on as the proposer: refresh and reshare. A dealer that is proven to have cheated is
 * left out of the dealing, and the others try again.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { checkRoom } from '../keys/certificate.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import { checkInUse } from '../keys/retirement.ts';
import { wipe } from '../keys/sharefile.ts';
import { checkCommon } from '../policy/policy.ts';
import { checkReshare } from '../reshare/rules.ts';
import type { Failure } from '../types.ts';
import { dealersShare } from './admit.ts';
import { proposeToAll, untilClientGoes } from './make.ts';
import { planChange } from './plan-change.ts';
import type { ChangeKeyRequest } from './ports.ts';
import { missingOf } from './presence.ts';
import type { SessionRegistry } from './registry.ts';
import { failureError, throwIfGone } from './wait.ts';

/** The first attempt, and one more for each of two dealers that cheated. */
const ATTEMPTS = 3;

/**
 * @returns the key in its new epoch.
 * @throws NOT_FOUND, CONFLICT for the key or while another change is open; what `planChange`,
 * `checkReshare` and `checkRoom` throw, before anything is sent; the refusal of a party;
 * SESSION_FAILED, SESSION_EXPIRED, CANCELLED; INTERRUPTED.
 */
export async function changeKey(
  request: ChangeKeyRequest,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<KeyEntry> {
  const unfit = new Set<PeerId>();
  for (let attempt = 1; ; attempt++) {
    const end = await attemptChange(request, unfit, signal, registry);
    if (!('failure' in end)) return end.entry;
    const { failure, error } = end;
    const cheats = failure.culprits.filter((peer) => !unfit.has(peer));
    if (cheats.length === 0 || attempt === ATTEMPTS) throw error;
    for (const peer of cheats) unfit.add(peer);
    registry.deps.logger.warn({ culprits: cheats }, 'a dealer cheated; the others try again');
  }
}

type End = { readonly entry: KeyEntry } | { readonly failure: Failure; readonly error: BzzzError };

async function attemptChange(
  request: ChangeKeyRequest,
  unfit: ReadonlySet<PeerId>,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<End> {
  throwIfGone(signal);
  const { deps, options } = registry;
  const { parties } = deps.keyring.get(request.key).key;
  const next = request.participants ?? parties.map(({ peerId }) => peerId);
  await missingOf(next as readonly PeerId[], next.length, deps, signal);
  const entry = deps.keyring.get(request.key);
  checkInUse(entry);
  const plan = planChange(request, entry, unfit, options, deps);
  const { proposal } = plan.sealed;
  checkCommon(proposal, registry.policy);
  checkReshare(proposal, entry, deps.roster());
  checkRoom(entry, plan.sealed);
  const share = await dealersShare(proposal, entry.key, registry);
  try {
    registry.checkUnlocked(proposal);
  } catch (error) {
    if (share !== undefined) wipe(share.signingShare);
    throw error;
  }
  const { key, hash } = entry;
  const old = { key, hash, ...(share === undefined ? {} : { share }) };
  const session = await registry.openReshare(plan.sealed, plan.body, old);
  proposeToAll(session, plan.body, registry);
  const outcome = await untilClientGoes(session, signal, registry);
  if (outcome.state !== 'completed') {
    return { failure: outcome, error: failureError(outcome, session.sid) };
  }
  const now = deps.keyring.byId(key.keyId);
  if (now === undefined) throw new BzzzError('INTERNAL', 'a certified key is not in the ring');
  return { entry: now };
}
