import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { privateKeyToProtobuf } from '@libp2p/crypto/keys';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterId, KeyId, PeerId, SessionId } from '../../src/base/brands.ts';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { encode } from '../../src/base/codec.ts';
import type { Logger } from '../../src/base/ports.ts';
import { keyFile } from '../../src/mpc/keys/keyfile.ts';
import { Keystore } from '../../src/mpc/keys/keystore.ts';
import {
  type BackupContents,
  openBackup,
  sealBackup,
  summaryOf,
  wipeContents,
} from '../../src/node/backup-file.ts';
import { prepareDataDir } from '../../src/node/datadir.ts';
import { loadIdentity, nextBoot, peerIdOf } from '../../src/node/identity.ts';
import { restoreBackup } from '../../src/node/restore.ts';
import { keepsSilent, markRestored } from '../../src/node/restored.ts';
import { openStore } from '../../src/node/store.ts';
import { systemRandom } from '../../src/node/system.ts';
import type { RosterService } from '../../src/roster/service.ts';
import { memoryKeyValue, quietLogger, testKey } from '../support/world.ts';

const passphrase = utf8Bytes('five random words are better');
const clusterId = 'ab'.repeat(32) as ClusterId;
const keyId = '01'.repeat(32) as KeyId;
const sid = '02'.repeat(32) as SessionId;
const canary = new Uint8Array(32).fill(0x5a);

const identity = await testKey('ann');
const contents = (): BackupContents => ({
  createdAtMs: Date.UTC(2026, 0, 1),
  self: peerIdOf(identity),
  clusterId,
  clusterName: 'lab',
  boot: 7,
  identity: new Uint8Array(privateKeyToProtobuf(identity)),
  genesis: utf8Bytes('genesis'),
  tables: [
    { name: 'roster', rows: [['entry/0000000001', utf8Bytes('first')]] },
    { name: 'sessions', rows: [[`r/${sid}`, utf8Bytes('never')]] },
  ],
  shares: [
    {
      state: 'active',
      id: keyId,
      epoch: 3,
      index: 2,
      signingShare: canary.slice(),
      attached: utf8Bytes('a'),
    },
    {
      state: 'pending',
      id: sid,
      epoch: 0,
      index: 1,
      signingShare: canary.slice(),
      attached: utf8Bytes('p'),
    },
  ],
});
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'accepted',
    (error: { code?: string }) => error.code,
  );

describe('the file of a backup', () => {
  it('comes back under its passphrase, and has no byte of a share or key in plain text', async () => {
    const before = contents();
    const file = await sealBackup(before, passphrase, systemRandom);
    expect(await openBackup(file, passphrase)).toEqual(before);
    const text = Buffer.from(file);
    expect(text.includes(Buffer.from(canary))).toBe(false);
    expect(text.includes(Buffer.from(before.identity.subarray(8, 40)))).toBe(false);
    expect(summaryOf(before)).toMatchObject({ cluster: 'lab', shares: 2 });
    wipeContents(before);
    expect(before.shares.every((s) => s.signingShare.every((b) => b === 0))).toBe(true);
    expect(before.identity.every((b) => b === 0)).toBe(true);
  });

  it('opens under no other passphrase, and not when a bit of it was changed', async () => {
    const file = await sealBackup(contents(), passphrase, systemRandom);
    expect(await codeOf(openBackup(file, utf8Bytes('five other words')))).toBe('WRONG_PASSPHRASE');
    const changed = file.slice();
    changed[changed.length - 40] = (changed[changed.length - 40] ?? 0) ^ 1;
    expect(['WRONG_PASSPHRASE', 'BAD_MESSAGE']).toContain(
      await codeOf(openBackup(changed, passphrase)),
    );
    expect(await codeOf(openBackup(file.subarray(0, 90), passphrase))).toBe('BAD_MESSAGE');
    expect(await codeOf(openBackup(utf8Bytes('no backup'), passphrase))).toBe('BAD_MESSAGE');
  });

  it('is refused of another version, or with parameters that were weakened or blown up', async () => {
    const kdf = { name: 'argon2id', salt: new Uint8Array(16), memoryKiB: 65_536, passes: 3 };
    const good = { v: 1, magic: 'bzzz backup', kdf, body: new Uint8Array(64) };
    for (const change of [
      { v: 2 },
      { magic: 'other' },
      { kdf: { ...kdf, memoryKiB: 64 } },
      { kdf: { ...kdf, memoryKiB: 2 ** 30 } },
      { kdf: { ...kdf, passes: 60 } },
    ]) {
      expect(await codeOf(openBackup(encode({ ...good, ...change }), passphrase))).toBe(
        'BAD_MESSAGE',
      );
    }
  });

  it('wants a passphrase of 8 bytes', async () => {
    expect(await codeOf(sealBackup(contents(), utf8Bytes('short'), systemRandom))).toBe(
      'BAD_REQUEST',
    );
  });
});

