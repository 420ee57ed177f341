/**
 * Care for records that stand already: each is asked for at the members that should hold it, and
 * brought there where it is missing. The background work of the `dht` backend goes through here.
 * @module
 */
import type { Copies } from './copies.ts';
import type { Counters } from './counters.ts';
import type { Page, RecordGuard } from './guard.ts';
import type { Journal } from './journal.ts';
import type { OwnCopies } from './own-copies.ts';
import type { Replicator } from './replicate.ts';
import { nameOf, type Rules } from './rules.ts';

export interface UpkeepDeps {
  readonly guard: RecordGuard;
  readonly journal: Journal;
  readonly own: OwnCopies;
  readonly copies: Copies;
  readonly rules: Rules;
  readonly counters: Counters;
  /** Where records go whose copies could not be completed. */
  readonly replicator: () => Replicator;
  /** For one record. */
  readonly timeoutMs: number;
}

/** Records of one slice. */
const SLICE = 32;
/** Where a pass stands among the journalled records; datastore keys begin with `/`. */
const JOURNAL = 'journal:';

/** Slices of a pass, and the copies of single records. */
export class Upkeep {
  readonly #deps: UpkeepDeps;
  /** Those that the pass under way found in the journal alone. */
  #journalled: readonly Uint8Array[] = [];

  constructor(deps: UpkeepDeps) {
    this.#deps = deps;
  }

  /** @returns how many copies were read back; undefined when this node no longer has the record. */
  async ensure(key: Uint8Array, signal: AbortSignal): Promise<number | undefined> {
    const { own, copies, timeoutMs } = this.#deps;
    const value = await own.read(key);
    if (value === undefined) return undefined;
    return (await copies.make(key, value, 'ask', timeoutMs, signal)).length;
  }

  /** @returns whether all wanted copies are there. */
  async complete(key: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const reached = await this.ensure(key, signal);
    return reached === undefined || reached >= this.#deps.copies.need().copies;
  }

  /**
   * Republishes one slice: the records that only the journal has first, then what is held.
   * @param from '' at the beginning of a pass.
   * @returns where the next slice begins; undefined after the last.
   */
  async republish(from: string, signal: AbortSignal): Promise<string | undefined> {
    if (from === '') this.#journalled = await this.journalled();
    if (from === '' || from.startsWith(JOURNAL)) {
      const at = from === '' ? 0 : Number(from.slice(JOURNAL.length));
      await this.#all(this.#journalled.slice(at, at + SLICE), signal);
      if (at + SLICE < this.#journalled.length) return `${JOURNAL}${at + SLICE}`;
      this.#journalled = [];
      if (from !== '') return '/';
    }
    const { keys, next } = await this.page(from === '/' ? '' : from);
    await this.#all(keys, signal);
    return next;
  }

  page(after: string): Promise<Page> {
    return this.#deps.guard.page(after, SLICE);
  }

  /** Journalled records that the guard does not hold: the rest is met among the held ones. */
  async journalled(): Promise<readonly Uint8Array[]> {
    const missing: Uint8Array[] = [];
    for (const key of await this.#deps.journal.keys()) {
      if ((await this.#deps.guard.load(key)) === undefined) missing.push(key);
    }
    return missing;
  }

  async #all(keys: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const { counters, rules, replicator } = this.#deps;
    for (const key of keys) {
      if (signal.aborted) return;
      if (await this.complete(key, signal)) counters.add('republished');
      else replicator().add(nameOf(rules.of(key)), key);
    }
  }
}
