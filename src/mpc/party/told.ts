/**
 * A holder that was not needed for a signature hears of it when it is made: proposal, message and
 * result in one frame. It checks all of it and keeps the result; no session runs here for that.
 * @module
 */
import { BzzzError } from '../../base/errors.ts';
import { checkRequester } from '../policy/policy.ts';
import { openResult, verifyResult } from '../result.ts';
import { isSigning } from '../sessions/proposal.ts';
import { unpackResult } from '../signing/messages.ts';
import { suiteOf } from '../suites/index.ts';
import type { SealedProposal } from '../types.ts';
import type { SessionRegistry } from './registry.ts';
import type { ProposeBody } from './wire.ts';

/**
 * Takes the result of a session that is not known here.
 * @param first what came with the proposal.
 * @returns whether that was a result and all there is to say about the session.
 * @throws BAD_MESSAGE when the result is not one of this proposal.
 */
export async function takeTold(
  sealed: SealedProposal,
  { message }: ProposeBody,
  first: Uint8Array,
  registry: SessionRegistry,
): Promise<boolean> {
  const record = unpackResult(first);
  if (!isSigning(sealed) || message === null || record === undefined) return false;
  const { deps, clusterId } = registry;
  const key = deps.keyring.byId(sealed.proposal.keyId)?.key;
  if (key === undefined) return false;
  const { sid, proposal } = sealed;
  checkRequester(key, proposal.proposer);
  const opened = openResult(record, clusterId);
  if (opened.record.requestId !== proposal.requestId || opened.record.sid !== sid) {
    throw new BzzzError('BAD_MESSAGE', 'result of another session');
  }
  const suite = suiteOf(key.suite, deps.suites);
  registry.learnResult(sid, verifyResult(opened, { key, message, suite }));
  const parties = key.parties.map(({ peerId }) => peerId);
  const options = { taking: false, sync: false, evidence: true };
  await deps.sessions.remember(sealed, parties, key.threshold, options);
  return true;
}
