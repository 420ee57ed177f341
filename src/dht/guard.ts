/**
 * The datastore of libp2p, with a guard before every record that kad-dht writes or reads.
 *
 * kad-dht 16 stores whatever its validator lets through, the older value over the newer one, under
 * the key that stands inside the record, without any limit, and forgets a value 48 h after it came
 * (rpc/handlers/put-value.ts and get-value.ts there). Here every write below `<prefix>/record/`
 * passes namespace check, key binding, size, validation, quota and merge, one at a time per key; a
 * value is only ever replaced by one that contains it. Reads present records as just received, so
 * an immutable record never expires. Keys of others (peer store) pass through.
 * @module
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { Libp2pRecord } from '@libp2p/record';
import { LevelDatastore } from 'datastore-level';
import type { Batch, Key } from 'interface-datastore';
import { BoundedMap } from '../base/bounded.ts';
import type { Millis, PeerId } from '../base/brands.ts';
import { equalBytes, fromBase32 } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { KeyQueue } from '../base/key-queue.ts';
import { LIMITS } from '../base/limits.ts';
import type { Cancel, Clock, Logger } from '../base/ports.ts';
import type { Counters } from './counters.ts';
import { Listeners } from './listeners.ts';
import { type Charge, Quota } from './quota.ts';
import { datastoreKey, type Rule, type Rules, refusalOf, refused } from './rules.ts';
import type { Stored } from './store.ts';

/** Below this prefix kad-dht keeps records and providers in the datastore. */
export const KAD_PREFIX = '/dht';
const RECORDS = `${KAD_PREFIX}/record/`;
const PROVIDERS = `${KAD_PREFIX}/provider/`;
/** Records of which it is known when they came: some minutes of many signatures. */
const CAME = 16_384;
/** A provider record is a varint time under a multihash and a peer id. */
const PROVIDER_BYTES = 16;
const PROVIDER_KEY_BYTES = 256;

export interface GuardOptions {
  /** Sum of the stored records, their envelopes included. @default LIMITS.recordStoreBytes */
  readonly maxBytes?: number;
  /** Number of stored records. @default LIMITS.recordStoreRecords */
  readonly maxRecords?: number;
  /** Records with a limited life (probes), one per node. @default LIMITS.rosterMembers */
  readonly maxMortal?: number;
  /** @default 4096 */
  readonly maxProviders?: number;
}

export interface GuardDeps {
  readonly rules: Rules;
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: Counters;
  /**
   * What this node has for a key and has not brought to its place yet: served like what is stored,
   * so that a record can be read from the moment it exists. Valid and of the key's namespace.
   */
  readonly waiting?: (rule: Rule) => Uint8Array | undefined;
}

/** A slice of the held records, in datastore order. */
export interface Page {
  readonly keys: readonly Uint8Array[];
  /** Where the next slice begins; undefined after the last one. */
  readonly next: string | undefined;
}

/** Pass it to libp2p as `datastore`. The database stays its opener's to close. */
export class RecordGuard extends LevelDatastore {
  readonly #options: Required<GuardOptions>;
  readonly #deps: GuardDeps;
  readonly #turns = new KeyQueue();
  /** When each record with a limited life came, by the monotonic clock. */
  readonly #mortal = new Map<string, number>();
  /** When the last ones that stay came, if they were not here before. */
  readonly #came = new BoundedMap<string, Millis>(CAME);
  readonly #providers = new Set<string>();
  readonly #measured: Promise<void>;
  readonly #listeners: Listeners<Stored>;
  readonly #quota: Quota;
  /** Who sent what is being written, where a peer did. */
  readonly #sender = new AsyncLocalStorage<PeerId>();

