import { createSecretKey } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterId, KeyId, PeerId, SessionId } from '../../../src/base/brands.ts';
import { toHex } from '../../../src/base/bytes.ts';
import type { KeyValue } from '../../../src/base/ports.ts';
import { deriveKek } from '../../../src/mpc/keys/kdf.ts';
import { type KeySource, keyFile, passphraseFile } from '../../../src/mpc/keys/keyfile.ts';
import { Keystore } from '../../../src/mpc/keys/keystore.ts';
import { openShare, type ShareHeader, sealShare } from '../../../src/mpc/keys/sharefile.ts';
import { memoryKeyValue, testRandom } from '../../support/world.ts';

const clusterId = 'ab'.repeat(32) as ClusterId;
const self = '12D3KooWself' as PeerId;
const sid = '11'.repeat(32) as SessionId;
const keyId = '22'.repeat(32) as KeyId;
const secret = new Uint8Array(32).map((_, i) => 0xc0 ^ (i * 7));
const random = testRandom('keystore');

let dir: string;
let map: Map<string, Uint8Array>;
let source: KeySource;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'keystore-'));
  map = new Map();
  source = keyFile(join(dir, 'share.key'), random);
});
afterEach(() => rm(dir, { recursive: true }));

const openStore = (
  kv: KeyValue = memoryKeyValue(map),
  from: KeySource = source,
  who: Partial<{ clusterId: ClusterId; self: PeerId }> = {},
): Promise<Keystore> => Keystore.open({ kv, clusterId, self, random, source: from, ...who });

const stored = () => ({
  share: { index: 2, signingShare: new Uint8Array(secret) },
  epoch: 0,
  attached: Uint8Array.of(1, 2, 3),
});
const fine = () => true;

