/**
 * Record store and discovery on each of their backends, with and without the network, on three
 * real daemons. The first one is looked at; the others are stopped to make its network fail.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PutDocument } from '../../src/node/services.ts';
import {
  backendOf,
  type Component,
  healthOf,
  metricsOf,
  put,
  QUICK,
  reads,
  resolve,
  resolves,
  setBackend,
  type Word,
} from '../support/backends.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import { steadyClock } from '../support/steady-clock.ts';

let cluster: Cluster;
let one: TestNode;
let others: readonly TestNode[];
let self: string;
beforeAll(async () => {
  cluster = await Cluster.start(3, QUICK);
  one = cluster.node(0);
  others = [cluster.node(1), cluster.node(2)];
  self = one.peerId;
});
afterAll(() => cluster?.stop());

const both = ['dht', 'discovery'] as const satisfies Component[];
const setBoth = (word: Word) => Promise.all(both.map((name) => setBackend(one, name, word)));
/** The figures once what began before the switch has ended, where it began. */
const settled = () =>
  until(
    'calls on the network have ended',
    async () => {
      const first = await metricsOf(one, 'dht');
      await new Promise((done) => setTimeout(done, 500));
      const next = await metricsOf(one, 'dht');
      return next.real_requests === first.real_requests ? next : undefined;
    },
    120_000,
  );
const partition = () => Promise.all(others.map((node) => node.kill('SIGSTOP')));
const heal = () => Promise.all(others.map((node) => node.kill('SIGCONT')));
/** The hybrid backend has found the network: at a start it may look before the others are there. */
const onNetwork = (node: TestNode, name: Component) =>
  until(`${name} on the network`, async () => (await backendOf(node, name)).active === 'real');
const connected = async (node: TestNode): Promise<number> =>
  (await node.get<{ connected: boolean }[]>('/v1/peers')).filter((peer) => peer.connected).length;
const alone = () => until('nobody is connected', async () => (await connected(one)) === 0);
const backInMesh = async (): Promise<void> => {
  await heal();
  await cluster.meshed();
};

/** Forgets every connection of `one`, and begins on `word`. */
async function restartOn(word: Word): Promise<void> {
  await one.kill('SIGKILL');
  await one.start({ BZZZ_DISCOVERY_BACKEND: word });
  await cluster.meshed();
}

describe('record store, network up', () => {
  it('pure local: a write is on this disk alone', async () => {
    await setBackend(one, 'dht', 'local');
    const before = await settled();
    const done = await put(one);
    expect(done).toMatchObject({ ack: 'local', holders: [self], pending: 0 });
    expect(await resolve(one, done.address)).toMatchObject({ holders: [self] });
    expect(await resolves(cluster.node(1), done.address)).toBe(false);
    await expect(put(one, 'quorum')).rejects.toMatchObject({ code: 'NO_QUORUM' });
    const after = await metricsOf(one, 'dht');
    expect(after.mock_requests).toBeGreaterThan(before.mock_requests);
    expect(after.real_requests).toBe(before.real_requests);
    expect(await healthOf(one, 'dht')).toMatchObject({ backend: 'mock' });
  });

  it('pure real: a write is read back from the others', async () => {
    await setBackend(one, 'dht', 'dht');
    const before = await metricsOf(one, 'dht');
    const done = await put(one, 'quorum');
    expect(done.ack).toBe('quorum');
    expect(done.holders.length).toBeGreaterThan(1);
    expect(await resolves(cluster.node(2), done.address)).toBe(true);
    const after = await metricsOf(one, 'dht');
    expect(after.real_requests).toBeGreaterThan(before.real_requests);
    expect(await healthOf(one, 'dht')).toMatchObject({ backend: 'real' });
  });

  it('hybrid: the same as real while the network answers', async () => {
    await setBackend(one, 'dht', 'hybrid');
    await onNetwork(one, 'dht');
    const done = await put(one, 'quorum');
    expect(done.ack).toBe('quorum');
    expect(await resolves(cluster.node(2), done.address)).toBe(true);
    await until('healthy', async () => {
      const { backend, status } = await healthOf(one, 'dht');
      return backend === 'hybrid' && status === 'healthy';
    });
    expect(await backendOf(one, 'dht')).toMatchObject({ backend: 'hybrid', active: 'real' });
  });

  it('mixed: each node on another backend reads what reached the network', async () => {
    const [two, three] = [cluster.node(1), cluster.node(2)];
    await onNetwork(one, 'dht');
    await setBackend(two, 'dht', 'local');
    await setBackend(three, 'dht', 'dht');
    const [fromHybrid, fromReal, fromLocal] = [await put(one), await put(three), await put(two)];
    // With three members each holds a copy, so a node on local serves and reads it too.
    expect([fromHybrid.ack, fromReal.ack, fromLocal.ack]).toEqual(['quorum', 'quorum', 'local']);
    for (const node of cluster.nodes) await reads(node, [fromHybrid, fromReal]);
    expect(await resolves(one, fromLocal.address)).toBe(false);
    await Promise.all([two, three].map((node) => setBackend(node, 'dht', 'hybrid')));
    await reads(one, [fromLocal]);
  });
});

