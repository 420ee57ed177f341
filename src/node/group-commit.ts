/**
 * Group commit: what is written while a write is under way goes to the disk with the next one.
 *
 * A write costs a change of threads, more than what LevelDB does with it, and on a busy machine the
 * one who writes waits for that thread. Of the six writes that a signature makes on each host most
 * come together.
 * @module
 */
import type { Database } from './fence.ts';

/** One change; the last one of a key in a group counts. */
type Change =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string };

interface Options {
  readonly sync?: boolean;
}

interface Request {
  readonly changes: readonly Change[];
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/** Writes requests in groups, in their order. */
class Groups {
  readonly #commit: (changes: readonly Change[], options: Options) => Promise<void>;
  #waiting: Request[] = [];
  #sync = false;
  #running: Promise<void> | undefined;

  constructor(commit: (changes: readonly Change[], options: Options) => Promise<void>) {
    this.#commit = commit;
  }

  /** Resolves when the changes are in the database; with `sync`, on the disk. */
  write(changes: readonly Change[], { sync = false }: Options): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ changes, done, failed });
      this.#sync ||= sync;
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // What is written in the same turn belongs to the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      const options = { sync: this.#sync };
      this.#waiting = [];
      this.#sync = false;
      await this.#write(group, options);
    }
    this.#running = undefined;
  }

  async #write(group: readonly Request[], options: Options): Promise<void> {
    const last = new Map<string, Change>();
    for (const { changes } of group) for (const change of changes) last.set(change.key, change);
    try {
      await this.#commit([...last.values()], options);
    } catch (error) {
      if (group.length === 1) {
        for (const { failed } of group) failed(error);
        return;
      }
      // One request may have spoilt it for the others: each gets a verdict of its own.
      for (const one of group) await this.#write([one], options);
      return;
    }
    for (const { done } of group) done();
  }
}

/**
 * Replaces `put`, `del` and `batch` of `db`, for whoever uses it.
 * @returns resolves when nothing waits to be written.
 */
export function commitInGroups(db: Database): () => Promise<void> {
  const batch = db.batch.bind(db) as (changes: Change[], options: Options) => Promise<void>;
  const groups = new Groups((changes, options) => batch([...changes], options));
  db.put = ((key: string, value: Uint8Array, options: Options = {}) =>
    groups.write([{ type: 'put', key, value }], options)) as Database['put'];
  db.del = ((key: string, options: Options = {}) =>
    groups.write([{ type: 'del', key }], options)) as Database['del'];
  db.batch = ((changes: readonly Change[], options: Options = {}) =>
    groups.write(changes, options)) as unknown as Database['batch'];
  return () => groups.idle();
}
