/**
 * Every key that this node knows: its own and, learned from other members, everybody's. A key is
 * known by its verified certificate and by nothing less.
 * @module
 */
import { z } from 'zod';
import type { KeyId, SessionId } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Cancel, KeyValue, Logger } from '../base/ports.ts';
import type { KeyInfo } from './types.ts';

/** A known key. The same `key` object is handed out every time, so that caches may hang on it. */
export interface KeyEntry {
  readonly key: KeyInfo;
  readonly certificate: Uint8Array;
  /** Wall clock at its creation; null when this node took no part in it. */
  readonly createdAtMs: number | null;
}

export interface KeyringDeps {
  readonly kv: KeyValue;
  /** Recomputes a certificate. @throws BAD_MESSAGE. */
  readonly verify: (certificate: Uint8Array) => KeyInfo;
  readonly logger: Logger;
}

const storedSchema = z.strictObject({
  v: z.literal(1),
  certificate: field.bytesUpTo(LIMITS.recordBytes),
  createdAtMs: field.uint.nullable(),
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
        const { certificate, createdAtMs } = stored;
        const key = deps.verify(certificate);
        ring.#set({ key, certificate, createdAtMs });
      } catch (error) {
        // A damaged certificate can be fetched again from any member; the others still count.
        deps.logger.error({ keyId, error: String(error) }, 'a stored certificate is damaged');
      }
    }
    return ring;
  }

  /**
   * Adds a certificate, durably. Known keys are left as they are: two valid certificates of one key
   * prove the same.
   * @param createdAtMs when this node took part in making it.
   * @returns the key, and whether it was new.
   * @throws BAD_MESSAGE unless it verifies; TOO_LARGE when the ring is full.
   */
  async add(
    certificate: Uint8Array,
    createdAtMs: number | null = null,
  ): Promise<{ readonly entry: KeyEntry; readonly added: boolean }> {
    const key = this.#deps.verify(certificate);
    const known = this.#entries.get(key.keyId);
    if (known !== undefined) {
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
    const entry: KeyEntry = { key, certificate: new Uint8Array(certificate), createdAtMs };
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

  byId(keyId: KeyId): KeyEntry | undefined {
    return this.#entries.get(keyId);
  }

  /** The key that a key generation made. */
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

  async #store({ key, certificate, createdAtMs }: KeyEntry): Promise<void> {
    const stored = encode({ v: 1, certificate, createdAtMs });
    await this.#deps.kv.put(`c/${key.keyId}`, stored, { sync: true });
  }

  #set(entry: KeyEntry): void {
    this.#entries.set(entry.key.keyId, entry);
    this.#bySession.set(entry.key.sid, entry.key.keyId);
  }

  /** By name, then key id. */
  list(): readonly KeyEntry[] {
    const order = ({ key }: KeyEntry): string => `${key.name}\0${key.keyId}`;
    return [...this.#entries.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  }

  /** Calls back with each new key. */
  onChange(listener: (entry: KeyEntry) => void): Cancel {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
