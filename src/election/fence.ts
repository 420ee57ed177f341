/**
 * The highest term that this node knows of, durably: every act of a leader carries its term, and
 * one below is refused (invariant E5). The machine's own term counts, and so does one that came
 * with an act before the machine heard of it.
 * @module
 */
import { z } from 'zod';
import type { Term } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { KeyValue } from '../base/ports.ts';

const KEY = 'fence';
const BYTES = 64;
const schema = z.strictObject({ v: z.literal(1), term: field.term });

/** One writer at a time, so that of two acts under way the higher wins. */
export class Fence {
  readonly #store: KeyValue;
  #term: Term;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(store: KeyValue, term: Term) {
    this.#store = store;
    this.#term = term;
  }

  /** @param own the machine's durable term. @throws DISK_FAILED. */
  static async open(store: KeyValue, own: Term): Promise<Fence> {
    const bytes = await store.get(KEY);
    if (bytes === undefined) return new Fence(store, own);
    try {
      const { term } = decode('fence', schema, bytes, BYTES);
      return new Fence(store, Math.max(term, own) as Term);
    } catch (cause) {
      throw new BzzzError('DISK_FAILED', 'the stored fence of the election is damaged', {
        why: toBzzzError(cause).message,
        hint: 'restore the data directory from a backup, or let this host join anew',
        cause,
      });
    }
  }

  /** Nothing below is accepted, in this run or a later one. */
  get term(): Term {
    return this.#term;
  }

  /** The machine made `term` durable itself. */
  reached(term: Term): void {
    if (term > this.#term) this.#term = term;
  }

  /**
   * Resolves when an act of `term` may be carried out: nothing higher was seen, and nothing lower
   * will be accepted after it.
   * @throws STALE_TERM, DISK_FAILED.
   */
  async pass(term: Term): Promise<void> {
    if (term === this.#term) return;
    const run = this.#tail.then(() => this.#raise(term));
    // The caller has the error; the next act must not.
    this.#tail = run.catch(() => undefined);
    await run;
  }

  async #raise(term: Term): Promise<void> {
    this.#assertFresh(term);
    if (term === this.#term) return;
    await this.#store.put(KEY, encode({ v: 1, term }), { sync: true });
    // The machine may have gone further meanwhile; its record holds that.
    this.#assertFresh(term);
    this.#term = term;
  }

  #assertFresh(term: Term): void {
    if (term >= this.#term) return;
    throw new BzzzError('STALE_TERM', `an act of term ${term} after term ${this.#term}`, {
      details: { term, highest: this.#term },
    });
  }
}