describe('discovery, network up', () => {
  it('local: finds all by the addresses of earlier runs', async () => {
    await restartOn('local');
    expect(await healthOf(one, 'discovery')).toMatchObject({ backend: 'mock', status: 'healthy' });
    await until('a sweep', async () => (await metricsOf(one, 'discovery')).mock_requests > 0);
    expect((await metricsOf(one, 'discovery')).real_requests).toBe(0);
  });

  it('real: finds all by announcements, the DHT and whoever comes', async () => {
    await restartOn('dht');
    await until('a sweep', async () => (await metricsOf(one, 'discovery')).real_requests > 0);
    expect(await healthOf(one, 'discovery')).toMatchObject({ backend: 'real', status: 'healthy' });
    expect((await metricsOf(one, 'discovery')).mock_requests).toBe(0);
  });

  it('hybrid: finds all by any of them, and is switched to at run time', async () => {
    expect(await setBackend(one, 'discovery', 'hybrid')).toMatchObject({ backend: 'hybrid' });
    await onNetwork(one, 'discovery');
    await cluster.meshed();
    await until('healthy', async () => {
      const { backend, status } = await healthOf(one, 'discovery');
      return backend === 'hybrid' && status === 'healthy';
    });
  });
});

describe('failure: local, cut off from all others', () => {
  let errors: number;
  beforeAll(async () => {
    await setBoth('local');
    errors = (await healthOf(one, 'discovery')).error_count;
    await partition();
  });

  it('record store: nothing changes', async () => {
    const started = steadyClock.now();
    const done = await put(one);
    expect(done.ack).toBe('local');
    expect(await resolves(one, done.address)).toBe(true);
    expect(steadyClock.now() - started).toBeLessThan(2_000);
    await until('healthy', async () => (await healthOf(one, 'dht')).status === 'healthy');
  });

  it('discovery: says who is missing, and has them back as soon as they are', async () => {
    await alone();
    expect(await healthOf(one, 'discovery')).toMatchObject({
      ...{ backend: 'mock', status: 'degraded', error_count: errors },
      reason: '2 of 2 members not connected',
    });
    await backInMesh();
  });
});

describe('failure: real, cut off from all others', () => {
  let atFirst: PutDocument;
  beforeAll(async () => {
    await setBoth('dht');
    await partition();
  });

  it('record store: keeps what it is given, and never claims more than it reached', async () => {
    atFirst = await put(one);
    expect(atFirst).toMatchObject({ ack: 'local', holders: [self] });
    expect(atFirst.pending).toBeGreaterThan(0);
    await expect(put(one, 'quorum')).rejects.toMatchObject({ code: 'NO_QUORUM' });
    expect(await resolves(one, atFirst.address)).toBe(true);
    await until('degraded', async () => (await healthOf(one, 'dht')).status === 'degraded');
    expect((await metricsOf(one, 'dht')).error_rate_real).toBeGreaterThan(0);
  });

  it('discovery: has failed, and works again when the others do', async () => {
    await alone();
    await until('failed', async () => (await healthOf(one, 'discovery')).status === 'failed');
    expect((await backendOf(one, 'discovery')).active).toBe('real');
    await backInMesh();
    await until('healthy', async () => (await healthOf(one, 'discovery')).status === 'healthy');
    for (const node of others) await reads(node, [atFirst]);
  });
});

