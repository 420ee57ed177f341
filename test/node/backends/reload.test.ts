/** SIGHUP: what is applied, what waits for a restart, what a bad configuration does. */
import { describe, expect, it } from 'vitest';
import { BackendMeter } from '../../../src/base/backend-meter.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import { Switch } from '../../../src/base/switch.ts';
import { Backends } from '../../../src/node/backends.ts';
import { Reloading } from '../../../src/node/backends-reload.ts';
import { Tuning } from '../../../src/node/backends-tuning.ts';
import type { Effective } from '../../../src/node/config.ts';
import { loadConfig } from '../../../src/node/config-load.ts';
import { EventLog } from '../../../src/node/events.ts';
import { systemClock } from '../../../src/node/system.ts';
import { quietLogger } from '../../support/world.ts';

type Env = Record<string, string>;
const read = (env: Env): Promise<Effective> =>
  loadConfig({ env: { HOME: '/nowhere', ...env }, terminal: false });

async function world(first: Env = {}) {
  const effective = await read(first);
  const { config } = effective;
  const env: { now: Env; error?: BzzzError } = { now: first };
  const hybrid: object[] = [];
  const events = new EventLog(systemClock);
  const one = (name: string, backend: 'mock' | 'real' | 'hybrid') => ({
    choice: new Switch(name, { backend, percent: 100 }),
    meter: new BackendMeter(name, () => {
      throw new Error('nobody asks');
    }),
    hybridArm: 'real' as const,
  });
  const backends = new Backends({
    components: [one('dht', config.dhtBackend), one('discovery', config.discoveryBackend)],
    emit: (kind, data) => events.emit(kind, data),
    log: quietLogger,
  });
  const tuning = new Tuning(config);
  const reloading = new Reloading(
    effective,
    async () => {
      if (env.error !== undefined) throw env.error;
      return read(env.now);
    },
    {
      ...{ backends, tuning, deps: { log: quietLogger, events } },
      records: { backends: { configure: (options) => void hybrid.push(options) } },
    },
  );
  const chosen = () => backends.list().map(({ backend, percent }) => `${backend} ${percent}`);
  const told: string[] = [];
  const emit = events.emit.bind(events);
  events.emit = (kind, data) => {
    told.push(kind);
    emit(kind, data);
  };
  return { env, hybrid, backends, tuning, reloading, chosen, told };
}

describe('reading the configuration again', () => {
  it('applies backends, share, thresholds and pauses', async () => {
    const w = await world();
    w.env.now = {
      BZZZ_DHT_BACKEND: 'dht',
      BZZZ_ROLLOUT_PERCENT: '30',
      BZZZ_DISCOVERY_BACKEND: 'local',
      BZZZ_FALLBACK_THRESHOLD_ERRORS: '7',
      BZZZ_FALLBACK_BACKOFF: '250ms',
      BZZZ_HEALTH_CHECK_INTERVAL: '1s',
    };
    expect(await w.reloading.reload()).toEqual({
      applied: [
        'discovery.backend',
        'dht.backend',
        'dht.fallback.threshold_errors',
        'dht.fallback.backoff_ms',
        'dht.health_check_interval',
        'dht.rollout_percent',
      ],
      needRestart: [],
    });
    expect(w.chosen()).toEqual(['real 30', 'mock 100']);
    expect(w.tuning).toMatchObject({ thresholdErrors: 7, backoffMs: 250, healthCheckMs: 1_000 });
    expect(w.hybrid).toEqual([
      { thresholdErrors: 7, backoffMs: 250, intervalMs: 1_000, openIntervalMs: 1_000 },
    ]);
    expect(w.reloading.effective.config.rolloutPercent).toBe(30);
    expect(w.reloading.effective.origins.get('rolloutPercent')?.layer).toBe('env');
  });

  it('applies the older switch and the fallback as well', async () => {
    const w = await world();
    for (const [env, backend] of [
      [{ BZZZ_USE_REAL_DHT: 'false' }, 'mock 100'],
      [{ BZZZ_FALLBACK_ON_ERROR: 'false' }, 'real 100'],
      [{}, 'hybrid 100'],
    ] as const) {
      w.env.now = env;
      await w.reloading.reload();
      expect(w.chosen()[0]).toBe(backend);
    }
  });

  it('names what needs a restart, each time, and leaves it as it was', async () => {
    const w = await world();
    w.env.now = { BZZZ_REPLICATION: '3', BZZZ_ROLLOUT_PERCENT: '5' };
    const changed = { applied: ['dht.rollout_percent'], needRestart: ['dht.replication'] };
    expect(await w.reloading.reload()).toEqual(changed);
    expect(w.reloading.effective.config.replication).toBe(5);
    expect(await w.reloading.reload()).toEqual({ ...changed, applied: [] });
  });

  it('leaves what an operator switched, unless the setting itself changed', async () => {
    const w = await world();
    w.backends.isolate('dht');
    w.env.now = { BZZZ_FALLBACK_BACKOFF: '5s' };
    await w.reloading.reload();
    expect(w.backends.list()[0]).toMatchObject({ isolated: true });
    w.env.now = { BZZZ_DHT_BACKEND: 'dht' };
    await w.reloading.reload();
    expect(w.backends.list()[0]).toMatchObject({ isolated: false, backend: 'real' });
  });

  it('changes nothing when the configuration is bad, and says so', async () => {
    const w = await world();
    w.env.error = new BzzzError('BAD_CONFIG', 'dht.backend = paper');
    expect(await w.reloading.reload()).toBeUndefined();
    expect(w.told).toEqual(['config.refused']);
    expect([w.chosen(), w.hybrid]).toEqual([['hybrid 100', 'hybrid 100'], []]);
    // And the next good one is read.
    delete w.env.error;
    w.env.now = { BZZZ_DHT_BACKEND: 'mock' };
    expect((await w.reloading.reload())?.applied).toEqual(['dht.backend']);
    expect(w.told).toEqual(['config.refused', 'backend.switched', 'config.reloaded']);
  });

  it('reads one after the other however fast the signals come', async () => {
    const w = await world();
    w.env.now = { BZZZ_DHT_BACKEND: 'mock' };
    const first = w.reloading.reload();
    const second = w.reloading.reload();
    expect((await first)?.applied).toEqual(['dht.backend']);
    expect((await second)?.applied).toEqual([]);
  });
});
