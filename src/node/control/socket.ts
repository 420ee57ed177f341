/**
 * Claims the path of the control socket: nobody else may reach it, no living daemon is robbed.
 * @module
 */
import type { Stats } from 'node:fs';
import { lstat, mkdir, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { checkPrivateDir } from '../datadir.ts';

/** A daemon that does not accept within this time counts as living: better refuse than usurp. */
const PROBE_MS = 1_000;

/**
 * Leaves `path` free to listen on. Its directory is made if missing; it has mode 0700, so that
 * nobody can connect between `listen` and `chmod`.
 *
 * Call it after the database is open: its lock keeps two daemons of one data directory from
 * reclaiming a stale socket at the same time.
 * @throws PATH_TOO_LONG; LOOSE_PERMISSIONS for the directory; CONFLICT when a living daemon, a
 *   symbolic link or another file is there.
 */
export async function claimSocketPath(path: string): Promise<void> {
  const length = Buffer.byteLength(path);
  if (length > LIMITS.socketPathBytes) {
    throw new BzzzError('PATH_TOO_LONG', `the socket path ${path} is too long`, {
      why: `it has ${length} bytes, at most ${LIMITS.socketPathBytes}`,
      details: { path, bytes: length, most: LIMITS.socketPathBytes },
    });
  }
  const dir = dirname(path);
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw toBzzzError(thrown, 'DISK_FAILED');
  }
  await checkPrivateDir(dir);
  const found = await whatIsThere(path);
  if (found === undefined) return;
  if (!found.isSocket()) {
    const what = found.isSymbolicLink() ? 'a symbolic link' : 'a file that is no socket';
    throw new BzzzError('CONFLICT', `${path} is ${what}`, {
      why: 'a daemon only replaces the socket that an earlier run left behind',
      hint: 'remove it, or set BZZZ_CONTROL_SOCKET to another path',
    });
  }
  if (await isAlive(path)) {
    throw new BzzzError('CONFLICT', `another daemon listens on ${path}`, {
      hint: 'stop it, or set BZZZ_CONTROL_SOCKET to another path',
    });
  }
  await unlink(path);
}

async function whatIsThere(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined;
    throw toBzzzError(thrown, 'DISK_FAILED');
  }
}

/** Whether somebody accepts connections there; after SIGKILL the kernel refuses them. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    const end = (alive: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      done(alive);
    };
    const timer = setTimeout(end, PROBE_MS, true);
    socket.once('connect', () => end(true));
    socket.once('error', (e) => end(!('code' in e) || e.code !== 'ECONNREFUSED'));
  });
}