describe('keystore', () => {
  it('K1: a pending share is synced, read back, decrypted and checked before it counts', async () => {
    const log: string[] = [];
    const inner = memoryKeyValue(map);
    const kv: KeyValue = {
      ...inner,
      put: async (key, value, options) => {
        log.push(`put ${key.slice(0, 2)} ${options?.sync === true ? 'sync' : 'async'}`);
        await inner.put(key, value, options);
      },
      get: async (key) => {
        log.push(`get ${key.slice(0, 2)}`);
        return inner.get(key);
      },
    };
    const store = await openStore(kv);
    log.length = 0;
    await store.putPending(sid, stored(), (share) => {
      log.push('verify');
      return toHex(share.signingShare) === toHex(secret) && share.index === 2;
    });
    expect(log).toEqual(['get p/', 'put p/ sync', 'get p/', 'verify']);
    await expect(store.putPending(sid, stored(), fine)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect((await store.pending(sid))?.attached).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('K1: leaves nothing behind when the disk lies or the share is not the right one', async () => {
    const store = await openStore();
    await expect(store.putPending(sid, stored(), () => false)).rejects.toMatchObject({
      code: 'SHARE_CORRUPT',
    });
    expect(await store.pendingSessions()).toEqual([]);

    const inner = memoryKeyValue(map);
    const lossy = await openStore({
      ...inner,
      put: async (key, value) => inner.put(key, key.startsWith('p/') ? value.slice(0, -1) : value),
    });
    await expect(lossy.putPending(sid, stored(), fine)).rejects.toMatchObject({
      code: 'SHARE_CORRUPT',
    });
    const full = await openStore({
      ...inner,
      put: async () => {
        throw new Error('ENOSPC');
      },
    });
    await expect(full.putPending(sid, stored(), fine)).rejects.toMatchObject({
      code: 'DISK_FAILED',
    });
    expect(await store.pendingSessions()).toEqual([]);
  });

  it('turns a pending share into the share of a key in one durable write, once', async () => {
    const batches: unknown[] = [];
    const inner = memoryKeyValue(map);
    const store = await openStore({
      ...inner,
      batch: async (ops, options) => {
        batches.push([ops.map((op) => `${op.type} ${op.key.slice(0, 1)}`), options?.sync]);
        await inner.batch(ops, options);
      },
    });
    await store.putPending(sid, stored(), fine);
    expect(await store.share(keyId)).toBeUndefined();
    await store.activate(sid, keyId);
    await store.activate(sid, keyId);
    expect(batches).toEqual([[['put a', 'del p'], true]]);
    expect(await store.pendingSessions()).toEqual([]);
    expect(await store.activeKeys()).toEqual([keyId]);
    const again = await openStore();
    expect((await again.share(keyId))?.share).toEqual({ index: 2, signingShare: secret });
    await expect(again.activate('33'.repeat(32) as SessionId, keyId)).resolves.toBeUndefined();
    await expect(again.activate(sid, '44'.repeat(32) as KeyId)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('K3: keeps no plaintext share in any stored value, pending or active', async () => {
    const store = await openStore();
    await store.putPending(sid, stored(), fine);
    const other = '55'.repeat(32) as SessionId;
    await store.putPending(other, stored(), fine);
    await store.activate(other, keyId);
    expect(map.size).toBe(3);
    for (const value of map.values())
      expect(toHex(value)).not.toContain(toHex(secret).slice(0, 16));
    expect(toHex(await readFile(join(dir, 'share.key')))).not.toContain(toHex(secret).slice(0, 16));
  });

  it('names the share when any byte of it was altered', async () => {
    const store = await openStore();
    await store.putPending(sid, stored(), fine);
    await store.activate(sid, keyId);
    const key = `a/${keyId}`;
    const good = map.get(key) ?? new Uint8Array();
    for (let at = 0; at < good.length; at += 5) {
      const bad = new Uint8Array(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      map.set(key, bad);
      await expect(store.share(keyId), `byte ${at}`).rejects.toMatchObject({
        code: 'SHARE_CORRUPT',
        message: expect.stringContaining(keyId),
      });
    }
  });

  it('opens a share only for its own key, state, party and cluster', async () => {
    const store = await openStore();
    await store.putPending(sid, stored(), fine);
    await store.activate(sid, keyId);
    const record = map.get(`a/${keyId}`) ?? new Uint8Array();
    const swapped = '66'.repeat(32) as KeyId;
    map.set(`a/${swapped}`, record);
    await expect(store.share(swapped)).rejects.toMatchObject({ code: 'SHARE_CORRUPT' });
    map.set(`p/${keyId}`, record);
    await expect(store.pending(keyId as string as SessionId)).rejects.toMatchObject({
      code: 'SHARE_CORRUPT',
    });
  });

  it('authenticates every field of the header', () => {
    const kek = createSecretKey(new Uint8Array(32).fill(1));
    const header: ShareHeader = { clusterId, state: 'active', id: keyId, epoch: 1, party: self };
    const record = sealShare(kek, header, secret, random);
    expect(openShare(kek, header, record)).toEqual(secret);
    const changes: Partial<ShareHeader>[] = [
      { clusterId: 'cd'.repeat(32) as ClusterId },
      { state: 'pending' },
      { id: sid },
      { epoch: 2 },
      { party: 'other' as PeerId },
    ];
    for (const change of changes) {
      expect(() => openShare(kek, { ...header, ...change }, record)).toThrow(/share/);
    }
    expect(() => openShare(createSecretKey(new Uint8Array(32)), header, record)).toThrow();
  });

  it('encrypts the same share differently each time', async () => {
    const store = await openStore();
    await store.putPending(sid, stored(), fine);
    const first = toHex(map.get(`p/${sid}`) ?? new Uint8Array());
    await store.dropPending(sid);
    await store.putPending(sid, stored(), fine);
    expect(toHex(map.get(`p/${sid}`) ?? new Uint8Array())).not.toBe(first);
  });

  it('refuses after it was closed', async () => {
    const store = await openStore();
    await store.putPending(sid, stored(), fine);
    store.close();
    await expect(store.pending(sid)).rejects.toMatchObject({ code: 'KEYSTORE_LOCKED' });
  });
});

describe('the key file', () => {
  it('is made once, 0600, and never again while shares depend on it', async () => {
    await openStore();
    const path = join(dir, 'share.key');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const before = await readFile(path);
    await openStore();
    expect(await readFile(path)).toEqual(before);
    await rm(path);
    await expect(openStore()).rejects.toMatchObject({
      code: 'KEYSTORE_LOCKED',
      message: expect.stringContaining('missing'),
    });
  });

  it('is refused when it is another one, too short, no file, or of a loose mode', async () => {
    await openStore();
    const path = join(dir, 'share.key');
    await writeFile(path, new Uint8Array(32));
    await expect(openStore()).rejects.toMatchObject({ code: 'KEYSTORE_LOCKED' });
    await writeFile(path, new Uint8Array(31));
    await expect(openStore()).rejects.toMatchObject({ code: 'KEYSTORE_LOCKED' });
    for (const mode of [0o640, 0o604, 0o660, 0o620]) {
      await chmod(path, mode);
      await expect(openStore()).rejects.toMatchObject({ code: 'LOOSE_PERMISSIONS' });
    }
    await rm(path);
    await symlink(dir, path);
    await expect(openStore()).rejects.toMatchObject({ code: 'KEYSTORE_LOCKED' });
  });
});

describe('the passphrase', () => {
  const file = async (text: string, mode = 0o600): Promise<KeySource> => {
    const path = join(dir, 'passphrase');
    await writeFile(path, text, { mode });
    await chmod(path, mode);
    return passphraseFile(path);
  };

  it('opens the shares, with or without a line feed; a wrong one is WRONG_PASSPHRASE', async () => {
    const store = await openStore(undefined, await file('correct horse'));
    await store.putPending(sid, stored(), fine);
    const again = await openStore(undefined, await file('correct horse\n'));
    expect((await again.pending(sid))?.share.signingShare).toEqual(secret);
    await expect(openStore(undefined, await file('correct hors'))).rejects.toMatchObject({
      code: 'WRONG_PASSPHRASE',
      exit: 7,
    });
    await expect(openStore()).rejects.toMatchObject({
      code: 'KEYSTORE_LOCKED',
      hint: expect.stringContaining('BZZZ_KEY_PASSPHRASE_FILE'),
    });
  });

  it('is refused in a file that others can read, an empty one and a missing one', async () => {
    await expect(openStore(undefined, await file('x', 0o644))).rejects.toMatchObject({
      code: 'LOOSE_PERMISSIONS',
    });
    await expect(openStore(undefined, await file('\n'))).rejects.toMatchObject({
      code: 'KEYSTORE_LOCKED',
    });
    const missing = passphraseFile(join(dir, 'nowhere'));
    await expect(openStore(undefined, missing)).rejects.toMatchObject({ code: 'KEYSTORE_LOCKED' });
  });

  it('is never stretched by weaker parameters than ours', async () => {
    const kdf = { name: 'argon2id' as const, salt: new Uint8Array(16), memoryKiB: 64, passes: 1 };
    await expect(deriveKek(Uint8Array.of(1), kdf)).rejects.toMatchObject({
      code: 'KEYSTORE_LOCKED',
    });
  });
});