describe('failure: hybrid, cut off from all others', () => {
  const during: PutDocument[] = [];
  let falls: number;
  beforeAll(async () => {
    await setBoth('hybrid');
    await onNetwork(one, 'dht');
    falls = (await metricsOf(one, 'dht')).fallback_events;
    await partition();
  });

  it('fallback: the record store answers from the disk, at once', async () => {
    await until('fallen back', async () => {
      during.push(await put(one));
      return (await backendOf(one, 'dht')).active === 'mock';
    });
    const started = steadyClock.now();
    const after = await put(one);
    expect(steadyClock.now() - started).toBeLessThan(1_000);
    during.push(after);
    expect(after).toMatchObject({ ack: 'local', holders: [self] });
    await expect(put(one, 'quorum')).rejects.toMatchObject({ code: 'NO_QUORUM' });
    expect(await healthOf(one, 'dht')).toMatchObject({ backend: 'hybrid', status: 'degraded' });
    expect((await metricsOf(one, 'dht')).fallback_events).toBe(falls + 1);
  });

  it('partition: both sides keep what they write, and discovery falls back too', async () => {
    await alone();
    await until('fallen back', async () => (await backendOf(one, 'discovery')).active === 'mock');
    const { status, reason } = await healthOf(one, 'discovery');
    expect([status, reason]).toEqual(['degraded', expect.stringContaining('2 missing members')]);
    for (const { address } of during) expect(await resolves(one, address)).toBe(true);
  });

  it('recovery: calls go to the network again, and it has all that was written', async () => {
    await heal();
    const healed = steadyClock.now();
    for (const name of both) await onNetwork(one, name);
    const backMs = Math.round(steadyClock.now() - healed);
    console.log(JSON.stringify({ test: 'recovery', back_ms: backMs }));
    expect(backMs).toBeLessThan(15_000);
    for (const name of both)
      expect((await metricsOf(one, name)).recovery_events).toBeGreaterThan(0);
    await cluster.meshed();
    for (const node of others) await reads(node, during);
    expect((await put(one, 'quorum')).ack).toBe('quorum');
    const kinds = (await one.cli(['events', '--json'])).stdout;
    for (const kind of ['backend.switched', 'backend.fallback', 'backend.recovery']) {
      expect(kinds).toContain(`"kind":"${kind}"`);
    }
  });
});

describe('A7: switching backends loses no acknowledged write', () => {
  it('what was written under local is on the network soon after the switch', async () => {
    await setBackend(one, 'dht', 'local');
    const kept = await Promise.all(Array.from({ length: 5 }, () => put(one)));
    expect(kept.map(({ ack }) => ack)).toEqual(Array(5).fill('local'));
    for (const { address } of kept) expect(await resolves(one, address)).toBe(true);
    await setBackend(one, 'dht', 'dht');
    // The pass that follows a start was over long ago, and the next one is an hour away.
    for (const node of others) await reads(node, kept);
  });
});

describe('load', () => {
  it('100 switches of the record store while 8 clients write and read: no call fails (R68)', async () => {
    const words = ['local', 'dht', 'hybrid'] as const;
    const written: PutDocument[] = [];
    let done = false;
    const client = async (): Promise<void> => {
      while (!done) {
        const kept = await put(one);
        written.push(kept);
        expect(await resolves(one, kept.address)).toBe(true);
      }
    };
    const clients = Promise.all(Array.from({ length: 8 }, client));
    const started = steadyClock.now();
    for (let n = 0; n < 100; n++) {
      if (n % 10 === 9) await one.post('/v1/backends/rollback');
      else await setBackend(one, 'dht', words[n % 3] ?? 'hybrid');
    }
    const ms = Math.round(steadyClock.now() - started);
    done = true;
    await clients;
    await setBackend(one, 'dht', 'hybrid');
    const byAck = Object.groupBy(written, ({ ack }) => ack);
    const acks = Object.entries(byAck).map(([ack, all]) => [ack, all?.length ?? 0]);
    console.log(JSON.stringify({ test: 'switches', ms, calls: 2 * written.length, acks }));
    expect(written.length).toBeGreaterThan(20);
    await reads(cluster.node(1), written);
  });
});
