/**
 * SIGKILL, SIGSTOP and a cable that goes dead without a word, at every step of signing, key
 * generation, refresh, reshare and repair, on real daemons. The steps are not listed here: a run
 * without a fault writes them down.
 *
 * By default three daemons are killed at every step of each protocol and role, and stopped and cut
 * off at one, the same each time; on a machine that takes longer than 8 min the rest is killed at
 * one as well. `TEST_FAULTS=all` tries all of them, `TEST_FAULTS=4` four,
 * `TEST_FAULTS_SEED` others, and `TEST_FAULTS_SIZES=3,5,7` clusters of these sizes.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quantiles } from '../../bench/stats.ts';
import { type Case, inject, type Outcome } from '../support/faults/loop.ts';
import {
  CALM_TTL_MS,
  newKey,
  PROTOCOLS,
  type Protocol,
  thresholdOf,
} from '../support/faults/protocols.ts';
import { cutMissing, type Fault, FaultRig } from '../support/faults/rig.ts';

const FAULTS: readonly Fault[] =
  cutMissing === undefined ? ['kill', 'stop', 'cut'] : ['kill', 'stop'];
if (cutMissing !== undefined) console.warn(`skipped: cables that go dead: ${cutMissing}`);

const { TEST_FAULTS: ASKED, TEST_FAULTS_SEED = '1', TEST_FAULTS_SIZES = '3' } = process.env;
const SEED = Number(TEST_FAULTS_SEED);
/** Of the default run: one in so many of all (protocol, role, fault), by cluster size. */
const THINNED: ReadonlyMap<number, number> = new Map([
  [5, 4],
  [7, 8],
]);
/** The promise, ms. */
const PROMISE_MS = 1_500;
/** What a machine that does other things too may add: a few waits, several signatures' time. */
const limitOf = ({ paceMs }: Outcome): number => PROMISE_MS + 500 + 10 * paceMs;

type Cell = Omit<Case, 'step'>;

const cellsOf = (rig: FaultRig, protocol: Protocol): readonly Cell[] =>
  Object.keys(protocol.roles(rig)).flatMap((role) =>
    FAULTS.map((fault) => ({ protocol, role, fault })),
  );

/** Of the default run: a slow machine tries fewer steps behind it, and says so. */
const BUDGET_MS = 8 * 60_000;
const isLate = (): boolean => performance.now() > BUDGET_MS;

/** How many of a role's steps are tried: a number, or `all`. */
const askedFor = (fault: Fault, size: number): string =>
  ASKED ?? (fault === 'kill' && size === 3 && !isLate() ? 'all' : '1');

/** Some of the steps 1 to `last`, evenly apart; `salt` says where they begin. */
function sample(asked: string, last: number, salt: number): readonly number[] {
  const count = asked === 'all' ? last : Math.min(last, Number(asked));
  const first = salt * 5 + SEED * 3;
  const apart = (i: number): number => Math.floor((i * last) / count);
  return Array.from({ length: count }, (_, i) => 1 + ((first + apart(i)) % last));
}

