/**
 * Every key that this node knows: its own and, learned from other members, everybody's. A key is
 * known by its verified certificate and by nothing less, in the newest epoch that is known here.
 * @module
 */
import { z } from 'zod';
import type { KeyId, PeerId, SessionId } from '../../base/brands.ts';
import { equalBytes } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel, KeyValue, Logger } from '../../base/ports.ts';
import type { KeyInfo } from '../types.ts';
import type { Certified } from './certificate.ts';
import { RETIREMENT_BYTES, type RetirableKey, type Retirement } from './retirement.ts';

/** A known key. The same `key` object is handed out every time, so that caches may hang on it. */
export interface KeyEntry {
  readonly key: KeyInfo;
  /** Of the newest epoch, with the links before it that it needs. */
  readonly certificate: Uint8Array;
  /** What the next epoch's proposal names as the one before. */
  readonly hash: Uint8Array;
  /** The newest link of the certificate alone. */
  readonly newest: Uint8Array;
  /** The key in earlier epochs, oldest first. */
  readonly history: readonly KeyInfo[];
  /** Who proposed the key generation. */
  readonly creator: PeerId;
  /** That nobody shall use it again; undefined for a key in use. */
  readonly retirement: Retirement | undefined;
  /** Wall clock when this node stored the newest epoch. */
  readonly sinceMs: number;
  /** Wall clock at its creation; null when this node took no part in it. */
  readonly createdAtMs: number | null;
}

export interface KeyringDeps {
  readonly kv: KeyValue;
  readonly wallMs: () => number;
  /** Recomputes a certificate. @throws BAD_MESSAGE. */
  readonly verify: (certificate: Uint8Array) => Certified;
  /** Adds the link of the next epoch. @throws BAD_MESSAGE, TOO_LARGE. */
  /** Opens a retirement. @throws BAD_MESSAGE. */
  readonly retire: (envelope: Uint8Array, known: RetirableKey) => Retirement;
  readonly extend: (certificate: Uint8Array, link: Uint8Array) => Uint8Array;
  readonly logger: Logger;
}

const storedSchema = z.strictObject({
  v: z.literal(1),
  certificate: field.bytesUpTo(LIMITS.recordBytes),
  createdAtMs: field.uint.nullable(),
  sinceMs: field.uint,
  retirement: field.bytesUpTo(RETIREMENT_BYTES).nullable(),
});

/** Certificates by key id and by name. */
export class Keyring {
  readonly #deps: KeyringDeps;
  readonly #entries = new Map<KeyId, KeyEntry>();
  readonly #bySession = new Map<SessionId, KeyId>();
  readonly #listeners = new Set<(entry: KeyEntry) => void>();

  private constructor(deps: KeyringDeps) {
    this.#deps = deps;
  }

  /** Verifies every stored certificate again. One that fails is logged and left out. */
  static async open(deps: KeyringDeps): Promise<Keyring> {
    const ring = new Keyring(deps);
    for await (const [keyId, bytes] of deps.kv.entries('c/')) {
      try {
        const stored = decode('key', storedSchema, bytes, 2 * LIMITS.recordBytes);
        const { certificate, createdAtMs, sinceMs, retirement } = stored;
        const times = { createdAtMs, sinceMs };
        const entry = entryOf(deps.verify(certificate), certificate, times);
        ring.#set(retirement === null ? entry : ring.#retired(entry, retirement));
      } catch (error) {
        // A damaged certificate can be fetched again from any member; the others still count.
        deps.logger.error({ keyId, error: String(error) }, 'a stored certificate is damaged');
      }
    }
    return ring;
  }

