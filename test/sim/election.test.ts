/** Whole clusters of election machines under 2,000 seeds of faults. */
import { expect, it } from 'vitest';
import { describeFailure, runSeeds, summary } from './campaign.ts';
import { runSeed } from './run-seed.ts';

const SEEDS = 2000;

it(`keeps E1 to E8 under ${SEEDS} seeds of faults`, { timeout: 240_000 }, () => {
  const campaign = runSeeds({ from: 1, seeds: SEEDS });
  console.log(summary(campaign));
  expect(campaign.failures.map((failure) => describeFailure(failure)).join('\n')).toBe('');
  // A run in which nothing happens finds nothing.
  expect(campaign.stats.elections).toBeGreaterThan(2 * SEEDS);
  expect(campaign.stats.certified).toBeGreaterThan(2 * SEEDS);
  expect(campaign.stats.fenced).toBeGreaterThan(SEEDS / 2);
});

it('repeats a seed exactly', () => {
  for (const seed of [3, 42, 91]) {
    const [first, second] = [1, 2].map(() => runSeed(seed, { trace: true, outcomes: false }));
    expect(first?.lines.length).toBeGreaterThan(100);
    expect(second?.lines).toEqual(first?.lines);
  }
});
