/**
 * Plans for signatures.
 * @module
 */
import type { PeerId, RequestId } from '../../base/brands.ts';
import { sha256 } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { RosterView } from '../../roster/types.ts';
import { checkRequester, checkSize } from '../policy/policy.ts';
import { requestIdOf } from '../result.ts';
import type { KeyInfo, SignProposal } from '../types.ts';
import { keyTerms, type Plan, proposalHead, sealPlan } from './plan.ts';
import type { PartyDeps, PartyOptions, SignRequest } from './ports.ts';

/**
 * Checks a request for a signature.
 * @throws TOO_LARGE for a message over 1 MiB; REFUSED_BY_POLICY for a requester the key does not
 * allow, or a message over the key's own limit.
 */
export function checkSignRequest({ message }: SignRequest, key: KeyInfo, self: PeerId): void {
  if (message.length > LIMITS.signMessageBytes) {
    throw new BzzzError('TOO_LARGE', `message of ${message.length} bytes`, {
      why: `at most ${LIMITS.signMessageBytes} bytes travel to the holders`,
      hint: 'sign a digest of it instead, for instance its SHA-256',
      details: { size: message.length, limit: LIMITS.signMessageBytes },
    });
  }
  checkRequester(key, self);
  checkSize(key, message);
}

/** The name that equal requests share. */
export const requestIdFor = (key: KeyInfo, message: Uint8Array, roster: RosterView): RequestId =>
  requestIdOf({
    clusterId: roster.clusterId,
    keyId: key.keyId,
    purpose: key.purpose,
    messageHash: sha256(message),
  });

/** The proposal of a request that {@link checkSignRequest} let pass. */
export function planSignature(
  request: SignRequest,
  key: KeyInfo,
  options: PartyOptions,
  deps: PartyDeps,
): Plan<SignProposal> {
  const { message } = request;
  const proposal: SignProposal = {
    ...proposalHead(request.timeoutMs, options, deps),
    ...keyTerms(key),
    kind: 'sign',
    threshold: key.threshold,
    purpose: key.purpose,
    messageHash: sha256(message),
    requestId: requestIdFor(key, message, deps.roster()),
    fresh: request.fresh,
  };
  return sealPlan(proposal, key.parties, message, deps);
}
