/**
 * Commands that need no daemon: config, demo, completion, version.
 * @module
 */
import type { Command } from 'commander';
import { BzzzError } from '../../../base/errors.ts';
import { describeConfig, plannedButSet, SETTING_LIST } from '../../config.ts';
import { type Act, planned, settingOptions } from '../command.ts';
import type { Context } from '../context.ts';
import { wholeNumber } from '../input.ts';
import { table } from '../text.ts';
import { programVersion } from '../version.ts';

async function showConfig(context: Context, origin: boolean): Promise<void> {
  const list = describeConfig(await context.settings());
  const cell = (value: unknown): string =>
    value === null
      ? ''
      : typeof value === 'object' && !Array.isArray(value)
        ? Object.entries(value)
            .map(([k, v]) => `${k}=${v}`)
            .join(',')
        : String(value);
  context.result(list, (all) =>
    table(
      ['KEY', 'VALUE', ...(origin ? ['ORIGIN'] : [])],
      all.map((s) => [s.key, cell(s.value), ...(origin ? [s.origin] : [])]),
      // Somebody looks here for the exact value.
      1_000,
    ),
  );
}

/** Reads everything as the daemon would, files of secrets included. */
async function checkConfig(context: Context): Promise<void> {
  const effective = await context.settings();
  const { readPrivateFile } = await import('../../datadir.ts');
  for (const [key, setting] of SETTING_LIST) {
    const path = effective.config[key];
    if (!setting.secret || typeof path !== 'string') continue;
    const bytes = await readPrivateFile(path, 65_536);
    bytes?.fill(0);
    if (bytes === undefined) {
      const label = effective.origins.get(key)?.label;
      throw new BzzzError('BAD_CONFIG', `${setting.yaml} (${label}): there is no file ${path}`);
    }
  }
  const unused = plannedButSet(effective);
  context.result({ ok: true, unused }, (r) =>
    ['the configuration is good\n', ...r.unused.map((s) => `no effect yet: ${s}\n`)].join(''),
  );
}

/** Adds them. */
export function addLocal(program: Command, act: Act): void {
  const config = program.command('config').description('settings and where they come from');
  const show = config
    .command('show')
    .description('effective settings')
    .option('--origin', 'with where each came from');
  settingOptions(show).action(
    act<{ origin?: boolean }>((context, o) => showConfig(context, o.origin === true)),
  );
  const check = config.command('check').description('read all settings and say what is wrong');
  settingOptions(check).action(act((context) => checkConfig(context)));
  planned(config, 'set');

  program
    .command('demo')
    .description('real daemons on this machine: a key, signatures, kills, resolution')
    .option('--nodes <n>', 'how many', '5')
    .option('--keep', 'leave daemons and files for a look')
    .action(
      act<{ nodes: string; keep?: boolean }>(async (context, o) => {
        const { runDemo } = await import('../demo.ts');
        const report = await runDemo({
          nodes: wholeNumber('--nodes', o.nodes),
          keep: o.keep === true,
          signal: context.signal,
          // What it tells is what it is for; with `--json` the report is, and this is chatter.
          print: (line) => (context.json ? context.chatter(line) : context.data(`${line}\n`)),
        });
        if (context.json) context.result(report, () => '');
      }),
    );
  program
    .command('completion')
    .description('completion script for a shell: bash, zsh or fish')
    .argument('<shell>')
    .action(
      act(async (context, _o, [shell = '']) => {
        const { completionScript } = await import('../completion.ts');
        context.data(completionScript(program, shell));
      }),
    );
  program
    .command('version')
    .description('version of this program')
    .action(
      act(async (context) => {
        const document = { version: programVersion(), node: process.version };
        context.result(document, (v) => `bzzz ${v.version} (node ${v.node})\n`);
      }),
    );
}
