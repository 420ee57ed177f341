/**
 * Every setting of the node: one table. The documentation, the command line, the environment, the
 * configuration file and the tests are read from it. Pure.
 *
 * Precedence: flag > environment > file > default; see config-load.ts for the reading and
 * config-rules.ts for what contradicts what.
 * @module
 */

import { BACKEND_SYNONYMS, BACKENDS, type Backend } from '../base/backend-words.ts';
import { LIMITS } from '../base/limits.ts';
import type { Weights } from '../election/score.ts';
import { POLICIES, type PolicyMode } from '../mpc/types.ts';
import { ROLES } from '../roster/types.ts';
import type { Setting } from './config-setting.ts';
import { optional, row } from './config-setting.ts';
import * as is from './config-values.ts';
import { DEFAULT_WEIGHTS, formatWeights, weights } from './config-weights.ts';
import type { LogOptions } from './log.ts';

const S = 1_000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;
const later = { planned: true } as const;
const none: readonly string[] = [];

/** `local` and `dht` are what the backends are; `mock` and `real` are their documented names. */
const backend = is.oneOf(BACKENDS, BACKEND_SYNONYMS);

/** Some systems call themselves what no host may be called; the default must be valid. */
const plainHostName = (text: string): string =>
  text
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 63) || 'node';

