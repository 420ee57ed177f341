/**
 * The files that the key-encryption key comes from: an operator's passphrase file, or a random key
 * file that the node makes for itself. The only file access of this layer.
 * @module
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BzzzError } from '../../base/errors.ts';
import type { Random } from '../../base/ports.ts';
import { KEY_BYTES } from './sharefile.ts';

/** Name of the key file in the data directory. */
export const KEY_FILE = 'share.key';

const PASSPHRASE_BYTES = 4_096;

/** Where the KEK comes from. The reader wipes what it gets. */
export interface KeySource {
  readonly kind: 'passphrase' | 'file';
  /** For messages: the path. */
  readonly path: string;
  /**
   * @param create whether nothing is encrypted yet, so that a missing key file may be made.
   * @throws KEYSTORE_LOCKED: missing or unusable; LOOSE_PERMISSIONS; DISK_FAILED.
   */
  read(create: boolean): Promise<Uint8Array>;
}

/** A passphrase in a file of at most 4,096 bytes; one trailing line feed does not count. */
export function passphraseFile(path: string): KeySource {
  return {
    kind: 'passphrase',
    path,
    async read() {
      const bytes = await readPrivate(path, PASSPHRASE_BYTES);
      if (bytes === undefined) {
        throw new BzzzError('KEYSTORE_LOCKED', `passphrase file ${path} does not exist`);
      }
      let end = bytes.length;
      if (bytes[end - 1] === 0x0a) end--;
      if (bytes[end - 1] === 0x0d) end--;
      if (end === 0) throw new BzzzError('KEYSTORE_LOCKED', `passphrase file ${path} is empty`);
      return bytes.subarray(0, end);
    },
  };
}

/** 32 random bytes in a file of mode 0600, made at the first start. */
export function keyFile(path: string, random: Random): KeySource {
  return {
    kind: 'file',
    path,
    async read(create) {
      const found = await readPrivate(path, KEY_BYTES);
      if (found !== undefined) {
        if (found.length === KEY_BYTES) return found;
        throw new BzzzError('KEYSTORE_LOCKED', `${path} is no key file: ${found.length} bytes`);
      }
      if (!create) {
        throw new BzzzError('KEYSTORE_LOCKED', `${path} is missing`, {
          why: 'the shares of this node are encrypted under it',
          hint: 'restore the file, or the whole data directory, from a backup',
        });
      }
      const key = random.bytes(KEY_BYTES);
      await writeNew(path, key);
      return key;
    },
  };
}

/** @returns undefined when there is no such file. */
async function readPrivate(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return undefined;
    throw new BzzzError('KEYSTORE_LOCKED', `cannot read ${path}`, { cause });
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new BzzzError('KEYSTORE_LOCKED', `${path} is no regular file`);
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, '0');
      throw new BzzzError('LOOSE_PERMISSIONS', `${path} has mode ${mode}, others can read it`, {
        hint: `chmod 600 ${path}`,
      });
    }
    if (stat.size > maxBytes) {
      throw new BzzzError('KEYSTORE_LOCKED', `${path} has more than ${maxBytes} bytes`);
    }
    return new Uint8Array(await file.readFile());
  } finally {
    await file.close();
  }
}

/** Durable before it returns: the file and its directory entry. */
async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.chmod(0o600);
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    const directory = await open(dirname(path), constants.O_RDONLY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (cause) {
    throw new BzzzError('DISK_FAILED', `cannot write ${path}`, { cause });
  }
}

const isCode = (thrown: unknown, code: string): boolean =>
  thrown instanceof Error && 'code' in thrown && thrown.code === code;
