/**
 * Turns flags, environment and file into the settings in force, and says everything that is wrong
 * with them at once. Pure; config-load.ts reads the three sources.
 * @module
 */
import { BzzzError } from '../base/errors.ts';
import type { Config, Effective, Origin, SettingKey } from './config.ts';
import { SETTING_LIST, SETTINGS } from './config.ts';
import { nearest } from './config-nearest.ts';
import { applyAliases, contradictions } from './config-rules.ts';
import type { ConfigWorld, Setting } from './config-setting.ts';
import { usualDataDir } from './config-setting.ts';
import type { RawValue } from './config-values.ts';

/** A parsed configuration file; mappings are Maps, so that no key can reach a prototype. */
export interface ConfigFile {
  readonly path: string;
  readonly root: unknown;
  /** Whether somebody named this path; otherwise it is the data directory's own file. */
  readonly named: boolean;
}

/** The three sources, and what the defaults depend on. */
export interface ConfigSources {
  readonly flags: ReadonlyMap<SettingKey, RawValue>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: ConfigFile | undefined;
  readonly world: Omit<ConfigWorld, 'dataDir'>;
}

interface Given {
  readonly raw: unknown;
  readonly origin: Origin;
}

type Problems = string[];

/** Roots below which the documented names of other deployments stand as well. */
const ROOTS: ReadonlyMap<string, (yaml: string) => boolean> = new Map([
  ['bzzz', (yaml) => !yaml.startsWith('connector.')],
  ['rustle', (yaml) => yaml.startsWith('connector.')],
]);

const OURS = /^(?:BZZZ|RUSTLE)_/;

/** @throws BAD_CONFIG with every problem in `details.problems`; the message is the first. */
export function resolveConfig(sources: ConfigSources): Effective {
  const problems: Problems = [];
  const given = [
    fromFlags(sources.flags),
    fromEnvironment(sources.env, problems),
    fromFile(sources.file, problems),
  ];
  const dataDir = dataDirOf(sources, given, problems);
  const world: ConfigWorld = { ...sources.world, dataDir };
  const values = new Map<SettingKey, unknown>();
  const origins = new Map<SettingKey, Origin>();
  for (const [key, setting] of SETTING_LIST) {
    const { value, origin } = settle(
      setting,
      given.map((g) => g.get(key)),
      world,
      problems,
    );
    values.set(key, value);
    origins.set(key, origin);
  }
  // Every key of SETTINGS was set just now, each by its own row's parser or default.
  const config = Object.fromEntries(values) as unknown as Config;
  const effective = { config, origins };
  // Contradictions between values that were not even read would only confuse.
  if (problems.length === 0) problems.push(...contradictions(effective));
  refuse(problems);
  return applyAliases(effective);
}

/** Takes the strongest value given; a bad one is a problem even where a stronger one hides it. */
function settle(
  setting: Setting<unknown>,
  given: readonly (Given | undefined)[],
  world: ConfigWorld,
  problems: Problems,
): { value: unknown; origin: Origin } {
  let found: { value: unknown; origin: Origin } | undefined;
  for (const one of given) {
    if (one === undefined) continue;
    const { kind } = setting;
    const value = isRaw(one.raw) ? kind.parse(one.raw) : undefined;
    if (value === undefined) {
      const detail = isRaw(one.raw) ? kind.complaint?.(one.raw) : undefined;
      const why = detail === undefined ? '' : `${detail}; `;
      problems.push(`${one.origin.label}: ${show(one.raw)} is bad: ${why}expected ${kind.expects}`);
    } else found ??= { value, origin: one.origin };
  }
  return (
    found ?? { value: setting.fallback(world), origin: { layer: 'default', label: 'default' } }
  );
}

const isRaw = (raw: unknown): raw is RawValue =>
  typeof raw === 'string' ||
  typeof raw === 'number' ||
  typeof raw === 'boolean' ||
  Array.isArray(raw);