  /**
   * Adds a certificate, durably. A later epoch takes the place of an earlier one; two valid
   * certificates of one epoch prove the same.
   * @param createdAtMs when this node took part in making it.
   * @returns the key, and whether it or its epoch was new.
   * @throws BAD_MESSAGE unless it verifies; TOO_LARGE when the ring is full; CONFLICT when another
   * certificate of that epoch is known: whoever signed both broke the protocol.
   */
  async add(
    certificate: Uint8Array,
    createdAtMs: number | null = null,
  ): Promise<{ readonly entry: KeyEntry; readonly added: boolean }> {
    const certified = this.#deps.verify(certificate);
    const key = certified.keyInfo;
    const known = this.#entries.get(key.keyId);
    if (known !== undefined && key.epoch > known.key.epoch) {
      const { retirement } = known;
      const times = { createdAtMs: known.createdAtMs, sinceMs: this.#deps.wallMs() };
      return this.#renew({ ...entryOf(certified, certificate, times), retirement });
    }
    if (known !== undefined) {
      this.#checkFork(known, certified);
      // A party may have learned the certificate from another before its own session ended.
      if (known.createdAtMs === null && createdAtMs !== null) {
        const entry = { ...known, createdAtMs };
        await this.#store(entry);
        this.#set(entry);
        return { entry, added: false };
      }
      return { entry: known, added: false };
    }
    if (this.#entries.size >= LIMITS.keys) {
      throw new BzzzError('TOO_LARGE', `more than ${LIMITS.keys} keys`, {
        hint: 'a cluster holds no more keys in this version',
      });
    }
    const times = { createdAtMs, sinceMs: this.#deps.wallMs() };
    const entry = entryOf(certified, certificate, times);
    // In the map before the first await, so that two calls at once add it once.
    this.#set(entry);
    try {
      await this.#store(entry);
    } catch (error) {
      this.#entries.delete(key.keyId);
      this.#bySession.delete(key.sid);
      throw error;
    }
    for (const listener of this.#listeners) listener(entry);
    return { entry, added: true };
  }

  /**
   * Notes that a key was retired, durably; the first word counts.
   * @throws NOT_FOUND for an unknown key; BAD_MESSAGE unless its author may.
   */
  async retire(keyId: KeyId, envelope: Uint8Array): Promise<KeyEntry> {
    const known = this.#entries.get(keyId);
    if (known === undefined) throw new BzzzError('NOT_FOUND', `key ${keyId} is not known`);
    if (known.retirement !== undefined) return known;
    const entry = this.#retired(known, envelope);
    await this.#store(entry);
    this.#set(entry);
    for (const listener of this.#listeners) listener(entry);
    return entry;
  }

  #retired(entry: KeyEntry, envelope: Uint8Array): KeyEntry {
    return { ...entry, retirement: this.#deps.retire(envelope, entry) };
  }

  /**
   * Adds the link of the epoch after the known one, durably.
   * @throws NOT_FOUND for an unknown key; BAD_MESSAGE unless it follows; what {@link add} throws.
   */
  async follow(
    keyId: KeyId,
    link: Uint8Array,
  ): Promise<{ readonly entry: KeyEntry; readonly added: boolean }> {
    const known = this.#entries.get(keyId);
    if (known === undefined) throw new BzzzError('NOT_FOUND', `key ${keyId} is not known`);
    if (equalBytes(known.newest, link)) return { entry: known, added: false };
    return this.add(this.#deps.extend(known.certificate, link));
  }

  byId(keyId: KeyId): KeyEntry | undefined {
    return this.#entries.get(keyId);
  }

  /** The key that a session dealt, in its newest epoch. */
  bySession(sid: SessionId): KeyEntry | undefined {
    const keyId = this.#bySession.get(sid);
    return keyId === undefined ? undefined : this.#entries.get(keyId);
  }

  /** All keys of this name: more than one after two partitions used it at once. */
  byName(name: string): readonly KeyEntry[] {
    return this.list().filter(({ key }) => key.name === name);
  }

  /**
   * Looks up a name or a key id.
   * @throws NOT_FOUND; CONFLICT when two keys have the name: signing with either would be a guess.
   */
  get(nameOrId: string): KeyEntry {
    const byId = this.#entries.get(nameOrId as KeyId);
    if (byId !== undefined) return byId;
    const [entry, ...more] = this.byName(nameOrId);
    if (entry === undefined) {
      throw new BzzzError('NOT_FOUND', `no key ${nameOrId}`, { hint: 'see `bzzz key ls`' });
    }
    if (more.length > 0) {
      const keyIds = [entry, ...more].map(({ key }) => key.keyId);
      throw new BzzzError('CONFLICT', `${keyIds.length} keys are named ${nameOrId}`, {
        why: keyIds.join(', '),
        hint: 'give the key id instead of the name',
        details: { keyIds },
      });
    }
    return entry;
  }

  async #store(entry: KeyEntry): Promise<void> {
    const { key, certificate, createdAtMs, sinceMs } = entry;
    const retirement = entry.retirement?.envelope ?? null;
    const stored = encode({ v: 1, certificate, createdAtMs, sinceMs, retirement });
    await this.#deps.kv.put(`c/${key.keyId}`, stored, { sync: true });
  }

  /** On the disk before it counts: the share of the epoch before goes only after that (K2). */
  async #renew(entry: KeyEntry): Promise<{ readonly entry: KeyEntry; readonly added: boolean }> {
    await this.#store(entry);
    const now = this.#entries.get(entry.key.keyId);
    if (now !== undefined && now.key.epoch >= entry.key.epoch) return { entry: now, added: false };
    this.#set(entry);
    for (const listener of this.#listeners) listener(entry);
    return { entry, added: true };
  }

  #checkFork(known: KeyEntry, other: Certified): void {
    if (known.key.epoch !== other.keyInfo.epoch || equalBytes(known.hash, other.hash)) return;
    const { name, keyId, epoch } = known.key;
    this.#deps.logger.error({ keyId, epoch }, 'two certificates of one epoch');
    throw new BzzzError('CONFLICT', `key ${name} has two certificates of epoch ${epoch}`, {
      details: { keyId, epoch, sessionIds: [known.key.sid, other.keyInfo.sid] },
    });
  }

  #set(entry: KeyEntry): void {
    const { keyId } = entry.key;
    this.#entries.set(keyId, entry);
    for (const { sid } of [...entry.history, entry.key]) this.#bySession.set(sid, keyId);
  }

  /** By name, then key id. */
  list(): readonly KeyEntry[] {
    const order = ({ key }: KeyEntry): string => `${key.name}\0${key.keyId}`;
    return [...this.#entries.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  }

  /** Calls back with each new key, each new epoch of one, and each retirement. */
  onChange(listener: (entry: KeyEntry) => void): Cancel {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

const entryOf = (
  { keyInfo, hash, newest, history, creator }: Certified,
  certificate: Uint8Array,
  times: Pick<KeyEntry, 'createdAtMs' | 'sinceMs'>,
): KeyEntry => ({
  ...{ key: keyInfo, hash, newest, history, creator, ...times, retirement: undefined },
  certificate: new Uint8Array(certificate),
});
