/** The settings table: every variable read, every bad value named, sources in their order. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BzzzError } from '../../../src/base/errors.ts';
import { DEFAULT_WEIGHTS } from '../../../src/election/score.ts';
import type { Config, Effective, SettingKey } from '../../../src/node/config.ts';
import { describeConfig, plannedButSet, SETTING_LIST, SETTINGS } from '../../../src/node/config.ts';
import { loadConfig } from '../../../src/node/config-load.ts';
import { nearest } from '../../../src/node/config-nearest.ts';
import { checkAgainstRoster } from '../../../src/node/config-rules.ts';
import { formatDuration, parseDuration } from '../../../src/node/config-values.ts';

type Env = Record<string, string>;

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'bzzz-config-'));
});
afterEach(() => rm(home, { recursive: true }));

const load = (env: Env = {}, flags: [SettingKey, string][] = []): Promise<Effective> =>
  loadConfig({ env: { HOME: home, ...env }, flags: new Map(flags), terminal: false });

async function loadFile(text: string, env: Env = {}): Promise<Effective> {
  const path = join(home, 'c.yaml');
  await writeFile(path, text, { mode: 0o600 });
  return load({ BZZZ_CONFIG: path, ...env });
}

async function refusal(work: Promise<unknown>): Promise<BzzzError> {
  const error = await work.then(
    () => expect.unreachable('was accepted'),
    (thrown: BzzzError) => thrown,
  );
  return error as BzzzError;
}

const PEER = '12D3KooWGyJpJDvJyEKWZ1mWBBvcVfEAc5K5mWvm1d8dS2nQ7vQb';

/** Per setting: a value that is not the default, what it becomes, and a bad value. */
const TABLE: { readonly [K in SettingKey]: readonly [set: string, becomes: unknown, bad: string] } =
  {
    dataDir: ['/srv/bzzz', '/srv/bzzz', 'a\0b'],
    configFile: ['', undefined, ''],
    controlSocket: ['/run/b.sock', '/run/b.sock', 'a\0b'],
    nodeName: ['Kitchen-2.lan', 'Kitchen-2.lan', 'bell\u0007'],
    cluster: ['lab', 'lab', 'No Good'],
    httpListen: ['127.0.0.1:8750', '127.0.0.1:8750', '0.0.0.0:8750'],
    keyPassphraseFile: ['/etc/p', '/etc/p', 'a\0b'],
    listen: [
      '/ip4/10.0.0.1/tcp/1,/ip6/::/tcp/0',
      ['/ip4/10.0.0.1/tcp/1', '/ip6/::/tcp/0'],
      '10.0.0.1',
    ],
    announceAddrs: ['/dns4/a.lan/tcp/9', ['/dns4/a.lan/tcp/9'], '/ip4/300.1.1.1/tcp/9'],
    logLevel: ['debug', 'debug', 'loud'],
    logFormat: ['pretty', 'pretty', 'xml'],
    maxConnections: ['12', 12, '-1'],
    metricsEnabled: ['off', false, 'maybe'],
    mdnsEnabled: ['no', false, '2'],
    bootstrapNodes: [
      `/ip4/10.0.0.1/tcp/4750/p2p/${PEER},host.lan:4750,[fe80::1]:4750`,
      [`/ip4/10.0.0.1/tcp/4750/p2p/${PEER}`, 'host.lan:4750', '[fe80::1]:4750'],
      'host.lan',
    ],
    bootstrapFile: ['/etc/peers', '/etc/peers', 'a\0b'],
    discoveryRefresh: ['5m', 300_000, 'soon'],
    announceInterval: ['250ms', 250, '31s'],
    dhtBackend: ['mock', 'mock', 'cloud'],
    useRealDht: ['true', true, 'perhaps'],
    discoveryBackend: ['local', 'mock', 'paper'],
    fallbackOnError: ['false', false, 'x'],
    fallbackThresholdErrors: ['7', 7, '0'],
    fallbackBackoff: ['2s', 2_000, '1 fortnight'],
    healthCheckInterval: ['1m', 60_000, '1y'],
    rolloutPercent: ['50', 50, '101'],
    replication: ['3', 3, '0'],
    republishInterval: ['2h', 7_200_000, '0'],
    cacheEnabled: ['0', false, 'nope'],
    cacheTtl: ['30s', 30_000, '-5m'],
    cacheMaxBytes: ['1MiB', 1_048_576, '1 furlong'],
    useDistributedResolver: ['false', false, 'hm'],
    partyRole: ['observer', 'observer', 'king'],
    sessionTimeout: ['90s', 90_000, '2d'],
    delegateTtl: ['5m', 300_000, '16m'],
    keyRefresh: ['720h', 2_592_000_000, '0'],
    signPolicy: ['approve', 'approve', 'whatever'],
    policyProgram: ['/etc/bzzz/policy', '/etc/bzzz/policy', 'policy.sh'],
    electionEnabled: ['false', false, 'x'],
    heartbeatInterval: ['50ms', 50, '1ms'],
    electionTimeout: ['2s', 2_000, '1ms'],
    minTerm: ['1m', 60_000, 'x'],
    electionWeights: [
      'uptime=0,capabilities=.25,resources=0.25,network=0.25,experience=0.25',
      { uptime: 0, capabilities: 0.25, resources: 0.25, network: 0.25, experience: 0.25 },
      'uptime=1',
    ],
    autoPromote: ['false', false, 'x'],
    useRealConnector: ['false', false, 'x'],
    connectorBackend: ['real', 'real', 'x'],
    connectorEndpoints: [
      '/run/a.sock,http://127.0.0.1:1/',
      ['/run/a.sock', 'http://127.0.0.1:1/'],
      'x',
    ],
    connectorFallback: ['false', false, 'x'],
    connectorTimeout: ['250', 250, 'x'],
    connectorRetryAttempts: ['9', 9, 'x'],
  };

