/**
 * Where the nonces of one signing session live: in memory, in one place, out of reach of anything
 * that copies, prints or encodes a state (N3).
 *
 * The vault is the one part of a session that is shared between a state and its successors instead
 * of being copied. That is on purpose: with a copy, stepping an old state once more would find a
 * spent nonce again (N1, N2).
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import type { NonceCommitment, SigningNonces } from '../suites/types.ts';
import type { Slot } from './types.ts';

/** A nonce pair, and the one slot that it was committed for. */
export interface CommittedNonces {
  readonly slot: Slot;
  readonly nonces: SigningNonces;
  readonly commitment: NonceCommitment;
  /** The signed commitment as it went to the driver. */
  readonly envelope: Uint8Array;
}

/** Slots of one driver in order: a later run of the driver, then a later attempt. */
export const compareSlots = (a: Slot, b: Slot): number => a.boot - b.boot || a.counter - b.counter;

/**
 * At most one nonce pair per driver. A slot is committed once; a slot that is over, because its
 * nonces were used or a later slot took its place, never comes back.
 */
export class NonceVault {
  readonly #wipe: (nonces: SigningNonces) => void;
  readonly #held = new Map<PeerId, CommittedNonces>();
  readonly #latest = new Map<PeerId, Slot>();

  /** @param wipe forgets a nonce pair, `Suite.wipeNonces`. */
  constructor(wipe: (nonces: SigningNonces) => void) {
    this.#wipe = wipe;
  }

  /** Whether `slot` may still be committed: it is later than every slot of its driver so far. */
  isOpen(slot: Slot): boolean {
    const latest = this.#latest.get(slot.driver);
    return latest === undefined || compareSlots(slot, latest) > 0;
  }

  /** Keeps a pair for its slot and wipes the pair of an earlier slot of the same driver. */
  put(entry: CommittedNonces): void {
    const { driver } = entry.slot;
    const before = this.#held.get(driver);
    if (before !== undefined) this.#wipe(before.nonces);
    this.#held.set(driver, entry);
    this.#latest.set(driver, entry.slot);
  }

  /** The commitment of a slot whose nonces are unused. */
  commitmentFor(slot: Slot): Uint8Array | undefined {
    return this.#find(slot)?.envelope;
  }

  /** Removes and returns the pair of a slot. Whatever happens next, nobody finds it again. */
  take(slot: Slot): CommittedNonces | undefined {
    const entry = this.#find(slot);
    if (entry !== undefined) this.#held.delete(slot.driver);
    return entry;
  }

  /** Forgets every pair; the slots stay over. */
  wipe(): void {
    for (const { nonces } of this.#held.values()) this.#wipe(nonces);
    this.#held.clear();
  }

  #find(slot: Slot): CommittedNonces | undefined {
    const entry = this.#held.get(slot.driver);
    return entry !== undefined && compareSlots(entry.slot, slot) === 0 ? entry : undefined;
  }
}
