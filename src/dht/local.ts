/**
 * The `local` backend: what this node itself wrote, synced to disk before anything else happens to
 * it. It is the first step of every put, and all that is left when the network is not there.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { equalBytes, toHex } from '../base/bytes.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Clock, KeyValue, Random } from '../base/ports.ts';
import type { Counters } from './counters.ts';
import { nameOf, type Rule, type Rules } from './rules.ts';
import type {
  Found,
  GetOptions,
  HealthStatus,
  PutOptions,
  PutOutcome,
  RecordStore,
} from './store.ts';

export interface LocalDeps {
  readonly self: PeerId;
  /** A namespace of the embedded store of its own. Keys: `<namespace>/<suffix>`. */
  readonly journal: KeyValue;
  readonly rules: Rules;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
}

/** Not a record name, so it never meets one. */
const CHECK_KEY = '~check';

/** Records on this node's disk only: every put reaches `local`, and nothing more. */
export class LocalStore implements RecordStore {
  readonly #deps: LocalDeps;
  /** Writes, one after the other: a merge reads before it writes. */
  #tail: Promise<unknown> = Promise.resolve();
  #errors = 0;

  constructor(deps: LocalDeps) {
    this.#deps = deps;
  }

  /** @throws BAD_MESSAGE, NO_QUORUM (`require` above `local`), DISK_FAILED. */
  async put(
    namespace: string,
    suffix: string,
    value: Uint8Array,
    options: PutOptions = {},
  ): Promise<PutOutcome> {
    const { rules, self } = this.#deps;
    const key = rules.key(namespace, suffix);
    await this.write(key, value);
    const outcome: PutOutcome = { ack: 'local', holders: [self], pending: 0 };
    if (options.require === undefined || options.require === 'local') return outcome;
    throw new BzzzError('NO_QUORUM', `record ${namespace}/${suffix} is on this node only`, {
      why: 'the local backend does not replicate',
      details: { ...outcome, required: options.require },
    });
  }

  async get(namespace: string, suffix: string, _options?: GetOptions): Promise<Found | undefined> {
    const value = await this.read(this.#deps.rules.key(namespace, suffix));
    return value && { value, source: 'local', holders: [this.#deps.self] };
  }

  async probe(): Promise<HealthStatus> {
    const { clock } = this.#deps;
    const started = clock.now();
    let reason: string | undefined;
    try {
      await this.checkDisk();
    } catch (thrown) {
      this.#errors++;
      reason = toBzzzError(thrown).message;
    }
    return {
      component: 'dht',
      backend: 'mock',
      status: reason === undefined ? 'healthy' : 'failed',
      last_check: new Date(clock.wallMs()).toISOString(),
      error_count: this.#errors,
      latency_ms: clock.now() - started,
      ...(reason === undefined ? {} : { reason }),
    };
  }

  /**
   * Journals `value` merged with what stands, synced.
   * @returns what stands now.
   * @throws BAD_MESSAGE, DISK_FAILED.
   */
  async write(key: Uint8Array, value: Uint8Array): Promise<Uint8Array> {
    const rule = this.#deps.rules.check(key, value);
    const run = this.#tail.then(() => this.#mergeInto(rule, value));
    // The failure goes to the caller of this write, not to the next one.
    this.#tail = run.catch(() => {});
    return run;
  }

  /** The valid journalled value; a damaged one is counted and not returned. @throws DISK_FAILED. */
  async read(key: Uint8Array): Promise<Uint8Array | undefined> {
    const { journal, rules, counters } = this.#deps;
    const value = await journal.get(nameOf(rules.of(key)));
    if (value === undefined) return undefined;
    try {
      rules.check(key, value);
    } catch {
      counters.add('localCorrupt');
      return undefined;
    }
    return new Uint8Array(value);
  }

  /** Whether the journal has the key, valid or not. */
  async has(key: Uint8Array): Promise<boolean> {
    const { journal, rules } = this.#deps;
    return (await journal.get(nameOf(rules.of(key)))) !== undefined;
  }

  /** Keys of all journalled records whose namespace is known. */
  async keys(): Promise<readonly Uint8Array[]> {
    const { journal, rules, counters } = this.#deps;
    const keys: Uint8Array[] = [];
    for await (const [name] of journal.entries()) {
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
    const { journal, random } = this.#deps;
    const value = random.bytes(16);
    await journal.put(CHECK_KEY, value, { sync: true });
    const back = await journal.get(CHECK_KEY);
    await journal.del(CHECK_KEY);
    if (back !== undefined && equalBytes(back, value)) return;
    throw new BzzzError('DISK_FAILED', 'the disk gave back other bytes than were written', {
      why: `wrote ${toHex(value)}, read ${back === undefined ? 'nothing' : toHex(back)}`,
    });
  }

  async #mergeInto(rule: Rule, value: Uint8Array): Promise<Uint8Array> {
    const { journal, rules } = this.#deps;
    const standing = await this.read(rules.key(rule.namespace.name, rule.suffix));
    const merged = standing === undefined ? value : rules.merge(rule, standing, value);
    if (standing !== undefined && equalBytes(merged, standing)) return standing;
    await journal.put(nameOf(rule), merged, { sync: true });
    return merged;
  }
}
