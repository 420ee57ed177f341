/**
 * A key generation on this node.
 * @module
 */
import { importDealing } from '../keygen/index.ts';
import type { KeygenProposal, KeyInfo, SealedProposal } from '../types.ts';
import { DealtSession } from './dealt-session.ts';
import type { Host } from './live.ts';
import type { ProposeBody } from './wire.ts';

/** One running key generation. */
export class KeygenSession extends DealtSession<KeygenProposal> {
  constructor(host: Host, sealed: SealedProposal<KeygenProposal>, body: ProposeBody | undefined) {
    super(host, sealed, body, {
      epoch: 0,
      dealing:
        sealed.proposal.imported === undefined
          ? undefined
          : (deps) => importDealing(sealed, deps, () => host.imports.shareFor(sealed.proposal)),
      certified: (certificate, key) => keep(host, sealed, certificate, key),
    });
  }
}

async function keep(
  host: Host,
  { sid, proposal }: SealedProposal<KeygenProposal>,
  certificate: Uint8Array,
  { keyId, name }: KeyInfo,
): Promise<void> {
  const { keyring, clock, logger, emit } = host.deps;
  const { entry } = await keyring.add(certificate, clock.wallMs());
  await host.shares.settle(entry);
  await host.deps.sessions.dropConsent(sid);
  logger.info({ sessionId: sid, keyId, name }, 'a key was made');
  emit('key.created', { keyId, name, sessionId: sid });
  host.publish(entry, proposal.proposer === host.self ? 'author' : 'witness');
}
