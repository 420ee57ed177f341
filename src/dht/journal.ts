/**
 * The journal: what this node itself wrote, synced to disk before anything else happens to it. It
 * is the first step of every put of every backend, and all that is left without a network.
 *
 * One journal for a database: it alone keeps two merges of one key apart.
 * @module
 */
import { equalBytes, toHex } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { KeyQueue } from '../base/key-queue.ts';
import type { Cancel, KeyValue, Logger, Random } from '../base/ports.ts';
import type { Counters } from './counters.ts';
import { Listeners } from './listeners.ts';
import { nameOf, type Rule, type Rules } from './rules.ts';
import type { Stored } from './store.ts';

export interface JournalDeps {
  /** A namespace of the embedded store of its own. Keys: `<namespace>/<suffix>`. */
  readonly disk: KeyValue;
  readonly rules: Rules;
  readonly random: Random;
  readonly log: Logger;
  readonly counters: Counters;
}

/** Not a record name, so it never meets one. */
const CHECK_KEY = '~check';
/** Bytes of the values that wait for the disk; more are refused. */
const MAX_WAITING_BYTES = 64 * 1_048_576;

/** What this node wrote. Writes of one key are made one after the other, others side by side. */
export class Journal {
  readonly #deps: JournalDeps;
  /** By key, for a merge reads before it writes. */
  readonly #turns = new KeyQueue();
  readonly #listeners: Listeners<Stored>;
  #waitingBytes = 0;

  constructor(deps: JournalDeps) {
    this.#deps = deps;
    this.#listeners = new Listeners(deps.log);
  }

  /**
   * Journals `value` merged with what stands, synced and read back.
   * @returns what stands now.
   * @throws BAD_MESSAGE; DISK_FAILED; BUSY when the disk is too slow for all that waits.
   */
  async write(key: Uint8Array, value: Uint8Array): Promise<Uint8Array> {
    const rule = this.#deps.rules.check(key, value);
    if (this.#waitingBytes + value.length > MAX_WAITING_BYTES) {
      throw new BzzzError('BUSY', 'too many records are waiting for the disk', {
        hint: 'try again in a moment',
        details: { waitingBytes: this.#waitingBytes },
      });
    }
    this.#waitingBytes += value.length;
    // The caller's bytes were checked as they are now, and may be a view into another's buffer.
    const checked = new Uint8Array(value);
    try {
      return await this.#turns.run(nameOf(rule), () => this.#mergeInto(rule, checked));
    } finally {
      this.#waitingBytes -= value.length;
    }
  }

  /** The valid journalled value; a damaged one is counted and not returned. @throws DISK_FAILED. */
  async read(key: Uint8Array): Promise<Uint8Array | undefined> {
    const { disk, rules } = this.#deps;
    return this.#valid(key, await disk.get(nameOf(rules.of(key))));
  }

  /** Keys of all journalled records whose namespace is known. @throws DISK_FAILED. */
  async keys(): Promise<readonly Uint8Array[]> {
    const { disk, rules, counters } = this.#deps;
    const keys: Uint8Array[] = [];
    for await (const [name] of disk.entries()) {
      const slash = name.indexOf('/');
      if (slash < 0) continue;
      try {
        keys.push(rules.key(name.slice(0, slash), name.slice(slash + 1)));
      } catch {
        // One odd name must not keep all others from being republished.
        counters.add('localCorrupt');
      }
    }
    return keys;
  }

  /** Writes, reads and drops a value, synced. @throws DISK_FAILED. */
  async checkDisk(): Promise<void> {
    const { disk, random } = this.#deps;
    await this.#turns.run(CHECK_KEY, async () => {
      const value = random.bytes(16);
      await disk.put(CHECK_KEY, value, { sync: true });
      const back = await disk.get(CHECK_KEY);
      await disk.del(CHECK_KEY);
      requireSame(value, back);
    });
  }

  /** Calls back after a new value of a record stands. */
  onStored(listener: (stored: Stored) => void): Cancel {
    return this.#listeners.add(listener);
  }

  /** A copy of what the disk gave back, if it is still what was written. */
  #valid(key: Uint8Array, raw: Uint8Array | undefined): Uint8Array | undefined {
    const { rules, counters } = this.#deps;
    if (raw === undefined) return undefined;
    try {
      rules.check(key, raw);
    } catch {
      counters.add('localCorrupt');
      return undefined;
    }
    return new Uint8Array(raw);
  }

  async #mergeInto(rule: Rule, value: Uint8Array): Promise<Uint8Array> {
    const { disk, rules } = this.#deps;
    const { namespace, suffix } = rule;
    const raw = await disk.get(nameOf(rule));
    // A put of the network follows one of the journal: the same bytes need no second proof.
    if (raw !== undefined && equalBytes(raw, value)) return value;
    const standing = this.#valid(rules.key(namespace.name, suffix), raw);
    const merged = standing === undefined ? value : rules.merge(rule, standing, value);
    if (standing !== undefined && equalBytes(merged, standing)) return standing;
    await disk.put(nameOf(rule), merged, { sync: true });
    requireSame(merged, await disk.get(nameOf(rule)));
    this.#listeners.emit({ namespace: namespace.name, suffix });
    return merged;
  }
}

function requireSame(written: Uint8Array, back: Uint8Array | undefined): void {
  if (back !== undefined && equalBytes(back, written)) return;
  const shown = (bytes: Uint8Array): string => `${bytes.length} bytes ${toHex(bytes.slice(0, 16))}`;
  throw new BzzzError('DISK_FAILED', 'the disk gave back other bytes than were written', {
    why: `wrote ${shown(written)}, read ${back === undefined ? 'nothing' : shown(back)}`,
  });
}
