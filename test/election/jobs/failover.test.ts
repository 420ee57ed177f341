/** Jobs while leaders die: each is completed exactly once (R104). */
import { describe, expect, it } from 'vitest';
import type { PeerId, Term } from '../../../src/base/brands.ts';
import { type ClusterOptions, JobCluster, sleep, until } from './cluster.ts';

const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `job-${i}`);

/** A reproducible choice in [0, 1). */
function chances(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state >>> 8) & 0xffff) / 0x10000;
  };
}

async function withCluster(
  count: number,
  setup: ClusterOptions,
  test: (cluster: JobCluster) => Promise<void>,
): Promise<void> {
  const cluster = await JobCluster.start(count, setup);
  try {
    await test(cluster);
  } finally {
    await cluster.stop();
  }
}

const allDone = (cluster: JobCluster, leader: number, jobs: readonly string[]) => (): boolean => {
  const known = cluster.jobsAt(cluster.node(leader));
  return jobs.every((id) => known.get(id)?.state === 'done');
};

/**
 * Every job ended once, and ran once on nodes that live. What a dead node executed without telling
 * is the one execution more that nobody can know of.
 */
function expectExactlyOnce(cluster: JobCluster, jobs: readonly string[], dead: readonly PeerId[]) {
  expect(cluster.doubleAttempts()).toEqual([]);
  for (const id of jobs) {
    const done = cluster.eventsOf('job.done').filter(({ data }) => data.id === id);
    expect(done.length, `job.done of ${id}`).toBeLessThanOrEqual(1);
    const ran = cluster.executions.filter((execution) => execution.id === id);
    const living = ran.filter(({ by }) => !dead.includes(by));
    expect(living.length, `${id} on living nodes`).toBeLessThanOrEqual(1);
    expect(ran.length, `${id} anywhere`).toBeGreaterThanOrEqual(1);
    expect(ran.length, `${id} anywhere`).toBeLessThanOrEqual(1 + dead.length);
  }
}

