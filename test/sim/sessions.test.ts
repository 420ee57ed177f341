/** Whole clusters of party services under 2,000 seeds of faults; see sessions/run.ts. */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';

const SEEDS = 2000;
const root = resolve(import.meta.dirname, '../..');

/** The simulator in a process of its own: its stand-ins are put in when modules are loaded. */
function simulate(flags: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['test/sim/sessions/run.ts', ...flags], { cwd: root });
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => parts.push(part));
  child.stderr.on('data', (part: Buffer) => parts.push(part));
  return new Promise((done, failed) => {
    child.on('error', failed);
    child.on('close', (code) => done({ code, output: Buffer.concat(parts).toString() }));
  });
}

const count = (output: string, what: string): number =>
  Number(new RegExp(`(\\d+) ${what}`).exec(output)?.[1]);

it(`keeps S1 to S6, N1, N2, K1, K2 and K4 under ${SEEDS} seeds`, { timeout: 600_000 }, async () => {
  const half = `${SEEDS / 2}`;
  const runs = await Promise.all(
    ['1', `${SEEDS / 2 + 1}`].map((from) => simulate(['--seeds', half, '--from', from])),
  );
  for (const { code, output } of runs) {
    console.log(output.split('\n')[0]);
    expect(code, output).toBe(0);
    // A run in which nothing happens finds nothing.
    expect(count(output, 'keys made')).toBeGreaterThan(SEEDS / 4);
    expect(count(output, 'signatures answered')).toBeGreaterThan(SEEDS / 2);
    expect(count(output, 'refusals')).toBeGreaterThan(SEEDS / 4);
    expect(count(output, 'crashes')).toBeGreaterThan(SEEDS / 2);
  }
});

it('repeats a seed exactly', { timeout: 60_000 }, async () => {
  for (const seed of ['3', '42']) {
    const flags = ['--seeds', '1', '--from', seed, '--trace'];
    const [first, second] = [await simulate(flags), await simulate(flags)];
    const lines = (output: string): readonly string[] => output.split('\n').slice(0, -2);
    expect(lines(first.output).length).toBeGreaterThan(50);
    expect(lines(second.output)).toEqual(lines(first.output));
  }
});
