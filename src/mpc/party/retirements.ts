/**
 * Retires keys, and tells everybody: those who are connected at once, the others when they connect
 * and ask for what they lack (certificate-exchange.ts).
 * @module
 */
import type { ClusterId, KeyId } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import { claimedKey, sealRetirement } from '../keys/retirement.ts';
import type { PartyDeps } from './ports.ts';
import type { SessionRegistry } from './registry.ts';
import { TOPICS } from './wire.ts';

/** A request to retire a key. */
export interface RetireKeyRequest {
  /** Key name or key id. */
  readonly key: string;
  /** Also destroys the share on this host. */
  readonly wipe?: boolean | undefined;
}

/**
 * @throws NOT_FOUND, CONFLICT for the key; REFUSED_BY_POLICY for a host that may not.
 */
export async function retireKey(
  { key: name, wipe = false }: RetireKeyRequest,
  registry: SessionRegistry,
): Promise<KeyEntry> {
  const { deps, clusterId } = registry;
  const { keyring, clock, signer, direct, logger } = deps;
  let entry = keyring.get(name);
  if (entry.retirement === undefined) {
    const envelope = sealRetirement(entry, clock.wallMs(), clusterId, signer);
    entry = await keyring.retire(entry.key.keyId, envelope);
    for (const peer of direct.connected()) {
      direct.send(peer, TOPICS.retire, envelope).catch((error: unknown) => {
        const { code } = toBzzzError(error);
        logger.debug({ peer, code }, 'a retirement was not heard; it is learned on connect');
      });
    }
  }
  if (wipe) await registry.shares.wipe(entry);
  return entry;
}

/** Hears of retirements, and tells this node's operator of each, once. */
export class Retirements {
  readonly #deps: PartyDeps;
  readonly #clusterId: ClusterId;
  readonly #told = new Set<KeyId>();

  constructor(deps: PartyDeps, clusterId: ClusterId) {
    this.#deps = deps;
    this.#clusterId = clusterId;
  }

  start(): void {
    const { direct, keyring } = this.#deps;
    direct.handle(TOPICS.retire, async (_from, bytes) => {
      const keyId = claimedKey(bytes, this.#clusterId);
      // A node without the certificate learns both when it asks for certificates.
      if (keyring.byId(keyId) !== undefined) await keyring.retire(keyId, bytes);
      return undefined;
    });
  }

  /** Nothing for a key that is in use. */
  tell({ key: { keyId, name }, retirement }: KeyEntry): void {
    if (retirement === undefined || this.#told.has(keyId)) return;
    this.#told.add(keyId);
    const { by } = retirement;
    this.#deps.logger.warn({ keyId, name, by }, 'a key was retired');
    this.#deps.emit('key.retired', { keyId, name, by });
  }
}
