/** A host whose disk is gone comes back from its backup, and an old share stays unused. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, until } from '../support/cluster.ts';

let cluster: Cluster;
const file = (name: string) => join(cluster.home, name);
const credentials = () => ['--passphrase-file', file('passphrase')];

beforeAll(async () => {
  cluster = await Cluster.start(3);
  writeFileSync(file('passphrase'), 'five random words are better\n', { mode: 0o600 });
  await cluster.founder.json([...['key', 'create', 'main', '--threshold', '2', '--parties', '3']]);
});
afterAll(() => cluster?.stop());

const active = (name: string, node = cluster.node(2)) =>
  until(`${name} active`, async () => {
    const key = await node.get<{ status: string; epoch: number }>(`/v1/keys/${name}`);
    return key.status === 'active' ? key : undefined;
  });

describe('backup and restore', () => {
  it('a lost disk: the host is who it was, signs, and keeps silent as a voter', async () => {
    const lost = cluster.node(2);
    await active('main');
    const made = await lost.json<{ peerId: string; shares: number }>([
      ...['backup', file('third.backup'), ...credentials()],
    ]);
    expect(made).toMatchObject({ peerId: lost.peerId, shares: 1 });
    expect(statSync(file('third.backup')).mode & 0o777).toBe(0o600);
    const again = await lost.cli(['backup', file('third.backup'), ...credentials()]);
    expect(again.code).toBe(8);
    await lost.kill();
    rmSync(lost.dataDir, { recursive: true });
    const wrong = file('wrong');
    writeFileSync(wrong, 'five other words\n', { mode: 0o600 });
    const refused = await lost.cli(['restore', file('third.backup'), '--passphrase-file', wrong]);
    expect([refused.code, refused.stderr]).toEqual([
      7,
      expect.stringContaining('WRONG_PASSPHRASE'),
    ]);
    const restored = await lost.json<{ peerId: string }>([
      ...['restore', file('third.backup'), ...credentials()],
    ]);
    expect(restored.peerId).toBe(lost.peerId);
    await lost.start();
    await cluster.meshed();
    await cluster.node(1).kill();
    // Two of three: the restored share is needed.
    const signed = await cluster.founder.json<{ signers: string[] }>([
      ...['sign', 'main', '--message', 'after the fire'],
    ]);
    expect(signed.signers).toContain(lost.peerId);
    const { warnings } = await lost.get<{ warnings: string[] }>('/v1/status');
    expect(warnings.join()).toContain('keeps silent');
    await cluster.node(1).start();
    await cluster.meshed();
  });

  it('E3: demoted once and started again, it votes as everybody does', async () => {
    const lost = cluster.node(2);
    await until('a leader', () => cluster.founder.get('/v1/leader').then(() => true));
    await cluster.founder.json(['roster', 'demote', lost.peerId]);
    await until('it knows', () =>
      readFileSync(lost.logFile, 'utf8').includes('this node may vote again'),
    );
    await lost.kill('SIGTERM');
    await lost.start();
    const { warnings } = await lost.get<{ warnings: string[] }>('/v1/status');
    expect(warnings.join()).not.toContain('keeps silent');
  });

  it('an old backup brings no old epoch back unnoticed', async () => {
    const lost = cluster.node(2);
    await cluster.meshed();
    await cluster.founder.json(['key', 'refresh', 'main']);
    await until('the next epoch', async () => (await active('main')).epoch === 1);
    await lost.kill();
    const credentialsOf = [file('third.backup'), ...credentials()];
    expect((await lost.cli(['restore', ...credentialsOf])).code).toBe(8);
    const restored = await lost.json<{ replaced: string }>([
      'restore',
      ...credentialsOf,
      '--force',
    ]);
    expect(restored.replaced).toContain('replaced-1');
    await lost.start();
    await cluster.meshed();
    const key = await until('it learns of the epoch', async () => {
      const known = await lost.get<{ status: string; epoch: number }>('/v1/keys/main');
      return known.epoch === 1 ? known : undefined;
    });
    expect(key.status).toBe('stale');
    const { events } = { events: readFileSync(lost.logFile, 'utf8') };
    expect(events).toContain('is older than its epoch 1');
  });
});
