/**
 * The simulator finds what it is there for: the machine with one rule broken fails within 1,000
 * seeds; where it is so, also judged by nothing but the harm to the cluster.
 */
import { describe, expect, it } from 'vitest';
import { MUTANTS } from './mutants.ts';
import { runMutant } from './mutate.ts';

const SEEDS = 1000;

describe.each(MUTANTS)('$name', (mutant) => {
  const ways = [false, true] as const;
  it.each(ways)('is found (by the harm alone: %s)', { timeout: 120_000 }, (outcomes) => {
    const expected = outcomes ? mutant.outcomes : mutant.expects;
    const flags = ['--only', expected.join(), ...(outcomes ? ['--outcomes'] : [])];
    const { violation, seeds, output } = runMutant(mutant, SEEDS, 'test/sim/run.ts', flags);
    console.log(`${mutant.name}: ${violation ?? 'not found'} after ${seeds} seeds`);
    expect(expected, output.slice(0, 2000)).toContain(violation?.slice(0, 2));
    expect(seeds).toBeLessThanOrEqual(SEEDS);
  });
});
