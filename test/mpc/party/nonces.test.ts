/** Commitments between real party services: filled in the background, used, and lost. */
import { afterEach, describe, expect, it } from 'vitest';
import { openEnvelope } from '../../../src/base/envelope.ts';
import { wire } from '../../../src/mpc/party/wire.ts';
import { openAny, unpackResult } from '../../../src/mpc/signing/messages.ts';
import type { KeyInfo } from '../../../src/mpc/types.ts';
import { clusterId, forever, TestCluster, type TestNode, until } from './cluster.ts';

let cluster: TestCluster;
afterEach(() => cluster?.stop());

const sign = (node: TestNode, text: string) =>
  node.party.sign({ key: 'main', message: Buffer.from(text), fresh: false }, forever());

async function setUp(threshold: number, n: number): Promise<KeyInfo> {
  cluster = await TestCluster.start(n);
  const { party, deps } = cluster.node(0);
  await party.createKey({ name: 'main', suite: 'ed25519', threshold, parties: n }, forever());
  await until('all hold it', () =>
    cluster.nodes.every((node) => node.party.keys().some((key) => key.status === 'active')),
  );
  return deps.keyring.get('main').key;
}

/** Signs until the pool of a node has some. A holder that could not answer is asked next time. */
async function warm(node: TestNode): Promise<void> {
  for (let i = 0; node.party.readySignatures('main') < 3; i++) {
    if (i > 200) throw new Error('the pool is never filled');
    if (i % 20 === 0) await sign(node, `${node.name} ${node.boot} ${cluster.net.frames.length}`);
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
}

/** Signs once, and tells what the machines said to each other about it. */
async function kindsOf(node: TestNode, text: string): Promise<readonly string[]> {
  const from = cluster.net.frames.length;
  const { sessionId } = await sign(node, text);
  return cluster.net.frames.slice(from).flatMap(({ topic, body }) => {
    const isMessage = topic === 'mpc/msg';
    if (!isMessage && topic !== 'mpc/propose') return [];
    const envelope = isMessage ? wire.readMessage(body).envelope : wire.readPropose(body).first;
    if (envelope === null || unpackResult(envelope) !== undefined) return [];
    const { message } = openAny(envelope, { clusterId, open: openEnvelope });
    return message.sid === sessionId ? [message.kind] : [];
  });
}

describe('commitments that were exchanged ahead', () => {
  it('make a signature from one frame to each signer; nobody asks for commitments', async () => {
    await setUp(3, 5);
    await warm(cluster.node(0));
    const kinds = await kindsOf(cluster.node(0), 'one exchange');
    expect(kinds.slice(0, 2)).toEqual(['pooled', 'pooled']);
    expect(kinds).not.toContain('commitRequest');
    const frames = cluster.net.frames.filter(({ topic }) => topic === 'mpc/propose').slice(-2);
    // Proposal, message and package in one frame.
    for (const { body } of frames) expect(wire.readPropose(body).message).not.toBeNull();
  });

  it('a restarted holder lost its pairs: signing goes on, and they are exchanged anew', async () => {
    await setUp(2, 3);
    const node = cluster.node(0);
    await warm(node);
    for (const i of [1, 2]) {
      await cluster.kill(cluster.node(i));
      await cluster.boot(cluster.node(i));
    }
    await until('connected', () => node.deps.direct.connected().length === 2);
    const kinds = await kindsOf(node, 'after the restart');
    expect(kinds).toContain('spent');
    expect(kinds).not.toContain('blame');
    await warm(node);
    const next = await kindsOf(node, 'and then');
    expect(next).toContain('pooled');
    expect(next).not.toContain('blame');
  });

  it('a restarted driver begins anew', async () => {
    await setUp(2, 3);
    await warm(cluster.node(0));
    await cluster.kill(cluster.node(0));
    await cluster.boot(cluster.node(0));
    await until('connected', () => cluster.node(0).deps.direct.connected().length === 2);
    await warm(cluster.node(0));
    const kinds = await kindsOf(cluster.node(0), 'second run');
    expect(kinds).toContain('pooled');
    expect(kinds).not.toContain('spent');
  });

  it('P3: a driver that asks without end is told to wait, and strangers to the key get none', async () => {
    const key = await setUp(2, 3);
    const { direct } = cluster.node(1).deps;
    const { writeAsk } = await import('../../../src/mpc/nonces/batch.ts');
    const ask = { keyId: key.keyId, epoch: key.epoch, driverBoot: 1, count: 32 };
    const holder = cluster.node(2).peerId;
    const tell = (more: Partial<typeof ask>) =>
      direct.request(holder, 'mpc/nonces', writeAsk({ ...ask, ...more })).then(
        () => 'given',
        (error: { code: string }) => error.code,
      );
    expect(await tell({ epoch: 3 })).toBe('CONFLICT');
    expect(await tell({ keyId: '00'.repeat(32) as typeof key.keyId })).toBe('NOT_FOUND');
    const both = await Promise.all([tell({}), tell({})]);
    expect(both.sort()).toEqual(['BUSY', 'given']);
  });
});
