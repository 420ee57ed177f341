/**
 * Messages of sessions without a machine here: ended and put away, or known before a restart.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { openEnvelope } from '../base/envelope.ts';
import { BzzzError } from '../base/errors.ts';
import { readInquiry } from './keygen/index.ts';
import { unpack } from './keygen/messages.ts';
import type { SessionRegistry } from './party-registry.ts';
import { isSigning } from './proposal.ts';
import { openMessage, sealMessage } from './signing/messages.ts';
import type { KeygenProposal, SealedProposal } from './types.ts';

/** @returns undefined when `read` finds that the bytes are something else. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // A stray message of another kind is no fault; whoever knows that kind judges it.
    if (error instanceof BzzzError && error.code === 'BAD_MESSAGE') return undefined;
    throw error;
  }
}

/** The proposal that a party of a key generation asks about, if the message is an inquiry. */
export const strayInquiry = (
  envelope: Uint8Array,
  { clusterId, self }: SessionRegistry,
): SealedProposal<KeygenProposal> | undefined => {
  const sealed = attempt(() => readInquiry(envelope, clusterId));
  const party = sealed?.proposal.parties.some(({ peerId }) => peerId === self) ?? false;
  return party ? sealed : undefined;
};

/** The certificate that was sent about a session that is over here, if the message is one. */
export const strayCertificate = (envelope: Uint8Array): Uint8Array | undefined => {
  const packet = attempt(() => unpack(envelope));
  return packet?.kind === 'certificate' ? packet.body : undefined;
};

/** A driver that missed the end of a session gets its result. */
export async function answerLate(
  from: PeerId,
  envelope: Uint8Array,
  sealed: SealedProposal,
  registry: SessionRegistry,
): Promise<void> {
  if (!isSigning(sealed)) return;
  const { sid, proposal } = sealed;
  const { results, deps, clusterId } = registry;
  const asked = attempt(() => openMessage(sid, envelope, { clusterId, open: openEnvelope }));
  if (asked?.author !== from) return;
  if (asked.message.kind !== 'commitRequest' && asked.message.kind !== 'package') return;
  const record = results.ofSession(sid) ?? (await results.stored(proposal));
  if (record === undefined) return;
  const answer = sealMessage(sid, { kind: 'result', record }, { clusterId, signer: deps.signer });
  registry.send(sid, [from], answer);
}
