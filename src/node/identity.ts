/**
 * Who this node is: its libp2p Ed25519 key, and the boot counter that tells two runs of it apart.
 * @module
 */
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey, PrivateKey } from '@libp2p/interface';
import { z } from 'zod';
import type { PeerId } from '../base/brands.ts';
import { decode, encode } from '../base/codec.ts';
import { BzzzError } from '../base/errors.ts';
import type { KeyValue } from '../base/ports.ts';
import type { DataDirPaths } from './datadir.ts';
import { readPrivateFile, writePrivateFile } from './datadir.ts';

/** Protobuf of an Ed25519 key: 4 bytes of header, 64 of key. */
const KEY_FILE_BYTES = 128;
const BOOT_KEY = 'boot';

/** The party id and peer id that `key` is. */
export const peerIdOf = (key: Ed25519PrivateKey): PeerId => key.publicKey.toString() as PeerId;

/**
 * Makes a new identity and writes it, synced.
 * @throws CONFLICT when there is one; it is never replaced.
 */
export async function createIdentity(paths: DataDirPaths): Promise<Ed25519PrivateKey> {
  const key = await generateKeyPair('Ed25519');
  const bytes = privateKeyToProtobuf(key);
  try {
    await writePrivateFile(paths.identityKey, bytes, 'create');
  } finally {
    bytes.fill(0);
  }
  return key;
}

/**
 * Loads the identity.
 * @returns undefined when the directory has none.
 * @throws LOOSE_PERMISSIONS; DISK_FAILED when the file is no Ed25519 key.
 */
export async function loadIdentity(paths: DataDirPaths): Promise<Ed25519PrivateKey | undefined> {
  const bytes = await readPrivateFile(paths.identityKey, KEY_FILE_BYTES);
  if (bytes === undefined) return undefined;
  let key: PrivateKey;
  try {
    key = privateKeyFromProtobuf(bytes);
  } catch {
    // Without the cause: a parser may quote what it could not parse.
    throw damaged(paths);
  } finally {
    bytes.fill(0);
  }
  if (key.type !== 'Ed25519') throw damaged(paths);
  return key;
}

const damaged = (paths: DataDirPaths): BzzzError =>
  new BzzzError('DISK_FAILED', `${paths.identityKey} is no Ed25519 key`, {
    hint: 'restore it from a backup; a new key is a new member',
  });

/** The identity of the directory, made on first use. */
export async function ensureIdentity(paths: DataDirPaths): Promise<Ed25519PrivateKey> {
  return (await loadIdentity(paths)) ?? (await createIdentity(paths));
}

/**
 * Counts this run. Call once at start, before anything leaves the node: the number is durable when
 * the promise resolves, so no two runs share one.
 * @returns 1 on the first run.
 * @throws DISK_FAILED, or BAD_MESSAGE when the stored number was altered.
 */
export async function nextBoot(store: KeyValue): Promise<number> {
  const stored = await store.get(BOOT_KEY);
  const last = stored === undefined ? 0 : decode('boot counter', z.int().min(0), stored, 16);
  const boot = last + 1;
  await store.put(BOOT_KEY, encode(boot), { sync: true });
  return boot;
}