describe('jobs without faults', () => {
  it('are done once each, by all members, whoever submitted them', async () => {
    await withCluster(4, { voters: 3 }, async (cluster) => {
      cluster.promote(cluster.node(0), 1);
      const jobs = ids(40);
      const documents = await Promise.all(
        jobs.map((id, i) => cluster.node(i % 4).service.submit('repair', `s ${id}`, id)),
      );
      expect(documents.map(({ id }) => id)).toEqual(jobs);
      await until('all done', allDone(cluster, 0, jobs));
      expectExactlyOnce(cluster, jobs, []);
      expect(cluster.executions).toHaveLength(40);
      expect(new Set(cluster.executions.map(({ by }) => by)).size).toBe(4);
      const job = cluster.jobsAt(cluster.node(0)).get('job-3');
      expect(job).toMatchObject({ state: 'done', result: 'did s job-3', attempt: 1, term: 1 });
      expect(job?.owner).toBe(cluster.executions.find(({ id }) => id === 'job-3')?.by);
      await until('every voter has it', () => [1, 2].every((n) => allDone(cluster, n, jobs)()));
      expect(cluster.node(3).service.list()).toEqual([]);
    });
  });

  it('that are submitted twice are one job; another content is a conflict', async () => {
    await withCluster(3, {}, async (cluster) => {
      cluster.promote(cluster.node(0), 1);
      const twice = [1, 2].map((n) => cluster.node(n).service.submit('index', 'a', 'same'));
      await Promise.all(twice);
      await until('done', allDone(cluster, 0, ['same']));
      expect(await cluster.node(1).service.submit('index', 'a', 'same')).toMatchObject({
        state: 'done',
      });
      await expect(cluster.node(2).service.submit('index', 'b', 'same')).rejects.toMatchObject({
        code: 'CONFLICT',
      });
      expect(cluster.executions).toHaveLength(1);
      const { id } = await cluster.node(2).service.submit('refresh', 'b');
      expect(id).toMatch(/^[0-9a-f]{32}$/);
      for (const bad of ['', 'a b', 'x'.repeat(129), 'a!b']) {
        await expect(cluster.node(0).service.submit('index', '', bad)).rejects.toMatchObject({
          code: 'BAD_REQUEST',
        });
      }
      await expect(
        cluster.node(0).service.submit('index', '\u00e9'.repeat(513)),
      ).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    });
  });

  it('go to members that have an executor for them', async () => {
    const kinds = (n: number) => (n === 2 ? (['index'] as const) : (['repair'] as const));
    await withCluster(3, { kinds }, async (cluster) => {
      cluster.promote(cluster.node(0), 1);
      const jobs = ids(12);
      for (const id of jobs) await cluster.node(0).service.submit('index', '', id);
      await until('all done', allDone(cluster, 0, jobs));
      expect(new Set(cluster.executions.map(({ by }) => by))).toEqual(
        new Set([cluster.node(2).peerId]),
      );
      expectExactlyOnce(cluster, jobs, []);
    });
  });

  it('that fail are tried on the next member, and given up at last', async () => {
    const work: ClusterOptions['work'] = async (_, id) => {
      if (id === 'bad') throw new Error('no luck');
    };
    await withCluster(3, { work }, async (cluster) => {
      cluster.promote(cluster.node(0), 1);
      await cluster.node(1).service.submit('repair', '', 'bad');
      await until('given up', () => cluster.jobsAt(cluster.node(0)).get('bad')?.state === 'failed');
      const owners = cluster.begun.map(({ by }) => by);
      expect(owners).toHaveLength(5);
      expect(new Set(owners.slice(0, 3)).size).toBe(3);
      expect(cluster.jobsAt(cluster.node(0)).get('bad')?.result).toBe('INTERNAL: no luck');
      expect(cluster.eventsOf('job.failed')).toHaveLength(1);
    });
  });

  it('are not taken without a leader, nor by a leader without a majority', async () => {
    const options = { submitMs: 80 };
    await withCluster(3, { options }, async (cluster) => {
      await expect(cluster.node(0).service.submit('repair', '', 'a')).rejects.toMatchObject({
        code: 'NO_LEADER',
      });
      cluster.promote(cluster.node(0), 1);
      await cluster.node(0).service.submit('repair', '', 'first');
      cluster.kill(cluster.node(1));
      cluster.kill(cluster.node(2));
      const late = cluster.node(0).service.submit('repair', '', 'late');
      const outcome = await Promise.race([late.catch(() => 'refused'), sleep(200)]);
      expect(outcome).not.toMatchObject({ id: 'late' });
      expect(cluster.jobsAt(cluster.node(0)).has('late')).toBe(false);
      await cluster.node(0).service.onDuty.stop(1 as Term);
      await expect(late).rejects.toMatchObject({ code: expect.stringMatching(/LEADER/) });
    });
  });
});

describe('50 open jobs when the leader dies are each done exactly once', () => {
  const seeds = Array.from({ length: 6 }, (_, i) => i + 1);
  it.each(seeds)('killed at a random moment, seed %i', async (seed) => {
    const chance = chances(seed);
    const work = async () => sleep(chance() * 25);
    await withCluster(5, { work, voters: seed % 2 === 0 ? 3 : 5 }, async (cluster) => {
      const [old, next] = [cluster.node(0), cluster.node(1)];
      cluster.promote(old, 1);
      const jobs = ids(50);
      const submitted = jobs.map((id, i) =>
        cluster.node(1 + (i % 4)).service.submit('repair', id, id),
      );
      await sleep(chance() * 120);
      cluster.kill(old);
      cluster.promote(next, 2, cluster.nodes.slice(1));
      await Promise.all(submitted);
      await until('all done', allDone(cluster, 1, jobs));
      expectExactlyOnce(cluster, jobs, [old.peerId]);
      expect(cluster.jobsAt(next).size).toBe(50);

      // Back from the dead, it learns the same and does nothing again.
      const before = cluster.executions.length;
      old.leader = { peerId: next.peerId, term: 2 as Term };
      await cluster.boot(old);
      await until('the old leader knows', allDone(cluster, 0, jobs));
      await sleep(30);
      expect(cluster.executions).toHaveLength(before);
      expectExactlyOnce(cluster, jobs, [old.peerId]);
    });
  });

  it.each([1, 2, 3])('killed between an execution and its report, seed %i', async (seed) => {
    const chance = chances(seed);
    let left = 1 + Math.floor(chance() * 8);
    let old: PeerId | undefined;
    const setup: ClusterOptions = {
      work: async () => sleep(chance() * 10),
      executed: (node) => {
        if (node.peerId === old && --left === 0) cluster.kill(node);
      },
    };
    const cluster = await JobCluster.start(3, setup);
    try {
      const [first, second] = [cluster.node(0), cluster.node(1)];
      old = first.peerId;
      cluster.promote(first, 1);
      const jobs = ids(50);
      const submitted = jobs.map((id, i) =>
        cluster.node(1 + (i % 2)).service.submit('refresh', id, id),
      );
      await until('the leader died', () => !first.alive.value);
      cluster.promote(second, 2, cluster.nodes.slice(1));
      await Promise.all(submitted);
      await until('all done', allDone(cluster, 1, jobs));
      expectExactlyOnce(cluster, jobs, [old]);
      const silent = cluster.executions.filter(({ by }) => by === old).at(-1);
      const again = cluster.executions.filter(({ id }) => id === silent?.id);
      expect(again, 'nobody could know of it').toHaveLength(2);
      expect(cluster.eventsOf('job.adopted').some(({ data }) => data.id === silent?.id)).toBe(true);
    } finally {
      await cluster.stop();
    }
  });

  it.each([1, 2])('three leaders one after the other, seed %i', async (seed) => {
    const chance = chances(seed + 100);
    const work = async () => sleep(chance() * 20);
    await withCluster(5, { work }, async (cluster) => {
      const jobs = ids(50);
      cluster.promote(cluster.node(0), 1);
      const submitted = jobs.map((id) => cluster.node(4).service.submit('repair', id, id));
      const dead: PeerId[] = [];
      for (const n of [0, 1]) {
        await sleep(chance() * 60);
        cluster.kill(cluster.node(n));
        dead.push(cluster.node(n).peerId);
        cluster.promote(cluster.node(n + 1), n + 2, cluster.nodes.slice(n + 1));
      }
      await Promise.all(submitted);
      await until('all done', allDone(cluster, 2, jobs));
      expectExactlyOnce(cluster, jobs, dead);
    });
  });
});