describe('restoring a data directory', () => {
  let home: string;
  let dir: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'bzzz-restore-'));
    dir = join(home, 'data');
  });
  afterEach(() => rm(home, { recursive: true }));
  const restore = async (force = false) => {
    const paths = await prepareDataDir(dir);
    const source = keyFile(paths.shareKey, systemRandom);
    const aside = await restoreBackup(paths, contents(), { random: systemRandom, source, force });
    return { paths, aside };
  };

  it('gives identity, tables and shares back, under this host’s own key', async () => {
    const { paths } = await restore();
    const key = await loadIdentity(paths);
    expect(key === undefined ? '' : peerIdOf(key)).toBe(peerIdOf(identity));
    const store = await openStore(paths.db);
    try {
      const { root } = store;
      const row = async (table: string, key: string) =>
        Buffer.from((await root.sub(table).get(key)) ?? []).toString();
      expect(await row('roster', 'entry/0000000001')).toBe('first');
      expect(await row('sessions', `r/${sid}`)).toBe('never');
      const keystore = await Keystore.open({
        ...{ kv: root.sub('shares'), clusterId, self: peerIdOf(identity), random: systemRandom },
        source: keyFile(paths.shareKey, systemRandom),
      });
      const active = await keystore.share(keyId);
      expect(active).toEqual({
        ...{ share: { index: 2, signingShare: canary }, epoch: 3 },
        attached: utf8Bytes('a'),
      });
      expect((await keystore.pending(sid))?.share.signingShare).toEqual(canary);
    } finally {
      await store.close();
    }
  });

  it('N1: the next run is far above every run that peers can have seen', async () => {
    const { paths } = await restore();
    const store = await openStore(paths.db);
    expect(await nextBoot(store.root.sub('node'))).toBe(1_000_008);
    await store.close();
  });

  it('refuses a directory in use, and with --force moves everything aside', async () => {
    await restore();
    expect(await codeOf(restore())).toBe('ALREADY_INITIALISED');
    const { paths, aside } = await restore(true);
    expect(aside).toBe(join(dir, 'replaced-1'));
    const moved = ['db', 'genesis.cbor', 'identity.key', 'share.key'];
    expect((await readdir(join(dir, 'replaced-1'))).sort()).toEqual(moved);
    const running = await openStore(paths.db);
    expect(await codeOf(restore(true))).toBe('STORE_LOCKED');
    await running.close();
  });

  it('cut short, leaves nothing that a daemon starts on', async () => {
    const paths = await prepareDataDir(dir);
    const source = {
      kind: 'file' as const,
      path: 'none',
      read: () => Promise.reject(new Error('disk')),
    };
    const deps = { random: systemRandom, source, force: false };
    await expect(restoreBackup(paths, contents(), deps)).rejects.toThrow('disk');
    expect(await loadIdentity(paths)).toBeUndefined();
    await writeFile(join(dir, 'config.yaml'), '');
    expect((await restore(true)).aside).toBe(join(dir, 'replaced-1'));
  });
});

describe('a restored voter', () => {
  const self = peerIdOf(identity);
  function setup(voters: readonly PeerId[]) {
    const store = memoryKeyValue();
    const lines: string[] = [];
    const logger: Logger = { ...quietLogger, info: (_f, m) => void lines.push(m) };
    let listener: ((view: { voters: readonly PeerId[] }) => void) | undefined;
    const roster = {
      ...{ self, view: { voters } },
      onChange(fn: typeof listener) {
        listener = fn;
        return () => {
          listener = undefined;
        };
      },
    } as unknown as RosterService;
    const change = (next: readonly PeerId[]) => listener?.({ voters: next });
    return { store, lines, change, look: () => keepsSilent({ store, roster, logger }) };
  }
  const other = 'other' as PeerId;

  it('E3: keeps silent until it was demoted, also over restarts, and votes after the next', async () => {
    const { store, look, change, lines } = setup([self, other]);
    expect(await look()).toBe(false);
    await markRestored(store, 0);
    expect(await look()).toBe(true);
    expect(await look()).toBe(true);
    change([self, other]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await look()).toBe(true);
    change([other]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(lines).toHaveLength(1);
    expect(await look()).toBe(false);
  });

  it('that votes alone, or votes not at all, goes on as it was', async () => {
    for (const voters of [[self], [other]]) {
      const { store, look } = setup(voters);
      await markRestored(store, 0);
      expect(await look()).toBe(false);
      expect(await store.get('restored')).toBeUndefined();
    }
  });
});
