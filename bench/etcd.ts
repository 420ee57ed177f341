/**
 * Three etcd processes on loopback, the reference for the failover of a leader: the `etcd` binary
 * of Debian's etcd-server, driven through its HTTP gateway (v3 JSON).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../test/support/cluster.ts';
import { freePort } from '../test/support/free-port.ts';
import { call } from './http.ts';

export interface EtcdTiming {
  readonly heartbeatMs: number;
  readonly electionMs: number;
}

/** @returns the version, undefined when there is no etcd on this machine. */
export function etcdVersion(): string | undefined {
  const { status, stdout } = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
  return status === 0 ? /etcd Version: (\S+)/.exec(stdout)?.[1] : undefined;
}

interface EtcdStatus {
  readonly leader: string;
  readonly raftTerm: number;
  readonly raftIndex: number;
  readonly self: string;
}

class EtcdNode {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly #home: string;
  #child: ChildProcess | undefined;

  constructor(name: string, home: string, clientPort: number, peerPort: number) {
    this.name = name;
    this.#home = home;
    this.clientPort = clientPort;
    this.peerPort = peerPort;
  }

  get peerUrl(): string {
    return `http://127.0.0.1:${this.peerPort}`;
  }

  start(timing: EtcdTiming, initial: string): void {
    const client = `http://127.0.0.1:${this.clientPort}`;
    const flags = {
      name: this.name,
      'data-dir': join(this.#home, this.name),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': this.peerUrl,
      'initial-advertise-peer-urls': this.peerUrl,
      'initial-cluster': initial,
      'initial-cluster-state': 'new',
      'heartbeat-interval': String(timing.heartbeatMs),
      'election-timeout': String(timing.electionMs),
      'log-level': 'error',
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    const child = spawn('etcd', args, { stdio: 'ignore' });
    children.add(child);
    child.once('exit', () => children.delete(child));
    this.#child = child;
  }

  /** Resolves when the process has ended; SIGSTOP and SIGCONT end nothing. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await ended;
  }

  async status(): Promise<EtcdStatus> {
    const { body } = await this.#post('/v3/maintenance/status', {}, 1_000);
    const found = body as Record<string, string> & { header: { member_id: string } };
    return {
      leader: String(found.leader ?? 0),
      raftTerm: Number(found.raftTerm),
      raftIndex: Number(found.raftIndex),
      self: found.header.member_id,
    };
  }

  /** @returns when the put was acknowledged; undefined when it was not, or in an older term. */
  async put(value: string, minTerm: number): Promise<number | undefined> {
    const text = (raw: string): string => Buffer.from(raw).toString('base64');
    const json = { key: text('failover'), value: text(value) };
    const answer = await this.#post('/v3/kv/put', json, PUT_MS).catch(() => undefined);
    if (answer?.status !== 200) return undefined;
    const { header } = answer.body as { header: { raft_term: string } };
    return Number(header.raft_term) >= minTerm ? answer.at : undefined;
  }

  #post(path: string, json: unknown, timeoutMs: number) {
    return call({ host: '127.0.0.1', port: this.clientPort }, 'POST', path, json, timeoutMs);
  }
}

const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** A put is tried so often, ms: one that was sent to nobody is not repeated by etcd. */
const PUT_EVERY_MS = 5;
/** One that was passed on to the dead leader would be waited for much longer. */
const PUT_MS = 250;
const GIVE_UP_MS = 30_000;

export class EtcdCluster {
  readonly #home = mkdtempSync(join(tmpdir(), 'etcd-bench-'));
  readonly #timing: EtcdTiming;
  #nodes: readonly EtcdNode[] = [];

  constructor(timing: EtcdTiming) {
    this.#timing = timing;
  }

  async start(): Promise<void> {
    const nodes: EtcdNode[] = [];
    for (const name of ['e1', 'e2', 'e3']) {
      nodes.push(new EtcdNode(name, this.#home, await freePort(), await freePort()));
    }
    this.#nodes = nodes;
    for (const node of nodes) this.#run(node);
    await this.#settled();
  }

  #run(node: EtcdNode): void {
    node.start(this.#timing, this.#nodes.map((n) => `${n.name}=${n.peerUrl}`).join(','));
  }

  /**
   * Ends or stops the leader's process.
   * @returns ms from the signal until a put through a survivor was acknowledged in a newer term.
   */
  async fail(signal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP'): Promise<number> {
    const leader = await this.#settled();
    const term = (await leader.status()).raftTerm;
    const survivors = this.#nodes.filter((node) => node !== leader);
    // The connections are open and one put went through before the clock starts.
    for (const node of survivors) await node.put('before', term);
    const since = performance.now();
    const struck = leader.signal(signal);
    const at = await firstPut(survivors, since, term + 1);
    if (signal === 'SIGSTOP') await leader.signal('SIGCONT');
    await struck;
    if (signal !== 'SIGSTOP') this.#run(leader);
    return at - since;
  }

  /** Waits until all three name one leader and have applied the same; gives that leader. */
  #settled(): Promise<EtcdNode> {
    return until(
      'etcd has settled',
      async () => {
        const all = await Promise.all(this.#nodes.map((node) => node.status()));
        const [first] = all;
        const same = all.every((s) => s.leader === first?.leader && s.raftTerm === first.raftTerm);
        const spread =
          Math.max(...all.map((s) => s.raftIndex)) - Math.min(...all.map((s) => s.raftIndex));
        if (!same || spread > 0) return undefined;
        return this.#nodes[all.findIndex((s) => s.self === s.leader)];
      },
      GIVE_UP_MS,
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.signal('SIGKILL')));
    rmSync(this.#home, { recursive: true, force: true });
  }
}

/** Puts through every survivor in turn until one is acknowledged; gives when that was. */
async function firstPut(
  survivors: readonly EtcdNode[],
  since: number,
  minTerm: number,
): Promise<number> {
  let first: number | undefined;
  const tries: Promise<void>[] = [];
  while (first === undefined) {
    if (performance.now() - since > GIVE_UP_MS) throw new Error('no put was acknowledged');
    for (const node of survivors) {
      tries.push(
        node.put(`${since}`, minTerm).then((at) => {
          if (at !== undefined) first = Math.min(first ?? at, at);
        }),
      );
    }
    await sleep(PUT_EVERY_MS);
  }
  // What was sent before settles before the next round begins.
  await Promise.all(tries);
  return first;
}
