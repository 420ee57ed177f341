/**
 * Reads the command line's flags, the environment and the configuration file, and hands them to
 * config-resolve.ts.
 * @module
 */
import { lstat, readFile, stat } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { isAbsolute, resolve } from 'node:path';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Effective, SettingKey } from './config.ts';
import { SETTING_LIST } from './config.ts';
import type { ConfigFile, ConfigSources } from './config-resolve.ts';
import { firstGiven, resolveConfig } from './config-resolve.ts';
import { usualDataDir } from './config-setting.ts';
import type { RawValue } from './config-values.ts';

/** A configuration file is written by hand. */
const MAX_FILE_BYTES = 262_144;

/** Where settings come from; each part has the process's own as its default. */
export interface LoadOptions {
  readonly flags?: ReadonlyMap<SettingKey, RawValue>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly terminal?: boolean;
}

/**
 * Loads the settings in force.
 * @throws BAD_CONFIG naming every bad or unknown setting with its source; LOOSE_PERMISSIONS when
 *   others may write the file.
 */
export async function loadConfig(options: LoadOptions = {}): Promise<Effective> {
  const env = options.env ?? process.env;
  const flags = new Map(
    [...(options.flags ?? [])].map(([key, raw]) => [key, isPath(key) ? absolute(raw) : raw]),
  );
  const home = env.HOME === undefined || env.HOME === '' ? homedir() : env.HOME;
  // The XDG specification says that a relative path here is to be ignored.
  const xdg = env.XDG_DATA_HOME;
  const xdgDataHome = xdg !== undefined && isAbsolute(xdg) ? xdg : undefined;
  const world = {
    home,
    xdgDataHome,
    hostName: hostname(),
    terminal: options.terminal ?? process.stderr.isTTY === true,
  };
  const sources: Omit<ConfigSources, 'file'> = { flags, env: absolutePaths(env), world };
  const dataDir = firstGiven(sources, 'dataDir') ?? usualDataDir(world);
  const named = firstGiven(sources, 'configFile');
  const path = String(named ?? `${dataDir}/config.yaml`);
  // A path that no system takes is named as a bad value by the table.
  const file = path.includes('\0') ? undefined : await readConfigFile(path, named !== undefined);
  return resolveConfig({ ...sources, file });
}

const isPath = (key: SettingKey): boolean =>
  key === 'dataDir' || key === 'configFile' || key === 'controlSocket';

const absolute = (raw: RawValue): RawValue =>
  typeof raw === 'string' && raw !== '' ? resolve(raw) : raw;

function absolutePaths(env: NonNullable<LoadOptions['env']>): Record<string, string | undefined> {
  const made = { ...env };
  for (const [key, { env: name }] of SETTING_LIST) {
    const raw = made[name];
    if (isPath(key) && raw !== undefined && raw !== '') made[name] = resolve(raw);
  }
  return made;
}

/** @returns undefined when nobody named the file and there is none. */
async function readConfigFile(path: string, named: boolean): Promise<ConfigFile | undefined> {
  let text: string;
  try {
    const info = await (named ? stat(path) : lstat(path));
    if (!info.isFile()) throw new BzzzError('BAD_CONFIG', `${path} is not a regular file`);
    if (info.size > MAX_FILE_BYTES) {
      throw new BzzzError(
        'BAD_CONFIG',
        `${path} has ${info.size} bytes, at most ${MAX_FILE_BYTES}`,
      );
    }
    if ((info.mode & 0o022) !== 0) {
      throw new BzzzError('LOOSE_PERMISSIONS', `others may write the configuration file ${path}`, {
        why: `its mode is ${(info.mode & 0o777).toString(8)}`,
        hint: `chmod 600 ${path}`,
      });
    }
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    const missing = thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';
    if (missing && !named) return undefined;
    if (missing) throw new BzzzError('BAD_CONFIG', `no configuration file ${path}`);
    throw toBzzzError(thrown, 'BAD_CONFIG');
  }
  return { path, named, root: await parseYaml(path, text) };
}

/** The library is loaded only where there is a file: a bare `status` starts faster without. */
async function parseYaml(path: string, text: string): Promise<unknown> {
  const { parseDocument } = await import('yaml');
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) {
    const line = problem.message.split('\n')[0];
    throw new BzzzError('BAD_CONFIG', `file ${path}: not YAML: ${line}`);
  }
  try {
    return document.toJS({ mapAsMap: true, maxAliasCount: 0 });
  } catch (cause) {
    throw new BzzzError('BAD_CONFIG', `file ${path}: aliases are not accepted`, { cause });
  }
}
