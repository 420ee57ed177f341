/**
 * Who led when, as this node saw it: for display and for the score's experience. Bounded, and not
 * synced: a crash may lose the newest line and nothing depends on it.
 * @module
 */
import { z } from 'zod';

import { decode, encode, field } from '../base/codec.ts';
import { toBzzzError } from '../base/errors.ts';
import type { Clock, KeyValue, Logger } from '../base/ports.ts';
import type { Leadership, Trigger } from './types.ts';

/** One leadership; wall clock in ms. */
export interface TermRecord extends Leadership {
  readonly since: number;
  /** null while it lasts. */
  readonly until: number | null;
  /** Why the one before had ended. */
  readonly trigger: Trigger;
}

const KEPT = 256;
const RECORD_BYTES = 512;
const TRIGGERS = [
  ...(['start', 'timeout', 'closed', 'discovery'] as const),
  ...(['split-brain', 'quorum', 'manual', 'transfer'] as const),
] satisfies readonly Trigger[];

const schema = z.strictObject({
  term: field.term,
  leader: field.peerId,
  since: field.uint,
  until: field.uint.nullable(),
  trigger: z.enum(TRIGGERS),
});

/** Terms have at most ten digits here, so that key order is their order. */
const keyOf = (record: TermRecord): string => String(record.term).padStart(10, '0');

export interface HistoryDeps {
  /** A namespace of its own. */
  readonly store: KeyValue;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Oldest first in memory and on the disk. */
export class TermHistory {
  readonly #deps: HistoryDeps;
  #records: TermRecord[];
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(records: TermRecord[], deps: HistoryDeps) {
    this.#records = records;
    this.#deps = deps;
  }

  /** A line that is damaged is left out and logged. */
  static async open(deps: HistoryDeps): Promise<TermHistory> {
    const records: TermRecord[] = [];
    for await (const [key, bytes] of deps.store.entries()) {
      try {
        records.push(decode('term', schema, bytes, RECORD_BYTES));
      } catch (thrown) {
        const { message } = toBzzzError(thrown);
        deps.logger.warn({ key, message }, 'left a damaged line of the term history out');
      }
    }
    const history = new TermHistory(records.slice(-KEPT), deps);
    // A run that was killed could not say when it saw its leader last.
    history.end();
    return history;
  }

  /** Newest first. */
  get records(): readonly TermRecord[] {
    return this.#records.toReversed();
  }

  /** Somebody leads. The same leader in the same term goes on with its line. */
  begin({ leader, term }: Leadership, trigger: Trigger): void {
    const now = this.#deps.clock.wallMs();
    const last = this.#records.at(-1);
    if (last?.term === term && last.leader === leader) {
      if (last.until !== null) this.#put({ ...last, until: null });
      return;
    }
    this.end();
    this.#put({ term, leader, since: now, until: null, trigger });
  }

  /** Nobody leads, as far as this node knows. */
  end(): void {
    const last = this.#records.at(-1);
    if (last?.until !== null || last === undefined) return;
    this.#put({ ...last, until: Math.max(last.since, this.#deps.clock.wallMs()) });
  }

  /** Resolves when everything so far was handed to the disk. */
  async flush(): Promise<void> {
    await this.#tail;
  }

  #put(record: TermRecord): void {
    const { store, logger } = this.#deps;
    const kept = this.#records.filter(({ term }) => term !== record.term);
    const gone = kept.splice(0, Math.max(0, kept.length + 1 - KEPT));
    this.#records = [...kept, record];
    this.#tail = this.#tail
      .then(() =>
        store.batch([
          ...gone.map((old) => ({ type: 'del', key: keyOf(old) }) as const),
          { type: 'put', key: keyOf(record), value: encode(record) },
        ]),
      )
      .catch((error: unknown) => {
        logger.warn({ error: toBzzzError(error).toShape() }, 'the term history was not written');
      });
  }
}
