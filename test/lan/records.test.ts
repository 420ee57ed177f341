/** Records at nine hosts in network namespaces; four of them lose their cable at once. */
import { afterAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { haveVoters } from '../support/election.ts';
import { Lan, lanMissing } from '../support/netns.ts';
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

const missing = lanMissing();
if (missing !== undefined) console.warn(`skipped: records on a LAN: ${missing}`);

const RECORDS = Number(process.env.TEST_RECORDS ?? 50);

describe.skipIf(missing !== undefined)('nine hosts on a LAN', () => {
  let lan: Lan | undefined;
  let cluster: Cluster | undefined;
  afterAll(async () => {
    await cluster?.stop();
    lan?.remove();
  });

  it('R: four are unplugged at once: every record reads, and five copies of each come back', async () => {
    const net = new Lan(9);
    lan = net;
    cluster = await Cluster.start(5, UNHURRIED, (i) => net.place(i));
    await haveVoters(cluster.nodes, 5);
    await addObservers(cluster, 4);
    const [n1, n2, n3, n4, n5, n6, n7, n8, n9] = cluster.nodes;
    // A member counts as a holder when it has been there for a while.
    await repaired(cluster.nodes, [n6!, n7!, n8!, n9!]);
    const records = await putMany([n1!, n4!, n7!], RECORDS);
    await replicated([n1!, n4!, n7!]);
    const before = await readAll(n6!, records.slice(0, 200));

    const away = [n2!, n4!, n8!, n9!];
    const here = [n1!, n3!, n5!, n6!, n7!];
    const [cut, from] = [performance.now(), Date.now()];
    for (const node of away) net.cut(cluster.nodes.indexOf(node));
    const after: number[] = [];
    for (const node of here) after.push(...(await readAll(node, records)));

    const results = await repaired(here, away, from);
    const restMs = await atRest(here);
    const repairedMs = Math.round(restMs - cut);
    await Promise.all(cluster.nodes.map((node) => node.kill('SIGKILL')));
    const copies = await copiesOnDisk(here, records);
    const library = await libraryReads(9, [1, 3, 7, 8], 'unplug');
    console.log(
      JSON.stringify({
        ...{ test: 'records-unplugged', records: RECORDS, results, repaired_ms: repairedMs },
        ...{ whole: copies.filter((n) => n === 5).length },
        ...{ read_p95_before: p95(before), read_p95_after: p95(after), library },
      }),
    );
    expect(after).toHaveLength(5 * RECORDS);
    expect(Math.min(...copies)).toBe(5);
    // Several times what is wanted of a machine of its own.
    expect(p95(after)).toBeLessThan(2_000);
  });
});
