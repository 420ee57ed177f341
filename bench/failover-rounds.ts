/**
 * One failover of real daemons: strike the leader, ask both survivors for a roster change, and see
 * who acknowledges it first, and when.
 *
 * The change takes the vote from the struck node, and gives it back after the round, so that every
 * round begins with the same three voters.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type TestNode, until } from '../test/support/cluster.ts';
import { agreedLeader, haveVoters, leaderOf, rosterOf } from '../test/support/election.ts';
import type { Lan } from '../test/support/netns.ts';
import { call } from './http.ts';

/** What happens to the leader. */
export const FAULTS = ['kill', 'stop', 'term', 'cut'] as const;
export type Fault = (typeof FAULTS)[number];

/** Times from the strike, ms. */
export interface Failover {
  /** Until a survivor said that there is another leader. */
  readonly electedMs: number;
  /** Until a survivor acknowledged a change that was certified in a newer term. */
  readonly acceptedMs: number;
}

const TIMING = { BZZZ_HEARTBEAT_INTERVAL: '50ms', BZZZ_ELECTION_TIMEOUT: '500ms' };
/** Voters are promoted by hand: nothing else changes the roster while the clock runs. */
const QUIET = { BZZZ_AUTO_PROMOTE: 'false', BZZZ_LOG_LEVEL: 'warn' };

const GIVE_UP_MS = 30_000;
const REST_MS = 3_000;

const isLeaderEvent = (kind: string): boolean =>
  kind === 'leader.elected' || kind === 'leader.changed';

/** Three daemons, all of them voters; in `lan`'s namespaces, else on loopback. */
export async function threeVoters(lan?: Lan): Promise<Cluster> {
  const cluster = await Cluster.start(3, { ...TIMING, ...QUIET }, (i) => lan?.place(i));
  try {
    for (const node of cluster.nodes.slice(1)) {
      await cluster.founder.post('/v1/roster/promote', { peer: node.peerId });
    }
    await settled(cluster);
    return cluster;
  } catch (thrown) {
    await cluster.stop();
    throw thrown;
  }
}

async function settled(cluster: Cluster): Promise<{ node: TestNode; term: number }> {
  await cluster.meshed();
  await haveVoters(cluster.nodes, 3);
  return agreedLeader(cluster.nodes);
}

/**
 * One round; the cluster is whole again when it resolves.
 * @throws when nobody took over, or something of the old leader was accepted.
 */
export async function failover(cluster: Cluster, fault: Fault, lan?: Lan): Promise<Failover> {
  const old = await settled(cluster);
  const survivors = cluster.nodes.filter((node) => node !== old.node);
  const watch = new LeaderWatch(survivors, old.term);
  try {
    // The connections are open, and the event streams too.
    await Promise.all(survivors.map((node) => call(node, 'GET', '/v1/leader')));
    await watch.open;
    const since = performance.now();
    const struck = strike(cluster, old.node, fault, lan);
    // A leader that ends in order may still accept a change: ask when there is another one.
    if (fault === 'term') await within('another leader', watch.elected);
    const acceptedMs = (await firstDemoted(survivors, old.node)) - since;
    const electedMs = (await within('word of the leader', watch.elected)) - since;
    await struck;
    await checkSuccession(survivors, old);
    await heal(cluster, old, fault, lan);
    return { electedMs, acceptedMs };
  } finally {
    watch.close();
  }
}

function within<T>(what: string, promise: Promise<T>): Promise<T> {
  const late = sleep(GIVE_UP_MS, undefined, { ref: false }).then(() => {
    throw new Error(`${what}: not within ${GIVE_UP_MS} ms`);
  });
  return Promise.race([promise, late]);
}

function strike(cluster: Cluster, leader: TestNode, fault: Fault, lan?: Lan): Promise<unknown> {
  if (fault === 'cut') return Promise.resolve(lan?.cut(cluster.nodes.indexOf(leader)));
  const signals = { kill: 'SIGKILL', stop: 'SIGSTOP', term: 'SIGTERM' } as const;
  return leader.kill(signals[fault]);
}

/** Both survivors are asked at once and wait for a leader themselves; the first 2xx counts. */
async function firstDemoted(survivors: readonly TestNode[], victim: TestNode): Promise<number> {
  const path = '/v1/roster/demote';
  const asked = survivors.map(async (node) => {
    const answer = await call(node, 'POST', path, { peer: victim.peerId });
    if (answer.status >= 300) throw new Error(`${node.name}: ${JSON.stringify(answer.body)}`);
    return answer.at;
  });
  const at = await Promise.any(asked);
  // The other one's answer belongs to this round as well.
  await Promise.allSettled(asked);
  return at;
}

/** The change was certified by the leader of a newer term, which is a survivor. */
async function checkSuccession(
  survivors: readonly TestNode[],
  old: { readonly node: TestNode; readonly term: number },
): Promise<void> {
  const { term } = await agreedLeader(survivors);
  const rosters = await Promise.all(survivors.map(rosterOf));
  const entryTerm = Math.max(...rosters.map((roster) => roster.term));
  if (term <= old.term || entryTerm <= old.term) {
    throw new Error(`term ${term}, entry of term ${entryTerm}, after term ${old.term}`);
  }
}

async function heal(
  cluster: Cluster,
  old: { readonly node: TestNode; readonly term: number },
  fault: Fault,
  lan?: Lan,
): Promise<void> {
  const { node } = old;
  if (fault === 'cut') lan?.mend(cluster.nodes.indexOf(node));
  else if (fault === 'stop') await node.kill('SIGCONT');
  else await node.start();
  await until('the struck node follows', async () => (await leaderOf(node)).term > old.term);
  await cluster.meshed();
  const voter = cluster.nodes.find((other) => other !== node);
  await voter?.post('/v1/roster/promote', { peer: node.peerId });
  await haveVoters(cluster.nodes, 3);
  // A host that has just started is still busy with its start, and rounds follow each other.
  await sleep(REST_MS);
}

/** The event streams of the survivors: the first word of a newer leader. */
class LeaderWatch {
  /** Both streams are open. */
  readonly open: Promise<unknown>;
  /** When a leader of a newer term was announced. */
  readonly elected: Promise<number>;
  readonly #end = new AbortController();

  constructor(nodes: readonly TestNode[], oldTerm: number) {
    let elected = (_at: number): void => {};
    this.elected = new Promise((done) => {
      elected = done;
    });
    for (const node of nodes) void this.#follow(node, oldTerm, elected);
    // A stream is open when its request was answered: no frame says so on a quiet node.
    this.open = sleep(100);
  }

  async #follow(node: TestNode, oldTerm: number, elected: (at: number) => void): Promise<void> {
    const control = node.control(60_000, this.#end.signal);
    try {
      for await (const { event, data } of control.events({ follow: true })) {
        const { term } = (data as { data: { term?: number } }).data;
        if (isLeaderEvent(event) && (term ?? 0) > oldTerm) elected(performance.now());
      }
    } catch (thrown) {
      if (!this.#end.signal.aborted) throw thrown;
    }
  }

  close(): void {
    this.#end.abort();
  }
}
