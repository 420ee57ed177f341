/**
 * Records at nine daemons, four of which are killed at once. `TEST_RECORDS=1000` puts as many; fewer
 * by default, because nine daemons share the cores of one machine.
 */
import { afterEach, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { haveVoters } from '../support/election.ts';
import {
  addObservers,
  atRest,
  copiesOnDisk,
  libraryReads,
  p95,
  putMany,
  readAll,
  repaired,
  replicated,
  UNHURRIED,
} from '../support/records.ts';

const RECORDS = Number(process.env.TEST_RECORDS ?? 50);

let cluster: Cluster;
afterEach(() => cluster?.stop());

it('R: four of nine are killed at once: every record reads, and five copies of each come back', async () => {
  cluster = await Cluster.start(5, UNHURRIED);
  await haveVoters(cluster.nodes, 5);
  await addObservers(cluster, 4);
  const [n1, n2, n3, n4, n5, n6, n7, n8, n9] = cluster.nodes;
  // A member counts as a holder when it has been there for a while.
  await repaired(cluster.nodes, [n6!, n7!, n8!, n9!]);
  const records = await putMany([n1!, n4!, n7!], RECORDS);
  await replicated([n1!, n4!, n7!]);
  const before = await readAll(n6!, records.slice(0, 200));

  // A majority of the voters lives, and a writer is among the dead.
  const dead = [n2!, n4!, n8!, n9!];
  const alive = [n1!, n3!, n5!, n6!, n7!];
  const [killed, from] = [performance.now(), Date.now()];
  await Promise.all(dead.map((node) => node.kill('SIGKILL')));
  const after: number[] = [];
  for (const node of alive) after.push(...(await readAll(node, records)));

  const results = await repaired(alive, dead, from);
  const restMs = await atRest(alive);
  const repairedMs = Math.round(restMs - killed);
  await Promise.all(alive.map((node) => node.kill('SIGKILL')));
  const copies = await copiesOnDisk(alive, records);
  const whole = copies.filter((n) => n === 5).length;
  const library = await libraryReads(9, [1, 3, 7, 8], 'die');
  console.log(
    JSON.stringify({
      ...{ test: 'records-killed', records: RECORDS, results, repaired_ms: repairedMs, whole },
      ...{ read_p95_before: p95(before), read_p95_after: p95(after), library },
    }),
  );
  expect(after).toHaveLength(5 * RECORDS);
  expect(Math.min(...copies)).toBe(5);
  // Several times what is wanted of a machine of its own.
  expect(p95(after)).toBeLessThan(2_000);
});
