/**
 * Makes the backup of a running node.
 * @module
 */
import { privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { Clock, KeyValue, Random } from '../base/ports.ts';
import type { Keystore, StoredShare } from '../mpc/keys/keystore.ts';
import { wipe } from '../mpc/keys/sharefile.ts';
import type { RosterService } from '../roster/service.ts';
import {
  type BackupContents,
  type BackupSummary,
  sealBackup,
  summaryOf,
  wipeContents,
} from './backup-file.ts';
import type { NodeFiles } from './node.ts';

export interface BackupDeps {
  /** The root of the embedded store. */
  readonly store: KeyValue;
  readonly keystore: Keystore;
  readonly roster: RosterService;
  readonly files: NodeFiles;
  readonly boot: number;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Namespaces that a backup takes along whole: the roster's chain, certificates of keys, addresses
 * of members. The election's and everything that can be fetched again stay out.
 */
const TABLES = ['roster', 'keys', 'network'] as const;

type Row = [string, Uint8Array];
type Share = BackupContents['shares'][number];

/**
 * @param passphrase wiped by the caller.
 * @throws BAD_REQUEST for a weak passphrase; SHARE_CORRUPT: a backup with a hole would be worse
 * than none; TOO_LARGE; DISK_FAILED.
 */
export async function makeBackup(
  passphrase: Uint8Array,
  deps: BackupDeps,
): Promise<{ readonly bytes: Uint8Array; readonly summary: BackupSummary }> {
  const contents = await collect(deps);
  try {
    const bytes = await sealBackup(contents, passphrase, deps.random);
    return { bytes, summary: summaryOf(contents) };
  } finally {
    wipeContents(contents);
  }
}

async function collect(deps: BackupDeps): Promise<BackupContents> {
  const { store, roster, files, boot, clock } = deps;
  const tables = [];
  for (const name of TABLES) tables.push({ name, rows: await rowsOf(store.sub(name), '') });
  const sessions = store.sub('sessions');
  const shares = await sharesOf(deps.keystore);
  try {
    // Refusals are promises never to attest; a pending share is nothing without its session.
    const rows = await rowsOf(sessions, 'r/');
    for (const { state, id } of shares) {
      if (state === 'pending') rows.push(...(await rowsOf(sessions, `s/${id}`)));
    }
    tables.push({ name: 'sessions', rows });
  } catch (error) {
    for (const { signingShare } of shares) wipe(signingShare);
    throw error;
  }
  return {
    createdAtMs: clock.wallMs(),
    self: roster.self,
    clusterId: roster.view.clusterId,
    clusterName: roster.view.clusterName,
    boot,
    identity: new Uint8Array(privateKeyToProtobuf(files.key)),
    genesis: files.genesis.bytes,
    tables,
    shares,
  };
}

async function rowsOf(table: KeyValue, prefix: string): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const [key, value] of table.entries(prefix)) rows.push([key, new Uint8Array(value)]);
  return rows;
}

async function sharesOf(keystore: Keystore): Promise<Share[]> {
  const found: Share[] = [];
  const add = (state: Share['state'], id: string, stored: StoredShare | undefined): void => {
    if (stored === undefined) return;
    const { share, epoch, attached } = stored;
    found.push({ state, id, epoch, ...share, attached });
  };
  try {
    for (const id of await keystore.activeKeys()) add('active', id, await keystore.share(id));
    for (const id of await keystore.pendingSessions())
      add('pending', id, await keystore.pending(id));
    return found;
  } catch (error) {
    for (const { signingShare } of found) wipe(signingShare);
    throw error;
  }
}