/** All settings, in the order in which they are shown. */
export const SETTINGS = {
  dataDir: row(
    'node.data_dir',
    'BZZZ_DATA_DIR',
    is.path,
    (w) => w.dataDir,
    'directory of identity, roster, shares and database, mode 0700',
    { defaultText: '$XDG_DATA_HOME/bzzz (~/.local/share/bzzz)' },
  ),
  configFile: row(
    'node.config',
    'BZZZ_CONFIG',
    is.path,
    (w) => `${w.dataDir}/config.yaml`,
    'the configuration file',
    { defaultText: '<data dir>/config.yaml' },
  ),
  controlSocket: row(
    'control.socket',
    'BZZZ_CONTROL_SOCKET',
    is.path,
    (w) => `${w.dataDir}/control.sock`,
    'the control socket, at most 107 bytes long',
    { flag: '--socket', defaultText: '<data dir>/control.sock' },
  ),
  nodeName: row(
    'node.name',
    'BZZZ_NODE_NAME',
    is.hostName,
    (w) => plainHostName(w.hostName),
    'what people call this node',
    { defaultText: 'host name' },
  ),
  cluster: row(
    'node.cluster',
    'BZZZ_CLUSTER',
    optional(is.name),
    undefined,
    'name of the cluster; must agree with the roster',
  ),
  httpListen: row(
    'http.listen',
    'BZZZ_HTTP_LISTEN',
    is.httpListen,
    'off',
    'HTTP listener for dashboard, UCXI, metrics and health; loopback only',
    { flag: '--http', ...later },
  ),
  keyPassphraseFile: row(
    'keys.passphrase_file',
    'BZZZ_KEY_PASSPHRASE_FILE',
    optional(is.path),
    undefined,
    'file with the passphrase that the shares are encrypted under',
    { secret: true },
  ),
  listen: row(
    'node.listen',
    'BZZZ_LISTEN',
    is.listOf(is.listenAddress, 16),
    ['/ip4/0.0.0.0/tcp/4750'],
    'addresses to listen on',
  ),
  announceAddrs: row(
    'node.announce_addrs',
    'BZZZ_ANNOUNCE_ADDRS',
    is.listOf(is.announceAddress, LIMITS.addressesPerPeer),
    none,
    'addresses to announce in place of the ones listened on',
  ),
  logLevel: row<LogOptions['level']>(
    'log.level',
    'BZZZ_LOG_LEVEL',
    is.oneOf(['error', 'warn', 'info', 'debug', 'silent']),
    'info',
    'least level that is logged',
  ),
  logFormat: row<LogOptions['format']>(
    'log.format',
    'BZZZ_LOG_FORMAT',
    is.oneOf(['json', 'pretty']),
    (w) => (w.terminal ? 'pretty' : 'json'),
    'form of the log on stderr',
    { defaultText: 'json (pretty on a terminal)' },
  ),
  maxConnections: row(
    'node.max_connections',
    'BZZZ_MAX_CONNECTIONS',
    is.integer(1, 10_000),
    300,
    'most peer connections at once',
  ),
  metricsEnabled: row(
    'metrics.enabled',
    'BZZZ_METRICS_ENABLED',
    is.bool,
    true,
    'answer with metrics when asked for them',
  ),

  mdnsEnabled: row(
    'discovery.mdns_enabled',
    'BZZZ_MDNS_ENABLED',
    is.bool,
    true,
    'find peers by multicast DNS',
  ),
  bootstrapNodes: row(
    'dht.bootstrap_nodes',
    'BZZZ_DHT_BOOTSTRAP_NODES',
    is.listOf(is.bootstrapAddress, 64),
    none,
    'peers to begin with: multiaddrs, or host:port',
  ),
  bootstrapFile: row(
    'discovery.bootstrap_file',
    'BZZZ_BOOTSTRAP_FILE',
    optional(is.path),
    undefined,
    'file with a list of peers to begin with',
  ),
  discoveryRefresh: row(
    'discovery.refresh',
    'BZZZ_DISCOVERY_REFRESH',
    is.duration(S, H),
    30 * S,
    'how often all sources of peers are swept',
    { defaultText: '30s' },
  ),
  announceInterval: row(
    'discovery.announce_interval',
    'BZZZ_ANNOUNCE_INTERVAL',
    // Announcements age out after 30 s; one has to arrive before.
    is.duration(100, LIMITS.announceAgeMs - S),
    10 * S,
    'how often this node announces itself',
    { defaultText: '10s' },
  ),

  discoveryBackend: row<Backend>(
    'discovery.backend',
    'BZZZ_DISCOVERY_BACKEND',
    backend,
    'hybrid',
    'how peers are found: mock (bootstrap list and known addresses), real or hybrid',
  ),

  dhtBackend: row<Backend>(
    'dht.backend',
    'BZZZ_DHT_BACKEND',
    backend,
    'hybrid',
    'where records go: mock (the embedded local store), real (the network) or hybrid',
  ),
  useRealDht: row(
    'dht.enabled',
    'BZZZ_USE_REAL_DHT',
    optional(is.bool),
    undefined,
    'older name: false is backend mock; true is real, or hybrid with the fallback on',
  ),
  fallbackOnError: row(
    'dht.fallback.enabled',
    'BZZZ_FALLBACK_ON_ERROR',
    is.bool,
    true,
    'fall back to the local store when the network fails: hybrid, else real',
  ),
  fallbackThresholdErrors: row(
    'dht.fallback.threshold_errors',
    'BZZZ_FALLBACK_THRESHOLD_ERRORS',
    is.integer(1, 1_000),
    3,
    'failures in a row after which hybrid falls back',
  ),
  fallbackBackoff: row(
    'dht.fallback.backoff_ms',
    'BZZZ_FALLBACK_BACKOFF',
    is.duration(1, H),
    S,
    'wait before the network is tried again',
    { defaultText: '1000ms' },
  ),
  healthCheckInterval: row(
    'dht.health_check_interval',
    'BZZZ_HEALTH_CHECK_INTERVAL',
    is.duration(100, D),
    30 * S,
    'how often backends are probed',
    { defaultText: '30s' },
  ),
  rolloutPercent: row(
    'dht.rollout_percent',
    'BZZZ_ROLLOUT_PERCENT',
    is.integer(0, 100),
    100,
    'share of the records that use the network',
  ),
  replication: row(
    'dht.replication',
    'BZZZ_REPLICATION',
    is.integer(1, 20),
    LIMITS.replication,
    'copies of a record, at most one for each member',
  ),
  republishInterval: row(
    'dht.republish_interval',
    'BZZZ_REPUBLISH_INTERVAL',
    is.duration(S, 7 * D),
    H,
    'how often records are published again',
    { defaultText: '1h' },
  ),

  cacheEnabled: row(
    'resolver.cache_enabled',
    'BZZZ_CACHE_ENABLED',
    is.bool,
    true,
    'keep resolved records in memory',
  ),
  cacheTtl: row(
    'resolver.cache_ttl',
    'BZZZ_CACHE_TTL',
    is.duration(1, 7 * D),
    5 * M,
    'longest life of a cached head; immutable records never expire',
    { defaultText: '5m' },
  ),
  cacheMaxBytes: row(
    'resolver.cache_max_bytes',
    'BZZZ_CACHE_MAX_BYTES',
    is.size(16 * 1_073_741_824),
    64 * 1_048_576,
    'size of the cache',
    { defaultText: '64MiB' },
  ),
  useDistributedResolver: row(
    'resolver.distributed',
    'BZZZ_USE_DISTRIBUTED_RESOLVER',
    is.bool,
    true,
    'resolve from the network as well as from this node',
  ),

  partyRole: row(
    'sessions.party_role',
    'BZZZ_PARTY_ROLE',
    optional(is.oneOf(ROLES)),
    undefined,
    'role of this node; must agree with the roster',
    { defaultText: 'as in the roster' },
  ),
  sessionTimeout: row(
    'sessions.timeout',
    'BZZZ_SESSION_TIMEOUT',
    is.duration(100, LIMITS.sessionTtlMs),
    60 * S,
    'life of a session',
    { defaultText: '60s' },
  ),
  delegateTtl: row(
    'sessions.delegate_ttl',
    'BZZZ_DELEGATE_TTL',
    is.duration(S, 15 * M),
    15 * M,
    'longest life of a delegated share in memory',
    { defaultText: '15m' },
  ),
  keyRefresh: row(
    'sessions.key_refresh',
    'BZZZ_KEY_REFRESH',
    optional(is.duration(S, 10 * 365 * 24 * H)),
    undefined,
    'the leader has keys refreshed whose shares are older than this',
    { defaultText: 'off' },
  ),
  signPolicy: row<PolicyMode>(
    'sessions.sign_policy',
    'BZZZ_SIGN_POLICY',
    is.oneOf(POLICIES),
    'auto',
    'policy of a new key that names none: auto, or approve by an operator on each node',
  ),
  policyProgram: row(
    'sessions.policy_program',
    'BZZZ_POLICY_PROGRAM',
    optional(is.absolutePath),
    undefined,
    'program that judges every signing request: JSON on stdin, exit code 0 is yes',
  ),

  electionEnabled: row(
    'election.enabled',
    'BZZZ_ELECTION_ENABLED',
    is.bool,
    true,
    'take part in electing a leader',
  ),
  heartbeatInterval: row(
    'election.heartbeat_interval',
    'BZZZ_HEARTBEAT_INTERVAL',
    is.duration(10, M),
    100,
    'how often a leader is heard',
    { defaultText: '100ms' },
  ),
  electionTimeout: row(
    'election.timeout',
    'BZZZ_ELECTION_TIMEOUT',
    is.duration(50, 10 * M),
    S,
    'silence of the leader that starts an election',
    { defaultText: '1s' },
  ),
  minTerm: row(
    'election.min_term',
    'BZZZ_MIN_TERM',
    is.duration(0, D),
    30 * S,
    'shortest term before a voluntary transfer',
    { defaultText: '30s' },
  ),
  electionWeights: row<Weights>(
    'election.weights',
    'BZZZ_ELECTION_WEIGHTS',
    weights,
    DEFAULT_WEIGHTS,
    'what makes a voter stand early: all five parts, 1 together',
    { defaultText: formatWeights(DEFAULT_WEIGHTS) },
  ),
  autoPromote: row(
    'election.auto_promote',
    'BZZZ_AUTO_PROMOTE',
    is.bool,
    true,
    'while this node leads, make members voters: 3, then 5',
  ),

  useRealConnector: row(
    'connector.enabled',
    'RUSTLE_USE_REAL_CONNECTOR',
    is.bool,
    true,
    'the client connector talks to daemons',
    { flag: '--connector-enabled', ...later },
  ),
  connectorBackend: row<Backend | undefined>(
    'connector.backend',
    'RUSTLE_CONNECTOR_BACKEND',
    optional(backend),
    undefined,
    'backend of the client connector: mock, real or hybrid',
    { flag: '--connector-backend', ...later },
  ),
  connectorEndpoints: row(
    'connector.endpoints',
    'RUSTLE_BZZZ_ENDPOINTS',
    is.listOf(is.endpoint, 32),
    none,
    'daemons that the client connector uses',
    { flag: '--connector-endpoints', defaultText: 'the control socket', ...later },
  ),
  connectorFallback: row(
    'connector.fallback.enabled',
    'RUSTLE_FALLBACK_ENABLED',
    is.bool,
    true,
    'the client connector answers from its cache when no daemon does',
    { flag: '--connector-fallback', ...later },
  ),
  connectorTimeout: row(
    'connector.fallback.timeout_ms',
    'RUSTLE_TIMEOUT_MS',
    is.duration(1, H),
    5 * S,
    'how long the client connector waits for a daemon',
    { flag: '--connector-timeout', defaultText: '5000', ...later },
  ),
  connectorRetryAttempts: row(
    'connector.retry_attempts',
    'RUSTLE_RETRY_ATTEMPTS',
    is.integer(0, 100),
    3,
    'how often the client connector tries again',
    { flag: '--connector-retry-attempts', ...later },
  ),
} as const;

