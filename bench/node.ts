/** Join time, `bzzz status`, restart and memory of a node, with a bare runtime as the reference. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, run, until } from '../test/support/cluster.ts';
import { quantiles, report, round, timed } from './stats.ts';

const RUNS = 7;

/** Resident memory of a process in MB, from the kernel. */
const residentMb = (pid: number): number =>
  round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024, 1);

const many = async (work: () => Promise<void>, runs = RUNS): Promise<number[]> => {
  const times: number[] = [];
  for (let i = 0; i < runs; i++) times.push(await timed(work));
  return times;
};

const cluster = await Cluster.start(3);
try {
  const bare = quantiles(await many(async () => void (await run(process.execPath, ['-e', '0']))));
  await cluster.founder.json(['status']);
  const status = quantiles(await many(async () => void (await cluster.founder.json(['status']))));
  report('status', { ms: status, bare_node_ms: bare.p50, ratio: round(status.p50 / bare.p50) });

  const joins: number[] = [];
  for (let i = 0; i < 4; i++) {
    const node = await cluster.prepare();
    joins.push(await timed(() => node.start()));
  }
  await cluster.meshed();
  report('join', {
    from: 'start of the daemon to ready, admission included',
    ms: quantiles(joins),
  });

  const restarts: number[] = [];
  for (let i = 0; i < 4; i++) {
    const node = cluster.node(1);
    await node.kill();
    restarts.push(await timed(() => node.start()));
  }
  report('restart', { from: 'start of the daemon to ready', ms: quantiles(restarts) });

  await sleep(10_000);
  const idle = cluster.nodes.map((node) => residentMb(node.pid));
  report('memory', { nodes: idle.length, resident_mb: quantiles(idle) });

  await cluster.meshed();
  const seen: number[] = [];
  for (let i = 0; i < 3; i++) {
    const victim = cluster.node(2);
    await victim.kill();
    seen.push(
      await timed(async () => {
        await until('seen by all', async () => {
          const lists = await Promise.all(
            cluster.nodes
              .filter((node) => node.running)
              .map((node) => node.json<{ peerId: string; connected: boolean }[]>(['peers'])),
          );
          return lists.every((list) =>
            list.every((peer) => peer.peerId !== victim.peerId || !peer.connected),
          );
        });
      }),
    );
    await victim.start();
    await cluster.meshed();
  }
  report('death-seen-by-all', { ms: quantiles(seen) });
} finally {
  await cluster.stop();
}
process.exit(0);
