/** The identity is made once and kept; every run has a number of its own. */
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyValue } from '../../../src/base/ports.ts';
import { type DataDirPaths, prepareDataDir, writePrivateFile } from '../../../src/node/datadir.ts';
import {
  createIdentity,
  ensureIdentity,
  loadIdentity,
  nextBoot,
  peerIdOf,
} from '../../../src/node/identity.ts';
import { openStore } from '../../../src/node/store.ts';
import { memoryKeyValue } from '../../support/world.ts';

let root: string;
let paths: DataDirPaths;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'bzzz-id-'));
  paths = await prepareDataDir(join(root, 'data'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('the identity', () => {
  it('is an Ed25519 key of mode 0600, the same on every load', async () => {
    expect(await loadIdentity(paths)).toBeUndefined();
    const made = await ensureIdentity(paths);
    const loaded = await loadIdentity(paths);
    expect(peerIdOf(made)).toMatch(/^12D3KooW/);
    expect(loaded?.raw).toEqual(made.raw);
    expect((await stat(paths.identityKey)).mode & 0o777).toBe(0o600);
    expect(peerIdOf(await ensureIdentity(paths))).toBe(peerIdOf(made));
  });

  it('is never replaced', async () => {
    const first = await createIdentity(paths);
    await expect(createIdentity(paths)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect((await loadIdentity(paths))?.raw).toEqual(first.raw);
  });

  it('that others may read is refused', async () => {
    await createIdentity(paths);
    await chmod(paths.identityKey, 0o640);
    await expect(loadIdentity(paths)).rejects.toMatchObject({ code: 'LOOSE_PERMISSIONS' });
    await expect(ensureIdentity(paths)).rejects.toMatchObject({ code: 'LOOSE_PERMISSIONS' });
  });

  it.each(['garbage', 'cut off', 'empty', 'another type'])(
    'that is %s is refused',
    async (what) => {
      const good = privateKeyToProtobuf(await generateKeyPair('Ed25519'));
      const bytes = {
        garbage: new Uint8Array(68).fill(7),
        'cut off': good.slice(0, 40),
        empty: new Uint8Array(0),
        'another type': privateKeyToProtobuf(await generateKeyPair('secp256k1')),
      }[what];
      await writePrivateFile(paths.identityKey, bytes ?? new Uint8Array(), 'create');
      const error = await loadIdentity(paths).then(
        () => expect.unreachable('was accepted'),
        (e: Error) => e,
      );
      expect(error).toMatchObject({ code: 'DISK_FAILED' });
      expect(error.message).toContain(paths.identityKey);
    },
  );
});

describe('the boot counter', () => {
  it('counts runs, over restarts of the database', async () => {
    for (const run of [1, 2, 3]) {
      const store = await openStore(paths.db);
      expect(await nextBoot(store.root.sub('node'))).toBe(run);
      await store.close();
    }
  });

  it('is synced before it is answered', async () => {
    const inner = memoryKeyValue();
    const writes: unknown[] = [];
    const spy: KeyValue = {
      ...inner,
      put: async (key, value, options) => {
        writes.push(options);
        await inner.put(key, value);
      },
    };
    await nextBoot(spy);
    expect(writes).toEqual([{ sync: true }]);
  });

  it('that was altered stops the start, and is not counted from anew', async () => {
    const store = memoryKeyValue();
    await nextBoot(store);
    await store.put('boot', Uint8Array.of(0x61, 0x61));
    await expect(nextBoot(store)).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
  });
});
