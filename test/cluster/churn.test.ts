/**
 * Hosts come and go while signatures are made and leaders are killed: no request fails, and the
 * chain never forks.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { BzzzError } from '../../src/base/errors.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import { agreedLeader, HeadWatch, haveVoters, oneChain } from '../support/election.ts';

let cluster: Cluster;
afterEach(() => cluster?.stop());

const HOLDERS = 3;
const KILLS = 6;

/** The daemon went away, or the operator typed a voter's command on a host that is none. */
const ASK_ELSEWHERE: ReadonlySet<string> = new Set(['DAEMON_UNREACHABLE', 'NOT_A_VOTER']);

/** Requests that stand open at a node; a client whose daemon is killed asks another one. */
class Requests {
  #asked = 0;
  #repeated = 0;
  readonly failures: string[] = [];

  get counts(): { asked: number; repeated: number; failed: number } {
    return { asked: this.#asked, repeated: this.#repeated, failed: this.failures.length };
  }

  /** Asks one of `nodes` that runs, and the next one only where that one says so. */
  async ask<T>(
    what: string,
    nodes: () => readonly TestNode[],
    request: (node: TestNode) => Promise<T>,
  ): Promise<T | undefined> {
    this.#asked++;
    for (let tries = 0; ; tries++) {
      const candidates = nodes().filter((node) => node.running);
      const node = candidates[(this.#asked + tries) % candidates.length];
      if (node === undefined) throw new Error(`nobody to ask for ${what}`);
      try {
        return await request(node);
      } catch (thrown) {
        const elsewhere = thrown instanceof BzzzError && ASK_ELSEWHERE.has(thrown.code);
        if (!elsewhere || tries >= 20) {
          this.failures.push(`${what} on ${node.name}: ${thrown}`);
          return undefined;
        }
        this.#repeated++;
        await sleep(50);
      }
    }
  }
}

/** Each of the nodes that belong by now sees the others ready: the next one may be killed. */
const whole = (current: () => readonly TestNode[]): Promise<unknown> =>
  until(
    'all are back',
    async () => {
      const nodes = current();
      const views = await Promise.all(
        nodes.map((n) =>
          n.get<{ peerId: string; ready: boolean; connected: boolean }[]>('/v1/peers'),
        ),
      );
      return views.every((view, i) =>
        nodes.every(
          (other, k) =>
            k === i || view.some((p) => p.peerId === other.peerId && p.connected && p.ready),
        ),
      );
    },
    120_000,
    250,
  );

it('E8, S3: two hosts join and two are removed amid signatures and kills of leaders', async () => {
  cluster = await Cluster.start(5);
  await haveVoters(cluster.nodes, 5);
  const holders = cluster.nodes.slice(0, HOLDERS);
  const leavers = cluster.nodes.slice(HOLDERS, 5);
  const create = ['key', 'create', 'busy', '--suite', 'ed25519', '--threshold', '2'];
  const participants = holders.map((node) => node.peerId).join(',');
  await cluster.founder.json([...create, '--parties', '3', '--participants', participants]);

  const watch = new HeadWatch(cluster);
  const [signs, changes] = [new Requests(), new Requests()];
  const gone = new Set<TestNode>();
  const staying = (): TestNode[] =>
    cluster.nodes.filter((node) => !gone.has(node) && node.peerId !== '');
  let victim: TestNode | undefined;
  let going = true;

  const signing = async (): Promise<void> => {
    for (let i = 0; going; i++) {
      const sign = { key: 'busy', message: Buffer.from(`message ${i}`).toString('hex') };
      await signs.ask(
        `signature ${i}`,
        () => holders,
        (node) => node.post('/v1/sign', sign),
      );
      await sleep(20);
    }
  };
  /** One at a time: of three holders two must be there, of five voters three. */
  const killing = async (): Promise<void> => {
    for (let kills = 0; kills < KILLS; kills++) {
      await sleep(500 + Math.random() * 1_000);
      victim = (await agreedLeader(staying)).node;
      // It may have been removed since it was chosen: the next look finds another leader.
      if (gone.has(victim)) continue;
      await victim.kill();
      await sleep(Math.random() * 500);
      await victim.start();
      await whole(staying);
      victim = undefined;
    }
  };
  const changing = async (): Promise<void> => {
    for (const leaver of leavers) {
      const by = (): TestNode[] => staying().filter((node) => node !== leaver);
      const invite = { role: 'persistent', noVoter: false };
      const invited = await changes.ask('an invitation', by, (node) =>
        node.post<{ invitation: string }>('/v1/invitations', invite),
      );
      if (invited === undefined) throw new Error(changes.failures.join());
      const added = await cluster.enlist(invited.invitation);
      await added.start();
      added.peerId = (await added.get<{ peerId: string }>('/v1/status')).peerId;
      gone.add(leaver);
      await until('nobody kills the leaver', () => victim !== leaver, 180_000);
      await changes.ask(`the removal of ${leaver.name}`, by, (node) =>
        node.post('/v1/roster/remove', { peer: leaver.peerId }),
      );
      await leaver.kill('SIGTERM');
    }
  };
  const signer = signing();
  try {
    await Promise.all([changing(), killing()]);
  } finally {
    going = false;
    await signer;
  }
  await haveVoters(staying(), 5);
  const chain = await oneChain(staying());
  expect(await watch.stop()).toEqual([]);
  console.log(
    JSON.stringify({
      test: 'churn',
      signatures: signs.counts,
      changes: changes.counts,
      leaders: watch.leaders,
      epoch: chain.length,
    }),
  );
  expect([...signs.failures, ...changes.failures]).toEqual([]);
  expect(signs.counts.asked).toBeGreaterThan(20);
  expect(watch.leaders).toBeGreaterThan(KILLS / 2);
});