describe('a leader that is cut off', () => {
  it('gives out nothing more, and after healing nothing of it is accepted', async () => {
    const work = async () => sleep(15);
    await withCluster(5, { work }, async (cluster) => {
      const [old, next] = [cluster.node(0), cluster.node(1)];
      cluster.promote(old, 1);
      const jobs = ids(30);
      await Promise.all(jobs.map((id) => cluster.node(2).service.submit('repair', id, id)));
      for (const node of cluster.nodes.slice(1)) cluster.net.cut(old.peerId, node.peerId);
      const atCut = cluster.begun.filter(({ by }) => by === old.peerId).length;
      const lost = old.service.submit('repair', 'alone', 'alone').catch((e: unknown) => e);
      cluster.promote(next, 2, cluster.nodes.slice(1));
      await until('all done', allDone(cluster, 1, jobs));
      const later = cluster.begun.filter(({ by }) => by === old.peerId).length;
      expect(later - atCut, 'grants that were on their way').toBeLessThanOrEqual(4);
      expect(cluster.doubleAttempts()).toEqual([]);
      for (const node of cluster.nodes.slice(1)) cluster.net.cut(old.peerId, node.peerId, false);
      await until('it sees that it is over', () => old.service.health().status === 'degraded');
      old.leader = { peerId: next.peerId, term: 2 as Term };
      await old.service.onDuty.stop(1 as Term);
      expect(await lost).toMatchObject({ id: 'alone' });
      await until('the submission arrived', allDone(cluster, 1, [...jobs, 'alone']));
      await until('everybody agrees', allDone(cluster, 0, [...jobs, 'alone']));
      for (const id of jobs) {
        const done = cluster.eventsOf('job.done').filter(({ data }) => data.id === id);
        expect(done, id).toHaveLength(1);
      }
    });
  });
});

