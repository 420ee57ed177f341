/** Real daemons elect: alone, three, five, all at once, with an onlooker, and not at all. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { verifyLeaderCertificate } from '../../src/election/certificate.ts';
import { openLeaderHead } from '../../src/election/leader-head.ts';
import { type Chain, createChain, extendChain } from '../../src/roster/chain.ts';
import { decodeGenesis } from '../../src/roster/genesis.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import {
  agreedLeader,
  chainOf,
  HeadWatch,
  haveVoters,
  leaderOf,
  oneChain,
  rosterOf,
  votersIn,
} from '../support/election.ts';

interface Status {
  readonly leader: { readonly peerId: string; readonly term: number } | null;
  readonly ready: boolean;
  readonly warnings: readonly string[];
}
interface Failed {
  readonly error: { readonly code: string; readonly why?: string };
}

let cluster: Cluster;
afterEach(() => cluster?.stop());

const MANUAL = { BZZZ_AUTO_PROMOTE: 'false' };
const statusOf = (node: TestNode): Promise<Status> => node.get<Status>('/v1/status');
const promote = (by: TestNode, whom: TestNode): Promise<{ epoch: number }> =>
  by.post('/v1/roster/promote', { peer: whom.peerId });

/** What a command that must fail says. */
async function failing(
  node: TestNode,
  args: readonly string[],
): Promise<Failed & { exit: number | null }> {
  const { code, stdout, stderr } = await node.cli([...args, '--json']);
  expect(code, `bzzz ${args.join(' ')}: ${stdout}${stderr}`).not.toBe(0);
  return { ...(JSON.parse(stdout) as Failed), exit: code };
}

describe('clusters that grow', () => {
  it('the founder alone leads, with its own vote, and says that one voter is few', async () => {
    cluster = await Cluster.start(1);
    const { founder } = cluster;
    await agreedLeader([founder]);
    const leader = await founder.json<Record<string, unknown>>(['leader']);
    expect(leader).toMatchObject({ peerId: founder.peerId, votes: [founder.peerId] });
    expect(leader.term).toBeGreaterThanOrEqual(1);
    expect((await statusOf(founder)).warnings.join()).toMatch(/\b(1|one) voter/);
    expect((await founder.cli(['status'])).stdout).toMatch(/\b(1|one) voter/);
  });

  it('three daemons become three voters by themselves; all name the same leader', async () => {
    cluster = await Cluster.start(3);
    const roster = await haveVoters(cluster.nodes, 3);
    const { node, term } = await agreedLeader(cluster.nodes);
    for (const asked of cluster.nodes) {
      const { leader, warnings } = await statusOf(asked);
      expect(leader).toEqual({ peerId: node.peerId, term });
      expect(warnings).toEqual([]);
      const view = await asked.json<{ peerId: string; term: number; votes: string[] }>(['leader']);
      expect(view).toMatchObject({ peerId: node.peerId, term });
      expect(view.votes.length).toBeGreaterThan(0);
      expect(votersIn(roster)).toEqual(expect.arrayContaining(view.votes));
    }
    await oneChain(cluster.nodes);
  });

  it('five daemons become five voters, and a sixth stays a member', async () => {
    cluster = await Cluster.start(6);
    await haveVoters(cluster.nodes, 5);
    await agreedLeader(cluster.nodes);
    await sleep(2_000);
    expect(votersIn(await rosterOf(cluster.founder))).toHaveLength(5);
  });

  it('two and four voters are warned about', async () => {
    cluster = await Cluster.start(4, MANUAL);
    for (const [i, few] of [
      [1, /\b(2|two) voters/],
      [2, undefined],
      [3, /\b(4|four) voters/],
    ] as const) {
      await promote(cluster.founder, cluster.node(i));
      await haveVoters(cluster.nodes, i + 1);
      const { warnings } = await statusOf(cluster.founder);
      if (few === undefined) expect(warnings).toEqual([]);
      else expect(warnings.join()).toMatch(few);
    }
  });
});

describe('cold start', () => {
  it('E2, E6: five hosts off and on at once: one leader, a newer term, changes go through', async () => {
    cluster = await Cluster.start(5);
    await haveVoters(cluster.nodes, 5);
    const before = await agreedLeader(cluster.nodes);
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    const watch = new HeadWatch(cluster);
    const began = performance.now();
    await Promise.all(cluster.nodes.map((node) => node.start()));
    const after = await agreedLeader(cluster.nodes);
    console.log(
      JSON.stringify({ bench: 'cold-start-leader', ms: Math.round(performance.now() - began) }),
    );
    expect(after.term).toBeGreaterThan(before.term);
    const { epoch } = await rosterOf(cluster.founder);
    const demoted = cluster.nodes.find((node) => node !== after.node);
    await after.node.post('/v1/roster/demote', { peer: demoted?.peerId });
    expect((await rosterOf(after.node)).epoch).toBeGreaterThan(epoch);
    await cluster.meshed();
    await oneChain(cluster.nodes);
    expect(await watch.stop()).toEqual([]);
  });
});

