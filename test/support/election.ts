/** What cluster tests and benchmarks ask real daemons about their leader and their roster. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { ClusterId } from '../../src/base/brands.ts';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { type Change, decodeEntry, type Entry } from '../../src/roster/entry.ts';
import { type Cluster, type TestNode, until } from './cluster.ts';

export interface LeaderView {
  readonly peerId: string;
  readonly term: number;
  readonly since: string;
  readonly votes: readonly string[];
  readonly epoch: number;
  readonly self: boolean;
}

export interface RosterView {
  readonly cluster: string;
  readonly clusterId: string;
  readonly epoch: number;
  readonly term: number;
  readonly head: string;
  readonly members: readonly {
    readonly peerId: string;
    readonly role: string;
    readonly voter: boolean;
  }[];
}

export const leaderOf = (node: TestNode): Promise<LeaderView> => node.get<LeaderView>('/v1/leader');
export const rosterOf = (node: TestNode): Promise<RosterView> => node.get<RosterView>('/v1/roster');

export const votersIn = (roster: RosterView): string[] =>
  roster.members.filter((member) => member.voter).map((member) => member.peerId);

export const running = (cluster: Cluster): TestNode[] => cluster.nodes.filter((n) => n.running);

/** A look asks every node; more often it would be a load of its own. */
const LOOK_EVERY_MS = 150;

export interface Led {
  readonly node: TestNode;
  readonly term: number;
}

/**
 * Waits until all of `among` name one leader in one term, and it is one of them.
 * @param among a function where nodes come and go meanwhile.
 */
export function agreedLeader(
  among: readonly TestNode[] | (() => readonly TestNode[]),
  timeoutMs = 240_000,
): Promise<Led> {
  return until(
    'one leader',
    async () => {
      const nodes = typeof among === 'function' ? among() : among;
      const views = await Promise.all(nodes.map(leaderOf));
      const [first] = views;
      const same = views.every((v) => v.peerId === first?.peerId && v.term === first.term);
      const node = nodes.find((n) => n.peerId === first?.peerId);
      return same && first !== undefined && node !== undefined
        ? { node, term: first.term }
        : undefined;
    },
    timeoutMs,
    LOOK_EVERY_MS,
  );
}

/** A leader that has led for `forMs` without a break: the cluster has come to rest. */
export async function steadyLeader(nodes: readonly TestNode[], forMs = 3_000): Promise<Led> {
  return until(
    'a leader that stays',
    async () => {
      const before = await agreedLeader(nodes);
      await sleep(forMs);
      const after = await agreedLeader(nodes);
      return after.node === before.node && after.term === before.term ? after : undefined;
    },
    240_000,
  );
}

/** Waits until all of `nodes` stand on the same entry, and the roster is as `accept` wants it. */
export function sameRoster(
  nodes: readonly TestNode[],
  accept: (roster: RosterView) => boolean = () => true,
  timeoutMs = 240_000,
): Promise<RosterView> {
  return until(
    'one roster everywhere',
    async () => {
      const all = await Promise.all(nodes.map(rosterOf));
      const [first] = all;
      const same = all.every((r) => r.epoch === first?.epoch && r.head === first.head);
      return same && first !== undefined && accept(first) ? first : undefined;
    },
    timeoutMs,
    LOOK_EVERY_MS,
  );
}

/** Waits until `n` members vote, by every node's roster. */
export const haveVoters = (nodes: readonly TestNode[], n: number): Promise<RosterView> =>
  sameRoster(nodes, (roster) => votersIn(roster).length === n, 120_000);

/** One entry of the chain. */
export interface ChainEntry {
  readonly epoch: number;
  readonly term: number;
  readonly hash: string;
  readonly change: Change;
  readonly entry: Entry;
}

/**
 * The whole chain of a node up to its head, entry by entry, from the records; throws when an entry
 * does not follow from the one before, or the last one is not the head.
 */
export async function chainOf(node: TestNode): Promise<ChainEntry[]> {
  const { epoch: last, head, cluster, clusterId } = await rosterOf(node);
  const entries: ChainEntry[] = [];
  for (let epoch = 1; epoch <= last; epoch++) {
    const address = encodeURIComponent(`ucxl://roster:chain@${cluster}:membership/${epoch}`);
    const record = await until(`entry ${epoch} on ${node.name}`, () =>
      node.get<{ bytes: string }>(`/v1/records/get?address=${address}`),
    );
    const bytes = fromHex(record.bytes) ?? new Uint8Array();
    const entry = decodeEntry(clusterId as ClusterId, bytes);
    const { body, hash } = entry;
    const before = entries.at(-1);
    if (before !== undefined && toHex(body.prev) !== before.hash) {
      throw new Error(`${node.name}: entry ${epoch} does not follow entry ${epoch - 1}`);
    }
    const { term, change } = body;
    entries.push({ epoch, term, hash: toHex(hash), change, entry });
  }
  if (last > 0 && entries.at(-1)?.hash !== head) throw new Error(`${node.name}: not the head`);
  return entries;
}

/**
 * One chain: every node stands on the same entry, and the records link from it to the genesis.
 * A hash covers its entry and, by `prev`, all before: equal heads are equal entries by epoch.
 */
export async function oneChain(nodes: readonly TestNode[]): Promise<ChainEntry[]> {
  await sameRoster(nodes);
  const [first] = nodes;
  if (first === undefined) throw new Error('no node to ask');
  return chainOf(first);
}

/** Who votes after `epoch`, by the changes alone. */
export function votersAfter(
  chain: readonly ChainEntry[],
  founder: string,
  epoch: number,
): ReadonlySet<string> {
  let voters = new Set<string>([founder]);
  for (const { change } of chain.slice(0, epoch)) {
    if (change.kind === 'recover') voters = new Set(change.voters);
    else if (change.kind === 'promote') voters.add(change.peer);
    else if (change.kind !== 'admit') voters.delete(change.peer);
  }
  return voters;
}

/**
 * Looks at the heads of all running nodes again and again, and keeps the first one of each epoch:
 * a fork that heals itself before the end of a test would be seen as well.
 */
export class HeadWatch {
  readonly #cluster: Cluster;
  readonly #heads = new Map<number, string>();
  readonly #leaders = new Map<number, string>();
  readonly #forks: string[] = [];
  #going = true;
  readonly #done: Promise<void>;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#done = this.#watch();
  }

  async #watch(): Promise<void> {
    while (this.#going) {
      await Promise.all(running(this.#cluster).map((node) => this.#look(node)));
      await new Promise((done) => setTimeout(done, 2 * LOOK_EVERY_MS));
    }
  }

  async #look(node: TestNode): Promise<void> {
    // A node that is being killed or started has nothing to say.
    const roster = await rosterOf(node).catch(() => undefined);
    const leader = await leaderOf(node).catch(() => undefined);
    if (roster !== undefined) this.#keep('head', this.#heads, roster.epoch, roster.head);
    if (leader !== undefined) this.#keep('leader', this.#leaders, leader.term, leader.peerId);
  }

  #keep(what: string, seen: Map<number, string>, at: number, value: string): void {
    const before = seen.get(at);
    if (before === undefined) seen.set(at, value);
    else if (before !== value) this.#forks.push(`${what} ${at}: ${before} and ${value}`);
  }

  /** How many leaders were seen. */
  get leaders(): number {
    return this.#leaders.size;
  }

  /** Ends the watch. @returns what contradicts itself: two heads of an epoch, leaders of a term. */
  async stop(): Promise<readonly string[]> {
    this.#going = false;
    await this.#done;
    return this.#forks;
  }
}
