/**
 * Settings that contradict each other, or the roster. Every complaint names both sides. Pure.
 * @module
 */

import type { Backend } from '../base/backend-words.ts';
import { BzzzError } from '../base/errors.ts';
import type { Role } from '../roster/types.ts';
import type { Config, Effective, SettingKey } from './config.ts';
import { LAYERS, SETTINGS } from './config.ts';
import { formatDuration } from './config-values.ts';

type Rule = (effective: Effective) => string | undefined;

const rank = (e: Effective, key: SettingKey): number =>
  LAYERS.indexOf(e.origins.get(key)?.layer ?? 'default');

const isSet = (e: Effective, key: SettingKey): boolean => rank(e, key) > 0;

/** `BZZZ_X=value (env BZZZ_X)`: the setting, its value and where it came from. */
function said(e: Effective, key: SettingKey): string {
  const setting = SETTINGS[key];
  const raw = e.config[key];
  const isTime = typeof raw === 'number' && setting.kind.expects.startsWith('a duration');
  return `${setting.yaml} = ${isTime ? formatDuration(raw) : raw} (${e.origins.get(key)?.label})`;
}

const clash = (e: Effective, a: SettingKey, b: SettingKey, why: string): string =>
  `${said(e, a)} contradicts ${said(e, b)}: ${why}`;

/** The older switch against the backend, when both come from the same layer. */
const switchAgainstBackend =
  (flag: 'useRealDht' | 'useRealConnector', backend: 'dhtBackend' | 'connectorBackend'): Rule =>
  (e) => {
    if (!isSet(e, flag) || !isSet(e, backend) || rank(e, flag) !== rank(e, backend)) return;
    return e.config[flag] === (e.config[backend] !== 'mock')
      ? undefined
      : clash(e, flag, backend, 'the one asks for the network, the other for the local backend');
  };

const backendAgainstFallback =
  (
    backend: 'dhtBackend' | 'connectorBackend',
    fallback: 'fallbackOnError' | 'connectorFallback',
  ): Rule =>
  (e) => {
    if (!isSet(e, backend) || !isSet(e, fallback) || e.config[backend] === 'mock') return;
    if (e.config[fallback] === (e.config[backend] === 'hybrid')) return;
    return clash(e, backend, fallback, 'hybrid is real with the fallback, real is without');
  };

const heartbeatAgainstTimeout: Rule = (e) =>
  e.config.heartbeatInterval * 2 <= e.config.electionTimeout
    ? undefined
    : clash(e, 'heartbeatInterval', 'electionTimeout', 'at least two heartbeats must fit into it');

const RULES: readonly Rule[] = [
  switchAgainstBackend('useRealDht', 'dhtBackend'),
  switchAgainstBackend('useRealConnector', 'connectorBackend'),
  backendAgainstFallback('dhtBackend', 'fallbackOnError'),
  backendAgainstFallback('connectorBackend', 'connectorFallback'),
  heartbeatAgainstTimeout,
];

/** Every contradiction between settings, in words. */
export const contradictions = (effective: Effective): readonly string[] =>
  RULES.map((rule) => rule(effective)).filter((text) => text !== undefined);

/**
 * Lets the settings beside the backend decide it where they stand in a stronger layer. The older
 * switch: `false` means `mock`; `true` means `real`, or `hybrid` while the fallback is on. The
 * fallback alone, when it is off: `real`, which is what `hybrid` without one would be.
 */
export function applyAliases(effective: Effective): Effective {
  const { config } = effective;
  const alias = config.useRealDht;
  const over = (key: SettingKey): boolean => rank(effective, key) > rank(effective, 'dhtBackend');
  if (alias !== undefined && over('useRealDht')) {
    const network: Backend = config.fallbackOnError ? 'hybrid' : 'real';
    return withBackend(effective, alias ? network : 'mock', 'useRealDht');
  }
  const isBare = !config.fallbackOnError && config.dhtBackend === 'hybrid';
  if (isBare && over('fallbackOnError')) return withBackend(effective, 'real', 'fallbackOnError');
  return effective;
}

function withBackend(effective: Effective, dhtBackend: Backend, by: SettingKey): Effective {
  const { config, origins } = effective;
  const origin = origins.get(by);
  return {
    config: { ...config, dhtBackend },
    origins: origin === undefined ? origins : new Map(origins).set('dhtBackend', origin),
  };
}

/** What the roster says of this node. */
export interface RosterFacts {
  readonly clusterName: string;
  /** undefined until the node is admitted. */
  readonly role: Role | undefined;
}

/** @throws BAD_CONFIG when the cluster name or the party role disagrees with the roster. */
export function checkAgainstRoster(effective: Effective, roster: RosterFacts): void {
  const facts: readonly (readonly [
    keyof Config & ('cluster' | 'partyRole'),
    string | undefined,
  ])[] = [
    ['cluster', roster.clusterName],
    ['partyRole', roster.role],
  ];
  for (const [key, fact] of facts) {
    const wanted = effective.config[key];
    if (wanted !== undefined && fact !== undefined && wanted !== fact) {
      throw new BzzzError('BAD_CONFIG', `${said(effective, key)} contradicts the roster: ${fact}`, {
        details: { key: SETTINGS[key].yaml, configured: wanted, roster: fact },
      });
    }
  }
}