describe('environment (R122)', () => {
  it('covers every documented variable, more than 25 of them', () => {
    const names = SETTING_LIST.map(([, s]) => s.env);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(25);
    const flags = SETTING_LIST.map(([, s]) => s.flag);
    expect(new Set(flags).size).toBe(flags.length);
  });

  for (const [key, setting] of SETTING_LIST) {
    if (key === 'configFile') continue;
    const [set, becomes, bad] = TABLE[key];
    it(`${setting.env}: set -> effective, with its origin`, async () => {
      const { config, origins } = await load({ [setting.env]: set });
      expect(config[key]).toEqual(becomes);
      expect(origins.get(key)).toEqual({ layer: 'env', label: `env ${setting.env}` });
    });
    it(`${setting.env}: bad -> an error that names it and what is expected`, async () => {
      const error = await refusal(load({ [setting.env]: bad }));
      expect(error.code).toBe('BAD_CONFIG');
      expect(error.exit).toBe(2);
      expect(error.message).toContain(setting.env);
      expect(error.message).toContain('expected');
    });
    it(`${setting.yaml}: the same value from the file`, async () => {
      if (key === 'dataDir') return;
      const [first, ...rest] = setting.yaml.split('.').reverse();
      const inner = `${first}: ${JSON.stringify(set)}`;
      const text = rest.reduce((body, word) => `${word}:\n${body.replace(/^/gm, '  ')}`, inner);
      const { config, origins } = await loadFile(text);
      expect(config[key]).toEqual(becomes);
      expect(origins.get(key)?.label).toBe(`file ${home}/c.yaml: ${setting.yaml}`);
    });
  }

  it('has the documented defaults', async () => {
    const { config } = await load();
    const dir = `${home}/.local/share/bzzz`;
    const documented: Partial<Config> = {
      dataDir: dir,
      configFile: `${dir}/config.yaml`,
      controlSocket: `${dir}/control.sock`,
      httpListen: 'off',
      listen: ['/ip4/0.0.0.0/tcp/4750'],
      logLevel: 'info',
      logFormat: 'json',
      maxConnections: 300,
      metricsEnabled: true,
      mdnsEnabled: true,
      discoveryRefresh: 30_000,
      announceInterval: 10_000,
      discoveryBackend: 'hybrid',
      dhtBackend: 'hybrid',
      fallbackOnError: true,
      fallbackThresholdErrors: 3,
      fallbackBackoff: 1_000,
      healthCheckInterval: 30_000,
      rolloutPercent: 100,
      replication: 5,
      republishInterval: 3_600_000,
      cacheEnabled: true,
      cacheTtl: 300_000,
      cacheMaxBytes: 67_108_864,
      useDistributedResolver: true,
      sessionTimeout: 60_000,
      delegateTtl: 900_000,
      signPolicy: 'auto',
      electionEnabled: true,
      heartbeatInterval: 100,
      electionTimeout: 1_000,
      minTerm: 30_000,
      electionWeights: {
        uptime: 0.3,
        capabilities: 0.2,
        resources: 0.2,
        network: 0.15,
        experience: 0.15,
      },
      autoPromote: true,
      useRealConnector: true,
      connectorFallback: true,
      connectorTimeout: 5_000,
      connectorRetryAttempts: 3,
    };
    expect(config).toMatchObject(documented);
  });

  it('follows XDG_DATA_HOME, and a flag or variable for the directory moves all that is in it', async () => {
    const xdg = await load({ XDG_DATA_HOME: '/x' });
    expect(xdg.config.controlSocket).toBe('/x/bzzz/control.sock');
    const relative = await load({ XDG_DATA_HOME: 'x' });
    expect(relative.config.dataDir).toBe(`${home}/.local/share/bzzz`);
    const moved = await load({ BZZZ_DATA_DIR: '/y' });
    expect(moved.config.controlSocket).toBe('/y/control.sock');
    expect(moved.config.configFile).toBe('/y/config.yaml');
  });

  it('takes an empty variable for an absent one', async () => {
    const { config, origins } = await load({ BZZZ_MAX_CONNECTIONS: '' });
    expect(config.maxConnections).toBe(300);
    expect(origins.get('maxConnections')?.layer).toBe('default');
  });
});

