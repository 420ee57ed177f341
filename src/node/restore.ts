/**
 * Writes a data directory from a backup. No daemon runs on it meanwhile.
 *
 * The identity is written last: a restore that was cut short leaves a directory that no daemon
 * starts on.
 * @module
 */
import { mkdir, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { KeyId, SessionId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Random } from '../base/ports.ts';
import type { KeySource } from '../mpc/keys/keyfile.ts';
import { Keystore } from '../mpc/keys/keystore.ts';
import type { KeyShare } from '../mpc/types.ts';
import type { BackupContents } from './backup-file.ts';
import { type DataDirPaths, exists, writePrivateFile } from './datadir.ts';
import { BOOT_JUMP, markRestored } from './restored.ts';
import { openStore, type Store } from './store.ts';

export interface RestoreDeps {
  readonly random: Random;
  /** What the shares are encrypted under from now on. */
  readonly source: KeySource;
  /** Moves what is there aside. */
  readonly force: boolean;
}

/**
 * @returns where the former content of the directory lies now, if it had any.
 * @throws ALREADY_INITIALISED unless the directory is empty or `force` is set; STORE_LOCKED while a
 * daemon runs on it; DISK_FAILED, KEYSTORE_LOCKED, LOOSE_PERMISSIONS.
 */
export async function restoreBackup(
  paths: DataDirPaths,
  contents: BackupContents,
  deps: RestoreDeps,
): Promise<string | undefined> {
  const aside = await makeRoom(paths, deps.force);
  const store = await openStore(paths.db);
  try {
    await fill(store, contents, deps);
  } finally {
    await store.close();
  }
  await writePrivateFile(paths.genesis, contents.genesis, 'create');
  await writePrivateFile(paths.identityKey, contents.identity, 'create');
  return aside;
}

async function makeRoom(paths: DataDirPaths, force: boolean): Promise<string | undefined> {
  const owned = [paths.identityKey, paths.genesis, paths.invitation, paths.shareKey, paths.db];
  const there: string[] = [];
  for (const path of owned) if (await exists(path)) there.push(path);
  if (there.length === 0) return undefined;
  if (!force) {
    throw new BzzzError('ALREADY_INITIALISED', `${paths.dir} holds a node already`, {
      why: there.map((path) => basename(path)).join(', '),
      hint: 'restore into an empty directory; --force moves what is there aside',
    });
  }
  if (there.includes(paths.db)) await (await openStore(paths.db)).close();
  let n = 1;
  while (await exists(join(paths.dir, `replaced-${n}`))) n++;
  const aside = join(paths.dir, `replaced-${n}`);
  try {
    await mkdir(aside, { mode: 0o700 });
    // The identity goes first, and comes last: in between no daemon starts here.
    for (const path of there) await rename(path, join(aside, basename(path)));
  } catch (thrown) {
    throw toBzzzError(thrown, 'DISK_FAILED');
  }
  return aside;
}

async function fill(
  { root }: Store,
  contents: BackupContents,
  { random, source }: RestoreDeps,
): Promise<void> {
  for (const { name, rows } of contents.tables) {
    const ops = rows.map(([key, value]) => ({ type: 'put', key, value }) as const);
    if (ops.length > 0) await root.sub(name).batch(ops, { sync: true });
  }
  const node = root.sub('node');
  await node.put('boot', encode(contents.boot + BOOT_JUMP), { sync: true });
  await markRestored(node, contents.createdAtMs);
  const { clusterId, self } = contents;
  const keystore = await Keystore.open({
    ...{ kv: root.sub('shares'), clusterId, self, random, source },
  });
  try {
    for (const { state, id, epoch, index, signingShare, attached } of contents.shares) {
      const stored = { share: { index, signingShare }, epoch, attached };
      const same = (back: KeyShare): boolean => equalBytes(back.signingShare, signingShare);
      if (state === 'active') await keystore.restore(id as KeyId, stored, same);
      else await keystore.putPending(id as SessionId, stored, same);
    }
  } finally {
    keystore.close();
  }
}
