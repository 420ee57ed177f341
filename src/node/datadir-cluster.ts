/**
 * The cluster that a data directory belongs to: its genesis, and the invitation of a node that is
 * not admitted yet.
 * @module
 */
import { randomBytes } from 'node:crypto';
import type { PeerId } from '../base/brands.ts';
import { utf8Bytes } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { createGenesis, decodeGenesis, type Genesis } from '../roster/genesis.ts';
import { type Invitation, parseInvitation } from '../roster/invitation.ts';
import type { DataDirPaths } from './datadir.ts';
import { readPrivateFile, removePrivateFile, writePrivateFile } from './datadir.ts';

/** An invitation is base32, which takes 8 characters for 5 bytes. */
const INVITATION_TEXT_BYTES = LIMITS.invitationBytes * 2;

/** @returns undefined before `init` and `join`. @throws BAD_MESSAGE when it was altered. */
export async function loadGenesis(paths: DataDirPaths): Promise<Genesis | undefined> {
  const bytes = await readPrivateFile(paths.genesis, LIMITS.genesisBytes);
  return bytes === undefined ? undefined : decodeGenesis(bytes);
}

/** Who founds a cluster, and under which name. */
export interface Founding {
  readonly cluster: string;
  readonly founder: PeerId;
  readonly founderName: string;
}

/**
 * Makes the genesis of a new cluster; the same name again changes nothing.
 * @throws ALREADY_INITIALISED when the directory belongs to a cluster of another name; BAD_USAGE.
 */
export async function foundCluster(
  paths: DataDirPaths,
  founding: Founding,
): Promise<{ readonly genesis: Genesis; readonly created: boolean }> {
  const existing = await loadGenesis(paths);
  if (existing !== undefined) {
    if (existing.name !== founding.cluster) throw taken(paths, existing);
    return { genesis: existing, created: false };
  }
  const genesis = createGenesis({
    name: founding.cluster,
    salt: new Uint8Array(randomBytes(16)),
    founder: founding.founder,
    founderName: founding.founderName,
  });
  await writePrivateFile(paths.genesis, genesis.bytes, 'create');
  return { genesis, created: true };
}

const taken = (paths: DataDirPaths, existing: Genesis): BzzzError =>
  new BzzzError('ALREADY_INITIALISED', `${paths.dir} belongs to cluster ${existing.name}`, {
    why: `its cluster id is ${existing.clusterId}`,
    details: { cluster: existing.name, clusterId: existing.clusterId },
  });

/**
 * Writes what the next start of the daemon needs to be admitted. The same string again changes
 * nothing; a newer one for the same cluster replaces the one that is pending.
 * @throws INVALID_INVITATION; ALREADY_INITIALISED when the directory belongs to another cluster.
 */
export async function acceptInvitation(paths: DataDirPaths, text: string): Promise<Invitation> {
  const invitation = parseInvitation(text);
  const existing = await loadGenesis(paths);
  if (existing !== undefined && existing.clusterId !== invitation.genesis.clusterId) {
    throw taken(paths, existing);
  }
  const plain = utf8Bytes(text.replace(/\s+/g, '').toLowerCase());
  await writePrivateFile(paths.invitation, plain, 'replace');
  if (existing === undefined) {
    await writePrivateFile(paths.genesis, invitation.genesis.bytes, 'create');
  }
  return invitation;
}

/** The invitation that is still to be used, if any. @throws INVALID_INVITATION when damaged. */
export async function loadInvitation(paths: DataDirPaths): Promise<Invitation | undefined> {
  const bytes = await readPrivateFile(paths.invitation, INVITATION_TEXT_BYTES);
  return bytes === undefined ? undefined : parseInvitation(new TextDecoder().decode(bytes));
}

/** Forgets the invitation: the node is admitted, and its secret is of no more use. */
export const dropInvitation = (paths: DataDirPaths): Promise<void> =>
  removePrivateFile(paths.invitation);
