/**
 * Records at nine daemons, four of which are killed at once. `TEST_RECORDS=1000` puts as many; fewer
 * by default, because nine daemons share the cores of one machine.
 */
import { afterEach, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { haveVoters } from '../support/election.ts';
import { addObservers, loseFour, p95, UNHURRIED } from '../support/records.ts';

const RECORDS = Number(process.env.TEST_RECORDS ?? 50);

let cluster: Cluster;
afterEach(() => cluster?.stop());

it('R: four of nine are killed at once: every record reads, and five copies of each come back', async () => {
  cluster = await Cluster.start(5, UNHURRIED);
  await haveVoters(cluster.nodes, 5);
  await addObservers(cluster, 4);
  const { after, copies } = await loseFour(cluster, {
    ...{ name: 'records-killed', records: RECORDS, library: 'die' },
    lose: (nodes) => Promise.all(nodes.map((node) => node.kill('SIGKILL'))),
  });
  expect(after).toHaveLength(5 * RECORDS);
  expect(Math.min(...copies)).toBe(5);
  // Several times what is wanted of a machine of its own.
  expect(p95(after)).toBeLessThan(2_000);
});