/** A value in an error message: short, on one line. */
function show(raw: unknown): string {
  const text = raw instanceof Map ? 'a mapping' : (JSON.stringify(raw) ?? 'nothing');
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function fromFlags(flags: ReadonlyMap<SettingKey, RawValue>): Map<SettingKey, Given> {
  const given = new Map<SettingKey, Given>();
  for (const [key, raw] of flags) {
    given.set(key, { raw, origin: { layer: 'flag', label: `flag ${SETTINGS[key].flag}` } });
  }
  return given;
}

/** An empty variable counts as absent: compose files and unit files pass those. */
function fromEnvironment(env: ConfigSources['env'], problems: Problems): Map<SettingKey, Given> {
  const byName = new Map(SETTING_LIST.map(([key, s]) => [s.env, key] as const));
  const given = new Map<SettingKey, Given>();
  for (const [name, raw] of Object.entries(env)) {
    if (raw === undefined || raw === '' || !OURS.test(name)) continue;
    const key = byName.get(name);
    if (key === undefined) problems.push(unknown(`env ${name}`, name, byName.keys()));
    else given.set(key, { raw, origin: { layer: 'env', label: `env ${name}` } });
  }
  return given;
}

function unknown(where: string, word: string, known: Iterable<string>): string {
  const near = nearest(word, known);
  const hint = near === undefined ? '' : `; the nearest known one is ${near}`;
  return `${where}: unknown setting${hint}`;
}

function fromFile(file: ConfigFile | undefined, problems: Problems): Map<SettingKey, Given> {
  const given = new Map<SettingKey, Given>();
  if (file === undefined || file.root === null || file.root === undefined) return given;
  const byPath = new Map(
    SETTING_LIST.filter(([key]) => key !== 'configFile').map(([key, s]) => [s.yaml, key] as const),
  );
  const groups = new Set([...byPath.keys()].flatMap(prefixes));
  const take = (path: string, inRoot: string | undefined, raw: unknown): void => {
    const full = inRoot === undefined ? path : `${inRoot}.${path}`;
    const label = `file ${file.path}: ${full}`;
    const key = byPath.get(path);
    if (key === undefined || (inRoot !== undefined && ROOTS.get(inRoot)?.(path) !== true)) {
      problems.push(unknown(label, path, byPath.keys()));
    } else if (given.has(key)) {
      problems.push(`${label} contradicts ${given.get(key)?.origin.label}: give it once`);
    } else {
      const flat = raw instanceof Map && SETTINGS[key].kind.mapping === true ? listOf(raw) : raw;
      given.set(key, { raw: flat, origin: { layer: 'file', label } });
    }
  };
  const walk = (prefix: string, inRoot: string | undefined, node: unknown): void => {
    if (!(node instanceof Map)) {
      problems.push(`file ${file.path}: ${inRoot ?? prefix} must be a mapping`);
      return;
    }
    for (const [word, child] of node) {
      const path = prefix === '' ? String(word) : `${prefix}.${word}`;
      if (prefix === '' && inRoot === undefined && ROOTS.has(path)) walk('', path, child);
      else if (groups.has(path)) walk(path, inRoot, child);
      else if (child !== null) take(path, inRoot, child);
    }
  };
  walk('', undefined, file.root);
  return given;
}

const listOf = (mapping: ReadonlyMap<unknown, unknown>): readonly string[] =>
  [...mapping].map(([key, value]) => `${key}=${value}`);

/** `a.b` for `a.b.c`: the mappings that a path leads through. */
const prefixes = (path: string): string[] =>
  path.split('.').flatMap((_, i, words) => (i === 0 ? [] : [words.slice(0, i).join('.')]));

/**
 * The directory in force. A file found inside a data directory cannot move it elsewhere, because
 * then the file would not be the one in force.
 */
function dataDirOf(
  sources: ConfigSources,
  given: readonly Map<SettingKey, Given>[],
  problems: Problems,
): string {
  const [flag, env, file] = given.map((g) => g.get('dataDir')?.raw);
  const stated = [flag, env, sources.file?.named === true ? file : undefined].find(
    (raw) => typeof raw === 'string',
  );
  const inForce = stated ?? usualDataDir(sources.world);
  if (sources.file?.named === false && typeof file === 'string' && file !== inForce) {
    problems.push(
      `file ${sources.file.path}: node.data_dir = ${show(file)} contradicts the data directory` +
        ` ${inForce} that the file was found in; name the file with ${SETTINGS.configFile.env}`,
    );
  }
  return inForce;
}

function refuse(problems: Problems): void {
  const [first, ...more] = problems;
  if (first === undefined) return;
  throw new BzzzError('BAD_CONFIG', first, {
    ...(more.length === 0 ? {} : { why: `also: ${more.join('; ')}` }),
    details: { problems },
  });
}

/** The value of one setting in a layer that is already known; for finding the file itself. */
export const firstGiven = (
  sources: Pick<ConfigSources, 'flags' | 'env'>,
  key: SettingKey,
): RawValue | undefined => {
  const env = sources.env[SETTINGS[key].env];
  return sources.flags.get(key) ?? (env === '' ? undefined : env);
};
