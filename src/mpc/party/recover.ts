/**
 * What the disk says about a session without a machine that ends in a certificate.
 * @module
 */
import type { SessionId } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import { type Attestation, checkPending, type PersistedKeygen } from '../keygen/index.ts';
import { wipe } from '../keys/sharefile.ts';
import { isTerminal } from '../sessions/fold.ts';
import { isDealt } from '../sessions/proposal.ts';
import { suiteOf } from '../suites/index.ts';
import type { DealtProposal, SealedProposal } from '../types.ts';
import { decodeAttestation } from './attestation.ts';
import type { Host } from './live.ts';
import type { SessionRegistry } from './registry.ts';

/**
 * Collects what `resumeKeygen` needs.
 * @returns undefined when there is nothing to resume: the key has passed the epoch in question; or
 * the pending share cannot be read: a party that may have attested must not refuse, so it says
 * nothing until an operator has looked.
 */
export async function wakeDealt(
  sealed: SealedProposal<DealtProposal>,
  host: Host,
): Promise<PersistedKeygen | undefined> {
  const { keyring, sessions, logger } = host.deps;
  const { sid, proposal } = sealed;
  if (proposal.kind === 'reshare') {
    const entry = keyring.byId(proposal.keyId);
    if (entry === undefined || entry.key.epoch < proposal.keyEpoch) {
      logger.warn({ sessionId: sid }, 'a change of a key waits for the certificate of its epoch');
      return undefined;
    }
    if (entry.key.epoch > proposal.keyEpoch) {
      await passed(sid, host);
      return undefined;
    }
  } else {
    const entry = keyring.bySession(sid);
    if (entry !== undefined) {
      await host.shares.settle(entry);
      return { sealed, certificate: entry.certificate };
    }
  }
  const refusal = await sessions.refusal(sid);
  if (refusal !== undefined) return { sealed, refusal };
  try {
    const attestation = await attested(sealed, host);
    return attestation === undefined ? { sealed } : { sealed, attestation };
  } catch (thrown) {
    const { code, message } = toBzzzError(thrown);
    logger.error({ sessionId: sid, code }, `a pending share cannot be used: ${message}`);
    return undefined;
  }
}

/** The next epoch, by this session or another, is certified: what the session left is settled. */
async function passed(sid: SessionId, host: Host): Promise<void> {
  const { keyring, keystore, sessions } = host.deps;
  const entry = keyring.bySession(sid);
  if (entry !== undefined) {
    await host.shares.settle(entry);
    await sessions.prove(sid);
  }
  await keystore.dropPending(sid);
  await sessions.dropConsent(sid);
  if (entry !== undefined) host.say(sid, 'completed', { keyId: entry.key.keyId });
  else host.say(sid, 'failed', { code: 'STALE_EPOCH', message: 'another change was certified' });
}

/** @throws SHARE_CORRUPT, BAD_MESSAGE. */
async function attested(
  { sid, proposal }: SealedProposal<DealtProposal>,
  { deps: { keystore, sessions, suites } }: Host,
): Promise<Attestation | undefined> {
  const consent = await sessions.consent(sid);
  if (consent !== undefined) return decodeAttestation(consent);
  const stored = await keystore.pending(sid);
  if (stored === undefined) return undefined;
  try {
    const attestation = decodeAttestation(stored.attached);
    checkPending(suiteOf(proposal.suite, suites), stored.share, attestation);
    return attestation;
  } finally {
    wipe(stored.share.signingShare);
  }
}

/** Takes up every such session that was under way, or left a share without a certificate. */
export async function recoverSessions(registry: SessionRegistry): Promise<void> {
  const { sessions, keystore, logger } = registry.deps;
  for (const { sealed, taking, view } of sessions.list()) {
    if (isDealt(sealed) && taking && !isTerminal(view.state)) await registry.resumeDealt(sealed);
  }
  for (const sid of [...(await keystore.pendingSessions()), ...(await sessions.consents())]) {
    const sealed = sessions.get(sid)?.sealed;
    if (sealed !== undefined && isDealt(sealed)) await registry.resumeDealt(sealed);
    // Kept all the same: the certificate, or an inquiry that carries the proposal, may still come.
    else if ((await sessions.refusal(sid)) === undefined)
      logger.error({ sessionId: sid }, 'a pending share of an unknown session');
  }
}
