/** All that daemons had for each other in their signing sessions, as `tap.mjs` wrote it down. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterId } from '../../../src/base/brands.ts';
import { verifyCertificate } from '../../../src/mpc/keys/certificate.ts';
import { Keyring } from '../../../src/mpc/keys/keyring.ts';
import { openStore } from '../../../src/node/store.ts';
import { projectRoot, type TestNode } from '../cluster.ts';
import { type Collected, ShareCollector } from '../share-collector.ts';
import { quietLogger } from '../world.ts';

/** Environment of a daemon whose frames go to files in `dir`. */
export const tapped = (dir: string) => ({
  NODE_OPTIONS: `--import ${join(projectRoot, 'test/support/frames/tap.mjs')}`,
  FRAMES_DIR: dir,
});

/**
 * Puts together every share that left a daemon.
 * @param witness a daemon that does not run; its disk has the keys.
 */
export async function collectShares(
  dir: string,
  clusterId: ClusterId,
  witness: TestNode,
): Promise<Collected> {
  const collector = new ShareCollector(clusterId);
  for (const file of readdirSync(dir)) {
    for (const line of readFileSync(join(dir, file), 'utf8').split('\n')) {
      // The last line of a daemon that was killed may be half a one.
      const [topic = '', hex = ''] = line.split(' ');
      collector.see({ topic, body: Buffer.from(hex, 'hex') });
    }
  }
  return collector.check(await keysOf(witness, clusterId));
}

async function keysOf(node: TestNode, clusterId: ClusterId) {
  const store = await openStore(join(node.dataDir, 'db'));
  const unused = (): never => {
    throw new Error('nothing is added to this keyring');
  };
  try {
    const keyring = await Keyring.open({
      kv: store.root.sub('keys'),
      wallMs: Date.now,
      verify: (certificate) => verifyCertificate(certificate, clusterId),
      ...{ retire: unused, extend: unused, logger: quietLogger },
    });
    return keyring.list().flatMap(({ key, history }) => [...history, key]);
  } finally {
    await store.close();
  }
}
