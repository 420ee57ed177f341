/**
 * The shape of one setting, and how a row of the table is written. Pure.
 * @module
 */
import type { Kind } from './config-values.ts';

/** What defaults depend on. */
export interface ConfigWorld {
  readonly home: string;
  readonly xdgDataHome: string | undefined;
  readonly hostName: string;
  /** Whether logs go to a terminal. */
  readonly terminal: boolean;
  /** The data directory in force. */
  readonly dataDir: string;
}

/** One row of the table. */
export interface Setting<T> {
  /** Where it stands in the configuration file; also its name in `config show`. */
  readonly yaml: string;
  readonly env: string;
  readonly flag: string;
  readonly kind: Kind<T>;
  readonly fallback: (world: ConfigWorld) => T;
  /** The default as the documentation states it. */
  readonly defaultText: string;
  /** One line for `--help` and docs/cli.md. */
  readonly doc: string;
  /** Names a file with a secret: its path is shown, its contents never, loose modes refused. */
  readonly secret: boolean;
  /** Read and checked, but nothing in this version acts on it yet. */
  readonly planned: boolean;
}

interface Extra {
  readonly flag?: string;
  readonly defaultText?: string;
  readonly secret?: boolean;
  readonly planned?: boolean;
}

/**
 * Builds a row. The flag follows from the environment name unless given; `fallback` is the default,
 * or computes it.
 */
export function row<T>(
  yaml: string,
  env: string,
  kind: Kind<T>,
  fallback: T | ((world: ConfigWorld) => T),
  doc: string,
  extra: Extra = {},
): Setting<T> {
  const derived = typeof fallback === 'function';
  return {
    yaml,
    env,
    flag:
      extra.flag ??
      `--${env
        .replace(/^BZZZ_/, '')
        .toLowerCase()
        .replaceAll('_', '-')}`,
    kind,
    fallback: derived ? (fallback as (world: ConfigWorld) => T) : () => fallback,
    defaultText: extra.defaultText ?? textOfDefault(fallback),
    doc,
    secret: extra.secret ?? false,
    planned: extra.planned ?? false,
  };
}

function textOfDefault(value: unknown): string {
  if (value === undefined) return 'none';
  return Array.isArray(value) ? value.join(',') || 'none' : String(value);
}

/** A setting that may be absent. */
export const optional = <T>(kind: Kind<T>): Kind<T | undefined> => kind;

/** Where XDG puts the data of a program: `$XDG_DATA_HOME/bzzz`. */
export const usualDataDir = (world: Pick<ConfigWorld, 'home' | 'xdgDataHome'>): string =>
  `${world.xdgDataHome ?? `${world.home}/.local/share`}/bzzz`;
