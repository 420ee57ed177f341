/**
 * The shares of this node, encrypted at rest.
 *
 * A share is `pending` under its session's id until the certificate of its epoch is complete, then
 * `active` under the key's id; the change is one atomic write, in which the share of the epoch
 * before goes. Before a party may state that its
 * key is ready, the pending share is on the disk, was read back, decrypted and checked (K1).
 * @module
 */
import { type KeyObject, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { ClusterId, KeyId, PeerId, SessionId } from '../../base/brands.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { KeyValue, Random } from '../../base/ports.ts';
import type { KeyShare } from '../types.ts';
import { deriveKek, KDF, type KdfParameters } from './kdf.ts';
import type { KeySource } from './keyfile.ts';
import {
  claimedEpoch,
  open,
  openShare,
  type ShareHeader,
  seal,
  sealShare,
  takeKey,
  wipe,
} from './sharefile.ts';

/** A share with the public bytes that its session machine keeps beside it. */
export interface StoredShare {
  /** Its owner wipes `signingShare`. */
  readonly share: KeyShare;
  readonly epoch: number;
  /** Opaque public state: what the machine needs to go on after a restart. */
  readonly attached: Uint8Array;
}

export interface KeystoreDeps {
  readonly kv: KeyValue;
  readonly clusterId: ClusterId;
  readonly self: PeerId;
  readonly random: Random;
  readonly source: KeySource;
}

const CHECK = utf8Bytes('bzzz key check');
const META = 'meta';

const metaSchema = z.strictObject({
  v: z.literal(1),
  kind: z.enum(['passphrase', 'file']),
  kdf: z.strictObject({
    name: z.enum(['argon2id', 'none']),
    salt: field.bytesUpTo(64),
    memoryKiB: z.int().min(0).max(1_048_576),
    passes: z.int().min(0).max(64),
  }),
  check: field.bytesUpTo(256),
});
type Meta = z.infer<typeof metaSchema>;

const plainSchema = z.strictObject({
  index: z.int().min(1).max(LIMITS.parties),
  signingShare: field.bytesUpTo(64),
  attached: field.bytesUpTo(LIMITS.recordBytes),
});

const pendingKey = (sid: SessionId): string => `p/${sid}`;
const activeKey = (keyId: KeyId): string => `a/${keyId}`;

/** The open share store. */
export class Keystore {
  readonly #deps: KeystoreDeps;
  #kek: KeyObject | undefined;

  private constructor(deps: KeystoreDeps, kek: KeyObject) {
    this.#deps = deps;
    this.#kek = kek;
  }

  /**
   * Opens the store; the first time, fixes how the KEK is made.
   * @throws WRONG_PASSPHRASE; KEYSTORE_LOCKED: another kind of source than the shares are
   * encrypted under, or a wrong key file; LOOSE_PERMISSIONS; UNSUPPORTED_RUNTIME; DISK_FAILED.
   */
  static async open(deps: KeystoreDeps): Promise<Keystore> {
    const { kv, source, random } = deps;
    const bytes = await kv.get(META);
    if (bytes === undefined) {
      const material = await source.read(true);
      const kdf = source.kind === 'passphrase' ? { ...KDF, salt: random.bytes(16) } : NO_KDF;
      const kek = await kekOf(source, kdf, material);
      const check = seal(kek, CHECK, checkBound(deps), random);
      await kv.put(META, encode({ v: 1, kind: source.kind, kdf, check }), { sync: true });
      return new Keystore(deps, kek);
    }
    const meta = decodeMeta(bytes);
    if (meta.kind !== source.kind) throw otherSource(meta.kind, source);
    const kek = await kekOf(source, meta.kdf, await source.read(false));
    const check = open(kek, meta.check, checkBound(deps));
    if (check?.length !== CHECK.length || !timingSafeEqual(check, CHECK)) throw wrongKey(source);
    return new Keystore(deps, kek);
  }

  /**
   * Stores a pending share durably, reads it back, decrypts it and lets `verify` look at what the
   * disk holds (K1). When any of this fails nothing of it stays behind.
   * @param verify whether the share belongs to its verifying share.
   * @throws CONFLICT when the session has a pending share; DISK_FAILED, SHARE_CORRUPT.
   */
  async putPending(
    sid: SessionId,
    stored: StoredShare,
    verify: (share: KeyShare) => boolean,
  ): Promise<void> {
    const { kv } = this.#deps;
    const header = this.#header('pending', sid, stored.epoch);
    // A second write that failed half-way must not cost a share that was attested to.
    if ((await kv.get(pendingKey(sid))) !== undefined) {
      throw new BzzzError('CONFLICT', `session ${sid} has a pending share already`);
    }
    try {
      await kv.put(pendingKey(sid), this.#encrypt(header, stored), { sync: true });
      const back = await this.pending(sid);
      if (back === undefined) throw corrupt(header, 'it was written but cannot be read back');
      const good = verify(back.share);
      wipe(back.share.signingShare);
      if (!good) throw corrupt(header, 'what was read back is not the share of this party');
    } catch (thrown) {
      await kv.del(pendingKey(sid), { sync: true }).catch(() => {
        // The first failure is the one to report; a share nobody attested to harms nobody.
      });
      throw toBzzzError(thrown, 'DISK_FAILED');
    }
  }

  /** The pending share of a session, decrypted. @throws SHARE_CORRUPT. */
  async pending(sid: SessionId): Promise<StoredShare | undefined> {
    return this.#read('pending', sid, await this.#deps.kv.get(pendingKey(sid)));
  }

  /**
   * Makes a pending share the share of a key, atomically. Calling it again is harmless.
   * @throws NOT_FOUND when there is neither; SHARE_CORRUPT.
   */
  async activate(sid: SessionId, keyId: KeyId): Promise<void> {
    const { kv } = this.#deps;
    const stored = await this.pending(sid);
    if (stored === undefined) {
      if ((await kv.get(activeKey(keyId))) !== undefined) return;
      throw new BzzzError('NOT_FOUND', `no pending share of session ${sid}`);
    }
    const value = this.#encrypt(this.#header('active', keyId, stored.epoch), stored);
    wipe(stored.share.signingShare);
    await kv.batch(
      [
        { type: 'put', key: activeKey(keyId), value },
        { type: 'del', key: pendingKey(sid) },
      ],
      { sync: true },
    );
  }

  /**
   * Puts the share of a key back that was lost here, durably, in place of whatever is left of it;
   * see {@link putPending}.
   * @throws DISK_FAILED, SHARE_CORRUPT.
   */
  async restore(
    keyId: KeyId,
    stored: StoredShare,
    verify: (share: KeyShare) => boolean,
  ): Promise<void> {
    const { kv } = this.#deps;
    const header = this.#header('active', keyId, stored.epoch);
    await kv.put(activeKey(keyId), this.#encrypt(header, stored), { sync: true });
    const back = await this.share(keyId);
    if (back === undefined) throw corrupt(header, 'it was written but cannot be read back');
    const good = back.epoch === stored.epoch && verify(back.share);
    wipe(back.share.signingShare);
    if (good) return;
    await kv.del(activeKey(keyId), { sync: true });
    throw corrupt(header, 'what was read back is not the share of this party');
  }

  /** Forgets a pending share; its session has proven that the key will never exist. */
  async dropPending(sid: SessionId): Promise<void> {
    await this.#deps.kv.del(pendingKey(sid), { sync: true });
  }

  /** The share of a key, decrypted; the caller wipes it. @throws SHARE_CORRUPT naming the key. */
  async share(keyId: KeyId): Promise<StoredShare | undefined> {
    return this.#read('active', keyId, await this.#deps.kv.get(activeKey(keyId)));
  }

  /** The epoch of a key's active share; undefined when there is none. @throws SHARE_CORRUPT. */
  async activeEpoch(keyId: KeyId): Promise<number | undefined> {
    const record = await this.#deps.kv.get(activeKey(keyId));
    return record === undefined ? undefined : claimedEpoch(record, `active share ${keyId}`);
  }

  /** Forgets the share of a key that others hold now. */
  async dropActive(keyId: KeyId): Promise<void> {
    await this.#deps.kv.del(activeKey(keyId), { sync: true });
  }

  /** Sessions with a pending share. */
  async pendingSessions(): Promise<readonly SessionId[]> {
    return (await this.#ids('p/')) as SessionId[];
  }

  /** Keys with an active share. */
  async activeKeys(): Promise<readonly KeyId[]> {
    return (await this.#ids('a/')) as KeyId[];
  }

  /** Forgets the KEK; every later call throws KEYSTORE_LOCKED. */
  close(): void {
    this.#kek = undefined;
  }

  async #ids(prefix: string): Promise<string[]> {
    const ids: string[] = [];
    for await (const [key] of this.#deps.kv.entries(prefix)) ids.push(key.slice(prefix.length));
    return ids;
  }

  #header(state: ShareHeader['state'], id: string, epoch: number): ShareHeader {
    const { clusterId, self } = this.#deps;
    return { clusterId, state, id, epoch, party: self };
  }

  #key(): KeyObject {
    if (this.#kek === undefined) throw new BzzzError('KEYSTORE_LOCKED', 'the keystore is closed');
    return this.#kek;
  }

  #encrypt(header: ShareHeader, { share, attached }: StoredShare): Uint8Array {
    const plain = encode({ index: share.index, signingShare: share.signingShare, attached });
    try {
      return sealShare(this.#key(), header, plain, this.#deps.random);
    } finally {
      wipe(plain);
    }
  }

  #read(state: ShareHeader['state'], id: string, record?: Uint8Array): StoredShare | undefined {
    if (record === undefined) return undefined;
    const epoch = claimedEpoch(record, `${state} share ${id}`);
    const header = this.#header(state, id, epoch);
    const plain = openShare(this.#key(), header, record);
    try {
      const { index, signingShare, attached } = decode('share', plainSchema, plain, plain.length);
      return { share: { index, signingShare }, epoch, attached };
    } catch (cause) {
      throw corrupt(header, 'its contents are not a share', cause);
    } finally {
      wipe(plain);
    }
  }
}

const NO_KDF = { name: 'none', salt: new Uint8Array(0), memoryKiB: 0, passes: 0 } as const;

/** Wipes `material`. */
async function kekOf(
  source: KeySource,
  kdf: KdfParameters,
  material: Uint8Array,
): Promise<KeyObject> {
  try {
    return takeKey(source.kind === 'passphrase' ? await deriveKek(material, kdf) : material);
  } finally {
    wipe(material);
  }
}

const checkBound = ({ clusterId, self }: KeystoreDeps): Uint8Array =>
  encode(['bzzz/share/check', 1, clusterId, self]);

function decodeMeta(bytes: Uint8Array): Meta {
  try {
    return decode('keystore header', metaSchema, bytes, 1_024);
  } catch (cause) {
    throw new BzzzError('KEYSTORE_LOCKED', 'the header of the keystore was altered', { cause });
  }
}

function otherSource(stored: Meta['kind'], source: KeySource): BzzzError {
  return new BzzzError(
    'KEYSTORE_LOCKED',
    stored === 'passphrase'
      ? 'the shares are encrypted under a passphrase, and none is set'
      : `the shares are encrypted under a key file, not under ${source.path}`,
    { hint: `${stored === 'passphrase' ? 'set' : 'unset'} BZZZ_KEY_PASSPHRASE_FILE` },
  );
}

function wrongKey(source: KeySource): BzzzError {
  return source.kind === 'passphrase'
    ? new BzzzError('WRONG_PASSPHRASE', `the passphrase in ${source.path} does not open the shares`)
    : new BzzzError('KEYSTORE_LOCKED', `${source.path} is not the key file of these shares`, {
        hint: 'restore the key file that belongs to this data directory',
      });
}

function corrupt({ state, id }: ShareHeader, why: string, cause?: unknown): BzzzError {
  return new BzzzError('SHARE_CORRUPT', `${state} share ${id} cannot be used`, { why, cause });
}
