/**
 * Bringing in a key that exists elsewhere. Each holder's operator runs the same command with that
 * holder's own share; whoever comes last finds that all have, and proposes. From there on it is a
 * key generation without its two rounds: every party stores its share, reads it back, and states
 * the key; the key exists once all statements do.
 *
 * | this node          | input                                | then                             |
 * | ------------------ | ------------------------------------ | -------------------------------- |
 * | -                  | its operator's files and terms       | brought; asks the other parties  |
 * | brought            | all others have it brought           | proposes                         |
 * | brought            | another party proposes these terms   | takes part                       |
 * | brought            | other terms, or none were brought    | refuses                          |
 * | brought            | the key is certified, 1 h, the end   | wipes the share                  |
 *
 * What is brought stays in memory: after a restart the operator brings it again.
 * @module
 */
import type { KeyId, PeerId } from '../../base/brands.ts';
import { fromHex, toHex } from '../../base/bytes.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import type { Cancel } from '../../base/ports.ts';
import type { BroughtShare } from '../keygen/index.ts';
import { type ImportTerms, readPackages, termsDigest, termsOf } from '../keys/import-terms.ts';
import { copyShare, wipe } from '../keys/sharefile.ts';
import type { KeygenProposal } from '../types.ts';
import { runKeygen } from './make.ts';
import { planImport, planTerms } from './plan-key.ts';
import type { ImportKeyRequest, PartyDeps } from './ports.ts';
import type { SessionRegistry } from './registry.ts';
import { TOPICS, wire } from './wire.ts';

const LIFE_MS = 3_600_000;
const MOST = 64;

interface Brought extends BroughtShare {
  readonly stop: Cancel;
}

/** What operators of this node brought, by the digest of its terms. */
export class ImportDesk {
  readonly #deps: PartyDeps;
  readonly #brought = new Map<string, Brought>();

  constructor(deps: PartyDeps) {
    this.#deps = deps;
  }

  /** Running timers. */
  get timers(): number {
    return this.#brought.size;
  }

  /** Answers parties who ask whether their key was brought here too. */
  start(): void {
    this.#deps.direct.handle(TOPICS.imports, async (_from, bytes) => {
      const digest = toHex(wire.readImportAsk(bytes));
      return wire.importAnswer(this.#brought.has(digest));
    });
  }

  /** Keeps a share; it is the desk's from now on. @throws BUSY when too many wait. */
  bring(terms: ImportTerms, { share, public: outcome }: BroughtShare): void {
    const digest = termsDigest(terms);
    this.#drop(digest);
    if (this.#brought.size >= MOST) {
      throw new BzzzError('BUSY', `${MOST} keys wait to be imported already`);
    }
    const stop = this.#deps.clock.after(LIFE_MS, () => this.#drop(digest));
    this.#brought.set(digest, { share, public: outcome, stop });
  }

  /** The other parties whose operators have not brought theirs, or that cannot be asked. */
  async missing(terms: ImportTerms): Promise<readonly PeerId[]> {
    const { direct, signer, logger } = this.#deps;
    const ask = wire.importAsk(fromHex(termsDigest(terms)) ?? new Uint8Array());
    const others = terms.parties.filter((peer) => peer !== signer.peerId);
    const answers = await Promise.all(
      others.map(async (peer) => {
        try {
          return wire.readImportAnswer(await direct.request(peer, TOPICS.imports, ask));
        } catch (thrown) {
          const { code, message } = toBzzzError(thrown);
          logger.debug({ peer, code }, `a party was not asked about an import: ${message}`);
          return false;
        }
      }),
    );
    return others.filter((_, i) => answers[i] === false);
  }

  /** @throws REFUSED_BY_POLICY unless exactly this was brought here. */
  check(proposal: KeygenProposal): void {
    const terms = termsOf(proposal);
    if (terms === undefined || this.#brought.has(termsDigest(terms))) return;
    throw new BzzzError('REFUSED_BY_POLICY', `key ${proposal.name} was not imported here so`, {
      why: 'no operator of this node brought this key under these terms',
      hint: 'run the same `bzzz key import` on every holder',
      details: { rule: 'import' },
    });
  }

  /** A copy of the share for a session, which wipes it; undefined when nothing was brought. */
  shareFor(proposal: KeygenProposal): BroughtShare | undefined {
    const terms = termsOf(proposal);
    const found = terms === undefined ? undefined : this.#brought.get(termsDigest(terms));
    if (found === undefined) return undefined;
    return { share: copyShare(found.share), public: found.public };
  }

  /** The key is certified: its share is on the disk. */
  done(proposal: KeygenProposal): void {
    const terms = termsOf(proposal);
    if (terms !== undefined) this.#drop(termsDigest(terms));
  }

  close(): void {
    for (const digest of [...this.#brought.keys()]) this.#drop(digest);
  }

  #drop(digest: string): void {
    const found = this.#brought.get(digest);
    if (found === undefined) return;
    found.stop();
    wipe(found.share.signingShare);
    this.#brought.delete(digest);
  }
}

/**
 * Brings this node's share; the last of the holders to do so has the key made.
 * @returns the key's id, or who is still to bring theirs.
 * @throws what `readPackages` and `planTerms` throw; BAD_REQUEST for a share that is another
 * party's; what `runKeygen` throws.
 */
export async function importKey(
  request: ImportKeyRequest,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<{ readonly keyId?: KeyId; readonly waitingFor: readonly PeerId[] }> {
  const { deps, options, self, imports } = registry;
  const read = readPackages(request.keyPackage, request.publicKeyPackage, deps.suites);
  let terms: ImportTerms;
  try {
    terms = planTerms(request, read, (name) => registry.nameTaken(name), options, deps);
    const seat = terms.parties[read.share.index - 1];
    if (seat !== self) {
      throw new BzzzError('BAD_REQUEST', `the share is party ${read.share.index}'s`, {
        why: `the participants give that place to ${seat}, and this is ${self}`,
      });
    }
    imports.bring(terms, read);
  } catch (error) {
    wipe(read.share.signingShare);
    throw error;
  }
  deps.emit('key.brought', { name: terms.name, parties: terms.parties });
  const waitingFor = await imports.missing(terms);
  if (waitingFor.length > 0) return { waitingFor };
  const plan = planImport(terms, request.timeoutMs, options, deps);
  return { keyId: await runKeygen(plan, signal, registry), waitingFor };
}