describe('precedence (R121): flag > environment > file > default', () => {
  const file = 'log:\n  level: warn\n';
  it.each([
    ['default', {}, [], '', 'info', 'default'],
    ['file', {}, [], file, 'warn', 'file'],
    ['environment', { BZZZ_LOG_LEVEL: 'error' }, [], file, 'error', 'env'],
    ['flag', { BZZZ_LOG_LEVEL: 'error' }, [['logLevel', 'debug']], file, 'debug', 'flag'],
  ] as const)('%s', async (_name, env, flags, text, value, layer) => {
    const path = join(home, 'c.yaml');
    await writeFile(path, text, { mode: 0o600 });
    const list = flags.map(([k, v]) => [k, v] as [SettingKey, string]);
    const effective = await load({ ...env, BZZZ_CONFIG: path }, list);
    expect(effective.config.logLevel).toBe(value);
    expect(effective.origins.get('logLevel')?.layer).toBe(layer);
  });

  it('a bad value is refused even where a stronger source hides it', async () => {
    const error = await refusal(loadFile('log:\n  level: loud\n', { BZZZ_LOG_LEVEL: 'info' }));
    expect(error.message).toContain('log.level');
  });
});

describe('what is wrong is named, with its source and the nearest known key', () => {
  it.each([
    ['BZZZ_LOG_LEVLE', 'BZZZ_LOG_LEVEL'],
    ['BZZZ_DHT_BOOTSTRAP_NODE', 'BZZZ_DHT_BOOTSTRAP_NODES'],
    ['RUSTLE_TIMEOUT', 'RUSTLE_TIMEOUT_MS'],
  ])('%s', async (wrong, right) => {
    const error = await refusal(load({ [wrong]: '1' }));
    expect(error.message).toContain(`env ${wrong}`);
    expect(error.message).toContain(right);
  });

  it('an unknown YAML key, at any depth', async () => {
    const error = await refusal(loadFile('dht:\n  fallback:\n    enable: true\n'));
    expect(error.message).toContain(`file ${home}/c.yaml: dht.fallback.enable`);
    expect(error.message).toContain('dht.fallback.enabled');
  });

  it('every problem at once', async () => {
    const error = await refusal(load({ BZZZ_LOG_LEVEL: 'x', BZZZ_CACHE_TTL: 'y', BZZZ_Q: 'z' }));
    expect(error.details.problems).toHaveLength(3);
    expect(error.why).toContain('also: ');
  });

  it('leaves variables of other programs alone', async () => {
    await expect(load({ RUST_LOG: 'x', PATH: '/bin', bzzz_x: '1' })).resolves.toBeDefined();
  });

  it.each([
    ['not YAML', 'a: [1'],
    ['a key twice', 'log:\n  level: info\n  level: warn\n'],
    ['an alias', 'a: &x 1\nlog: *x\n'],
    ['a list at the top', '- 1\n'],
    ['a scalar where a mapping stands', 'dht: 5\n'],
    ['a mapping where a scalar stands', 'log:\n  level:\n    a: 1\n'],
    ['__proto__', '__proto__:\n  polluted: 1\n'],
    ['the path of the file itself', 'node:\n  config: /x\n'],
  ])('a file with %s', async (_name, text) => {
    const error = await refusal(loadFile(text));
    expect(error.code).toBe('BAD_CONFIG');
    expect(error.message).toContain('c.yaml');
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('a missing file that was named, but not a missing default one', async () => {
    const error = await refusal(load({ BZZZ_CONFIG: '/nowhere/c.yaml' }));
    expect(error.message).toContain('/nowhere/c.yaml');
    await expect(load({ BZZZ_DATA_DIR: home })).resolves.toBeDefined();
  });

  it('a file that others may write', async () => {
    const path = join(home, 'c.yaml');
    await writeFile(path, '', { mode: 0o600 });
    await chmod(path, 0o620);
    const error = await refusal(load({ BZZZ_CONFIG: path }));
    expect(error.code).toBe('LOOSE_PERMISSIONS');
    expect(error.message).toContain(path);
  });

  it('a data directory that its own file moves elsewhere', async () => {
    await writeFile(join(home, 'config.yaml'), 'node:\n  data_dir: /elsewhere\n', { mode: 0o600 });
    const error = await refusal(load({ BZZZ_DATA_DIR: home }));
    expect(error.message).toMatch(/data_dir.*contradicts.*BZZZ_CONFIG/);
    const named = await loadFile('node:\n  data_dir: /elsewhere\n');
    expect(named.config.controlSocket).toBe('/elsewhere/control.sock');
  });
});

describe('documented YAML names (R123)', () => {
  const dht = `dht:
  enabled: true
  backend: hybrid
  bootstrap_nodes: ["10.0.0.1:4750"]
  fallback: {enabled: true, threshold_errors: 5, backoff_ms: 700}
`;
  const connector = `connector:
  enabled: true
  backend: hybrid
  endpoints: [/run/x.sock]
  fallback: {enabled: true, timeout_ms: 900}
`;
  const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');
  const expected = {
    dhtBackend: 'hybrid',
    bootstrapNodes: ['10.0.0.1:4750'],
    fallbackOnError: true,
    fallbackThresholdErrors: 5,
    fallbackBackoff: 700,
    connectorBackend: 'hybrid',
    connectorEndpoints: ['/run/x.sock'],
    connectorTimeout: 900,
  };

  it('at the top level and below the roots bzzz and rustle', async () => {
    expect((await loadFile(dht + connector)).config).toMatchObject(expected);
    const rooted = `bzzz:\n${indent(dht)}rustle:\n${indent(connector)}`;
    expect((await loadFile(rooted)).config).toMatchObject(expected);
  });

  it('not below the other root, and not twice', async () => {
    const wrong = await refusal(loadFile(`rustle:\n${indent(dht)}`));
    expect(wrong.message).toContain('rustle.dht.enabled');
    const twice = await refusal(loadFile(`${dht}bzzz:\n${indent(dht)}`));
    expect(twice.message).toMatch(/bzzz\.dht\.enabled contradicts .*dht\.enabled/);
  });
});

describe('BZZZ_USE_REAL_DHT (R62)', () => {
  it.each([
    [{ BZZZ_USE_REAL_DHT: 'false' }, 'mock'],
    [{ BZZZ_USE_REAL_DHT: 'true' }, 'hybrid'],
    [{ BZZZ_USE_REAL_DHT: 'true', BZZZ_FALLBACK_ON_ERROR: 'false' }, 'real'],
    [{ BZZZ_FALLBACK_ON_ERROR: 'false' }, 'real'],
    [{ BZZZ_FALLBACK_ON_ERROR: 'false', BZZZ_DHT_BACKEND: 'local' }, 'mock'],
    [{ BZZZ_DHT_BACKEND: 'local' }, 'mock'],
    [{ BZZZ_DHT_BACKEND: 'dht' }, 'real'],
    [{ BZZZ_DHT_BACKEND: 'real', BZZZ_USE_REAL_DHT: 'true' }, 'real'],
  ] as [Env, string][])('%o means %s', async (env, backend) => {
    expect((await load(env)).config.dhtBackend).toBe(backend);
  });

  it('in the environment outweighs the backend of the file, and is its origin', async () => {
    const effective = await loadFile('dht:\n  backend: hybrid\n', { BZZZ_USE_REAL_DHT: 'false' });
    expect(effective.config.dhtBackend).toBe('mock');
    const shown = describeConfig(effective).find((s) => s.key === 'dht.backend');
    expect(shown).toEqual({ key: 'dht.backend', value: 'mock', origin: 'env BZZZ_USE_REAL_DHT' });
  });
});

describe('contradictions name both sides', () => {
  it.each([
    [{ BZZZ_USE_REAL_DHT: 'true', BZZZ_DHT_BACKEND: 'mock' }, 'dht.enabled', 'dht.backend'],
    [{ BZZZ_USE_REAL_DHT: 'false', BZZZ_DHT_BACKEND: 'hybrid' }, 'dht.enabled', 'dht.backend'],
    [
      { BZZZ_DHT_BACKEND: 'hybrid', BZZZ_FALLBACK_ON_ERROR: 'false' },
      'BZZZ_DHT_BACKEND',
      'BZZZ_FALLBACK_ON_ERROR',
    ],
    [
      { BZZZ_HEARTBEAT_INTERVAL: '600ms', BZZZ_ELECTION_TIMEOUT: '1s' },
      'BZZZ_HEARTBEAT_INTERVAL',
      'BZZZ_ELECTION_TIMEOUT',
    ],
    [
      { RUSTLE_USE_REAL_CONNECTOR: 'true', RUSTLE_CONNECTOR_BACKEND: 'mock' },
      'RUSTLE_USE_REAL_CONNECTOR',
      'RUSTLE_CONNECTOR_BACKEND',
    ],
  ] as [Env, string, string][])('%o', async (env, one, other) => {
    const error = await refusal(load(env));
    expect(error.code).toBe('BAD_CONFIG');
    expect(error.message).toContain(one);
    expect(error.message).toContain(other);
  });

  it('the roster has another role or another cluster name', async () => {
    const effective = await load({ BZZZ_PARTY_ROLE: 'observer', BZZZ_CLUSTER: 'lab' });
    const check = (clusterName: string, role: 'observer' | 'persistent' | undefined) => () =>
      checkAgainstRoster(effective, { clusterName, role });
    expect(check('lab', 'observer')).not.toThrow();
    expect(check('lab', undefined)).not.toThrow();
    expect(check('lab', 'persistent')).toThrow(/BZZZ_PARTY_ROLE.*contradicts the roster: persis/);
    expect(check('home', 'observer')).toThrow(/BZZZ_CLUSTER.*contradicts the roster: home/);
  });
});

describe('the weights of the score', () => {
  const rest = 'capabilities=0.2,resources=0.2,network=0.15,experience=0.15';

  it.each([
    [`uptime=-0.3,${rest}`, 'uptime=-0.3 is no number of at least 0'],
    [`uptime=much,${rest}`, 'uptime=much is no number'],
    [`uptime=1e0,${rest}`, 'uptime=1e0 is no number'],
    [`uptme=0.3,${rest}`, 'uptme is no part of the score; did you mean uptime'],
    [`__proto__=0.3,${rest}`, '__proto__ is no part of the score'],
    [`uptime=0.3,uptime=0.3,${rest}`, 'uptime is given twice'],
    [`uptime,${rest}`, 'uptime is no NAME=WEIGHT'],
    [rest, 'uptime missing'],
    [`uptime=0.300002,${rest}`, 'they add up to 1.000002'],
    [`uptime=0.2999,${rest}`, 'they add up to 0.9999'],
  ])('%s: the error names the entry and the variable', async (text, message) => {
    const error = await refusal(load({ BZZZ_ELECTION_WEIGHTS: text }));
    expect(error.code).toBe('BAD_CONFIG');
    expect(error.message).toContain(`env BZZZ_ELECTION_WEIGHTS: "${text.slice(0, 20)}`);
    expect(error.message).toContain(`is bad: ${message}`);
  });

  it('are those of the score itself by default', async () => {
    expect((await load()).config.electionWeights).toEqual(DEFAULT_WEIGHTS);
  });

  it('add up to 1 within 1e-6', async () => {
    const { config } = await load({ BZZZ_ELECTION_WEIGHTS: `uptime=0.3000009,${rest}` });
    expect(config.electionWeights.uptime).toBe(0.3000009);
  });

  it('stand in the file as a mapping, a list or text, and nothing else does', async () => {
    const weights = {
      uptime: 0.6,
      capabilities: 0.1,
      resources: 0.1,
      network: 0.1,
      experience: 0.1,
    };
    const entries = Object.entries(weights).map(([k, v]) => `${k}=${v}`);
    for (const yaml of [JSON.stringify(weights), JSON.stringify(entries), `"${entries}"`]) {
      const { config } = await loadFile(`election:\n  weights: ${yaml}\n`);
      expect(config.electionWeights).toEqual(weights);
    }
    const deep = await refusal(loadFile('election:\n  weights: {uptime: {a: 1}}\n'));
    expect(deep.message).toContain('election.weights');
    const other = await refusal(loadFile('election:\n  timeout: {a: 1}\n'));
    expect(other.message).toContain('a mapping');
  });
});

describe('values', () => {
  it('durations read back what they print', () => {
    for (const ms of [0, 1, 250, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000]) {
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }
    expect(parseDuration('1.5s')).toBe(1_500);
    for (const bad of ['', 's', '-1s', '1e9', '1s2', '٣s', ' ', '1x', true]) {
      expect(parseDuration(bad)).toBeUndefined();
    }
  });

  it('the nearest word is near, or none', () => {
    expect(nearest('stauts', ['status', 'peers'])).toBe('status');
    expect(nearest('frobnicate', ['status', 'peers'])).toBeUndefined();
    expect(nearest('x'.repeat(10_000), ['status'])).toBeUndefined();
  });

  it('lists settings that nothing acts on yet, but only where somebody set them', async () => {
    expect(plannedButSet(await load())).toEqual([]);
    expect(plannedButSet(await load({ BZZZ_MIN_TERM: '1s', BZZZ_AUTO_PROMOTE: 'no' }))).toEqual([]);
    expect(plannedButSet(await load({ BZZZ_HTTP_LISTEN: '127.0.0.1:8750' }))).toEqual([
      'env BZZZ_HTTP_LISTEN',
    ]);
  });

  it('shows the path of a secret and never its contents', async () => {
    const path = join(home, 'pass');
    await writeFile(path, 'correct horse', { mode: 0o600 });
    const shown = JSON.stringify(describeConfig(await load({ BZZZ_KEY_PASSPHRASE_FILE: path })));
    expect(shown).toContain(path);
    expect(shown).not.toContain('correct horse');
    expect(SETTINGS.keyPassphraseFile.secret).toBe(true);
  });
});
