/** A delegate on a real host: its share is in its memory and with its operator, and nowhere else. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';

let cluster: Cluster;
let delegate: TestNode;
const file = () => join(cluster.home, 'release.share');

beforeAll(async () => {
  cluster = await Cluster.start(2);
  delegate = await cluster.add('delegate', { BZZZ_PARTY_ROLE: 'delegate' });
  await cluster.meshed();
});
afterAll(() => cluster?.stop());

const allFiles = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe('a delegate', () => {
  it('R33: gives its share out once, signs with it, and leaves no trace of it on its host', async () => {
    await cluster.founder.json([
      ...['key', 'create', 'release', '--threshold', '2'],
      ...['--role', 'persistent=2', '--role', 'delegate=1'],
    ]);
    await until('held', async () => {
      const key = await delegate.get<{ status: string }>('/v1/keys/release');
      return key.status === 'active';
    });
    await delegate.json(['key', 'share', 'release', '--out', file()]);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    const again = await delegate.cli(['key', 'share', 'release', '--out', `${file()}.2`]);
    expect(again.code).toBe(4);
    expect(readdirSync(cluster.home)).not.toContain('release.share.2');
    await cluster.node(1).kill();
    const signed = await delegate.json<{ signers: string[] }>([
      ...['sign', 'release', '--message', 'brought', '--share', file()],
    ]);
    expect(signed.signers).toContain(delegate.peerId);
    const without = await delegate.cli(['sign', 'release', '--message', 'x', '--timeout', '3s']);
    expect(without.code).not.toBe(0);
    await delegate.kill('SIGTERM');
    const secret = fromHex(JSON.parse(readFileSync(file(), 'utf8')).signing_share);
    if (secret === undefined) throw new Error('no share in the file');
    const places = [...allFiles(delegate.dataDir), delegate.logFile];
    expect(places.length).toBeGreaterThan(5);
    for (const place of places) {
      const bytes = readFileSync(place);
      expect(bytes.includes(Buffer.from(secret)), place).toBe(false);
      expect(bytes.includes(Buffer.from(secret).toString('hex')), place).toBe(false);
    }
  });
});
