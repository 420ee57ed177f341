/**
 * From an operator's request to a signed proposal. Everything that can be wrong with a request is
 * found here, before anything is sent or remembered (R39).
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { RosterView } from '../../roster/types.ts';
import { sealToken } from '../join-token.ts';
import { PROPOSAL_NONCE_BYTES, sealProposal } from '../sessions/proposal.ts';
import type { KeyInfo, Party, Proposal, SealedProposal } from '../types.ts';
import type { PartyDeps, PartyOptions } from './ports.ts';
import type { ProposeBody } from './wire.ts';

/** A sealed proposal with what its parties get beside it. */
export interface Plan<P extends Proposal> {
  readonly sealed: SealedProposal<P>;
  readonly body: ProposeBody;
}

type Head = Pick<Proposal, 'v' | 'clusterId' | 'proposer' | 'rosterEpoch' | 'ttlMs' | 'nonce'>;

/** The time that a request has, ms. @throws BAD_REQUEST. */
export function timeoutOf(asked: number | undefined, { sessionTimeoutMs }: PartyOptions): number {
  const ms = asked ?? sessionTimeoutMs;
  if (Number.isInteger(ms) && ms >= 1 && ms <= LIMITS.sessionTtlMs) return ms;
  throw badRequest(`timeout of ${ms} ms`, `give 1 to ${LIMITS.sessionTtlMs} ms`);
}

/**
 * What every proposal begins with.
 * @param timeoutMs as asked for; the node's setting without.
 * @throws BAD_REQUEST.
 */
export function proposalHead(
  timeoutMs: number | undefined,
  options: PartyOptions,
  deps: PartyDeps,
): Head {
  const { clusterId, epoch } = deps.roster();
  const ttlMs = timeoutOf(timeoutMs, options);
  return {
    ...{ v: 1, clusterId, proposer: deps.signer.peerId, rosterEpoch: epoch, ttlMs },
    nonce: deps.random.bytes(PROPOSAL_NONCE_BYTES),
  };
}

/** Which key a proposal is about, and which of its epochs. */
export const keyTerms = ({ keyId, epoch, suite }: KeyInfo) => ({ keyId, keyEpoch: epoch, suite });

/** Every party gets the seats of all: whoever takes over can pass the proposal on. */
export function sealPlan<P extends Proposal>(
  proposal: P,
  parties: readonly Party[],
  message: Uint8Array | null,
  deps: PartyDeps,
): Plan<P> {
  const sealed = sealProposal(proposal, deps.signer);
  const { clusterId, ttlMs, proposer } = proposal;
  // The proposer needs nobody's permission.
  const seats = parties.filter(({ peerId }) => peerId !== proposer);
  const token = sealToken(clusterId, sealed.sid, seats, ttlMs, deps);
  return { sealed, body: { v: 1, proposal: sealed.envelope, token, message } };
}

/** Whether the roster lists a peer. */
export const membership =
  ({ members }: RosterView) =>
  (peer: string): boolean =>
    members.has(peer as PeerId);

/** A request that cannot be: what is wrong, and what would be right. */
export const badRequest = (message: string, hint?: string): BzzzError =>
  new BzzzError('BAD_REQUEST', message, hint === undefined ? {} : { hint });