  /** @param db open, keys `utf8`, values `view`. */
  constructor(db: LevelDatastore['db'], options: GuardOptions, deps: GuardDeps) {
    super(db);
    this.#options = {
      maxBytes: options.maxBytes ?? LIMITS.recordStoreBytes,
      maxRecords: options.maxRecords ?? LIMITS.recordStoreRecords,
      maxMortal: options.maxMortal ?? LIMITS.rosterMembers,
      maxProviders: options.maxProviders ?? 4_096,
    };
    this.#deps = deps;
    this.#quota = new Quota(this.#options);
    this.#listeners = new Listeners(deps.log);
    this.#measured = this.#measure();
    // Every write awaits it and reports its failure; without a write nobody would.
    this.#measured.catch(() => {});
  }

  /** Calls back after a new value of a record stands, whoever wrote it; probes are none. */
  onStored(listener: (stored: Stored) => void): Cancel {
    return this.#listeners.add(listener);
  }

  /** When a record came that was not here before; undefined when that is long ago. */
  cameAt(key: Uint8Array): Millis | undefined {
    return this.#came.get(datastoreKey(KAD_PREFIX, key));
  }

  /** Bytes of all stored records. */
  async usedBytes(): Promise<number> {
    await this.#measured;
    return this.#quota.bytes;
  }

  /** Stored records, probes included. */
  async records(): Promise<number> {
    await this.#measured;
    return this.#quota.records;
  }

  /** Whatever `work` writes was sent by `peer`, who is charged where a record names no writer. */
  sentBy<T>(peer: PeerId, work: () => T): T {
    return this.#sender.run(peer, work);
  }

  /**
   * Stores `value` merged with what stands.
   * @returns the value that stands now.
   * @throws BAD_MESSAGE when refused, DISK_FAILED.
   */
  async store(key: Uint8Array, value: Uint8Array): Promise<Uint8Array> {
    return this.#write(datastoreKey(KAD_PREFIX, key), key, value);
  }

  /** The stored value, not checked again, and what waits. @throws DISK_FAILED. */
  async load(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#withWaiting(key, (await this.#read(datastoreKey(KAD_PREFIX, key)))?.value);
  }

  /** Whether a value is stored: what only waits is not. @throws DISK_FAILED. */
  async isStored(key: Uint8Array): Promise<boolean> {
    return (await this.#read(datastoreKey(KAD_PREFIX, key))) !== undefined;
  }

  /** Removes a record. Only the probe's own key is ever dropped. */
  async drop(key: Uint8Array): Promise<void> {
    const at = datastoreKey(KAD_PREFIX, key);
    await this.#remove(at);
  }

  /** The keys of up to `limit` records that never expire, from `after` (`''`: the first) on. */
  async page(after: string, limit: number): Promise<Page> {
    const keys: Uint8Array[] = [];
    let seen = 0;
    let next: string | undefined;
    const range = { gt: after === '' ? RECORDS : after, lt: `${RECORDS}\xff`, limit };
    for await (const [at, raw] of this.db.iterator(range)) {
      const record = parse(raw);
      if (record !== undefined && !this.#isMortal(record.key)) keys.push(record.key);
      next = at;
      seen++;
    }
    return { keys, next: seen < limit ? undefined : next };
  }

  override async put(key: Key, value: Uint8Array): Promise<Key> {
    const at = key.toString();
    if (at.startsWith(RECORDS)) {
      const record = parse(value);
      if (record === undefined) throw this.#refuse(refused('key', 'malformed record'));
      if (datastoreKey(KAD_PREFIX, record.key) !== at) {
        throw this.#refuse(refused('key', 'the key inside the record is another one'));
      }
      await this.#write(at, record.key, record.value);
      return key;
    }
    if (at.startsWith(PROVIDERS)) await this.#admitProvider(at, value);
    return super.put(key, value);
  }

  /** Records are presented as received just now: kad-dht drops what is older than 48 h. */
  override async get(
    key: Key,
    options?: Parameters<LevelDatastore['get']>[1],
  ): Promise<Uint8Array> {
    const at = key.toString();
    if (!at.startsWith(RECORDS)) return super.get(key, options);
    const record = await this.#read(at);
    const asked = record?.key ?? fromBase32(at.slice(RECORDS.length));
    const value = this.#withWaiting(asked, record?.value);
    // Dead or damaged goes; super.get throws the error class that callers expect then.
    if (value === undefined) {
      await this.#remove(at);
      return super.get(key, options);
    }
    const now = new Date(this.#deps.clock.wallMs());
    return new Libp2pRecord(asked, value, now).serialize();
  }

  override async delete(key: Key): Promise<void> {
    const at = key.toString();
    if (at.startsWith(RECORDS)) return this.#remove(at);
    this.#providers.delete(at);
    await super.delete(key);
  }

  /** A batch would go round the checks; kad-dht does not use one. */
  override batch(): Batch {
    const inner = super.batch();
    const closed = (key: Key): void => {
      if (key.toString().startsWith(`${KAD_PREFIX}/`)) {
        throw new BzzzError('INTERNAL', 'records are not written in batches');
      }
    };
    return {
      put(key, value) {
        closed(key);
        inner.put(key, value);
      },
      delete(key) {
        closed(key);
        inner.delete(key);
      },
      commit: (options) => inner.commit(options),
    };
  }

  async #write(at: string, key: Uint8Array, value: Uint8Array): Promise<Uint8Array> {
    await this.#measured;
    try {
      const rule = this.#deps.rules.check(key, value);
      return await this.#turns.run(at, () => this.#mergeInto(at, rule, key, value));
    } catch (thrown) {
      throw this.#refuse(thrown);
    }
  }

  async #mergeInto(
    at: string,
    rule: Rule,
    key: Uint8Array,
    value: Uint8Array,
  ): Promise<Uint8Array> {
    const raw = await this.#raw(at);
    const standing = this.#standing(key, (await this.#read(at))?.value);
    const merged = standing === undefined ? value : this.#deps.rules.merge(rule, standing, value);
    if (standing !== undefined && equalBytes(merged, standing)) {
      this.#deps.counters.add('absorbed');
      return standing;
    }
    this.#admitMortal(at, rule);
    const time = new Date(this.#deps.clock.wallMs());
    const bytes = new Libp2pRecord(key, merged, time).serialize();
    const growth = bytes.length - (raw?.length ?? 0);
    // Reserved before the first await, so that two writes cannot both take the last bytes.
    const writers = rule.lifeMs === undefined ? this.#writersOf(rule, value) : [];
    const undo = this.#take({ writers, bytes: growth, records: raw === undefined ? 1 : 0 });
    try {
      await this.db.put(at, bytes);
    } catch (cause) {
      undo();
      throw new BzzzError('DISK_FAILED', 'a record could not be stored', { cause });
    }
    const now = this.#deps.clock.now();
    if (rule.lifeMs !== undefined) {
      this.#mortal.set(at, now);
      return merged;
    }
    if (raw === undefined) this.#came.set(at, now);
    this.#listeners.emit({ namespace: rule.namespace.name, suffix: rule.suffix });
    return merged;
  }

  #writersOf(rule: Rule, value: Uint8Array): readonly PeerId[] {
    const named = rule.namespace.writers?.(rule.suffix, value) ?? [];
    if (named.length > 0) return named;
    const sender = this.#sender.getStore();
    return sender === undefined ? [] : [sender];
  }

  #take(charge: Charge): () => void {
    try {
      return this.#quota.take(charge);
    } catch (thrown) {
      const of = thrown instanceof BzzzError ? String(thrown.details.quota) : '';
      this.#deps.counters.add(of.startsWith('writer') ? 'quotaWriter' : 'quotaTotal');
      throw thrown;
    }
  }

  /** A stored value that does not pass its check any more must not win a merge. */
  #standing(key: Uint8Array, value: Uint8Array | undefined): Uint8Array | undefined {
    if (value === undefined) return undefined;
    try {
      this.#deps.rules.check(key, value);
      return value;
    } catch {
      // Damage on the disk is no reason to refuse a good copy; it is counted and replaced.
      this.#deps.counters.add('localCorrupt');
      return undefined;
    }
  }

  /** Keeps the number of probes bounded: whoever may write could name any peer. */
  #admitMortal(at: string, rule: Rule): void {
    if (rule.lifeMs === undefined || this.#mortal.has(at)) return;
    if (this.#mortal.size < this.#options.maxMortal) return;
    const dead = [...this.#mortal].filter(([, came]) => this.#isDead(came, rule.lifeMs));
    if (dead.length === 0) throw refused('quota', 'too many probes at once');
    for (const [key] of dead) {
      this.#mortal.delete(key);
      this.#remove(key).catch(() => {
        // What stays on the disk is deleted by the next start.
        this.#deps.counters.add('localCorrupt');
      });
    }
  }

  #isDead(came: number, lifeMs: number | undefined): boolean {
    return lifeMs !== undefined && this.#deps.clock.now() - came >= lifeMs;
  }

  async #read(at: string): Promise<Libp2pRecord | undefined> {
    const raw = await this.#raw(at);
    const record = raw === undefined ? undefined : parse(raw);
    if (record === undefined || datastoreKey(KAD_PREFIX, record.key) !== at) return undefined;
    const came = this.#mortal.get(at);
    if (came !== undefined && this.#isDead(came, this.#deps.rules.of(record.key).lifeMs)) {
      return undefined;
    }
    return record;
  }

  #withWaiting(key: Uint8Array, stored: Uint8Array | undefined): Uint8Array | undefined {
    const { waiting, rules } = this.#deps;
    const rule = waiting === undefined ? undefined : this.#ruleOf(key);
    const more = rule === undefined ? undefined : waiting?.(rule);
    if (rule === undefined || more === undefined || stored === undefined) return stored ?? more;
    return rules.join(rule, stored, more);
  }

  /** undefined for keys of namespaces that this version does not know: anybody may ask for them. */
  #ruleOf(key: Uint8Array): Rule | undefined {
    try {
      return this.#deps.rules.of(key);
    } catch {
      return undefined;
    }
  }

  async #raw(at: string): Promise<Uint8Array | undefined> {
    try {
      return await this.db.get(at);
    } catch (cause) {
      throw new BzzzError('DISK_FAILED', 'a record could not be read', { cause });
    }
  }

  async #remove(at: string): Promise<void> {
    await this.#measured;
    await this.#turns.run(at, async () => {
      const raw = await this.#raw(at);
      if (raw === undefined) return;
      await this.db.del(at);
      this.#quota.adjust(-raw.length, -1);
      this.#mortal.delete(at);
    });
  }

  async #admitProvider(at: string, value: Uint8Array): Promise<void> {
    await this.#measured;
    const fits = value.length <= PROVIDER_BYTES && at.length <= PROVIDER_KEY_BYTES;
    const room = this.#providers.has(at) || this.#providers.size < this.#options.maxProviders;
    if (!fits || !room) {
      this.#deps.counters.add('providerRefused');
      throw new BzzzError('BAD_MESSAGE', 'provider record refused', {
        why: fits ? 'too many' : 'too large',
      });
    }
    this.#providers.add(at);
  }

  #refuse(thrown: unknown): unknown {
    const refusal = refusalOf(thrown);
    if (refusal !== undefined) this.#deps.counters.add(`refused.${refusal}`);
    return thrown;
  }

  /** Adds up what an earlier run left; its probes are dead by now. */
  async #measure(): Promise<void> {
    const range = { gt: `${KAD_PREFIX}/`, lt: `${KAD_PREFIX}/\xff` };
    for await (const [at, raw] of this.db.iterator(range)) {
      if (at.startsWith(PROVIDERS)) this.#providers.add(at);
      if (!at.startsWith(RECORDS)) continue;
      const record = parse(raw);
      if (record !== undefined && this.#isMortal(record.key)) await this.db.del(at);
      else this.#quota.adjust(raw.length, 1);
    }
  }

  #isMortal(key: Uint8Array): boolean {
    // A key of a namespace that this version does not know stays as it is, and counts.
    return this.#ruleOf(key)?.lifeMs !== undefined;
  }
}

/** A copy of the parts of a stored record; undefined unless it is one. */
function parse(raw: Uint8Array): Libp2pRecord | undefined {
  try {
    const record = Libp2pRecord.deserialize(raw);
    record.key = new Uint8Array(record.key);
    record.value = new Uint8Array(record.value);
    return record;
  } catch {
    // Bytes from a peer or a damaged disk; the caller refuses or ignores them.
    return undefined;
  }
}
