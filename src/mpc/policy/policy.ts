/**
 * May this proposal run here? Every party asks for itself: a proposer that breaks a rule gets a
 * refusal with its reason from each honest party, whatever its own node allowed.
 *
 * Pure. What it needs of the world comes as plain values.
 * @module
 */
import type { KeyId, PeerId } from '../../base/brands.ts';
import { equalBytes, sha256 } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { RosterView } from '../../roster/types.ts';
import { requestIdOf } from '../result.ts';
import type { KeygenProposal, KeyInfo, Proposal, SignProposal } from '../types.ts';

/** The node as it is when a proposal arrives. */
export interface PolicyContext {
  readonly self: PeerId;
  readonly roster: RosterView;
  readonly draining: boolean;
  readonly liveSessions: number;
  readonly suites: { has(suite: Proposal['suite']): boolean };
}

const refuse = (message: string, rule: string, why?: string): never => {
  throw new BzzzError('REFUSED_BY_POLICY', message, {
    ...(why === undefined ? {} : { why }),
    details: { rule },
  });
};

/** What holds for every kind. @throws NOT_A_MEMBER, DRAINING, BUSY, UNSUPPORTED_SUITE. */
export function checkCommon(proposal: Proposal, context: PolicyContext): void {
  if (context.roster.standing(proposal.proposer) !== 'member') {
    throw new BzzzError('NOT_A_MEMBER', `proposer ${proposal.proposer} is not a member`);
  }
  if (context.draining) throw new BzzzError('DRAINING', `${context.self} is stopping`);
  if (context.liveSessions >= LIMITS.liveSessions) {
    throw new BzzzError('BUSY', `${context.self} runs ${context.liveSessions} sessions already`);
  }
  if (!context.suites.has(proposal.suite)) {
    throw new BzzzError('UNSUPPORTED_SUITE', `suite ${proposal.suite} is not built in`);
  }
}

/**
 * @param nameTaken whether a key or a live session of this node has the name.
 * @throws what {@link PolicyContext} forbids; NOT_A_MEMBER for a party the roster does not have;
 * REFUSED_BY_POLICY for a role that is not the roster's; CONFLICT for a name in use.
 */
export function checkKeygen(
  proposal: KeygenProposal,
  context: PolicyContext,
  nameTaken: (name: string) => boolean,
): void {
  checkCommon(proposal, context);
  if (!proposal.parties.some(({ peerId }) => peerId === context.self)) {
    refuse(`${context.self} is no party of this key`, 'party');
  }
  for (const { peerId, role } of proposal.parties) {
    const member = context.roster.members.get(peerId);
    if (member === undefined) {
      throw new BzzzError('NOT_A_MEMBER', `party ${peerId} is not a member`);
    }
    if (member.role !== role) {
      refuse(
        `party ${peerId} is ${member.role}, not ${role}`,
        'role',
        'roles come from the roster',
      );
    }
  }
  const durable = proposal.parties.filter(({ role }) => role === 'persistent').length;
  if (durable < proposal.threshold && proposal.ephemeral !== true) {
    refuse(
      `${durable} persistent parties for a threshold of ${proposal.threshold}`,
      'ephemeral',
      'a key that a restart may destroy has to be called ephemeral',
    );
  }
  if (nameTaken(proposal.name)) {
    throw new BzzzError('CONFLICT', `key name ${proposal.name} is in use`);
  }
}

/**
 * @param message the bytes that came beside the proposal.
 * @throws what {@link PolicyContext} forbids; REFUSED_BY_POLICY for a requester or purpose the key
 * does not have; BAD_MESSAGE when the proposal contradicts the key's certificate or the message.
 */
export function checkSigning(
  proposal: SignProposal,
  key: KeyInfo,
  message: Uint8Array,
  context: PolicyContext,
): void {
  checkCommon(proposal, context);
  checkRequester(key, proposal.proposer);
  if (proposal.purpose !== key.purpose) {
    refuse(`key ${key.name} serves another purpose`, 'purpose');
  }
  const same: readonly (readonly [string, unknown, unknown])[] = [
    ['keyId', proposal.keyId, key.keyId],
    ['keyEpoch', proposal.keyEpoch, key.epoch],
    ['suite', proposal.suite, key.suite],
    ['threshold', proposal.threshold, key.threshold],
    ['requestId', proposal.requestId, requestIdOf(proposal)],
  ];
  for (const [what, proposed, actual] of same) {
    if (proposed !== actual) {
      throw new BzzzError('BAD_MESSAGE', `signing request: ${what} is ${proposed}, not ${actual}`);
    }
  }
  if (message.length > LIMITS.signMessageBytes) {
    throw new BzzzError('TOO_LARGE', `message of ${message.length} bytes`);
  }
  checkSize(key, message);
  if (!equalBytes(sha256(message), proposal.messageHash)) {
    throw new BzzzError(
      'BAD_MESSAGE',
      'signing request: the message is not the one that was hashed',
    );
  }
}

/** @throws REFUSED_BY_POLICY for a message longer than the key takes. */
export function checkSize({ name, limits }: KeyInfo, message: Uint8Array): void {
  const longest = limits?.messageBytes;
  if (longest === undefined || message.length <= longest) return;
  refuse(`message of ${message.length} bytes, key ${name} takes ${longest}`, 'size');
}

/** @throws REFUSED_BY_POLICY unless the key allows `peer` to ask. */
export function checkRequester(
  key: { readonly name: string; readonly keyId: KeyId; readonly requesters: readonly PeerId[] },
  peer: PeerId,
): void {
  if (!key.requesters.includes(peer)) {
    refuse(`${peer} may not ask for signatures of key ${key.name}`, 'requester');
  }
}
