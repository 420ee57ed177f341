/**
 * The data directory: who may read it, what lies where, and how its small files are written so that
 * a crash leaves either the old or the new content.
 * @module
 */
import { constants } from 'node:fs';
import { chmod, link, lstat, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BzzzError, toBzzzError } from '../base/errors.ts';

/** The files of a data directory. `shareKey` and `db` belong to the key store and the database. */
export interface DataDirPaths {
  readonly dir: string;
  /** libp2p protobuf of the Ed25519 key that is this node. */
  readonly identityKey: string;
  readonly genesis: string;
  /** The invitation of a node that is not admitted yet; removed once it is. */
  readonly invitation: string;
  readonly config: string;
  readonly socket: string;
  readonly db: string;
  readonly shareKey: string;
}

/** Where things lie below `dir`. */
export const dataDirPaths = (dir: string): DataDirPaths => ({
  dir,
  identityKey: join(dir, 'identity.key'),
  genesis: join(dir, 'genesis.cbor'),
  invitation: join(dir, 'invitation'),
  config: join(dir, 'config.yaml'),
  socket: join(dir, 'control.sock'),
  db: join(dir, 'db'),
  shareKey: join(dir, 'share.key'),
});

/**
 * Makes the directory with mode 0700, whatever the umask is, or checks the one that exists.
 * @throws LOOSE_PERMISSIONS when others may enter it or own it; DISK_FAILED.
 */
export async function prepareDataDir(dir: string): Promise<DataDirPaths> {
  try {
    const made = await mkdir(dir, { recursive: true, mode: 0o700 });
    if (made !== undefined) await chmod(dir, 0o700);
  } catch (thrown) {
    throw diskError(thrown, dir);
  }
  await checkPrivateDir(dir);
  return dataDirPaths(dir);
}

/**
 * Checks that only this user may enter `dir`.
 * @throws LOOSE_PERMISSIONS, or DISK_FAILED when it is missing or no directory.
 */
export async function checkPrivateDir(dir: string): Promise<void> {
  const info = await lstat(dir).catch((thrown: unknown) => {
    throw diskError(thrown, dir);
  });
  if (!info.isDirectory()) throw new BzzzError('DISK_FAILED', `${dir} is not a directory`);
  refuseLoose(dir, info, 0o700);
}

interface Ownership {
  readonly mode: number;
  readonly uid: number;
}

function refuseLoose(path: string, info: Ownership, wanted: 0o600 | 0o700): void {
  const uid = process.getuid?.();
  if (uid !== undefined && info.uid !== uid) {
    throw new BzzzError('LOOSE_PERMISSIONS', `${path} belongs to another user`, {
      why: `its owner is uid ${info.uid}, this is uid ${uid}`,
      hint: `chown ${uid} ${path}`,
    });
  }
  if ((info.mode & 0o077) !== 0) {
    throw new BzzzError('LOOSE_PERMISSIONS', `other users have access to ${path}`, {
      why: `its mode is ${(info.mode & 0o777).toString(8)}`,
      hint: `chmod ${wanted.toString(8)} ${path}`,
    });
  }
}

/**
 * Reads a file that only this user may read. Symbolic links are not followed.
 * @returns undefined when there is none.
 * @throws LOOSE_PERMISSIONS, TOO_LARGE, DISK_FAILED.
 */
export async function readPrivateFile(
  path: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const info = await file.stat();
    if (!info.isFile()) throw new BzzzError('DISK_FAILED', `${path} is not a regular file`);
    refuseLoose(path, info, 0o600);
    if (info.size > maxBytes) {
      throw new BzzzError('TOO_LARGE', `${path} has ${info.size} bytes, at most ${maxBytes}`);
    }
    return new Uint8Array(await file.readFile());
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return undefined;
    throw diskError(thrown, path);
  }
}

/** Two writes of one file at a time must not share a temporary file. */
let serial = 0;

/**
 * Writes a file with mode 0600 so that after a crash it is there in whole or not at all: a
 * temporary file is synced and then takes the name, and the directory is synced.
 * @param mode `create` refuses to replace a file. @throws CONFLICT then; DISK_FAILED.
 */
export async function writePrivateFile(
  path: string,
  bytes: Uint8Array,
  mode: 'create' | 'replace',
): Promise<void> {
  const temporary = `${path}.${process.pid}-${++serial}.tmp`;
  try {
    // What another run with this process id left behind after a crash.
    await unlink(temporary).catch(ignoreMissing);
    {
      await using file = await open(temporary, 'wx', 0o600);
      await file.chmod(0o600);
      await file.writeFile(bytes);
      await file.sync();
    }
    if (mode === 'create') {
      // Unlike `rename`, `link` fails when the name is taken.
      await link(temporary, path);
      await unlink(temporary);
    } else {
      await rename(temporary, path);
    }
    await syncDir(dirname(path));
  } catch (thrown) {
    await unlink(temporary).catch(ignoreMissing);
    if (mode === 'create' && codeOf(thrown) === 'EEXIST') {
      throw new BzzzError('CONFLICT', `${path} exists`, { hint: 'remove it, or use another' });
    }
    throw diskError(thrown, path);
  }
}

/** Whether anything has this name, be it a dangling link. @throws DISK_FAILED. */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return false;
    throw diskError(thrown, path);
  }
}

/** Removes a file; one that is missing is removed already. */
export async function removePrivateFile(path: string): Promise<void> {
  await unlink(path).catch((thrown: unknown) => {
    if (codeOf(thrown) !== 'ENOENT') throw diskError(thrown, path);
  });
  await syncDir(dirname(path));
}

async function syncDir(dir: string): Promise<void> {
  await using handle = await open(dir, 'r');
  await handle.sync();
}

const codeOf = (thrown: unknown): unknown =>
  thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;

function ignoreMissing(thrown: unknown): void {
  if (codeOf(thrown) !== 'ENOENT') throw thrown;
}

/** ELOOP is what O_NOFOLLOW answers for a symbolic link. */
function diskError(thrown: unknown, path: string): BzzzError {
  if (thrown instanceof BzzzError) return thrown;
  if (codeOf(thrown) === 'ELOOP') {
    return new BzzzError('LOOSE_PERMISSIONS', `${path} is a symbolic link`, {
      hint: 'put the file itself there',
    });
  }
  return toBzzzError(thrown, 'DISK_FAILED');
}
