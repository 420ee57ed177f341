/**
 * What `init` and `join` write. Loaded by them alone: it brings the identity and roster code.
 * @module
 */
import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { utf8Bytes } from '../../base/bytes.ts';
import { parseInvitation } from '../../roster/invitation.ts';
import { prepareDataDir, writePrivateFile } from '../datadir.ts';
import { acceptInvitation, foundCluster } from '../datadir-cluster.ts';
import { ensureIdentity, peerIdOf } from '../identity.ts';

/** Makes or completes a founder's data directory. */
export async function initNode(
  dir: string,
  cluster: string,
  nodeName: string,
): Promise<{
  readonly peerId: string;
  readonly cluster: string;
  readonly clusterId: string;
  readonly dataDir: string;
  readonly created: boolean;
}> {
  const paths = await prepareDataDir(dir);
  const peerId = peerIdOf(await ensureIdentity(paths));
  const { genesis, created } = await foundCluster(paths, {
    cluster,
    founder: peerId,
    founderName: nodeName,
  });
  const { name, clusterId } = genesis;
  return { peerId, cluster: name, clusterId, dataDir: dir, created };
}

/** Makes the data directory of a host that was invited. */
export async function joinNode(
  dir: string,
  text: string,
): Promise<{
  readonly peerId: string;
  readonly cluster: string;
  readonly clusterId: string;
  readonly role: string;
  readonly expiresAt: string;
  readonly dataDir: string;
}> {
  // Before anything is written: a bad string leaves no half-made node behind.
  const { genesis, token } = parseInvitation(text);
  const paths = await prepareDataDir(dir);
  await acceptInvitation(paths, text);
  const peerId = peerIdOf(await ensureIdentity(paths));
  await nameCluster(paths.config, genesis.name);
  return {
    peerId,
    cluster: genesis.name,
    clusterId: genesis.clusterId,
    role: token.role,
    expiresAt: new Date(token.expiresAt).toISOString(),
    dataDir: dir,
  };
}

/** Writes the cluster's name into the configuration unless somebody wrote something there. */
async function nameCluster(path: string, cluster: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return undefined;
    throw thrown;
  });
  if (text !== undefined && parseDocument(text).contents !== null) return;
  await writePrivateFile(path, utf8Bytes(`${text ?? ''}node:\n  cluster: ${cluster}\n`), 'replace');
}
