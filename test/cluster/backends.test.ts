/** Switching the backends of a real daemon: by command, by SIGHUP, over a restart; its figures. */
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BackendMetrics } from '../../src/base/backend-meter.ts';
import type { BackendDocument } from '../../src/node/backends.ts';
import { backendOf, healthOf, metricsOf, put, QUICK, resolves } from '../support/backends.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';

let cluster: Cluster;
let node: TestNode;
let file: string;
beforeAll(async () => {
  cluster = await Cluster.start(1, QUICK);
  node = cluster.founder;
  file = join(node.dataDir, 'config.yaml');
});
afterAll(() => cluster?.stop());

interface Told {
  readonly kind: string;
  readonly data: Record<string, unknown>;
}
let seen = 0;
async function events(): Promise<readonly Told[]> {
  // Not by the command line, which reads the same configuration, also a bad one.
  const all: Told[] = [];
  for await (const { data } of node.control(10_000).events({ after: '0.0', follow: false })) {
    all.push(data as Told);
  }
  const fresh = all.slice(seen);
  seen = all.length;
  return fresh.filter(({ kind }) => /^(backend|config)\./.test(kind));
}

/** The text of a path on the control socket. */
const fetchText = (path: string): Promise<{ status: number; type: string; text: string }> =>
  new Promise((done, fail) => {
    const outgoing = request({ socketPath: node.socketPath, path, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => (text += chunk));
      answer.on('end', () => {
        const type = answer.headers['content-type'] ?? '';
        done({ status: answer.statusCode ?? 0, type, text });
      });
    });
    outgoing.on('error', fail);
    outgoing.end();
  });

describe('by command', () => {
  beforeEach(() => events());

  it('set, rollback and isolate take effect at once, and are events', async () => {
    const local = await node.json<BackendDocument>(['backend', 'set', 'dht', 'local']);
    expect(local).toMatchObject({ backend: 'mock', active: 'mock', generation: 1 });
    const back = await node.json<BackendDocument>(['backend', 'rollback']);
    expect(back).toMatchObject({ component: 'dht', backend: 'hybrid', active: 'real' });
    const cut = await node.json<BackendDocument>(['isolate', 'discovery']);
    expect(cut).toMatchObject({ component: 'discovery', isolated: true, active: 'mock' });
    const all = await node.json<BackendDocument[]>(['backend', 'show']);
    expect(all.map((b) => [b.component, b.backend, b.isolated])).toEqual([
      ['dht', 'hybrid', false],
      ['discovery', 'hybrid', true],
    ]);
    expect(await healthOf(node, 'discovery')).toMatchObject({ backend: 'mock' });
    await node.json(['backend', 'rollback', 'discovery']);
    expect((await events()).map(({ kind, data }) => [kind, data.component, data.command])).toEqual([
      ['backend.switched', 'dht', 'set'],
      ['backend.switched', 'dht', 'rollback'],
      ['backend.switched', 'discovery', 'isolate'],
      ['backend.switched', 'discovery', 'rollback'],
    ]);
  });

  it('what cannot be is refused with its exit code', async () => {
    expect((await node.cli(['backend', 'set', 'dhd', 'local'])).code).toBe(4);
    expect((await node.cli(['backend', 'set', 'dht', 'paper'])).code).toBe(2);
    expect((await node.cli(['backend', 'rollback'])).code).toBe(8);
    expect(await events()).toEqual([]);
  });

  it('a share of the records is on the network, always the same ones (R70)', async () => {
    await node.json(['backend', 'set', 'dht', 'dht', '--percent', '30']);
    const before = await metricsOf(node, 'dht');
    const kept = await Promise.all(Array.from({ length: 100 }, () => put(node)));
    const after = await metricsOf(node, 'dht');
    const network = after.real_requests - before.real_requests;
    const all = network + after.mock_requests - before.mock_requests;
    expect(network / all).toBeGreaterThan(0.1);
    expect(network / all).toBeLessThan(0.5);
    for (const { address } of kept) expect(await resolves(node, address)).toBe(true);
    await node.json(['backend', 'rollback']);
  });
});

