/**
 * The command line of the simulator:
 *
 *   node test/sim/run.ts --seeds N --from S [--trace] [--keep-going] [--outcomes] [--only E1,E8]
 *
 * `--trace` writes down all of the first seed, `--keep-going` does not stop at a violation,
 * `--outcomes` judges by what harms the cluster alone, `--only` counts some invariants alone.
 * Exit code 1 at a violation; it prints the command that repeats it and the end of its trace.
 */
import { parseArgs } from 'node:util';
import { describeFailure, runSeeds, summary } from './campaign.ts';
import { runSeed } from './run-seed.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    only: { type: 'string' },
    outcomes: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
});

const from = Number(values.from);
const seeds = Number(values.seeds);
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(seeds) || seeds < 1) {
  console.error('give whole numbers: --seeds N --from S');
  process.exit(2);
}

if (values.trace) {
  const result = runSeed(from, { trace: true, outcomes: values.outcomes });
  console.log(result.lines.join('\n'));
}
const campaign = runSeeds({
  from,
  seeds,
  outcomes: values.outcomes,
  only: values.only?.split(','),
  keepGoing: values['keep-going'],
});
console.log(summary(campaign));
for (const failure of campaign.failures) console.log(describeFailure(failure, values.outcomes));
process.exitCode = campaign.failures.length > 0 ? 1 : 0;
