/**
 * What of the backends changes at run time: which settings those are, what they are now, and what
 * a configuration that was read again means for them.
 * @module
 */
import type { HybridOptions } from '../dht/hybrid-options.ts';
import { type Config, type Effective, SETTING_LIST, SETTINGS, type SettingKey } from './config.ts';

/** Settings that take effect without a restart. */
export const LIVE_SETTINGS: readonly SettingKey[] = [
  'discoveryBackend',
  'dhtBackend',
  'useRealDht',
  'fallbackOnError',
  'rolloutPercent',
  'fallbackThresholdErrors',
  'fallbackBackoff',
  'healthCheckInterval',
];

type Tuned = Pick<Config, 'fallbackThresholdErrors' | 'fallbackBackoff' | 'healthCheckInterval'>;

/** Times in ms; read at each use. */
export class Tuning {
  thresholdErrors: number;
  backoffMs: number;
  healthCheckMs: number;

  constructor(config: Tuned) {
    this.thresholdErrors = config.fallbackThresholdErrors;
    this.backoffMs = config.fallbackBackoff;
    this.healthCheckMs = config.healthCheckInterval;
  }

  apply(config: Tuned): void {
    this.thresholdErrors = config.fallbackThresholdErrors;
    this.backoffMs = config.fallbackBackoff;
    this.healthCheckMs = config.healthCheckInterval;
  }
}

/** While the network is given up it is probed this often, if not oftener. */
const OPEN_INTERVAL_MS = 2_000;

/** The part of the configuration that is the hybrid store's. */
export const hybridOptions = (config: Tuned): HybridOptions => ({
  thresholdErrors: config.fallbackThresholdErrors,
  backoffMs: config.fallbackBackoff,
  intervalMs: config.healthCheckInterval,
  openIntervalMs: Math.min(OPEN_INTERVAL_MS, config.healthCheckInterval),
});

/** What is different, by the settings' names in the configuration file. */
export interface Reload {
  readonly applied: readonly string[];
  /** These wait for the next start. */
  readonly needRestart: readonly string[];
}

/** The settings in force: those that need a restart are as they were. Pure. */
export function inForce(before: Effective, after: Effective): Effective {
  const origins = new Map(before.origins);
  const config: Record<string, unknown> = { ...before.config };
  for (const key of LIVE_SETTINGS) {
    config[key] = after.config[key];
    const origin = after.origins.get(key);
    if (origin !== undefined) origins.set(key, origin);
  }
  // Each value stands under its own key, where one of the same row was.
  return { config: config as unknown as Config, origins };
}

/** Compares what was read at first, or the last time, with what was read now. Pure. */
export function reloadOf(before: Effective, after: Effective): Reload {
  const changed = SETTING_LIST.map(([key]) => key).filter(
    (key) => JSON.stringify(before.config[key]) !== JSON.stringify(after.config[key]),
  );
  const names = (live: boolean): readonly string[] =>
    changed.filter((key) => LIVE_SETTINGS.includes(key) === live).map((key) => SETTINGS[key].yaml);
  return { applied: names(true), needRestart: names(false) };
}
