/** A cluster left alone, or alone on a busy machine: E7 says that nobody is elected meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster, TestNode } from './cluster.ts';
import { agreedLeader, leaderOf, steadyLeader } from './election.ts';

export interface Idle {
  readonly ms: number;
  readonly busy: boolean;
  readonly termBefore: number;
  readonly termAfter: number;
  readonly sameLeader: boolean;
  /** Looks at which some node knew no leader, another one or another term. */
  readonly unled: number;
  readonly looks: number;
  /** Of one core, for each daemon. */
  readonly cpuPercent: readonly number[];
}

/** CPU time of a process in s, its children not counted; proc(5), `/proc/PID/stat`. */
function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // utime and stime are fields 14 and 15, in ticks of 10 ms; the first one here is field 3.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Keeps every core busy until `end`. */
function burn(): { end(): void } {
  const burners: ChildProcess[] = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
  );
  const end = (): void => {
    for (const burner of burners) burner.kill('SIGKILL');
    process.off('exit', end);
  };
  process.once('exit', end);
  return { end };
}

const LOOK_EVERY_MS = 500;

/** Watches a settled cluster for `ms`. */
export async function leaveAlone(cluster: Cluster, ms: number, busy: boolean): Promise<Idle> {
  const { nodes } = cluster;
  const before = await steadyLeader(nodes);
  const spent = nodes.map((node) => cpuSeconds(node.pid));
  const load = busy ? burn() : undefined;
  const began = performance.now();
  let unled = 0;
  let looks = 0;
  try {
    while (performance.now() - began < ms) {
      await sleep(Math.min(LOOK_EVERY_MS, Math.max(0, ms - (performance.now() - began))));
      looks++;
      if (!(await allFollow(nodes, before))) unled++;
    }
  } finally {
    load?.end();
  }
  const seconds = (performance.now() - began) / 1_000;
  const after = await agreedLeader(nodes);
  return {
    ms: Math.round(seconds * 1_000),
    busy,
    termBefore: before.term,
    termAfter: after.term,
    sameLeader: after.node === before.node,
    unled,
    looks,
    cpuPercent: nodes.map((node, i) =>
      Number((((cpuSeconds(node.pid) - (spent[i] ?? 0)) / seconds) * 100).toFixed(2)),
    ),
  };
}

async function allFollow(
  nodes: readonly TestNode[],
  led: { readonly node: TestNode; readonly term: number },
): Promise<boolean> {
  const views = await Promise.allSettled(nodes.map(leaderOf));
  return views.every(
    (view) =>
      view.status === 'fulfilled' &&
      view.value.peerId === led.node.peerId &&
      view.value.term === led.term,
  );
}
