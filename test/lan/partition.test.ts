/**
 * Five hosts in network namespaces: a cable between two switches is pulled, a leader sleeps, and
 * nothing at all happens.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import {
  agreedLeader,
  HeadWatch,
  haveVoters,
  leaderOf,
  oneChain,
  steadyLeader,
} from '../support/election.ts';
import { leaveAlone } from '../support/idle.ts';
import { Lan, lanMissing } from '../support/netns.ts';
import { steadyClock } from '../support/steady-clock.ts';

const missing = lanMissing();
if (missing !== undefined) console.warn(`skipped: the partition tests: ${missing}`);

const TIMEOUT_MS = 1_000;
/** What a shared machine may add to any bound. */
const SLACK_MS = 8_000;

interface Signed {
  readonly signature: string;
}

describe.skipIf(missing !== undefined)('five voters on a LAN', () => {
  let lan: Lan;
  let cluster: Cluster;

  beforeAll(async () => {
    lan = new Lan(5);
    cluster = await Cluster.start(5, {}, (i) => lan.place(i));
    await haveVoters(cluster.nodes, 5);
  });
  afterAll(async () => {
    await cluster?.stop();
    lan?.remove();
  });

  // A test that fails half way must not leave the next one a LAN in two parts.
  afterEach(() => lan.heal());

  const indexOf = (node: TestNode): number => cluster.nodes.indexOf(node);
  const without = (some: readonly TestNode[]): TestNode[] =>
    cluster.nodes.filter((node) => !some.includes(node));
  const leadsNobody = async (node: TestNode): Promise<boolean> =>
    (await node.get<{ leader: unknown }>('/v1/status')).leader === null;

  /** Ms until no node of `nodes` knows a leader. */
  async function leaderless(nodes: readonly TestNode[], since: number): Promise<number> {
    await until('no leader there', async () =>
      (await Promise.all(nodes.map(leadsNobody))).every((none) => none),
    );
    return Math.round(steadyClock.now() - since);
  }

  it('E4, R107: the side of two has no leader, resolves and signs; healing deposes nobody', async () => {
    const holders = cluster.nodes.slice(0, 3);
    const participants = holders.map((node) => node.peerId).join(',');
    const { address } = await cluster.founder.json<{ address: string }>([
      ...['key', 'create', 'pair', '--suite', 'ed25519', '--threshold', '2', '--parties', '3'],
      ...['--participants', participants],
    ]);
    for (const node of holders) {
      await until('the key is there', () => node.json(['key', 'show', 'pair']));
      await node.json(['resolve', address]);
    }
    const led = await steadyLeader(cluster.nodes);
    const few = holders.filter((node) => node !== led.node).slice(0, 2);
    const many = without(few);

    const watch = new HeadWatch(cluster);
    const cut = steadyClock.now();
    lan.split(few.map(indexOf));
    const ms = await leaderless(few, cut);
    expect(ms).toBeLessThan(2 * TIMEOUT_MS + SLACK_MS);

    const [asked, other] = few;
    if (asked === undefined || other === undefined) throw new Error('two were cut off');
    const found = await asked.json<{ size: number }>(['resolve', address]);
    expect(found.size).toBeGreaterThan(64);
    const message = ['--message', 'signed by two on an island'];
    const { signature } = await asked.json<Signed>(['sign', 'pair', ...message]);
    const checked = await other.cli(['verify', 'pair', ...message, '--signature', signature]);
    expect(checked.code).toBe(0);
    const frozen = await asked.cli(['roster', 'demote', other.peerId, '--json']);
    expect(frozen.code, frozen.stdout).toBe(5);

    for (let i = 0; i < 10; i++) {
      await sleep(TIMEOUT_MS / 4);
      expect(await Promise.all(few.map(leadsNobody))).toEqual([true, true]);
      expect(await agreedLeader(many, 1)).toEqual(led);
    }
    const healed = steadyClock.now();
    lan.heal();
    expect(await agreedLeader(cluster.nodes, 90_000)).toEqual(led);
    const back = Math.round(steadyClock.now() - healed);
    await sleep(3 * TIMEOUT_MS);
    expect(await agreedLeader(cluster.nodes)).toEqual(led);
    expect(await watch.stop()).toEqual([]);
    console.log(JSON.stringify({ test: 'partition', leaderless_ms: ms, led_again_ms: back }));
  });

  it('E4: a leader among the two steps down, the three elect, and the heal deposes nobody', async () => {
    const old = await steadyLeader(cluster.nodes);
    const few = [old.node, ...without([old.node]).slice(0, 1)];
    const many = without(few);
    const watch = new HeadWatch(cluster);
    const cut = steadyClock.now();
    lan.split(few.map(indexOf));
    const next = await agreedLeader(many);
    const elected = Math.round(steadyClock.now() - cut);
    const stepped = await leaderless(few, cut);
    expect(stepped).toBeLessThan(2 * TIMEOUT_MS + SLACK_MS);
    expect(next.term).toBeGreaterThan(old.term);
    lan.heal();
    expect(await agreedLeader(cluster.nodes, 90_000)).toEqual(next);
    await sleep(3 * TIMEOUT_MS);
    expect(await agreedLeader(cluster.nodes)).toEqual(next);
    await oneChain(cluster.nodes);
    expect(await watch.stop()).toEqual([]);
    console.log(JSON.stringify({ test: 'partition-leader', stepped, elected }));
  });

  it('E5: a leader that slept too long follows; nothing that it did late counts', async () => {
    const old = await steadyLeader(cluster.nodes);
    const rest = without([old.node]);
    const [spared] = rest;
    const watch = new HeadWatch(cluster);
    await old.node.kill('SIGSTOP');
    let late: Promise<unknown>;
    let next: Awaited<ReturnType<typeof agreedLeader>>;
    try {
      // It lies in the socket of the sleeper, who will believe that it leads when it reads this.
      late = old.node
        .post<{ epoch: number }>('/v1/roster/demote', { peer: spared?.peerId }, 40_000)
        .catch((thrown: Error) => thrown);
      // Sound asleep for several time-outs, while the others have come to rest.
      next = await steadyLeader(rest, 3 * TIMEOUT_MS);
    } finally {
      await old.node.kill('SIGCONT');
    }
    const woken = steadyClock.now();
    await until('it follows', async () => (await leaderOf(old.node)).term >= next.term);
    expect(steadyClock.now() - woken).toBeLessThan(TIMEOUT_MS + SLACK_MS);

    // Done by the next leader on its behalf, or refused; never in the old term.
    const outcome = await late;
    const lead = await agreedLeader(cluster.nodes);
    // Whoever is asked to demote the leader that it is hands over first.
    if (outcome instanceof Error || next.node !== spared) expect(lead).toEqual(next);
    else expect(lead.node).not.toBe(spared);
    const chain = await oneChain(cluster.nodes);
    const demotion = chain.find(
      ({ change }) => change.kind === 'demote' && change.peer === spared?.peerId,
    );
    if (outcome instanceof Error) expect(demotion).toBeUndefined();
    else expect(demotion?.term).toBeGreaterThan(old.term);
    expect(await watch.stop()).toEqual([]);
    console.log(
      JSON.stringify({
        test: 'sleeping-leader',
        late: outcome instanceof Error ? 'refused' : 'done',
      }),
    );
    await haveVoters(cluster.nodes, 5);
  });

  it.each([
    ['nothing to do', false],
    ['both cores busy', true],
  ])('E7: %s: nobody is elected', async (_what, busy) => {
    await cluster.meshed();
    const seen = await leaveAlone(cluster, 30_000, busy);
    console.log(JSON.stringify({ test: 'idle', ...seen }));
    expect(seen.looks).toBeGreaterThan(10);
    expect(seen).toMatchObject({ termAfter: seen.termBefore, sameLeader: true });
  });
});
