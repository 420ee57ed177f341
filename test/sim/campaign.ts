/** Many seeds in a row, what they amount to, and how a failing one is shown. */
import type { Stats } from './checker.ts';
import { runSeed, type SeedResult } from './run-seed.ts';

export interface CampaignOptions {
  readonly from: number;
  readonly seeds: number;
  readonly outcomes?: boolean;
  /** Other violations end their run and count for nothing. */
  readonly only?: readonly string[] | undefined;
  /** Runs on after a violation, to count them. */
  readonly keepGoing?: boolean;
}

export interface Campaign {
  readonly seeds: number;
  readonly events: number;
  readonly minutes: number;
  readonly seconds: number;
  readonly stats: Stats;
  readonly refusals: number;
  readonly failures: readonly SeedResult[];
}

/** Lines of a failing run that are shown. */
const TAIL = 60;

export function runSeeds(options: CampaignOptions): Campaign {
  const { from, seeds, outcomes = false, only, keepGoing = false } = options;
  const began = performance.now();
  const failures: SeedResult[] = [];
  const stats: Stats = { elections: 0, certified: 0, fenced: 0, crashes: 0 };
  let events = 0;
  let ms = 0;
  let refusals = 0;
  let ran = 0;
  // Refusals are errors, and where they come from is of no interest before one seed fails.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const result = runSeed(seed, { trace: false, outcomes });
    ran++;
    events += result.events;
    ms += result.ms;
    refusals += result.refusals;
    for (const key of Object.keys(stats) as (keyof Stats)[]) stats[key] += result.stats[key];
    const { violation } = result;
    if (violation === undefined || only?.includes(violation.invariant) === false) continue;
    failures.push(result);
    if (!keepGoing) break;
  }
  Error.stackTraceLimit = stackTraceLimit;
  const seconds = (performance.now() - began) / 1000;
  return { seeds: ran, events, minutes: ms / 60_000, seconds, stats, refusals, failures };
}

export function summary({
  seeds,
  events,
  minutes,
  seconds,
  stats,
  refusals,
  failures,
}: Campaign): string {
  const { elections, certified, fenced, crashes } = stats;
  return [
    `${seeds} seeds in ${seconds.toFixed(1)} s: ${events} events,`,
    `${minutes.toFixed(0)} simulated minutes, ${elections} elections,`,
    `${certified} roster changes certified, ${refusals} wishes refused,`,
    `${fenced} acts of lower terms fenced, ${crashes} crashes, ${failures.length} violations`,
  ].join(' ');
}

/** The violation, the command that repeats it, and the end of its trace. */
export function describeFailure({ seed, violation }: SeedResult, outcomes = false): string {
  const again = runSeed(seed, { trace: true, outcomes });
  const flag = outcomes ? ' --outcomes' : '';
  return [
    `seed ${seed}: ${violation?.message}`,
    `npm run sim -- --seeds 1 --from ${seed}${flag}`,
    ...again.lines.slice(-TAIL),
  ].join('\n');
}
