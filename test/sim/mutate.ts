/** Runs the simulator on a copy of the sources with one rule broken. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Edit, Mutant } from './mutants.ts';

const root = resolve(import.meta.dirname, '../..');

export interface Outcome {
  /** The first line about the violation; undefined when none was found. */
  readonly violation: string | undefined;
  /** Seeds that it took. */
  readonly seeds: number;
  readonly output: string;
}

/**
 * @param script the simulator's command line.
 * @param flags more arguments of it; `--seeds` is given by `seeds`.
 * @throws when the snippet is not in its file exactly once.
 */
export function runMutant(
  { edits }: Pick<Mutant, 'edits'>,
  seeds: number,
  script: string,
  flags: readonly string[],
): Outcome {
  const folder = mkdtempSync(join(tmpdir(), 'bzzz-mutant-'));
  try {
    for (const part of ['src', 'test/sim', 'test/support', 'package.json']) {
      cpSync(join(root, part), join(folder, part), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    for (const edit of edits) apply(folder, edit);
    return run(folder, [script, '--seeds', `${seeds}`, ...flags]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function apply(folder: string, { file, snippet, replacement }: Edit): void {
  const path = join(folder, file);
  const text = readFileSync(path, 'utf8');
  const found = text.split(snippet).length - 1;
  if (found !== 1) throw new Error(`${file} has the snippet ${found} times: ${snippet}`);
  writeFileSync(
    path,
    text.replace(snippet, () => replacement),
  );
}

function run(folder: string, args: readonly string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 64 * 1_048_576,
    timeout: 280_000,
  });
  const output = `${stdout}${stderr}`;
  if (status !== 0 && status !== 1)
    throw new Error(`the simulator ended with ${status}: ${output}`);
  const [, count = '0'] = /^(\d+) seeds in/m.exec(stdout) ?? [];
  const [, violation] = /^seed \d+: (.*)$/m.exec(stdout) ?? [];
  return { violation, seeds: Number(count), output };
}
