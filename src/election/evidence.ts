/**
 * Two votes of one voter in one term, kept: honest voters never cast them, so the voter's disk lies
 * or its identity runs twice (R98).
 * @module
 */
import { z } from 'zod';
import type { PeerId } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { KeyValue, Logger } from '../base/ports.ts';

/** Sealed; see vote.ts. */
export interface Evidence {
  readonly voter: PeerId;
  readonly votes: readonly [Uint8Array, Uint8Array];
}

/** One for each voter is enough. */
const KEPT = LIMITS.rosterMembers;
const vote = field.bytesUpTo(LIMITS.voteBytes);
const schema = z.strictObject({ voter: field.peerId, votes: z.tuple([vote, vote]).readonly() });

/** The first evidence against each voter. */
export class EvidenceBook {
  readonly #store: KeyValue;
  readonly #logger: Logger;
  readonly #known: Map<PeerId, Evidence>;

  private constructor(store: KeyValue, logger: Logger, known: Map<PeerId, Evidence>) {
    this.#store = store;
    this.#logger = logger;
    this.#known = known;
  }

  /** A record that is damaged proves nothing and is left out. */
  static async open(store: KeyValue, logger: Logger): Promise<EvidenceBook> {
    const known = new Map<PeerId, Evidence>();
    for await (const [key, bytes] of store.entries()) {
      try {
        const found = decode('evidence', schema, bytes, 3 * LIMITS.voteBytes);
        known.set(found.voter, found);
      } catch (thrown) {
        const { message } = toBzzzError(thrown);
        logger.warn({ key, message }, 'left damaged evidence out');
      }
    }
    return new EvidenceBook(store, logger, known);
  }

  get all(): readonly Evidence[] {
    return [...this.#known.values()];
  }

  /** @returns false when there was some against this voter already. */
  add(evidence: Evidence): boolean {
    const { voter, votes } = evidence;
    if (this.#known.has(voter) || this.#known.size >= KEPT) return false;
    this.#known.set(voter, evidence);
    this.#store.put(voter, encode({ voter, votes })).catch((error: unknown) => {
      const shape = toBzzzError(error).toShape();
      this.#logger.warn({ voter, error: shape }, 'evidence against a voter was not written');
    });
    return true;
  }
}
