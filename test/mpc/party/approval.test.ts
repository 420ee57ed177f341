/** Keys with policy `approve`: an operator on each holder says yes or no. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { forever, TestCluster, until } from './cluster.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start(3, { options: { signPolicy: 'approve' } });
  const common = { suite: 'ed25519', threshold: 2, parties: 3, purpose: 'payments' };
  const made = await cluster.node(0).party.createKey({ name: 'pay', ...common }, forever());
  // BZZZ_SIGN_POLICY stands in for a policy that is not named.
  expect(made.policy).toBe('approve');
  await until('everywhere', () => cluster.nodes.every((n) => n.party.keys().length === 1));
});
afterAll(() => cluster.stop());

const ask = (text: string, timeoutMs = 15_000) =>
  cluster
    .node(0)
    .party.sign({ key: 'pay', message: utf8Bytes(text), fresh: false, timeoutMs }, forever())
    .then(
      (signed) => ({ signed }),
      (error: unknown) => ({ error }),
    );
const waiting = (i: number) =>
  cluster
    .node(i)
    .party.sessions()
    .filter(({ approval }) => approval?.state === 'waiting');
const asked = async (i: number): Promise<string> => {
  await until(`node ${i} is asked`, () => waiting(i).length > 0);
  return waiting(i)[0]?.sessionId ?? '';
};

describe('a key with policy approve', () => {
  it('shows what waits: purpose, requester, hash and size; one yes is enough for 2 of 3', async () => {
    const answer = ask('100 to Ann');
    const sid = await asked(1);
    expect(cluster.node(1).party.session(sid.slice(0, 12)).approval).toEqual({
      state: 'waiting',
      key: 'pay',
      purpose: 'payments',
      requester: cluster.node(0).peerId,
      messageHash: toHex(sha256(utf8Bytes('100 to Ann'))),
      messageSize: 10,
    });
    // The requester's own operator has said yes by asking.
    expect(waiting(0)).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(cluster.node(0).party.session(sid).state).not.toBe('completed');
    expect((await cluster.node(1).party.approve(sid)).approval?.state).toBe('approved');
    const [a, b] = [cluster.node(0).peerId, cluster.node(1).peerId];
    expect(await answer).toMatchObject({ signed: { signers: [a, b].sort() } });
    await until('nobody waits', () => waiting(2).length === 0);
    expect(cluster.node(2).party.session(sid)).toMatchObject({
      state: 'completed',
      approval: { state: 'over' },
    });
    await expect(cluster.node(2).party.approve(sid)).rejects.toMatchObject({ code: 'CONFLICT' });
    const states = cluster
      .node(1)
      .events.flatMap(({ kind, data }) => (kind === 'session.approval' ? [data.state] : []));
    expect(states).toEqual(['waiting', 'approved']);
  });

  it('a denial reaches the requester with its reason, and is final', async () => {
    const answer = ask('100 to Ben');
    const sid = await asked(1);
    await asked(2);
    await cluster.node(1).party.deny(sid, 'Ben is not on the list');
    await cluster.node(2).party.deny(sid, '');
    const [b, c] = [cluster.node(1).peerId, cluster.node(2).peerId];
    const refused = [
      [b, 'denied by an operator: Ben is not on the list'],
      [c, 'denied by an operator'],
    ].map(([peerId, reason]) => ({
      ...{ peerId, reason },
      ...{ code: 'REFUSED_BY_POLICY', rule: 'approval' },
    }));
    expect(await answer).toMatchObject({
      error: {
        code: 'REFUSED_BY_POLICY',
        details: { rule: 'approval', refused: expect.arrayContaining(refused) },
      },
    });
    await expect(cluster.node(1).party.approve(sid)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(cluster.node(1).party.session(sid).approval?.state).toBe('denied');
  });

  it('S1: nobody answers: the session ends with its deadline on every holder', async () => {
    const answer = ask('100 to nobody', 600);
    const sid = await asked(1);
    expect(await answer).toMatchObject({ error: { code: 'SESSION_EXPIRED' } });
    await until('it ends', () => cluster.node(1).party.session(sid).state === 'expired');
    expect(cluster.node(1).party.session(sid).approval?.state).toBe('over');
    await expect(cluster.node(1).party.approve(sid)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('after a restart the operator is asked again, and the answer still counts', async () => {
    const answer = ask('100 to Carl');
    const sid = await asked(1);
    await cluster.kill(cluster.node(1));
    await cluster.boot(cluster.node(1));
    await until('asked again', () => waiting(1).length > 0);
    await cluster.node(1).party.approve(sid);
    expect(await answer).toHaveProperty('signed');
  });

  it('another kind of session waits for nobody', async () => {
    const [session] = cluster
      .node(1)
      .party.sessions()
      .filter(({ kind }) => kind === 'keygen');
    await expect(cluster.node(1).party.approve(session?.sessionId ?? '')).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    await expect(cluster.node(1).party.deny('ffff', '')).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});
