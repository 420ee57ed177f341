/**
 * A read from the network: the first valid copy, or the union of what several holders have.
 *
 * What never changes is answered by the first valid copy. What may change is asked of the nearest
 * members, and whether a majority of the record's home was among those who answered is part of the
 * answer: only then no value that reached a majority there was missed.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import type { Clock } from '../base/ports.ts';
import type { Copies, Seen } from './copies.ts';
import type { Counters } from './counters.ts';
import { deadline } from './deadline.ts';
import type { Rule, Rules } from './rules.ts';
import { spread, type Verdict } from './spread.ts';
import type { Wire } from './wire.ts';

export interface Reading {
  readonly key: Uint8Array;
  readonly rule: Rule;
  /** This node's own valid copy. */
  readonly local: Uint8Array | undefined;
  /** Hear several holders and merge; otherwise the first valid copy is the answer. */
  readonly merge: boolean;
  readonly signal: AbortSignal;
}

export interface ReadTimes {
  readonly timeoutMs: number;
  readonly graceMs: number;
}

export interface ReadDeps {
  readonly self: PeerId;
  readonly copies: Copies;
  readonly wire: Wire;
  readonly rules: Rules;
  readonly clock: Clock;
  readonly counters: Counters;
}

export interface ReadResult {
  /** undefined when nobody who answered has one. */
  readonly value: Uint8Array | undefined;
  /** Others whose valid copy was seen. */
  readonly holders: readonly PeerId[];
  /** Whether a holder, or this node, lacks part of `value`. Only a merging read looks. */
  readonly repair: boolean;
  /** Whether a majority of the home answered, this node's own copy counted where it is part. */
  readonly majority: boolean;
  /** Whether any other member answered: whether the network is there. */
  readonly served: boolean;
}

/** A walk through peers of peers takes no longer than this. */
const WALK_MS = 1_500;

/** Never throws: a peer's failure is counted, and all failing is a miss. */
export async function readNetwork(
  reading: Reading,
  times: ReadTimes,
  deps: ReadDeps,
): Promise<ReadResult> {
  const { copies, clock, counters, self } = deps;
  const { key, signal, merge } = reading;
  const started = clock.now();
  const need = copies.need();
  const home = new Set(copies.home(key));
  const own = home.has(self) ? 1 : 0;
  const hasAnswered = ({ kind }: Seen): boolean => kind !== 'rubbish';
  const tally = (all: ReadonlyMap<PeerId, Seen>) => {
    const heard = [...all].filter(([, seen]) => hasAnswered(seen));
    const atHome = own + heard.filter(([peer]) => home.has(peer)).length;
    return { heard: heard.length, atHome };
  };
  const answers = await spread<Seen>({
    peers: copies.candidates(key),
    // As many as the home has: the one that lives when all but one of them died is among these.
    width: need.copies,
    timeoutMs: times.timeoutMs,
    graceMs: times.graceMs,
    clock,
    signal,
    rest: 'abort',
    ask: (peer, limit) => copies.see(peer, key, limit),
    // A merging read hears the nearest; another goes on to farther ones until it found one.
    fills: (seen) => merge && hasAnswered(seen),
    judge(all): Verdict {
      const { heard, atHome } = tally(all);
      if (!merge) {
        if ([...all.values()].some(({ kind }) => kind === 'valid')) return 'done';
        return atHome >= need.blocking ? 'enough' : 'more';
      }
      if (heard + own >= need.copies) return 'done';
      return atHome >= need.quorum ? 'enough' : 'more';
    },
    failed: () => counters.add('peerError'),
  });
  const { value, holders, repair } = union(reading, answers, deps.rules);
  const { heard, atHome } = tally(answers);
  const result: ReadResult = {
    ...{ value, holders, repair },
    majority: atHome >= need.quorum,
    served: heard > 0,
  };
  // Those who answered meet every majority, so nothing that reached one was missed.
  if (value !== undefined || atHome >= need.blocking) return result;
  const leftMs = times.timeoutMs - (clock.now() - started);
  const walked = await walk(reading, Math.min(leftMs, WALK_MS), deps);
  return walked === undefined ? result : { ...result, ...walked };
}

type Union = Pick<ReadResult, 'value' | 'holders' | 'repair'>;

function union(reading: Reading, answers: ReadonlyMap<PeerId, Seen>, rules: Rules): Union {
  const { rule, local, merge } = reading;
  let value = local;
  const holders: PeerId[] = [];
  for (const [peer, seen] of answers) {
    if (seen.kind !== 'valid') continue;
    holders.push(peer);
    value = value === undefined ? seen.value : rules.join(rule, value, seen.value);
  }
  if (value === undefined || !merge) return { value, holders, repair: false };
  const whole = value;
  const lacks = (seen: Seen): boolean =>
    seen.kind === 'none' || (seen.kind === 'valid' && !equalBytes(seen.value, whole));
  const selfLacks = local !== undefined && !equalBytes(local, whole);
  return { value, holders, repair: selfLacks || [...answers.values()].some(lacks) };
}

/** The last resort of a node that knows too few peers: peers of peers, first valid copy. */
async function walk(reading: Reading, ms: number, deps: ReadDeps): Promise<Union | undefined> {
  if (ms <= 0 || deps.wire.size() === 0) return undefined;
  const limit = deadline(deps.clock, ms, reading.signal);
  try {
    for await (const { from, value } of deps.wire.walk(reading.key, limit.signal)) {
      try {
        deps.rules.check(reading.key, value);
        return { value, holders: [from], repair: false };
      } catch {
        deps.counters.add('rubbish');
      }
    }
    return undefined;
  } finally {
    limit.end();
  }
}
