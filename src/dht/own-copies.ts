/**
 * What this node itself has of a record: what it wrote (journal) and what it holds for others
 * (guard). Every backend reads this first, and the local one nothing else.
 * @module
 */
import { equalBytes } from '../base/bytes.ts';
import type { Cancel } from '../base/ports.ts';
import type { Counters } from './counters.ts';
import type { RecordGuard } from './guard.ts';
import type { Journal } from './journal.ts';
import type { Rules } from './rules.ts';
import type { Stored } from './store.ts';

export interface OwnCopiesDeps {
  readonly journal: Journal;
  readonly guard: Pick<RecordGuard, 'load' | 'onStored'>;
  readonly rules: Rules;
  readonly counters: Counters;
}

/** Both copies as one. */
export class OwnCopies {
  readonly #deps: OwnCopiesDeps;

  constructor(deps: OwnCopiesDeps) {
    this.#deps = deps;
  }

  /** The union of both; a damaged one is counted and left out. @throws DISK_FAILED. */
  async read(key: Uint8Array): Promise<Uint8Array | undefined> {
    const { rules, journal, guard, counters } = this.#deps;
    const [own, held] = await Promise.all([journal.read(key), guard.load(key)]);
    if (held === undefined || (own !== undefined && equalBytes(own, held))) return own;
    let rule: ReturnType<Rules['check']>;
    try {
      rule = rules.check(key, held);
    } catch {
      counters.add('localCorrupt');
      return own;
    }
    return own === undefined ? held : rules.join(rule, own, held);
  }

  /** Calls back after a new value stands in either. */
  subscribe(listener: (stored: Stored) => void): Cancel {
    const ends = [this.#deps.journal.onStored(listener), this.#deps.guard.onStored(listener)];
    return () => {
      for (const end of ends) end();
    };
  }
}
