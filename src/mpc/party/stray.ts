/**
 * Messages of sessions without a machine here: ended and put away, or known before a restart.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { isBadMessage } from '../../base/errors.ts';
import { readInquiry } from '../keygen/index.ts';
import { pack, unpack } from '../keygen/messages.ts';
import { isSigning, seatPeers } from '../sessions/proposal.ts';
import { asksForResult } from '../signing/machine.ts';
import { openMessage, packResult } from '../signing/messages.ts';
import type { DealtProposal, SealedProposal } from '../types.ts';
import type { SessionRegistry } from './registry.ts';

/** @returns undefined when `read` finds that the bytes are something else. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // A stray message of another kind is no fault; whoever knows that kind judges it.
    if (isBadMessage(error)) return undefined;
    throw error;
  }
}

/** The proposal that somebody with a seat in it asks about, if the message is an inquiry. */
export const strayInquiry = (
  envelope: Uint8Array,
  { clusterId, self }: SessionRegistry,
): SealedProposal<DealtProposal> | undefined => {
  const sealed = attempt(() => readInquiry(envelope, clusterId));
  return sealed !== undefined && seatPeers(sealed.proposal).includes(self) ? sealed : undefined;
};

/** The certificate that was sent about a session that is over here, if the message is one. */
export const strayCertificate = (envelope: Uint8Array): Uint8Array | undefined => {
  const packet = attempt(() => unpack(envelope));
  return packet?.kind === 'certificate' ? packet.body : undefined;
};

/** Somebody asks about a change that is certified: the certificate is the answer. */
export function answerInquiry(
  from: PeerId,
  { sid, proposal }: SealedProposal<DealtProposal>,
  registry: SessionRegistry,
): void {
  if (proposal.kind !== 'reshare') return;
  const entry = registry.deps.keyring.byId(proposal.keyId);
  if (entry?.key.sid !== sid) return;
  registry.send(sid, [from], pack('certificate', entry.newest));
}

/** A driver that missed the end of a session gets its result. */
export async function answerLate(
  from: PeerId,
  envelope: Uint8Array,
  sealed: SealedProposal,
  registry: SessionRegistry,
): Promise<void> {
  if (!isSigning(sealed)) return;
  const { sid, proposal } = sealed;
  const { results, clusterId } = registry;
  const asked = attempt(() => openMessage(sid, envelope, { clusterId, open: openEnvelope }));
  if (asked?.author !== from) return;
  if (!asksForResult(asked.message.kind)) return;
  const record = results.ofSession(sid) ?? (await results.stored(proposal));
  if (record === undefined) return;
  registry.send(sid, [from], packResult(record));
}
