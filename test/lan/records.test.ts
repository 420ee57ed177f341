/** Records at nine hosts in network namespaces; four of them lose their cable at once. */
import { afterAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { haveVoters } from '../support/election.ts';
import { Lan, lanMissing } from '../support/netns.ts';
import { addObservers, loseFour, p95, UNHURRIED } from '../support/records.ts';

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
    const { nodes } = cluster;
    const { after, copies } = await loseFour(cluster, {
      ...{ name: 'records-unplugged', records: RECORDS, library: 'unplug' },
      async lose(away) {
        for (const node of away) net.cut(nodes.indexOf(node));
      },
    });
    expect(after).toHaveLength(5 * RECORDS);
    expect(Math.min(...copies)).toBe(5);
    // Several times what is wanted of a machine of its own.
    expect(p95(after)).toBeLessThan(2_000);
  });
});
