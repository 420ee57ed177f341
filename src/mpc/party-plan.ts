/**
 * From an operator's request to a signed proposal. Everything that can be wrong with a request is
 * found here, before anything is sent or remembered (R39).
 * @module
 */
import type { PeerId, RequestId } from '../base/brands.ts';
import { compareText, sha256 } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RosterView } from '../roster/types.ts';
import { checkComposition } from './composition.ts';
import { sealToken } from './join-token.ts';
import type { CreateKeyRequest, PartyDeps, PartyOptions, SignRequest } from './party-ports.ts';
import type { ProposeBody } from './party-wire.ts';
import { checkPolicyMode, checkRequester } from './policy.ts';
import { KEY_NAME, PROPOSAL_NONCE_BYTES, sealProposal } from './proposal.ts';
import { requestIdOf } from './result.ts';
import { checkParticipants, selectParties } from './selection.ts';
import { suiteOf } from './suites/index.ts';
import type {
  KeygenProposal,
  KeyInfo,
  Party,
  Proposal,
  SealedProposal,
  SignProposal,
} from './types.ts';

/** A sealed proposal with what its parties get beside it. */
export interface Plan<P extends Proposal> {
  readonly sealed: SealedProposal<P>;
  readonly body: ProposeBody;
}

const bad = (message: string, hint?: string): BzzzError =>
  new BzzzError('BAD_REQUEST', message, hint === undefined ? {} : { hint });

/**
 * Checks a request for a new key and chooses its parties.
 * @param nameTaken whether a key or a live session has the name.
 * @throws BAD_REQUEST, UNSUPPORTED_SUITE, INVALID_COMPOSITION, INVALID_THRESHOLD, NOT_SUPPORTED,
 * CONFLICT, NOT_A_MEMBER, INSUFFICIENT_PERSISTENT_PARTIES.
 */
export function planKey(
  request: CreateKeyRequest,
  nameTaken: (name: string) => boolean,
  options: PartyOptions,
  deps: PartyDeps,
): Plan<KeygenProposal> {
  const { random, pool, signer, suites } = deps;
  const roster = deps.roster();
  if (!KEY_NAME.test(request.name)) {
    throw bad(
      `key name ${JSON.stringify(request.name)}`,
      'lower-case letters, digits, "_", "." and "-", at most 63, a letter or digit first',
    );
  }
  const suite = suiteOf(request.suite, suites).name;
  const purpose = checkPurpose(request.purpose ?? '');
  const policy = request.policy ?? 'auto';
  checkPolicyMode(policy);
  const composition = checkComposition(request);
  const nonce = random.bytes(PROPOSAL_NONCE_BYTES);
  if (nameTaken(request.name)) {
    throw new BzzzError('CONFLICT', `key name ${request.name} is in use`);
  }
  const parties =
    request.participants === undefined
      ? selectParties(composition, suite, pool, nonce)
      : checkParticipants(request.participants, suite, pool, (peer) => isMember(roster, peer));
  const proposal: KeygenProposal = {
    v: 1,
    kind: 'keygen',
    clusterId: roster.clusterId,
    proposer: signer.peerId,
    rosterEpoch: roster.epoch,
    ttlMs: ttlOf(request.timeoutMs, options),
    nonce,
    suite,
    name: request.name,
    threshold: composition.threshold,
    parties,
    purpose,
    requesters: requestersOf(request.requesters, parties, roster),
    policy,
  };
  return withTokens(sealProposal(proposal, signer), parties, null, deps);
}

/**
 * Checks a request for a signature.
 * @throws TOO_LARGE for a message over 1 MiB; REFUSED_BY_POLICY for a requester the key does not
 * allow; NOT_SUPPORTED for a key that wants approval.
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
  checkPolicyMode(key.policy);
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
  const { random, signer } = deps;
  const roster = deps.roster();
  const { message } = request;
  const proposal: SignProposal = {
    v: 1,
    kind: 'sign',
    clusterId: roster.clusterId,
    proposer: signer.peerId,
    rosterEpoch: roster.epoch,
    ttlMs: ttlOf(request.timeoutMs, options),
    nonce: random.bytes(PROPOSAL_NONCE_BYTES),
    keyId: key.keyId,
    keyEpoch: key.epoch,
    suite: key.suite,
    threshold: key.threshold,
    purpose: key.purpose,
    messageHash: sha256(message),
    requestId: requestIdFor(key, message, roster),
    fresh: request.fresh,
  };
  return withTokens(sealProposal(proposal, signer), key.parties, message, deps);
}

/** Every party's token goes to every party: whoever takes over can pass the proposal on. */
function withTokens<P extends Proposal>(
  sealed: SealedProposal<P>,
  parties: readonly Party[],
  message: Uint8Array | null,
  deps: PartyDeps,
): Plan<P> {
  const { clusterId, ttlMs, proposer } = sealed.proposal;
  const tokens = parties
    .filter(({ peerId }) => peerId !== proposer)
    .map((party) => ({
      peerId: party.peerId,
      token: sealToken(clusterId, sealed.sid, party, ttlMs, deps),
    }));
  return { sealed, body: { v: 1, proposal: sealed.envelope, tokens, message } };
}

const isMember = (roster: RosterView, peer: string): boolean => roster.members.has(peer as PeerId);

function checkPurpose(purpose: string): string {
  const size = Buffer.byteLength(purpose);
  if (size > LIMITS.purposeBytes) {
    throw bad(`purpose of ${size} bytes, at most ${LIMITS.purposeBytes}`);
  }
  if (/\p{C}/u.test(purpose)) throw bad('purpose has control characters');
  return purpose;
}

/** By default the holders, and nobody else. */
function requestersOf(
  asked: readonly string[] | undefined,
  parties: readonly Party[],
  roster: RosterView,
): readonly PeerId[] {
  const named = asked === undefined || asked.length === 0 ? undefined : asked;
  for (const peer of named ?? []) {
    if (!isMember(roster, peer)) {
      throw new BzzzError('NOT_A_MEMBER', `requester ${peer} is not a member`, {
        hint: '`bzzz roster` lists the members',
      });
    }
  }
  const all = new Set(named ?? parties.map(({ peerId }) => peerId));
  if (all.size > LIMITS.requesters) throw bad(`more than ${LIMITS.requesters} requesters`);
  return ([...all] as PeerId[]).sort(compareText);
}

function ttlOf(asked: number | undefined, { sessionTimeoutMs }: PartyOptions): number {
  const ttl = asked ?? sessionTimeoutMs;
  if (!Number.isInteger(ttl) || ttl < 1 || ttl > LIMITS.sessionTtlMs) {
    throw bad(`timeout of ${ttl} ms`, `give 1 to ${LIMITS.sessionTtlMs} ms`);
  }
  return ttl;
}
