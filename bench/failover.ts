/**
 * Time from a fault of the leader until another node leads and accepts a roster change, beside
 * the same in a three-node etcd of the same run: `npm run bench:failover`.
 *
 * `--kills N` rounds for each fault (30), `--only kill,stop,term,cut,etcd` some of them.
 */
import { parseArgs } from 'node:util';
import { Lan, lanMissing } from '../test/support/netns.ts';
import { EtcdCluster, etcdVersion } from './etcd.ts';
import { FAULTS, type Failover, type Fault, failover, threeVoters } from './failover-rounds.ts';
import { type Quantiles, quantiles, report, round } from './stats.ts';

const ETCD_SIGNALS = { kill: 'SIGKILL', stop: 'SIGSTOP', term: 'SIGTERM' } as const;
const HEARTBEAT_MS = 50;
const ELECTION_MS = 500;

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '30' }, only: { type: 'string' } },
});
const rounds = Number(values.kills);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--kills takes a positive number');
const only = values.only?.split(',') ?? [...FAULTS, 'etcd'];
const unknown = only.filter((name) => name !== 'etcd' && !FAULTS.includes(name as Fault));
if (unknown.length > 0) throw new Error(`--only knows ${FAULTS.join(', ')}, etcd: not ${unknown}`);
const faults = FAULTS.filter((fault) => only.includes(fault));

const ours = new Map<Fault, Quantiles>();

async function measure(fault: Fault, lan?: Lan): Promise<void> {
  const cluster = await threeVoters(lan);
  try {
    const all: Failover[] = [];
    for (let i = 0; i < rounds; i++) all.push(await failover(cluster, fault, lan));
    const accepted = quantiles(all.map((one) => one.acceptedMs));
    ours.set(fault, accepted);
    report('failover', {
      fault,
      from: 'fault to a roster change accepted by the next leader',
      ms: accepted,
      elected_ms: quantiles(all.map((one) => one.electedMs)),
    });
  } catch (thrown) {
    for (const node of cluster.nodes) {
      const state = node.running ? 'runs' : 'ended';
      process.stderr.write(`${node.name} ${state}; the end of its log:\n${await node.log()}\n`);
    }
    throw thrown;
  } finally {
    await cluster.stop();
  }
}

async function measureCut(): Promise<void> {
  const missing = lanMissing();
  if (missing !== undefined) return report('failover', { fault: 'cut', skipped: missing });
  const lan = new Lan(3);
  try {
    await measure('cut', lan);
  } finally {
    lan.remove();
  }
}

async function measureEtcd(signals: readonly (keyof typeof ETCD_SIGNALS)[]): Promise<void> {
  const version = etcdVersion();
  if (version === undefined) {
    return report('failover-etcd', { skipped: 'no etcd here; Debian: apt install etcd-server' });
  }
  const cluster = new EtcdCluster({ heartbeatMs: HEARTBEAT_MS, electionMs: ELECTION_MS });
  try {
    await cluster.start();
    for (const fault of signals) {
      const times: number[] = [];
      for (let i = 0; i < rounds; i++) times.push(await cluster.fail(ETCD_SIGNALS[fault]));
      const ms = quantiles(times);
      const mine = ours.get(fault);
      const ratio =
        mine === undefined
          ? {}
          : { ratio_p50: round(ms.p50 / mine.p50, 1), ratio_p95: round(ms.p95 / mine.p95, 1) };
      report('failover-etcd', { fault, version, ms, ...ratio });
    }
  } finally {
    await cluster.stop();
  }
}

for (const fault of faults) await (fault === 'cut' ? measureCut() : measure(fault));
if (only.includes('etcd')) {
  const signals = (['kill', 'stop', 'term'] as const).filter((fault) => faults.includes(fault));
  await measureEtcd(signals.length === 0 ? ['kill'] : signals);
}
process.exit(0);
