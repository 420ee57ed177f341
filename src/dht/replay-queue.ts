/**
 * What the network still has to be told: names only, since the journal has the values. One entry a
 * subject, in the order of its first write; durable, bounded.
 *
 * ```
 * q<order, 12 digits>   {v: 1, kind, name, attempts}
 * overflow              the name after which the journal must be looked through; '' is all of it
 * ```
 *
 * When it is full, or the disk refuses, the write stays in the journal alone and the overflow mark
 * says that the journal has more than the queue: nothing is lost, it only takes longer.
 * @module
 */
import { z } from 'zod';
import { utf8Bytes } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import type { KeyValue } from '../base/ports.ts';
import { idOf, type Subject } from './hybrid-types.ts';

/** One subject in line. */
export interface Waiting extends Subject {
  /** How often the network was healthy and did not take it. */
  readonly attempts: number;
  /** Grows with each write of the subject: an entry ends only for the write that was replayed. */
  readonly mark: number;
}

interface Entry extends Waiting {
  readonly key: string;
  /** Monotonic instant before which it is not tried again. */
  readonly dueAt: number;
}

/** The journal has more than the queue. */
export interface Overflow {
  /** The name after which to look for it; '' is from the beginning. */
  readonly after: string;
  readonly mark: number;
}

const ENTRY_BYTES = 512;
const OVERFLOW = 'overflow';
const schema = z.strictObject({
  v: z.literal(1),
  kind: z.enum(['put', 'provide']),
  name: field.text(256),
  attempts: field.uint,
});

/** Call `open` before anything else. */
export class ReplayQueue {
  readonly #disk: KeyValue;
  readonly #limit: number;
  readonly #entries = new Map<string, Entry>();
  #order = 0;
  #marks = 0;
  #dropped = 0;
  #overflow: Overflow | undefined;

  /** @param disk a namespace of its own. @param limit subjects at most. */
  constructor(disk: KeyValue, limit: number) {
    this.#disk = disk;
    this.#limit = limit;
  }

  /** Reads what an earlier run left; a damaged entry becomes an overflow. @throws DISK_FAILED. */
  async open(): Promise<void> {
    let damaged = false;
    for await (const [key, bytes] of this.#disk.entries('q')) {
      this.#order = Math.max(this.#order, Number(key.slice(1)) + 1);
      try {
        const { kind, name, attempts } = decode('queue entry', schema, bytes, ENTRY_BYTES);
        const entry = { kind, name, attempts, key, dueAt: 0, mark: this.#marks++ };
        this.#entries.set(idOf(entry), entry);
      } catch {
        // What it was for is in the journal.
        damaged = true;
        await this.#disk.del(key);
      }
    }
    const stored = await this.#disk.get(OVERFLOW);
    if (damaged) await this.#setOverflow('');
    else if (stored !== undefined) {
      this.#overflow = { after: Buffer.from(stored).toString('utf8'), mark: this.#marks++ };
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Writes that found no place. */
  get dropped(): number {
    return this.#dropped;
  }

  get hasRoom(): boolean {
    return this.#entries.size < this.#limit;
  }

  /** Whether looking through the journal is worth while: it costs as much for one as for many. */
  get hasMuchRoom(): boolean {
    return this.#entries.size * 2 <= this.#limit;
  }

  /** undefined when the queue has everything. */
  get overflow(): Overflow | undefined {
    return this.#overflow;
  }

  /** The mark of a subject in line. */
  markOf(subject: Subject): number | undefined {
    return this.#entries.get(idOf(subject))?.mark;
  }

  /**
   * Puts a subject in line, synced; one that is there keeps its place.
   * @param sync false for what can be had again.
   * @returns false when it was full. @throws DISK_FAILED; then, too, the overflow is noted.
   */
  async add({ kind, name }: Subject, sync = true): Promise<boolean> {
    const id = idOf({ kind, name });
    const known = this.#entries.get(id);
    if (known !== undefined) {
      this.#entries.set(id, { ...known, mark: this.#marks++ });
      return true;
    }
    if (!this.hasRoom) {
      this.#dropped++;
      await this.#setOverflow('');
      return false;
    }
    const key = `q${String(this.#order++).padStart(12, '0')}`;
    const entry: Entry = { kind, name, attempts: 0, key, dueAt: 0, mark: this.#marks++ };
    this.#entries.set(id, entry);
    try {
      await this.#save(entry, sync);
      return true;
    } catch (thrown) {
      // Gone from the line, still in the journal: where the sweep will find it.
      this.#entries.delete(id);
      this.#dropped++;
      this.#overflow = { after: '', mark: this.#marks++ };
      throw thrown;
    }
  }

  /** Up to `max` that are due, in order of place. */
  due(now: number, max: number): readonly Waiting[] {
    const found: Waiting[] = [];
    for (const entry of this.#entries.values()) {
      if (found.length >= max) break;
      if (entry.dueAt <= now) found.push(entry);
    }
    return found;
  }

  /** When the next one is due; undefined when nothing waits. */
  nextAt(): number | undefined {
    let next: number | undefined;
    for (const { dueAt } of this.#entries.values()) {
      if (next === undefined || dueAt < next) next = dueAt;
    }
    return next;
  }

  /** Ends an entry, unless its subject was written again since `mark`. @throws DISK_FAILED. */
  async settle(subject: Subject, mark: number): Promise<boolean> {
    const id = idOf(subject);
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.mark !== mark) return false;
    this.#entries.delete(id);
    // Not synced: an entry that comes back after a crash is replayed once more, and that is all.
    await this.#disk.del(entry.key);
    return true;
  }

  /** Waits until `dueAt`; a counted attempt is written down. @throws DISK_FAILED. */
  async postpone(subject: Subject, dueAt: number, counts: boolean): Promise<void> {
    const entry = this.#entries.get(idOf(subject));
    if (entry === undefined) return;
    const later = { ...entry, attempts: entry.attempts + (counts ? 1 : 0), dueAt };
    this.#entries.set(idOf(subject), later);
    if (counts) await this.#save(later, false);
  }

  /**
   * The journal was looked through up to `name`; undefined: to its end.
   * @param mark of the overflow that was looked for: one that came since is not forgotten.
   */
  async sweptTo(name: string | undefined, mark: number): Promise<void> {
    if (this.#overflow?.mark !== mark) return;
    if (name !== undefined) return this.#setOverflow(name);
    this.#overflow = undefined;
    await this.#disk.del(OVERFLOW);
  }

  /** A mark that is there already is not written again; only its number changes. */
  async #setOverflow(after: string): Promise<void> {
    const known = this.#overflow?.after === after;
    this.#overflow = { after, mark: this.#marks++ };
    if (!known) await this.#disk.put(OVERFLOW, utf8Bytes(after), { sync: true });
  }

  #save({ key, kind, name, attempts }: Entry, sync: boolean): Promise<void> {
    return this.#disk.put(key, encode({ v: 1, kind, name, attempts }), { sync });
  }
}
