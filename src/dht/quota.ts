/**
 * How much of the record store each writer may take. Pure bookkeeping.
 *
 * A writer may hold as much as is still free: dynamic thresholds (Choudhury and Hahne, 1998). One
 * that floods stops at half of the store, two at a third each, and however many there are, room is
 * left for the next. Without a flood nobody meets a limit, and no number of writers must be known.
 *
 * What an earlier run left, and what this node itself stores, is charged to nobody: it only makes
 * less free.
 * @module
 */
import { BzzzError } from '../base/errors.ts';

/** Which limit a write met; stands in the error's details. */
export type QuotaKind = 'totalBytes' | 'totalRecords' | 'writerBytes' | 'writerRecords';

export interface QuotaLimits {
  readonly maxBytes: number;
  readonly maxRecords: number;
}

/** One write. */
export interface Charge {
  /** Those who wrote it, or who sent it where it does not say; empty for this node itself. */
  readonly writers: readonly string[];
  /** Below 0 where a smaller value takes the place of a larger one. */
  readonly bytes: number;
  /** 1 for a record that was not there before. */
  readonly records: 0 | 1;
}

interface Held {
  readonly bytes: number;
  readonly records: number;
}

const NOTHING: Held = { bytes: 0, records: 0 };

/** Adds up; `take` and `give` are the only ways to change it. */
export class Quota {
  readonly #limits: QuotaLimits;
  readonly #writers = new Map<string, Held>();
  #total = NOTHING;

  constructor(limits: QuotaLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#total.bytes;
  }

  get records(): number {
    return this.#total.records;
  }

  /** What `writer` was charged since the start. */
  heldBy(writer: string): Held {
    return this.#writers.get(writer) ?? NOTHING;
  }

  /**
   * Reserves the room for a write. A record of several writers is refused only when all of them are
   * at their limit: otherwise one that floods could keep the others out of records they share.
   * @returns what undoes it.
   * @throws BAD_MESSAGE with `details.refusal` `quota` and `details.quota`.
   */
  take(charge: Charge): () => void {
    const { maxBytes, maxRecords } = this.#limits;
    const { bytes, records } = this.#total;
    if (charge.bytes > 0 && bytes + charge.bytes > maxBytes) {
      throw exceeded('totalBytes', `record store is full: ${maxBytes} bytes`);
    }
    if (charge.records > 0 && records + 1 > maxRecords) {
      throw exceeded('totalRecords', `record store is full: ${maxRecords} records`);
    }
    const payers = this.#payers(charge);
    this.#add(payers, charge, 1);
    return () => this.#add(payers, charge, -1);
  }

  /** A record that is charged to nobody: found at the start, or removed. */
  adjust(bytes: number, records: number): void {
    this.#total = { bytes: this.#total.bytes + bytes, records: this.#total.records + records };
  }

  /** Those among its writers that may still hold more. */
  #payers({ writers, bytes, records }: Charge): readonly string[] {
    if (writers.length === 0 || (bytes <= 0 && records === 0)) return writers;
    const free = {
      bytes: this.#limits.maxBytes - this.#total.bytes - bytes,
      records: this.#limits.maxRecords - this.#total.records - records,
    };
    let met: QuotaKind = 'writerBytes';
    const payers = writers.filter((writer) => {
      const held = this.heldBy(writer);
      const fits = held.bytes + bytes <= free.bytes;
      met = fits ? 'writerRecords' : 'writerBytes';
      return fits && held.records + records <= free.records;
    });
    if (payers.length > 0) return payers;
    const unit = met === 'writerBytes' ? 'bytes' : 'records';
    const [writer = ''] = writers;
    const held = this.heldBy(writer)[unit];
    throw exceeded(met, `${writer} has ${held} ${unit} here, and only ${free[unit]} are free`);
  }

  #add(payers: readonly string[], { bytes, records }: Charge, sign: 1 | -1): void {
    this.adjust(sign * bytes, sign * records);
    for (const writer of payers) {
      const held = this.heldBy(writer);
      this.#writers.set(writer, {
        bytes: Math.max(0, held.bytes + (sign * bytes) / payers.length),
        records: Math.max(0, held.records + (sign * records) / payers.length),
      });
    }
  }
}

const exceeded = (quota: QuotaKind, message: string): BzzzError =>
  new BzzzError('BAD_MESSAGE', message, { details: { refusal: 'quota', quota } });
