/** docs/cli.md is a contract: it names every setting and its default, every command, true exits. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ERRORS, type ErrorCode } from '../../../src/base/errors.ts';
import { SETTING_LIST } from '../../../src/node/config.ts';
import { inProcess } from './harness.ts';

const root = resolve(import.meta.dirname, '../../..');
let text: string;
beforeAll(async () => {
  text = await readFile(join(root, 'docs/cli.md'), 'utf8');
});

/** Names of the commands that a help lists. */
async function commandsOf(...path: readonly string[]): Promise<string[]> {
  const { stdout } = await inProcess([...path, '--help'], { home: root });
  const list = stdout.split('\nCommands:\n')[1] ?? '';
  return [...list.matchAll(/^ {2}([a-z][\w-]*)/gm)].flatMap(([, name]) =>
    name === undefined || name === 'help' ? [] : [name],
  );
}

describe('docs/cli.md', () => {
  it('names every setting of a BZZZ_ variable with its default', () => {
    const ours = SETTING_LIST.filter(([, { env }]) => env.startsWith('BZZZ_'));
    expect(ours.length).toBeGreaterThan(25);
    for (const [key, { env, defaultText }] of ours) {
      const name = env.replace('BZZZ_', '');
      // Paths below the data directory stand in the text; some have no default.
      const isPath = ['dataDir', 'configFile', 'controlSocket', 'partyRole'].includes(key);
      const expected = isPath || defaultText === 'none' ? name : `${name} = ${defaultText}`;
      expect(text).toContain(expected);
    }
  });

  it('names every command', async () => {
    const commands = await commandsOf();
    expect(commands).toEqual(expect.arrayContaining(['leader', 'roster', 'job', 'status']));
    expect(await commandsOf('roster')).toEqual(['promote', 'demote', 'remove', 'recover']);
    for (const name of commands) {
      expect(text, name).toMatch(new RegExp(`\`${name}[ \`]`));
      for (const child of await commandsOf(name)) {
        expect(text, `${name} ${child}`).toMatch(new RegExp(`\`${name} ${child}[ \`]`));
      }
    }
  });

  it('states exit codes as the catalogue has them', () => {
    const rows = [...text.matchAll(/^\| ((?:`[A-Z_]+`(?: · )?)+) \| (\d+) \|/gm)];
    expect(rows.length).toBeGreaterThan(5);
    for (const [, codes = '', exit] of rows) {
      for (const [, code] of codes.matchAll(/`([A-Z_]+)`/g)) {
        expect(ERRORS[code as ErrorCode]?.exit, code).toBe(Number(exit));
      }
    }
  });
});