/** The name of a setting in the program. */
export type SettingKey = keyof typeof SETTINGS;

type ValueOf<R> = R extends Setting<infer T> ? T : never;

/** Every effective value. Durations in ms, sizes in bytes. */
export type Config = { readonly [K in SettingKey]: ValueOf<(typeof SETTINGS)[K]> };

/** All rows with their names. */
export const SETTING_LIST: readonly (readonly [SettingKey, Setting<unknown>])[] = (
  Object.keys(SETTINGS) as SettingKey[]
).map((key) => [key, SETTINGS[key] as Setting<unknown>] as const);

export const LAYERS = ['default', 'file', 'env', 'flag'] as const;

/** Where a value came from; `label` names the flag, variable or file with its key. */
export interface Origin {
  readonly layer: (typeof LAYERS)[number];
  readonly label: string;
}

/** The settings in force, each with its origin. */
export interface Effective {
  readonly config: Config;
  readonly origins: ReadonlyMap<SettingKey, Origin>;
}

/** The settings as `config show` lists them; secrets are paths, never contents. */
export function describeConfig(
  effective: Effective,
): readonly { readonly key: string; readonly value: unknown; readonly origin: string }[] {
  return SETTING_LIST.map(([key, setting]) => ({
    key: setting.yaml,
    value: effective.config[key] ?? null,
    origin: effective.origins.get(key)?.label ?? 'default',
  }));
}

/** Settings that somebody set although nothing in this version acts on them: worth a warning. */
export const plannedButSet = (effective: Effective): readonly string[] =>
  SETTING_LIST.filter(
    ([key, s]) => s.planned && effective.origins.get(key)?.layer !== 'default',
  ).map(([key]) => effective.origins.get(key)?.label ?? '');
