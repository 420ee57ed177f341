/** The simulator of sessions finds what it is there for, within 1,000 seeds. */
import { describe, expect, it } from 'vitest';
import { runMutant } from './mutate.ts';
import { SESSION_MUTANTS } from './sessions/mutants.ts';

const SEEDS = 1000;

describe.each(SESSION_MUTANTS)('$name', ({ name, edits, expects }) => {
  it(`is found (${expects.join(' or ')})`, { timeout: 300_000 }, () => {
    const flags = ['--only', expects.join()];
    const found = runMutant({ edits }, SEEDS, 'test/sim/sessions/run.ts', flags);
    const { violation, seeds, output } = found;
    console.log(`${name}: ${violation ?? 'not found'} after ${seeds} seeds`);
    expect(expects, output.slice(0, 2000)).toContain(violation?.slice(0, 2));
    expect(seeds).toBeLessThanOrEqual(SEEDS);
  });
});
