/**
 * What the disk says about a key generation that has no machine.
 * @module
 */
import type { KeyId } from '../base/brands.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import { checkPending, type PersistedKeygen } from './keygen/index.ts';
import { decodeAttestation } from './party-attestation.ts';
import type { Host } from './party-live.ts';
import type { SessionRegistry } from './party-registry.ts';
import { isKeygen } from './proposal.ts';
import { isTerminal } from './session-fold.ts';
import { wipe } from './sharefile.ts';
import { suiteOf } from './suites/index.ts';
import type { KeygenProposal, SealedProposal } from './types.ts';

/**
 * Collects what `resumeKeygen` needs.
 * @returns undefined when the pending share cannot be read: a party that may have attested must not
 * refuse, so it says nothing until an operator has looked.
 */
export async function wakeKeygen(
  sealed: SealedProposal<KeygenProposal>,
  host: Host,
): Promise<PersistedKeygen | undefined> {
  const { keystore, keyring, sessions, suites, logger } = host.deps;
  const { sid, proposal } = sealed;
  const entry = keyring.bySession(sid);
  if (entry !== undefined) {
    const { keyId } = entry.key;
    if (await activateIfPending(sealed, keyId, host)) host.holds(keyId);
    return { sealed, certificate: entry.certificate };
  }
  const refusal = await sessions.refusal(sid);
  if (refusal !== undefined) return { sealed, refusal };
  try {
    const stored = await keystore.pending(sid);
    if (stored === undefined) return { sealed };
    try {
      const attestation = decodeAttestation(stored.attached);
      checkPending(suiteOf(proposal.suite, suites), stored.share, attestation);
      return { sealed, attestation };
    } finally {
      wipe(stored.share.signingShare);
    }
  } catch (thrown) {
    const { code, message } = toBzzzError(thrown);
    logger.error({ sessionId: sid, code }, `a pending share cannot be used: ${message}`);
    return undefined;
  }
}

/**
 * Makes the pending share of a certified key active, if there is one.
 * @returns whether this node holds an active share of the key.
 */
export async function activateIfPending(
  { sid }: SealedProposal<KeygenProposal>,
  keyId: KeyId,
  { deps }: Pick<Host, 'deps'>,
): Promise<boolean> {
  try {
    await deps.keystore.activate(sid, keyId);
    return true;
  } catch (error) {
    // Neither pending nor active: this node holds no share of the key, as an onlooker does.
    if (error instanceof BzzzError && error.code === 'NOT_FOUND') return false;
    throw error;
  }
}

/** Takes up every key generation that was under way, or left a share without a certificate. */
export async function recoverSessions(registry: SessionRegistry): Promise<void> {
  const { sessions, keystore, logger } = registry.deps;
  for (const { sealed, taking, view } of sessions.list()) {
    if (isKeygen(sealed) && taking && !isTerminal(view.state)) await registry.resumeKeygen(sealed);
  }
  for (const sid of await keystore.pendingSessions()) {
    const sealed = sessions.get(sid)?.sealed;
    if (sealed !== undefined && isKeygen(sealed)) await registry.resumeKeygen(sealed);
    // Kept all the same: the certificate, or an inquiry that carries the proposal, may still come.
    else logger.error({ sessionId: sid }, 'a pending share of an unknown session');
  }
}
