/**
 * Signatures by the thousand while daemons are killed and started again. `TEST_SIGNATURES=10000`
 * asks for so many of each key, and without it nothing runs. `TEST_SEED` repeats the moments of a
 * run as far as a real machine can.
 */
import { afterEach, expect, it } from 'vitest';
import { quantiles, round } from '../../bench/stats.ts';
import { createRng } from '../sim/random.ts';
import { Cluster, type TestNode } from '../support/cluster.ts';
import { aftermathOf, changedOf } from '../support/load/aftermath.ts';
import { askAll } from '../support/load/clients.ts';
import { diskOf, GAUGED, type Memory, memoryOf, rowsOf } from '../support/load/gauge.ts';
import { Killer } from '../support/load/killer.ts';

const SIGNATURES = Number(process.env.TEST_SIGNATURES ?? 0);
if (SIGNATURES === 0) console.warn('skipped: signatures under fire, set TEST_SIGNATURES=10000');
const SEED = Number(process.env.TEST_SEED ?? Date.now() % 1_000_000);
const IN_FLIGHT = 8;
const RUN_MS = Math.max(25_000, SIGNATURES * 30);
const DEADLINE_MS = 30_000;
/** Mean time to the next death, ms: a start costs a machine of two cores many signatures. */
const KILL_EVERY_MS = SIGNATURES > 1_000 ? 8_000 : 3_000;
/** Half a second each, on a machine that does other things too. */
const LONG = { timeout: 600_000 + SIGNATURES * 500 };

let cluster: Cluster;
afterEach(() => cluster?.stop());

interface Key {
  readonly publicKey: string;
}

const askFrom = (nodes: readonly TestNode[], publicKey: string, signatures: number, seed: number) =>
  askAll({
    ...{ nodes, publicKey, signatures, key: 'main', inFlight: IN_FLIGHT },
    ...{ pauseMs: (RUN_MS * IN_FLIGHT) / SIGNATURES, deadlineMs: DEADLINE_MS },
    rng: createRng(seed),
  });

/** Half of the signatures before: caches that are bounded are as full then as they will get. */
async function underFire(shape: readonly [number, number], spared: TestNode | undefined) {
  const { nodes } = cluster;
  const [threshold, parties] = shape;
  const made = ['--suite', 'ed25519', '--threshold', `${threshold}`, '--parties', `${parties}`];
  const { publicKey } = await cluster.founder.json<Key>(['key', 'create', 'main', ...made]);
  const gauges: Memory[] = [];
  const disks: number[] = [];
  const look = async (): Promise<void> => {
    if (spared === undefined) return;
    gauges.push(await memoryOf(spared));
    disks.push(diskOf(spared));
  };
  const killer = new Killer({
    nodes,
    victims: nodes.filter((node) => node !== spared),
    ...{ atOnce: parties - threshold, rng: createRng(SEED), everyMs: KILL_EVERY_MS, awayMs: 500 },
  });
  await look();
  const first = await askFrom(nodes, publicKey, SIGNATURES >> 1, SEED + 1);
  await look();
  const second = await askFrom(nodes, publicKey, SIGNATURES - (SIGNATURES >> 1), SEED + 2);
  await killer.stop();
  await cluster.meshed();
  await look();
  const answered = [...first.answered, ...second.answered];
  const rng = createRng(SEED + 3);
  const after = await aftermathOf(answered, nodes, publicKey, SEED);
  const sample = rng.shuffled(answered).slice(0, 200);
  const changed = await changedOf(sample, nodes, 'main', rng);
  const last = await Promise.all(nodes.map(memoryOf));
  await Promise.all(nodes.map((node) => node.kill('SIGKILL')));
  return {
    ...after,
    ...{ answered, changed, gauges, disks, kills: killer.kills },
    wrong: [...first.wrong, ...second.wrong],
    failed: [...first.failed, ...second.failed],
    ms: first.ms + second.ms,
    memory_last: last,
    rows: await rowsOf(spared ?? cluster.founder),
  };
}

type Fire = Awaited<ReturnType<typeof underFire>>;

function report(shape: readonly number[], fire: Fire): void {
  const { answered, failed, wrong, lost, replaced, split, changed, kills, ms } = fire;
  const { readMs, agreedMs } = fire;
  const again = answered.filter(({ askedAgain }) => askedAgain).length;
  console.log(
    JSON.stringify({
      ...{ test: 'load', shape: shape.join('-of-'), seed: SEED, asked: SIGNATURES },
      ...{ signed: answered.length, asked_again: again, failed: failed.length },
      ...{ wrong: wrong.length, lost: lost.length, replaced, split: split.length },
      ...{ changed: changed.length, kills, read_ms: round(readMs), agreed_ms: round(agreedMs) },
      latency_ms: quantiles(answered.map(({ ms: one }) => one)),
      per_second: round((answered.length * 1_000) / ms, 1),
      ...{ memory_mib: fire.gauges, memory_last_mib: fire.memory_last },
      ...{ disk_mib: fire.disks, rows: fire.rows },
    }),
  );
  const bad = [...failed, ...lost, ...split, ...changed];
  if (bad.length > 0) console.log(bad.slice(0, 30).join('\n'));
}

function check(shape: readonly number[], fire: Fire): void {
  report(shape, fire);
  const { answered, failed, wrong, lost, split, changed, kills } = fire;
  expect(kills).toBeGreaterThan(0);
  expect(wrong).toEqual([]);
  expect(lost).toEqual([]);
  expect(split).toEqual([]);
  expect(changed).toEqual([]);
  expect(answered.length + failed.length).toBe(SIGNATURES);
  expect(failed.length, failed.join('\n')).toBeLessThanOrEqual(SIGNATURES / 1_000);
}

it.skipIf(SIGNATURES === 0)(
  'S3, S6, P2: 3-of-5, four of five daemons are killed at random: no signature wrong or lost',
  LONG,
  async () => {
    cluster = await Cluster.start(5, GAUGED);
    const spared = cluster.node(4);
    const fire = await underFire([3, 5], spared);
    check([3, 5], fire);
  },
);

it.skipIf(SIGNATURES === 0)(
  'S3, S6, P2: 2-of-3, every daemon is killed at random: no signature wrong or lost',
  LONG,
  async () => {
    cluster = await Cluster.start(3, GAUGED);
    const fire = await underFire([2, 3], undefined);
    check([2, 3], fire);
  },
);