describe.each(TEST_FAULTS_SIZES.split(',').map(Number))('%i daemons', (size) => {
  let rig: FaultRig;
  /** How many steps a role takes, by protocol and role. */
  const steps: Record<string, number> = {};
  const all: (Outcome & { readonly fault: Fault })[] = [];
  let cells = 0;

  beforeAll(async () => {
    rig = await FaultRig.start(size);
    const peers = rig.nodes.map(({ peerId }) => peerId);
    await rig.node(0).post('/v1/keys', newKey('main', peers, thresholdOf(size), CALM_TTL_MS));
    await rig.freshMoving();
    for (const protocol of PROTOCOLS) await record(protocol);
  });
  afterAll(async () => {
    const injected = Object.fromEntries(
      FAULTS.map((fault) => [fault, all.filter((each) => each.fault === fault).length]),
    );
    console.log(
      JSON.stringify({
        test: 'faults',
        size,
        seed: SEED,
        injected,
        late: isLate(),
        ...timesOf(all),
        steps,
      }),
    );
    await rig?.stop();
  });

  /** Runs a protocol without a fault, and counts what each role does. */
  async function record(protocol: Protocol): Promise<void> {
    await protocol.prepare(rig);
    const roles = protocol.roles(rig);
    await protocol.request(rig, `recorded-${protocol.name}`, CALM_TTL_MS);
    await rig.ended(`recorded ${protocol.name}`);
    for (const [role, nodes] of Object.entries(roles)) {
      const counts = nodes.map((i) => rig.steps(i, protocol.kind).length);
      steps[`${protocol.name} ${role}`] = Math.max(...counts);
    }
  }

  /**
   * Who signs, and with how many messages, is decided anew each time: where a step does not come
   * about, the one before it is tried.
   */
  async function tried(cell: Cell, from: number): Promise<(Outcome & Case) | Error> {
    const ends: string[] = [];
    for (let step = from; step > 0; step--) {
      try {
        const outcome = await inject(rig, { ...cell, step });
        if (outcome.fired !== undefined) return { ...cell, step, ...outcome };
        ends.push(`${outcome.request} ${outcome.why}`);
      } catch (cause) {
        const what = `${cell.protocol.name}: ${cell.fault} of ${cell.role} at step ${step}`;
        const why = cause instanceof Error ? cause.message : cause;
        const failure = new Error(`${what}: ${why}`, { cause });
        console.error(failure);
        return failure;
      }
    }
    const { protocol, role, fault } = cell;
    return new Error(`${protocol.name}: no ${fault} of ${role}: ${ends.join('; ')}`);
  }

  it.each(PROTOCOLS.map((protocol) => [protocol.name, protocol] as const))(
    'S1, S3, S5, K2, K4: %s: holders sign, all of it ends, nothing is lost, nobody is blamed',
    async (name, protocol) => {
      const thinned = ASKED === undefined ? (THINNED.get(size) ?? 1) : 1;
      const outcomes: (Outcome & Case)[] = [];
      const failures: Error[] = [];
      for (const cell of cellsOf(rig, protocol)) {
        if (++cells % thinned !== SEED % thinned) continue;
        const last = steps[`${name} ${cell.role}`] ?? 0;
        expect(last, `${cell.role} has steps`).toBeGreaterThan(2);
        for (const step of sample(askedFor(cell.fault, size), last, cells)) {
          const outcome = await tried(cell, step);
          if (outcome instanceof Error) failures.push(outcome);
          else outcomes.push(outcome);
        }
      }
      all.push(...outcomes);
      tell(size, name, outcomes);
      expect(failures.map(({ message }) => message)).toEqual([]);
      for (const outcome of outcomes) {
        const { signed, fault, role, step } = outcome;
        const late = signed.filter((ms) => ms > limitOf(outcome));
        expect(late, `S3: ${name}: ${fault} of ${role} at step ${step}`).toEqual([]);
      }
    },
    3 * 3_600_000,
  );
});

/** How long holders took for a signature after a fault, and all for coming to rest. */
function timesOf(outcomes: readonly Outcome[]): object {
  if (outcomes.length === 0) return {};
  const signed = outcomes.flatMap((each) => each.signed);
  const { p50, p95, max } = quantiles(signed);
  const over = signed.filter((ms) => ms > PROMISE_MS).length;
  const rest = quantiles(outcomes.map(({ restMs }) => restMs));
  const pace = quantiles(outcomes.map(({ paceMs }) => paceMs));
  const signedMs = { count: signed.length, p50, p95, max, over1500: over };
  return {
    signed_ms: signedMs,
    rest_ms: { p50: rest.p50, max: rest.max },
    pace_ms: { p50: pace.p50, max: pace.max },
  };
}

function tell(size: number, protocol: string, outcomes: readonly (Outcome & Case)[]): void {
  const ends: Record<string, number> = {};
  for (const { role, fault, request } of outcomes) {
    const key = `${role} ${fault} ${request}`;
    ends[key] = (ends[key] ?? 0) + 1;
  }
  const head = { test: 'faults', size, protocol, faults: outcomes.length };
  console.log(JSON.stringify({ ...head, ...timesOf(outcomes), ends }));
}
