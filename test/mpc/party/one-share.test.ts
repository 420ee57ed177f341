/**
 * N1 over real party services and suites: every share that leaves anybody is collected, and no
 * commitment is in two of them, whatever is copied, restored, replayed or presented twice.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { openEnvelope } from '../../../src/base/envelope.ts';
import { TOPICS, wire } from '../../../src/mpc/party/wire.ts';
import { openAny, type Received, sealMessage } from '../../../src/mpc/signing/messages.ts';
import { SUITE_TABLE, suiteOf } from '../../../src/mpc/suites/index.ts';
import type { Suite } from '../../../src/mpc/suites/types.ts';
import type { SuiteName } from '../../../src/mpc/types.ts';
import type { SeenFrame } from '../../support/memory-net.ts';
import { type Collected, ShareCollector } from '../../support/share-collector.ts';
import { testRandom } from '../../support/world.ts';
import {
  type ClusterOptions,
  clusterId,
  forever,
  putBack,
  TestCluster,
  type TestNode,
  until,
} from './cluster.ts';

let cluster: TestCluster;
const twins: TestNode[] = [];
afterEach(async () => {
  for (const twin of twins.splice(0)) if (twin.up) await cluster.kill(twin);
  await cluster?.stop();
});

async function setUp(suite: SuiteName, t: number, n: number, setup: ClusterOptions = {}) {
  cluster = await TestCluster.start(n, setup);
  const { party } = cluster.node(0);
  await party.createKey({ name: 'main', suite, threshold: t, parties: n }, forever());
  await until('all hold it', () =>
    cluster.nodes.every((node) => node.party.keys().some(({ status }) => status === 'active')),
  );
}

let texts = 0;
/** Signs; with the faults of these tests a request may also end with a reason. */
async function sign(node: TestNode): Promise<string> {
  const message = Buffer.from(`text ${texts++}`);
  try {
    await node.party.sign({ key: 'main', message, fresh: true, timeoutMs: 3_000 }, forever());
    return 'signed';
  } catch (error) {
    return (error as { readonly code: string }).code;
  }
}

const burst = (node: TestNode, count: number): Promise<readonly string[]> =>
  Promise.all(Array.from({ length: count }, () => sign(node)));

const signed = (ends: readonly string[]): number => ends.filter((end) => end === 'signed').length;

/** What is on every wire so far. */
function collect(what: string): Collected {
  const collector = new ShareCollector(clusterId);
  for (const frame of cluster.net.frames) collector.see(frame);
  const { key, history } = cluster.node(0).deps.keyring.get('main');
  const found = collector.check([...history, key]);
  console.log(`${what}: ${found.shares} shares under ${found.commitments / 2} commitments`);
  return found;
}

function expectOneShareEach(what: string, atLeast: number): void {
  const found = collect(what);
  expect(found.violations).toEqual([]);
  expect(found.orphans).toBe(0);
  expect(found.shares).toBeGreaterThanOrEqual(atLeast);
  expect(found.commitments).toBe(2 * found.shares);
}

/** The signing message of a frame, if it has one. */
function messageIn({ topic, body }: SeenFrame): Received | undefined {
  if (topic !== TOPICS.message && topic !== TOPICS.propose) return undefined;
  const envelope =
    topic === TOPICS.message ? wire.readMessage(body).envelope : wire.readPropose(body).first;
  try {
    return envelope === null ? undefined : openAny(envelope, { clusterId, open: openEnvelope });
  } catch {
    // Of another machine.
    return undefined;
  }
}