describe('by SIGHUP', () => {
  let original: string | undefined;
  beforeAll(() => {
    try {
      original = readFileSync(file, 'utf8');
    } catch {
      original = undefined;
    }
  });
  beforeEach(() => events());

  async function hangUp(yaml: string): Promise<readonly Told[]> {
    writeFileSync(file, `${original ?? ''}\n${yaml}`, { mode: 0o600 });
    process.kill(node.pid, 'SIGHUP');
    const told: Told[] = [];
    await until('read again', async () => {
      told.push(...(await events()));
      return told.some(({ kind }) => kind.startsWith('config.'));
    });
    return told;
  }

  it('applies what changed, and names what needs a restart', async () => {
    const told = await hangUp('dht: {backend: local, rollout_percent: 40, replication: 4}\n');
    expect(told).toMatchObject([
      { kind: 'backend.switched', data: { component: 'dht', to: 'mock', by: 'configuration' } },
      {
        kind: 'config.reloaded',
        data: {
          applied: ['dht.backend', 'dht.rollout_percent'],
          needRestart: ['dht.replication'],
        },
      },
    ]);
    expect(await backendOf(node, 'dht')).toMatchObject({ backend: 'mock', percent: 40 });
    const settings = await node.get<{ key: string; value: unknown }[]>('/v1/config');
    const value = (key: string) => settings.find((one) => one.key === key)?.value;
    expect([value('dht.backend'), value('dht.replication')]).toEqual(['mock', 5]);
  });

  it('a bad configuration changes nothing, and the daemon goes on', async () => {
    const told = await hangUp('dht: {backend: paper}\n');
    expect(told).toMatchObject([{ kind: 'config.refused', data: { code: 'BAD_CONFIG' } }]);
    expect(await backendOf(node, 'dht')).toMatchObject({ backend: 'mock' });
    expect((await put(node)).ack).toBe('quorum');
  });

  it('a restart brings back what the configuration says, not what a command said', async () => {
    await hangUp('dht: {backend: dht}\n');
    await node.json(['backend', 'set', 'dht', 'local']);
    await node.kill('SIGTERM');
    await node.start();
    seen = 0;
    expect(await backendOf(node, 'dht')).toMatchObject({ backend: 'real', generation: 0 });
    writeFileSync(file, original ?? '', { mode: 0o600 });
  });
});

describe('by setting', () => {
  it('a node starts on the backends that its settings name', async () => {
    await node.kill('SIGTERM');
    await node.start({ BZZZ_USE_REAL_DHT: 'false', BZZZ_DISCOVERY_BACKEND: 'local' });
    const chosen = await node.get<BackendDocument[]>('/v1/backends');
    expect(chosen.map(({ backend, active }) => [backend, active])).toEqual([
      ['mock', 'mock'],
      ['mock', 'mock'],
    ]);
    const kept = await put(node);
    expect(kept.ack).toBe('quorum');
    await until('healthy', async () => (await healthOf(node, 'dht')).status === 'healthy');
    await node.kill('SIGTERM');
    await node.start({ BZZZ_FALLBACK_ON_ERROR: 'false' });
    expect(await backendOf(node, 'dht')).toMatchObject({ backend: 'real' });
    expect(await resolves(node, kept.address)).toBe(true);
  });
});

describe('figures', () => {
  it('have the documented names, as JSON and for Prometheus', async () => {
    await put(node);
    const [dht] = await node.json<BackendMetrics[]>(['metrics']);
    expect(Object.keys(dht ?? {})).toEqual([
      ...['component', 'mock_requests', 'real_requests', 'fallback_events', 'recovery_events'],
      ...['avg_latency_mock', 'avg_latency_real', 'error_rate_mock', 'error_rate_real'],
    ]);
    expect(dht?.real_requests).toBeGreaterThan(0);
    expect(dht?.avg_latency_real).toBeGreaterThan(0);
    const { status, type, text } = await fetchText('/metrics');
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(text).toMatch(/^bzzz_real_requests_total\{component="dht"\} [1-9]\d*$/m);
    expect(text).toMatch(/^bzzz_health\{component="discovery"\} 1$/m);
    expect(text).toMatch(/^bzzz_ready 1$/m);
    expect(text).toMatch(/^process_resident_memory_bytes [1-9]\d{6,}$/m);
  });

  it('health rows are live: a check has a time, and takes some', async () => {
    const rows = await node.json<{ component: string }[]>(['health']);
    expect(rows.find(({ component }) => component === 'dht')).toMatchObject({
      ...{ status: 'healthy', error_count: 0, latency_ms: expect.any(Number) },
    });
    const { last_check, latency_ms } = await healthOf(node, 'dht');
    expect(latency_ms).toBeGreaterThan(0);
    expect(Date.now() - Date.parse(last_check)).toBeLessThan(60_000);
    await until('a later check', async () => {
      const next = await healthOf(node, 'dht');
      return Date.parse(next.last_check) > Date.parse(last_check);
    });
  });

  it('are not told when they are switched off', async () => {
    await node.kill('SIGTERM');
    await node.start({ BZZZ_METRICS_ENABLED: 'false' });
    expect((await fetchText('/metrics')).status).toBe(404);
    expect((await node.cli(['metrics'])).code).toBe(4);
  });
});
