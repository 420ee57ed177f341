/** The main job on real daemons: join, make a key, sign, survive kills, resolve, verify. */
import { createHash, createPublicKey, verify as nodeVerify } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { schnorr } from '@noble/curves/secp256k1.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bzzzPath, Cluster, projectRoot, run, type TestNode, until } from '../support/cluster.ts';
import { steadyClock } from '../support/steady-clock.ts';

interface Key {
  keyId: string;
  name: string;
  threshold: number;
  parties: { peerId: string; index: number; role: string }[];
  publicKey: string;
  address: string;
  status: string;
}
interface Status {
  cluster: string;
  ready: boolean;
  peers: number;
  components: { component: string; status: string }[];
}
interface Signed {
  signature: string;
  publicKey: string;
  messageHash: string;
  signers: string[];
  sessionId: string;
  address: string;
  requestId: string;
  cached: boolean;
}

let cluster: Cluster;
let observer: TestNode;
const byIndex = (key: Key, index: number): TestNode => {
  const peerId = key.parties.find((party) => party.index === index)?.peerId;
  const node = cluster.nodes.find((n) => n.peerId === peerId);
  if (node === undefined) throw new Error(`no node for party ${index}`);
  return node;
};

beforeAll(async () => {
  cluster = await Cluster.start(5);
  observer = await cluster.add('observer');
  await cluster.meshed();
});
afterAll(() => cluster?.stop());

describe('five daemons and an observer', () => {
  let key: Key;
  let signed: Signed;
  const file = join(projectRoot, 'README.md');

  it('R1: every node shows its services up', async () => {
    for (const node of cluster.nodes) {
      const status = await until(`${node.name} is healthy`, async () => {
        const now = await node.json<Status>(['status']);
        return now.components.every((part) => part.status === 'healthy') ? now : undefined;
      });
      expect(status).toMatchObject({ cluster: 'lab', ready: true, peers: 5 });
      const parts = status.components.map((part) => part.component);
      expect(parts).toEqual([
        'network',
        'discovery',
        'announce',
        'roster',
        'election',
        'dht',
        'mpc',
      ]);
    }
  });

  it('R49: generate a 3-of-5 key, the same on every node, also one that took no part', async () => {
    key = await cluster
      .node(1)
      .json<Key>([
        ...['key', 'create', 'release', '--suite', 'ed25519'],
        ...['--threshold', '3', '--parties', '5'],
      ]);
    expect(key.parties.map((party) => party.index)).toEqual([1, 2, 3, 4, 5]);
    for (const node of cluster.nodes) {
      const seen = await until(`key on ${node.name}`, () =>
        node.json<Key>(['key', 'show', 'release']).catch(() => undefined),
      );
      expect(seen).toMatchObject({ keyId: key.keyId, publicKey: key.publicKey });
    }
  });

  it('R50: signers 1, 3 and 5 make a signature that openssl accepts', async () => {
    await Promise.all([2, 4].map((index) => byIndex(key, index).kill()));
    const asked = byIndex(key, 3);
    const out = join(cluster.home, 'signature');
    signed = await asked.json<Signed>(['sign', 'release', '--file', file, '--out', out]);
    const expected = [1, 3, 5].map((index) => byIndex(key, index).peerId);
    expect([...signed.signers].sort()).toEqual(expected.sort());
    expect(signed.messageHash).toBe(createHash('sha256').update(readFileSync(file)).digest('hex'));

    const pem = await asked.cli(['key', 'export', 'release', '--format', 'pem']);
    const pemFile = join(cluster.home, 'release.pem');
    writeFileSync(pemFile, pem.stdout);
    const check = ['pkeyutl', '-verify', '-pubin', '-inkey', pemFile, '-rawin'];
    const good = await run('openssl', [...check, '-in', file, '-sigfile', out]);
    expect(good.stdout + good.stderr).toMatch(/Verified Successfully/);
    const bad = await run('openssl', [...check, '-in', bzzzPath, '-sigfile', out]);
    expect(bad.code).not.toBe(0);
    const signature = Buffer.from(signed.signature, 'hex');
    expect(nodeVerify(null, readFileSync(file), createPublicKey(pem.stdout), signature)).toBe(true);
  });

  it('R80: the observer resolves key and signature after all signers are gone', async () => {
    for (const address of [key.address, signed.address]) {
      await until(`${address} on the observer`, async () => {
        const found = await observer.json<{ holders: string[] }>(['resolve', address]);
        return found.holders.length > 0;
      });
    }
    await Promise.all([1, 3, 5].map((index) => byIndex(key, index).kill()));
    for (const address of [key.address, signed.address]) {
      const found = await observer.json<{ address: string; size: number }>(['resolve', address]);
      expect(found.size).toBeGreaterThan(64);
    }
    const ok = await observer.cli([
      'verify',
      'release',
      '--file',
      file,
      '--signature',
      signed.signature,
    ]);
    expect(ok.code).toBe(0);
    const no = await observer.cli([
      'verify',
      'release',
      '--message',
      'x',
      '--signature',
      signed.signature,
    ]);
    expect(no.code).toBe(1);
  });

  it('P2: all killed nodes come back ready and sign again; a third asks for the same: cached', async () => {
    await Promise.all(cluster.nodes.filter((n) => !n.running).map((n) => n.start()));
    await cluster.meshed();
    const again = await byIndex(key, 2).json<Signed>(['sign', 'release', '--file', file]);
    expect(again).toMatchObject({ cached: true, signature: signed.signature });
    const other = await byIndex(key, 4).json<Signed>([
      'sign',
      'release',
      '--message',
      'after restart',
    ]);
    expect(other).toMatchObject({ cached: false });
  });

  it('R50: secp256k1-tr gives BIP 340 signatures', async () => {
    const tr = await cluster
      .node(2)
      .json<Key>([
        ...['key', 'create', 'coins', '--suite', 'secp256k1-tr'],
        ...['--threshold', '2', '--parties', '3'],
      ]);
    const node = byIndex(tr, 1);
    const digest = createHash('sha256').update('a transaction').digest('hex');
    const { signature, publicKey } = await node.json<Signed>(['sign', 'coins', '--hex', digest]);
    const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
    expect(schnorr.verify(bytes(signature), bytes(digest), bytes(publicKey))).toBe(true);
    expect(schnorr.verify(bytes(signature), bytes(`00${digest.slice(2)}`), bytes(publicKey))).toBe(
      false,
    );
    const pem = await node.cli(['key', 'export', 'coins', '--format', 'pem']);
    expect(pem.code).toBe(2);
    expect(pem.stderr).toMatch(/^error: .*\nwhy: .*\ntry: /m);
  });

  it('A name in use is a conflict (8), an observer or stranger to the key may not sign (7)', async () => {
    const twice = await cluster
      .node(3)
      .cli([
        ...['key', 'create', 'release', '--suite', 'ed25519'],
        ...['--threshold', '2', '--parties', '3'],
      ]);
    expect(twice.code).toBe(8);
    const refused = await observer.cli(['sign', 'release', '--message', 'please']);
    expect(refused.code).toBe(7);
  });

  it('P1: SIGTERM drains and ends cleanly within 5 s', async () => {
    const node = cluster.node(4);
    const started = steadyClock.now();
    expect(await node.kill('SIGTERM')).toBe(0);
    expect(steadyClock.now() - started).toBeLessThan(10_000);
    await node.start();
  });
});