describe('the leader record', () => {
  const ADDRESS = 'ucxl://leader:slurp@lab:election/current';

  /** The chain as anybody can build it from what an onlooker holds. */
  async function offlineChain(onlooker: TestNode): Promise<Chain> {
    const genesis = new Uint8Array(readFileSync(join(onlooker.dataDir, 'genesis.cbor')));
    const entries = await chainOf(onlooker);
    const { chain } = extendChain(
      createChain(decodeGenesis(genesis)),
      entries.map(({ entry }) => entry),
    );
    return chain;
  }

  it('an onlooker resolves it, and it verifies offline; after a failover it is the new one', async () => {
    cluster = await Cluster.start(3);
    const onlooker = await cluster.add('observer');
    await haveVoters(cluster.nodes, 3);
    const recordOf = (term: number) =>
      until(`the record of term ${term}`, async () => {
        const address = encodeURIComponent(ADDRESS);
        const { bytes } = await onlooker.get<{ bytes: string }>(
          `/v1/records/get?address=${address}`,
        );
        const head = fromHex(bytes) ?? new Uint8Array();
        const { certificate, verified } = openLeaderHead(head, await offlineChain(onlooker));
        return verified.term >= term ? { certificate, verified } : undefined;
      });
    const first = await agreedLeader(cluster.nodes);
    const before = await recordOf(first.term);
    expect(before.verified).toMatchObject({ term: first.term, leader: first.node.peerId });

    await first.node.kill();
    const rest = cluster.nodes.filter((node) => node.running);
    const second = await agreedLeader(rest);
    const after = await recordOf(second.term);
    expect(after.verified).toMatchObject({ term: second.term, leader: second.node.peerId });
    const chain = await offlineChain(onlooker);
    expect(verifyLeaderCertificate(after.certificate, chain).voters.length).toBeGreaterThan(1);
    // The check can fail: one altered byte, and a chain of which the votes know nothing.
    const altered = after.certificate.slice();
    altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
    expect(() => verifyLeaderCertificate(altered, chain)).toThrow(/certificate/);
    const bare = createChain(chain.genesis);
    expect(() => verifyLeaderCertificate(after.certificate, bare)).toThrow(/roster here ends/);
  });
});

describe('BZZZ_ELECTION_ENABLED=false', () => {
  const OFF = { BZZZ_ELECTION_ENABLED: 'false' };

  async function signAndResolve(by: TestNode, onlooker: TestNode, key: string): Promise<void> {
    const create = ['key', 'create', key, '--suite', 'ed25519', '--threshold', '2'];
    const made = await by.json<{ address: string }>([...create, '--parties', '3']);
    const signed = await by.json<{ signature: string; address: string }>([
      ...['sign', key, '--message', `by ${key}`],
    ]);
    expect(signed.signature).toHaveLength(128);
    for (const address of [made.address, signed.address]) {
      await until(`${address} on ${onlooker.name}`, async () => {
        const { size } = await onlooker.json<{ size: number }>(['resolve', address]);
        return size > 64;
      });
    }
  }

  it('admission by the lone voter, key generation, signing and resolving work as before', async () => {
    cluster = await Cluster.start(3, OFF);
    const onlooker = await cluster.add('observer');
    await cluster.meshed();
    await signAndResolve(cluster.node(1), onlooker, 'quiet');
    for (const node of cluster.nodes) {
      expect(await statusOf(node)).toMatchObject({ leader: null, ready: true });
      expect((await failing(node, ['leader'])).exit).toBe(5);
    }
    expect(votersIn(await rosterOf(onlooker))).toEqual([cluster.founder.peerId]);
  });

  it('of three voters: the roster stands still with a clear error, all else works', async () => {
    cluster = await Cluster.start(3);
    const onlooker = await cluster.add('observer');
    await haveVoters(cluster.nodes, 3);
    await Promise.all(cluster.nodes.map((node) => node.kill('SIGTERM')));
    for (const node of cluster.nodes) node.setEnv(OFF);
    await Promise.all(cluster.nodes.map((node) => node.start()));
    await cluster.meshed();
    const { epoch } = await rosterOf(cluster.founder);
    await signAndResolve(cluster.node(2), onlooker, 'frozen');
    const refused = await failing(cluster.founder, ['roster', 'demote', cluster.node(1).peerId]);
    expect(JSON.stringify(refused)).toMatch(/election/i);
    expect((await rosterOf(cluster.founder)).epoch).toBe(epoch);

    await Promise.all(cluster.nodes.map((node) => node.kill('SIGTERM')));
    for (const node of cluster.nodes) node.setEnv({ BZZZ_ELECTION_ENABLED: 'true' });
    await Promise.all(cluster.nodes.map((node) => node.start()));
    await agreedLeader(cluster.nodes);
    // Who does not vote hears of the leader a few beats later.
    await until('the onlooker follows', async () => (await leaderOf(onlooker)).term > 0);
  });
});
