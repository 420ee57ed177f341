/**
 * Spreads certificates: on connect, and when news tell of a key that is not known here, a node asks
 * for what it lacks, so every node lists all keys. A certificate proves itself, whoever brings it.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import { claimedKey } from '../keys/retirement.ts';
import type { PartyDeps } from './ports.ts';
import { CERTS_ANSWER_BYTES, TOPICS, wire } from './wire.ts';

/** So many answers are asked of one peer in a row. */
const ROUNDS = 64;

/** Asks and answers. */
export class CertificateExchange {
  readonly #deps: PartyDeps;
  readonly #running = new Map<PeerId, Promise<void>>();

  constructor(deps: PartyDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#deps.direct.handle(TOPICS.certificates, async (_from, body) => this.#answer(body));
  }

  /**
   * Learns the certificates that `peer` has and this node lacks. One exchange per peer at a time;
   * a peer that does not answer is asked again when it connects.
   */
  pull(peer: PeerId): Promise<void> {
    const running = this.#running.get(peer);
    if (running !== undefined) return running;
    const work = this.#pull(peer)
      .catch((error: unknown) => {
        const { code, message } = toBzzzError(error);
        this.#deps.logger.debug({ peer, code }, `no certificates: ${message}`);
      })
      .finally(() => this.#running.delete(peer));
    this.#running.set(peer, work);
    return work;
  }

  async #pull(peer: PeerId): Promise<void> {
    const { direct, keyring, logger, emit } = this.#deps;
    for (let round = 0; round < ROUNDS; round++) {
      const known = keyring.list().map(({ key: { keyId, epoch }, retirement }) => ({
        ...{ keyId, epoch },
        retired: retirement !== undefined,
      }));
      const request = wire.certsRequest(known);
      const answer = wire.readCertsAnswer(await direct.request(peer, TOPICS.certificates, request));
      let learned = 0;
      for (const certificate of answer.certificates) {
        const { entry, added } = await keyring.add(certificate);
        if (!added) continue;
        learned++;
        const { keyId, name, epoch } = entry.key;
        logger.info({ keyId, name, epoch, peer }, 'learned a key');
        emit('key.learned', { keyId, name, epoch, from: peer });
      }
      for (const envelope of answer.retirements) {
        const keyId = claimedKey(envelope, this.#deps.roster().clusterId);
        const entry = keyring.byId(keyId);
        if (entry === undefined || entry.retirement !== undefined) continue;
        await keyring.retire(keyId, envelope);
        learned++;
      }
      // A peer that says "more" and brings nothing new would keep this going for ever.
      if (!answer.more || learned === 0) return;
    }
  }

  #answer(body: Uint8Array): Uint8Array {
    const known = wire.readCertsRequest(body);
    const certificates: Uint8Array[] = [];
    const retirements: Uint8Array[] = [];
    let size = 0;
    for (const { key, certificate, retirement } of this.#deps.keyring.list()) {
      const theirs = known.get(key.keyId);
      const news = (theirs?.epoch ?? -1) < key.epoch ? certificate : undefined;
      const end = theirs?.retired === true ? undefined : retirement?.envelope;
      const more = (news?.length ?? 0) + (end?.length ?? 0);
      if (size + more > CERTS_ANSWER_BYTES) {
        return wire.certsAnswer({ certificates, retirements, more: true });
      }
      if (news !== undefined) certificates.push(news);
      if (end !== undefined) retirements.push(end);
      size += more;
    }
    return wire.certsAnswer({ certificates, retirements, more: false });
  }
}
