/**
 * The command line of the simulator of sessions:
 *
 *   node test/sim/sessions/run.ts --seeds N --from S [--trace] [--keep-going] [--only N1,K4]
 *
 * `--trace` writes down all of the first seed, `--keep-going` does not stop at a violation, `--only`
 * counts some invariants alone. Exit code 1 at a violation; it prints the command that repeats it
 * and the end of its trace.
 */
import './hooks.ts';
import { parseArgs } from 'node:util';

const { describeFailure, runSeeds, summary } = await import('./campaign.ts');
const { runSeed } = await import('./run-seed.ts');

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    from: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    only: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
  },
});

const from = Number(values.from);
const seeds = Number(values.seeds);
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(seeds) || seeds < 1) {
  console.error('give whole numbers: --seeds N --from S');
  process.exit(2);
}

if (values.trace) console.log((await runSeed(from, true)).lines.join('\n'));
const only = values.only?.split(',');
const campaign = await runSeeds({ from, seeds, only, keepGoing: values['keep-going'] });
console.log(summary(campaign));
for (const failure of campaign.failures) console.log(await describeFailure(failure));
process.exitCode = campaign.failures.length > 0 ? 1 : 0;
