/**
 * What the network or the rules would not take, kept until an operator drops it or has it tried
 * again. Durable; at most `limit`, the oldest goes first. One letter a subject, the newest.
 * @module
 */
import { z } from 'zod';
import { decode, encode, field } from '../base/codec.ts';
import type { KeyValue } from '../base/ports.ts';
import { type DeadLetter, idOf, type Subject } from './hybrid-types.ts';

const LETTER_BYTES = 2_048;
/** Characters of a reason; it may quote what a peer sent. */
const REASON_CHARS = 500;
const schema = z.strictObject({
  v: z.literal(1),
  kind: z.enum(['put', 'provide']),
  name: field.text(256),
  code: field.text(64),
  reason: field.text(REASON_CHARS),
  attempts: field.uint,
  wallMs: field.uint,
});

/** Call `open` before anything else. */
export class DeadLetters {
  readonly #disk: KeyValue;
  readonly #limit: number;
  readonly #letters = new Map<string, DeadLetter>();
  #order = 0;
  #dropped = 0;

  /** @param disk a namespace of its own. */
  constructor(disk: KeyValue, limit: number) {
    this.#disk = disk;
    this.#limit = limit;
  }

  /** Reads what earlier runs left; a damaged letter is dropped and counted. @throws DISK_FAILED. */
  async open(): Promise<void> {
    for await (const [id, bytes] of this.#disk.entries('d')) {
      this.#order = Math.max(this.#order, Number(id.slice(1)) + 1);
      try {
        const { v: _v, ...letter } = decode('dead letter', schema, bytes, LETTER_BYTES);
        this.#letters.set(id, { id, ...letter });
      } catch {
        this.#dropped++;
        await this.#disk.del(id);
      }
    }
  }

  /** Oldest first. */
  list(): readonly DeadLetter[] {
    return [...this.#letters.values()];
  }

  /** Letters that went for want of room, or were damaged. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Keeps a letter, synced. @throws DISK_FAILED. */
  async add(letter: Omit<DeadLetter, 'id'>): Promise<DeadLetter> {
    const id = `d${String(this.#order++).padStart(12, '0')}`;
    const reason = letter.reason.slice(0, REASON_CHARS);
    const kept: DeadLetter = { ...letter, id, reason };
    const gone = this.#superseded(kept);
    // Before the first await, so that letters that come together count each other.
    for (const old of gone) this.#letters.delete(old.id);
    this.#letters.set(id, kept);
    try {
      await this.#disk.batch(
        [
          { type: 'put', key: id, value: encode({ v: 1, ...letter, reason }) },
          ...gone.map((old) => ({ type: 'del', key: old.id }) as const),
        ],
        { sync: true },
      );
    } catch (thrown) {
      this.#letters.delete(id);
      for (const old of gone) this.#letters.set(old.id, old);
      throw thrown;
    }
    return kept;
  }

  /** @returns the letter that was there. @throws DISK_FAILED. */
  async drop(id: string): Promise<DeadLetter | undefined> {
    const letter = this.#letters.get(id);
    if (letter === undefined) return undefined;
    await this.#disk.del(id, { sync: true });
    this.#letters.delete(id);
    return letter;
  }

  #superseded(letter: Subject): readonly DeadLetter[] {
    const same = [...this.#letters.values()].filter((old) => idOf(old) === idOf(letter));
    if (same.length > 0) return same;
    const [oldest] = this.#letters.values();
    if (this.#letters.size < this.#limit || oldest === undefined) return [];
    this.#dropped++;
    return [oldest];
  }
}
