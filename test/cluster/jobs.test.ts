/** Fifty jobs are under way when the leader is killed: each of them is done, and done once. */
import { afterEach, expect, it } from 'vitest';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import { agreedLeader, haveVoters } from '../support/election.ts';

interface Job {
  readonly id: string;
  readonly state: string;
  readonly owner: string | null;
  readonly term: number;
}

const JOBS = 50;

let cluster: Cluster;
const following = new AbortController();
afterEach(async () => {
  following.abort();
  await cluster?.stop();
});

/** Keeps every event of jobs from here on, also of a node that is killed later. */
async function follow(node: TestNode, seen: [kind: string, id: string, where: string][]) {
  const control = node.control(10_000, following.signal);
  try {
    for await (const { event, data } of control.events({ after: '0.0', follow: true })) {
      if (!event.startsWith('job.')) continue;
      const { data: job } = data as { data: Record<string, unknown> };
      seen.push([event, String(job.id), node.name]);
    }
  } catch (thrown) {
    if (!following.signal.aborted && node.running) throw thrown;
  }
}

it('R104: fifty jobs open when the leader dies: each is done exactly once', async () => {
  cluster = await Cluster.start(3);
  await haveVoters(cluster.nodes, 3);
  const { address } = await cluster.founder.json<{ address: string }>([
    ...['key', 'create', 'kept', '--suite', 'ed25519', '--threshold', '2', '--parties', '3'],
  ]);
  for (const node of cluster.nodes) {
    await until('the key is there', () => node.json(['key', 'show', 'kept']));
  }
  const { node: leader, term: oldTerm } = await agreedLeader(cluster.nodes);
  const rest = cluster.nodes.filter((node) => node !== leader);
  const seen: [kind: string, id: string, where: string][] = [];
  const followers = cluster.nodes.map((node) => follow(node, seen));

  const count = (kind: string, id: string): number =>
    seen.filter(([k, i]) => k === kind && i === id).length;
  let acknowledged = 0;
  let killed: Promise<unknown> | undefined;
  let openAtKill = 0;
  const ids = Array.from({ length: JOBS }, (_, i) => `job-${i}`);
  await Promise.all(
    ids.map(async (id, i) => {
      const by = rest[i % rest.length];
      await by?.post('/v1/jobs', { id, kind: 'repair', subject: address }, 40_000);
      // Some are given out, some wait, some are still on their way to the leader.
      if (++acknowledged < JOBS / 2 || killed !== undefined) return;
      openAtKill = ids.filter((one) => count('job.done', one) === 0).length;
      killed = leader.kill();
    }),
  );
  await killed;
  await agreedLeader(rest);
  const table = await until(
    'all jobs have ended',
    async () => {
      const jobs = await Promise.all(rest.map((node) => node.get<Job[]>('/v1/jobs')));
      const newest = jobs.map((all) => all.filter((job) => ids.includes(job.id)));
      return newest.find(
        (all) =>
          all.length === JOBS && all.every(({ state }) => state === 'done' || state === 'failed'),
      );
    },
    240_000,
  );
  expect(table.map((job) => job.state)).toEqual(ids.map(() => 'done'));
  expect(new Set(table.map((job) => job.id)).size).toBe(JOBS);
  // The same again is the same job.
  const seventh = { id: 'job-7', kind: 'repair', subject: address };
  const again = await rest[0]?.post<Job>('/v1/jobs', seventh);
  expect(again).toMatchObject({ id: 'job-7', state: 'done' });

  await leader.start();
  await cluster.meshed();
  await until('the table is everywhere', async () => {
    const jobs = await leader.get<Job[]>('/v1/jobs');
    return ids.every((id) => jobs.some((job) => job.id === id && job.state === 'done'));
  });
  console.log(
    JSON.stringify({
      test: 'jobs-when-the-leader-dies',
      open_at_kill: openAtKill,
      adopted: seen.filter(([kind]) => kind === 'job.adopted').length,
      assigned: seen.filter(([kind]) => kind === 'job.assigned').length,
    }),
  );
  for (const { id, term } of table) {
    // What the killed leader told last may have been lost with it, but never told twice.
    const told = count('job.done', id);
    expect(told === 1 || (told === 0 && term === oldTerm), `${id} was done ${told} times`).toBe(
      true,
    );
  }
  expect(openAtKill).toBeGreaterThan(0);
  following.abort();
  await Promise.all(followers);
});
