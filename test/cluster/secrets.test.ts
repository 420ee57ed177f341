/**
 * Shares on the disks of real daemons: nowhere in plain text, refused when the passphrase is wrong,
 * the files are open to others, or a share was altered.
 */
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClusterId, KeyId, PeerId } from '../../src/base/brands.ts';
import { keyFile, passphraseFile } from '../../src/mpc/keys/keyfile.ts';
import { Keystore } from '../../src/mpc/keys/keystore.ts';
import { openStore } from '../../src/node/store.ts';
import { systemRandom } from '../../src/node/system.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';

let cluster: Cluster;
let keyId: KeyId;
let clusterId: ClusterId;
const passphrase = () => join(cluster.node(2).home, 'passphrase');

beforeAll(async () => {
  cluster = await Cluster.start(3);
  const third = cluster.node(2);
  // A node that has no share yet may still be given a passphrase: its store is made at the start.
  await third.kill();
  writeFileSync(passphrase(), 'correct horse battery staple\n', { mode: 0o600 });
  const fresh = await cluster.prepare();
  fresh.setEnv({ BZZZ_KEY_PASSPHRASE_FILE: passphrase() });
  await fresh.start();
  fresh.peerId = (await fresh.json<{ peerId: string }>(['status'])).peerId;
  await cluster.meshed();
  const key = await cluster.founder.json<{ keyId: KeyId }>([
    ...['key', 'create', 'main', '--suite', 'ed25519', '--threshold', '2', '--parties', '3'],
  ]);
  keyId = key.keyId;
  const status = await cluster.founder.json<{ clusterId: ClusterId }>(['status']);
  clusterId = status.clusterId;
  await cluster.founder.json(['sign', 'main', '--message', 'canary']);
});
afterAll(() => cluster?.stop());

const holders = (): TestNode[] => [cluster.node(0), cluster.node(1), cluster.node(3)];

/** The share as only its owner may see it: with the node's own key, from its own store. */
async function shareOf(node: TestNode): Promise<Uint8Array> {
  const store = await openStore(join(node.dataDir, 'db'));
  const source =
    node === cluster.node(3)
      ? passphraseFile(passphrase())
      : keyFile(join(node.dataDir, 'share.key'), systemRandom);
  const { peerId } = JSON.parse((await node.cli(['init', '--cluster', 'lab', '--json'])).stdout);
  try {
    const keystore = await Keystore.open({
      kv: store.root.sub('shares'),
      clusterId,
      self: peerId as PeerId,
      random: systemRandom,
      source,
    });
    const stored = await keystore.share(keyId);
    if (stored === undefined) throw new Error(`${node.name} holds no share`);
    return stored.share.signingShare;
  } finally {
    await store.close();
  }
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

describe('shares at rest', () => {
  it('K3: no file of any node, logs included, has a share in plain bytes, hex or base64', async () => {
    await Promise.all(holders().map((node) => node.kill('SIGTERM')));
    const shares = await Promise.all(holders().map(shareOf));
    const all = cluster.nodes.flatMap((node) => files(node.home));
    expect(all.length).toBeGreaterThan(20);
    for (const share of shares) {
      const reversed = Uint8Array.from(share).reverse();
      const forms = [share, reversed].flatMap((bytes) => {
        const b = Buffer.from(bytes);
        return [b, Buffer.from(b.toString('hex')), Buffer.from(b.toString('base64').slice(0, 42))];
      });
      for (const file of all) {
        const content = readFileSync(file);
        for (const form of forms) expect(content.includes(form), file).toBe(false);
      }
    }
    // The search finds what is there: the public key stands in some file.
    const id = Buffer.from(keyId);
    expect(all.some((file) => readFileSync(file).includes(id))).toBe(true);
  });

  it('every file of a data directory is closed to others', () => {
    for (const node of holders()) {
      expect(statSync(node.dataDir).mode & 0o077, node.dataDir).toBe(0);
      for (const name of ['identity.key', 'share.key', 'genesis.cbor']) {
        const file = join(node.dataDir, name);
        if (name === 'share.key' && node === cluster.node(3)) continue;
        expect(statSync(file).mode & 0o077, file).toBe(0);
      }
    }
  });

  /** Starts a daemon that must not come up, and gives what it said. */
  async function refuses(node: TestNode): Promise<string> {
    const ran = await node.cli(['daemon']);
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toMatch(/^error: .+\nwhy: .+\ntry: .+/m);
    return ran.stderr;
  }

  it('a wrong passphrase is refused, the right one opens', async () => {
    const node = cluster.node(3);
    writeFileSync(passphrase(), 'wrong horse\n', { mode: 0o600 });
    expect(await refuses(node)).toMatch(/WRONG_PASSPHRASE/);
    writeFileSync(passphrase(), 'correct horse battery staple\n', { mode: 0o600 });
    await cluster.founder.start();
    await node.start();
    await cluster.meshed();
    await node.json(['sign', 'main', '--message', 'opened again']);
    await node.kill('SIGTERM');
  });

  it('loose modes of identity, key file, passphrase file and directory are refused', async () => {
    const [plain, secret] = [cluster.node(1), cluster.node(3)];
    const loose: [TestNode, string, number, number][] = [
      [plain, join(plain.dataDir, 'identity.key'), 0o644, 0o600],
      [plain, join(plain.dataDir, 'share.key'), 0o640, 0o600],
      [secret, passphrase(), 0o604, 0o600],
      [plain, plain.dataDir, 0o755, 0o700],
    ];
    for (const [node, path, bad, good] of loose) {
      chmodSync(path, bad);
      expect(await refuses(node), path).toMatch(/LOOSE_PERMISSIONS/);
      chmodSync(path, good);
    }
  });

  it('a tampered share is named and refused; the node itself goes on', async () => {
    const node = cluster.node(1);
    const store = await openStore(join(node.dataDir, 'db'));
    const shares = store.root.sub('shares');
    const stored = await shares.get(`a/${keyId}`);
    if (stored === undefined) throw new Error('no stored share');
    const bad = new Uint8Array(stored);
    bad[bad.length - 5] = (bad[bad.length - 5] ?? 0) ^ 1;
    await shares.put(`a/${keyId}`, bad, { sync: true });
    await store.close();
    await node.start();
    await until(
      'connected',
      async () => (await node.json<{ peers: number }>(['status'])).peers > 0,
    );
    const ran = await node.cli(['sign', 'main', '--message', 'with a bad share', '--json']);
    expect(ran.code).not.toBe(0);
    expect(ran.stdout + ran.stderr).toMatch(/SHARE_CORRUPT/);
    expect((await node.json<{ ready: boolean }>(['status'])).ready).toBe(true);
  });
});
