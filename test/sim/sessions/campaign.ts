/** Many seeds in a row, what they amount to, and how a failing one is shown. */
import type { Stats } from './checker.ts';
import { runSeed, type SeedResult } from './run-seed.ts';

export interface CampaignOptions {
  readonly from: number;
  readonly seeds: number;
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
  readonly failures: readonly SeedResult[];
}

/** Lines of a failing run that are shown. */
const TAIL = 80;

export async function runSeeds(options: CampaignOptions): Promise<Campaign> {
  const { from, seeds, only, keepGoing = false } = options;
  const began = performance.now();
  const failures: SeedResult[] = [];
  const stats: Stats = { crashes: 0, keys: 0, refusals: 0, signatures: 0, failures: 0 };
  let [events, ms, ran] = [0, 0, 0];
  // Refusals are errors, and where they come from is of no interest before one seed fails.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await runSeed(seed, false);
    ran++;
    events += result.events;
    ms += result.ms;
    for (const key of Object.keys(stats) as (keyof Stats)[]) stats[key] += result.stats[key];
    const { violation } = result;
    if (violation === undefined || only?.includes(violation.invariant) === false) continue;
    failures.push(result);
    if (!keepGoing) break;
  }
  Error.stackTraceLimit = stackTraceLimit;
  const seconds = (performance.now() - began) / 1000;
  return { seeds: ran, events, minutes: ms / 60_000, seconds, stats, failures };
}

export function summary({ seeds, events, minutes, seconds, stats, failures }: Campaign): string {
  return [
    `${seeds} seeds in ${seconds.toFixed(1)} s: ${events} events,`,
    `${minutes.toFixed(0)} simulated minutes, ${stats.keys} keys made, ${stats.refusals} refusals,`,
    `${stats.signatures} signatures answered, ${stats.failures} requests failed with a reason,`,
    `${stats.crashes} crashes, ${failures.length} violations`,
  ].join(' ');
}

/** The violation, the command that repeats it, and the end of its trace. */
export async function describeFailure({ seed, violation }: SeedResult): Promise<string> {
  const again = await runSeed(seed, true);
  return [
    `seed ${seed}: ${violation?.message}`,
    `npm run sim:sessions -- --seeds 1 --from ${seed}`,
    ...again.lines.slice(-TAIL),
  ].join('\n');
}
