/**
 * What a signature costs: processor time of all daemons together, which other work on the machine
 * does not touch as it does wall time; beside it the rate, the latency and noble in one process of
 * the same run. `--suite`, `--shape t/n`, `--in-flight a,b`, `--total N`, `--warm N`;
 * what the daemons spend with nothing to do is taken off, as `--idle S` seconds show it;
 * `--profile DIR` writes a CPU profile of each daemon there.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Cluster, type TestNode } from '../test/support/cluster.ts';
import { nobleSign } from './noble.ts';
import { createKey, signMany } from './signing.ts';
import { quantiles, report, round } from './stats.ts';

const { values } = parseArgs({
  options: {
    suite: { type: 'string', default: 'ed25519' },
    shape: { type: 'string', default: '2/3' },
    'in-flight': { type: 'string', default: '1,8' },
    total: { type: 'string', default: '300' },
    warm: { type: 'string', default: '100' },
    idle: { type: 'string', default: '10' },
    profile: { type: 'string' },
  },
});
const [t = 2, n = 3] = values.shape.split('/').map(Number);
const tickMs = 1_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0);

/** User and system time of a process so far, in ms. */
function cpuMs({ pid }: TestNode): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The command's name stands in parentheses and may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

const { profile } = values;
const cluster = await Cluster.start(
  n,
  profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${resolve(profile)}` },
);
try {
  // Before the first key: behind signatures the daemons still publish them.
  const idleFrom = sum(cluster.nodes.map(cpuMs));
  const idleStarted = performance.now();
  await sleep(Number(values.idle) * 1_000);
  const idlePerMs = (sum(cluster.nodes.map(cpuMs)) - idleFrom) / (performance.now() - idleStarted);
  const asked = cluster.node(1);
  const key = await createKey(asked, values.suite, t, n);
  await signMany(asked, key, Number(values.warm), 8);
  const noble = await nobleSign(values.suite, t, n);
  for (const inFlight of values['in-flight'].split(',').map(Number)) {
    const before = cluster.nodes.map(cpuMs);
    const own = process.cpuUsage();
    const { signed, errors, latencies, attempts, ms } = await signMany(
      asked,
      key,
      Number(values.total),
      inFlight,
    );
    const { user, system } = process.cpuUsage(own);
    const spent = cluster.nodes.map((node, i) => cpuMs(node) - (before[i] ?? 0));
    const cpu = (sum(spent) - idlePerMs * ms) / signed;
    const latency = quantiles(latencies);
    report('sign-cost', {
      suite: values.suite,
      shape: `${t}-of-${n}`,
      in_flight: inFlight,
      signed,
      errors,
      attempts: round(attempts / signed),
      cpu_ms: round(cpu),
      idle_cpu_ms_per_second: round(idlePerMs * 1_000),
      noble_cpu_ms: noble.cpuMs,
      cpu_ratio: round(cpu / noble.cpuMs),
      cpu_ms_by_node: spent.map((one) => round(one / signed)),
      cpu_ms_client: round((user + system) / 1_000 / signed),
      per_second: round((signed * 1_000) / ms, 1),
      ms: latency,
      noble_ms: noble.ms,
      latency_ratio: round(latency.p50 / noble.ms),
      rate_ratio: round((signed * noble.ms) / ms),
      load: round(loadavg()[0] ?? 0, 1),
    });
  }
  // A profile is written when its process ends in good order.
  if (profile !== undefined) await Promise.all(cluster.nodes.map((node) => node.kill('SIGTERM')));
} finally {
  await cluster.stop();
}
process.exit(0);