/** Some of the frames once more, the newest first: to their receivers, and to others. */
async function replay(frames: readonly SeenFrame[], count = 150): Promise<void> {
  const direct = frames.filter(({ to, topic }) => to !== undefined && topic.startsWith('mpc/'));
  const every = Math.max(1, Math.floor(direct.length / count));
  for (const [i, frame] of direct.reverse().entries()) {
    if (i % every !== 0 || frame.to === undefined) continue;
    for (const to of [frame.to, cluster.node(i % cluster.nodes.length).peerId]) {
      cluster.net.inject({ ...frame, to });
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const restart = async (node: TestNode, boot = node.boot): Promise<void> => {
  await cluster.kill(node);
  node.boot = boot;
  await cluster.boot(node);
};

describe.each([
  ['ed25519', 2, 3],
  ['secp256k1', 3, 5],
] as const)('N1, with %s, %i of %i', (suite, t, n) => {
  it('a data directory that is copied, and runs twice at once', async () => {
    await setUp(suite, t, n);
    const [a, b] = cluster.nodes as [TestNode, TestNode];
    await burst(a, 4);
    for (const node of [a, b]) twins.push(await cluster.copy(node));
    const ends: string[] = [];
    for (let round = 0; round < 2; round++) {
      // Both processes of one identity drive, and both hear every package.
      const [one, two] = twins as [TestNode, TestNode];
      const all = await Promise.all([burst(a, 2), burst(one, 2), burst(two, 1), burst(b, 1)]);
      ends.push(...all.flat());
    }
    console.log(`copied: ${signed(ends)} of ${ends.length} requests signed`);
    expectOneShareEach(`copied, ${suite}`, 8);
  });

  it('a disk and a boot counter that go back, while drivers have old commitments', async () => {
    await setUp(suite, t, n);
    const [a, b, c] = cluster.nodes as [TestNode, TestNode, TestNode];
    await burst(a, 2);
    const backup = new Map([...b.disk].map(([key, value]) => [key, value.slice()]));
    const { boot } = b;
    await burst(a, 3);
    await cluster.kill(b);
    putBack(b, backup);
    // The run that begins now has the number of the one that has just ended.
    b.boot = boot - 1;
    await cluster.boot(b);
    await replay(cluster.net.frames.slice());
    const after = await Promise.all([burst(a, 2), burst(b, 2), burst(c, 1)]);
    await restart(a, a.boot - 1);
    await replay(cluster.net.frames.slice());
    const last = await Promise.all([burst(a, 2), burst(b, 1)]);
    expect(signed([...after.flat(), ...last.flat()])).toBeGreaterThan(0);
    expectOneShareEach(`restored, ${suite}`, 8);
  });

  it('frames that come again, out of order, to others, and after restarts', async () => {
    await setUp(suite, t, n);
    const [a, b, c] = cluster.nodes as [TestNode, TestNode, TestNode];
    let copies = 0;
    cluster.net.tamper = (frame) => {
      const { to } = frame;
      if (to !== undefined && messageIn(frame) !== undefined && copies < 300) {
        copies++;
        setTimeout(() => cluster.net.inject({ ...frame, to }), (copies * 7) % 40);
      }
      return 'pass';
    };
    const first = await burst(a, 3);
    await replay(cluster.net.frames.slice());
    const second = await Promise.all([burst(a, 1), burst(c, 1)]);
    const before = cluster.net.frames.slice();
    await restart(b);
    await replay(before);
    const third = await burst(a, 2);
    await restart(a);
    await replay(before);
    const fourth = await Promise.all([burst(a, 1), burst(b, 1)]);
    const ends = [...first, ...second.flat(), ...third, ...fourth.flat()];
    expect(copies).toBeGreaterThan(20);
    // How many depends on how fast the host is; that none ever would is another matter.
    expect(signed(ends)).toBeGreaterThan(0);
    expectOneShareEach(`replayed ${copies} frames, ${suite}`, 8);
  });

  it('one commitment that two drivers, two attempts and two sessions present', async () => {
    await setUp(suite, t, n);
    const drivers = cluster.nodes.slice(0, 2) as [TestNode, TestNode];
    // Packages of commitments that were exchanged ahead are the ones that can be presented twice.
    for (const driver of drivers) {
      await burst(driver, 1);
      await until('a pool', () => driver.party.readySignatures('main') >= 4);
    }
    let forged = 0;
    const sids: Received['message']['sid'][] = [];
    cluster.net.tamper = (frame) => {
      const received = messageIn(frame);
      if (received === undefined || forged > 300) return 'pass';
      const { author, message } = received;
      if (message.kind !== 'pooled' && message.kind !== 'package') return 'pass';
      sids.push(message.sid);
      const { v: _, sid, ...body } = message;
      const again = [
        { by: author, sid, body: { ...body, counter: body.counter + 1 } },
        { by: author, sid: sids.at(-2) ?? sid, body },
        ...drivers.map(({ peerId }) => ({ by: peerId, sid, body })),
      ];
      for (const one of again) {
        const { signer } = cluster.nodes.find(({ peerId }) => peerId === one.by) ?? drivers[0];
        const envelope = sealMessage(one.sid, one.body, { clusterId, signer });
        const packed = {
          from: one.by,
          topic: TOPICS.message,
          body: wire.message(one.sid, envelope),
        };
        for (const { peerId } of cluster.nodes) {
          if (peerId === one.by) continue;
          forged++;
          const told = { ...packed, to: peerId };
          cluster.net.frames.push(told);
          // Some come before the package that they copy, some after it.
          if (forged % 2 === 0) cluster.net.inject(told);
          else setTimeout(() => cluster.net.inject(told), forged % 5);
        }
      }
      return 'pass';
    };
    for (let round = 0; round < 2; round++) {
      await Promise.all(drivers.map((node) => burst(node, 2)));
    }
    expect(forged).toBeGreaterThan(20);
    expectOneShareEach(`${forged} packages forged, ${suite}`, 6);
  });
});

describe('the collector', () => {
  it('finds a suite that commits to the same nonces twice', async () => {
    const real = suiteOf('ed25519');
    const broken: Suite = {
      ...real,
      commit: (share) => real.commit(share, testRandom('the same for ever')),
    };
    await setUp('ed25519', 2, 3, { suites: new Map([...SUITE_TABLE, ['ed25519', broken]]) });
    await burst(cluster.node(0), 2);
    const { violations } = collect('planted');
    expect(violations.some((line) => line.startsWith('N1: '))).toBe(true);
  });

  it('finds a share that belongs to another commitment', async () => {
    await setUp('ed25519', 2, 3);
    await burst(cluster.node(0), 2);
    const frames = cluster.net.frames.flatMap((frame) => {
      const received = messageIn(frame);
      return received?.message.kind === 'share' ? [received] : [];
    });
    const [one] = frames;
    const two = frames.find(
      ({ author, message }) => author === one?.author && message.sid !== one.message.sid,
    );
    if (one?.message.kind !== 'share' || two?.message.kind !== 'share') throw new Error('few');
    const { signer } = cluster.nodes.find(({ peerId }) => peerId === one.author)!;
    const { sid, attempt } = one.message;
    const { share } = two.message;
    const envelope = sealMessage(sid, { kind: 'share', attempt, share }, { clusterId, signer });
    const to = cluster.node(0).peerId;
    const body = wire.message(sid, envelope);
    cluster.net.frames.push({ from: one.author, to, topic: TOPICS.message, body });
    const { violations } = collect('spliced');
    expect(violations).toHaveLength(1);
    expect(violations[0]).toContain('not made with its commitment');
  });
});
