/** A disk that no longer has the share of a key. */
import { join } from 'node:path';
import { openStore } from '../../src/node/store.ts';
import type { TestNode } from './cluster.ts';

/** Stops a daemon, takes the active share of a key from its disk, and starts it again. */
export async function loseShare(node: TestNode, keyId: string): Promise<void> {
  await node.kill();
  const store = await openStore(join(node.dataDir, 'db'));
  await store.root.sub('shares').del(`a/${keyId}`);
  await store.close();
  await node.start();
}