describe('owners', () => {
  it('that die are replaced once each; those that are connected keep what they run', async () => {
    let slow = true;
    const work: ClusterOptions['work'] = async () => {
      while (slow) await sleep(5);
    };
    await withCluster(4, { work, voters: 3, options: { concurrency: 50 } }, async (cluster) => {
      cluster.promote(cluster.node(0), 1);
      const jobs = ids(40);
      await Promise.all(jobs.map((id) => cluster.node(0).service.submit('repair', id, id)));
      await until('all run', () => cluster.begun.length === 40);
      const dead = cluster.node(3).peerId;
      const orphans = cluster.begun.filter(({ by }) => by === dead).map(({ id }) => id);
      expect(orphans.length).toBeGreaterThan(2);
      cluster.kill(cluster.node(3));
      await until('adopted', () => cluster.begun.length === 40 + orphans.length);
      cluster.promote(cluster.node(1), 2);
      await cluster.node(0).service.onDuty.stop(1 as Term);
      await until('taken over', () => cluster.eventsOf('state.transferred').length === 2);
      await sleep(150);
      expect(cluster.begun).toHaveLength(40 + orphans.length);
      slow = false;
      await until('all done', allDone(cluster, 1, jobs));
      expect(cluster.executions).toHaveLength(40);
      expectExactlyOnce(cluster, jobs, [dead]);
      const adopted = cluster.eventsOf('job.adopted').map(({ data }) => data.id);
      expect([...adopted].sort()).toEqual([...orphans].sort());
    });
  });

  it('that come back with a result on their disk are not run again', async () => {
    const back: ClusterOptions = {
      options: { orphanMs: 5_000 },
      executed: (node) => {
        if (node.peerId === cluster.node(2).peerId) cutOff(node.peerId);
      },
    };
    const cutOff = (peer: PeerId) => {
      for (const other of cluster.nodes)
        if (other.peerId !== peer) cluster.net.cut(peer, other.peerId);
    };
    const cluster = await JobCluster.start(3, back);
    try {
      cluster.promote(cluster.node(0), 1);
      const jobs = ids(20);
      await Promise.all(jobs.map((id) => cluster.node(0).service.submit('repair', id, id)));
      const far = cluster.node(2);
      await until('it did something', () => cluster.executions.some((e) => e.by === far.peerId));
      await sleep(30);
      cluster.kill(far);
      await cluster.boot(far);
      for (const other of cluster.nodes.slice(0, 2)) {
        cluster.net.cut(far.peerId, other.peerId, false);
      }
      await until('all done', allDone(cluster, 0, jobs));
      const twice = jobs.filter((id) => cluster.executions.filter((e) => e.id === id).length > 1);
      expect(twice).toEqual([]);
      expect(cluster.jobsAt(cluster.node(0)).size).toBe(20);
    } finally {
      await cluster.stop();
    }
  });

  it('that hang lose the job after the time for one run', async () => {
    const work: ClusterOptions['work'] = async (_, id, signal) => {
      if (id !== 'stuck' || cluster.begun.length > 1) return;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      throw new Error('stopped');
    };
    const cluster = await JobCluster.start(3, { work, options: { runMs: 60 } });
    try {
      cluster.promote(cluster.node(0), 1);
      await cluster.node(0).service.submit('repair', '', 'stuck');
      await until('done', allDone(cluster, 0, ['stuck']));
      expect(cluster.begun).toHaveLength(2);
      expect(cluster.executions).toHaveLength(1);
    } finally {
      await cluster.stop();
    }
  });

  it('that are deaf to their signal are asked in vain, and the job goes on elsewhere', async () => {
    const work: ClusterOptions['work'] = async () => {
      if (cluster.begun.length === 1) await sleep(1_000);
    };
    const cluster = await JobCluster.start(3, { work, options: { runMs: 40 } });
    try {
      cluster.promote(cluster.node(0), 1);
      await cluster.node(0).service.submit('repair', '', 'deaf');
      await until('done', allDone(cluster, 0, ['deaf']));
      expect(cluster.begun.map(({ attempt }) => attempt)).toEqual([1, 2]);
      expect(cluster.begun[0]?.by).not.toBe(cluster.begun[1]?.by);
    } finally {
      await cluster.stop();
    }
  });
});

describe('voters that change', () => {
  it('get the jobs, and the leader says until when it is not so', async () => {
    await withCluster(5, { voters: 1 }, async (cluster) => {
      cluster.promote(cluster.node(0), 1);
      await cluster.node(4).service.submit('repair', '', 'a');
      expect(cluster.node(0).service.settled).toBe(true);
      cluster.voters = cluster.nodes.slice(0, 3).map(({ peerId }) => peerId);
      expect(cluster.node(0).service.settled).toBe(false);
      await until('spread', () => cluster.node(0).service.settled);
      await until('done', () => allDone(cluster, 1, ['a'])() && allDone(cluster, 2, ['a'])());
      cluster.kill(cluster.node(0));
      cluster.promote(cluster.node(2), 2, cluster.nodes.slice(1));
      await until('known', allDone(cluster, 2, ['a']));
      expect(cluster.executions).toHaveLength(1);
    });
  });
});
