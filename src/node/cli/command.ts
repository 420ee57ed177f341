/**
 * How commands are written: from commander's callbacks to a `Context` and back to an exit code.
 * @module
 */
import type { Command } from 'commander';
import { BzzzError } from '../../base/errors.ts';
import { SETTING_LIST, SETTINGS, type SettingKey } from '../config.ts';
import type { RawValue } from '../config-values.ts';
import { Context, type Io, type SharedOptions } from './context.ts';

/** What a command does; a number that it returns is its exit code, anything else means 0. */
export type Work<O> = (
  context: Context,
  options: O,
  args: readonly (string | undefined)[],
) => Promise<unknown>;

/** Binds work to commander: `program.command('x').action(act(async (context) => ...))`. */
export type Act = <O = object>(work: Work<O>) => (...all: unknown[]) => Promise<void>;

/** Settings that have a shared option of their own. */
const SHARED: ReadonlySet<SettingKey> = new Set(['dataDir', 'configFile', 'controlSocket']);

/** Gives a command the flags of settings; all but the shared ones unless some are named. */
export function settingOptions(command: Command, only?: readonly SettingKey[]): Command {
  for (const [key, setting] of SETTING_LIST) {
    if (SHARED.has(key) || (only !== undefined && !only.includes(key))) continue;
    const later = setting.planned ? '; no effect in this version' : '';
    const text = `${setting.doc} [${setting.env}, default ${setting.defaultText}]${later}`;
    command.option(`${setting.flag} <value>`, text);
  }
  return command;
}

/** The settings that were given to `command` as flags. */
function settingFlags(command: Command): Map<SettingKey, RawValue> {
  const flags = new Map<SettingKey, RawValue>();
  for (const option of command.options) {
    const key = (Object.keys(SETTINGS) as SettingKey[]).find(
      (k) => SETTINGS[k].flag === option.long,
    );
    const value = command.getOptionValue(option.attributeName());
    // Options such as `key create --threshold` have no setting behind them.
    if (key !== undefined && !SHARED.has(key) && typeof value === 'string') flags.set(key, value);
  }
  return flags;
}

/** Makes the binder of one run. `finish` receives the exit code. */
export const binder =
  (io: Io, signal: (command: Command) => AbortSignal, finish: (code: number) => void): Act =>
  <O>(work: Work<O>) =>
  async (...all) => {
    const command = all.at(-1) as Command;
    const shared = command.optsWithGlobals<SharedOptions>();
    const context = new Context(shared, settingFlags(command), signal(command), io);
    const args = command.processedArgs as (string | undefined)[];
    const code = await work(context, command.opts<O & object>(), args);
    finish(typeof code === 'number' ? code : 0);
  };

/** A command of the contract that this version does not have: it says so when asked. */
export function planned(parent: Command, name: string): void {
  const full = `${parent.parent === null ? '' : `${parent.name()} `}${name}`;
  parent
    .command(name, { hidden: true })
    .argument('[args...]')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(() => {
      throw notYet(`bzzz ${full}`);
    });
}

/** The refusal of what the contract promises for a later version. */
export const notYet = (what: string): BzzzError =>
  new BzzzError('NOT_SUPPORTED', `\`${what}\` is not part of this version`, {
    why: 'it comes with a later one',
  });
