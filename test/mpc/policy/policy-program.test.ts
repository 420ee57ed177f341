import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionId } from '../../../src/base/brands.ts';
import type { Logger } from '../../../src/base/ports.ts';
import {
  type PolicyQuestion,
  type PolicyVerdict,
  policyGate,
} from '../../../src/mpc/policy/policy-program.ts';
import { quietLogger, testClock } from '../../support/world.ts';
import { forever, TestCluster, until } from '../party/cluster.ts';

const question = (n: number): PolicyQuestion => ({
  v: 1,
  sessionId: `${n}` as SessionId,
  key: { keyId: 'aa', name: 'release', suite: 'ed25519' },
  purpose: '',
  requester: 'ann',
  policy: 'auto',
  messageHash: 'bb',
  messageSize: 1,
  message: '00',
});
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('the gate in front of a policy program', () => {
  function setup() {
    const clock = testClock();
    const runs: { id: string; end: (verdict: PolicyVerdict) => void; fail: (e: Error) => void }[] =
      [];
    const lines: object[] = [];
    const logger: Logger = { ...quietLogger, info: (fields) => void lines.push(fields) };
    const gate = policyGate(
      ({ sessionId }) =>
        new Promise((end, fail) => {
          runs.push({ id: sessionId, end, fail });
        }),
      { clock, logger },
    );
    return { clock, runs, lines, gate };
  }

  it('runs four at once; the next begins when one ends', async () => {
    const { runs, gate } = setup();
    const asked = [0, 1, 2, 3, 4, 5].map((n) => gate(question(n)));
    await settle();
    expect(runs.map(({ id }) => id)).toEqual(['0', '1', '2', '3']);
    runs[2]?.end({ ok: true });
    expect(await asked[2]).toEqual({ ok: true });
    await settle();
    expect(runs.map(({ id }) => id)).toEqual(['0', '1', '2', '3', '4']);
    for (const run of runs) run.end({ ok: true });
    await settle();
    runs[5]?.end({ ok: false, reason: 'no' });
    expect(await asked[5]).toEqual({ ok: false, reason: 'no' });
  });

  it('P3: says no where too many wait, and to those who waited too long', async () => {
    const { clock, runs, gate } = setup();
    const busy = { ok: false, reason: 'too many requests wait for the policy program' };
    const asked = Array.from({ length: 68 }, (_, n) => gate(question(n)));
    expect(await gate(question(99))).toEqual(busy);
    clock.advance(2_000);
    expect(await asked[67]).toEqual(busy);
    for (const run of runs) run.end({ ok: true });
    expect(await asked[0]).toEqual({ ok: true });
    await settle();
    expect(runs).toHaveLength(4);
    // All places are free again.
    for (let n = 100; n < 104; n++) void gate(question(n));
    await settle();
    expect(runs).toHaveLength(8);
  });

  it('takes a failure for a no, frees its place, and logs every verdict', async () => {
    const { runs, gate, lines } = setup();
    for (let n = 0; n < 5; n++) {
      const asked = gate(question(n));
      await settle();
      runs[n]?.fail(new Error('broken'));
      expect(await asked).toEqual({ ok: false, reason: 'broken' });
    }
    expect(lines).toHaveLength(5);
    expect(lines[0]).toMatchObject({ key: 'release', ok: false, reason: 'broken' });
  });
});

describe('rules of a key in a cluster', () => {
  let cluster: TestCluster;
  const verdicts = new Map<string, PolicyVerdict>();
  const asked: { readonly node: string; readonly question: PolicyQuestion }[] = [];
  beforeAll(async () => {
    cluster = await TestCluster.start(3, {
      judge: (node) => async (one) => {
        asked.push({ node, question: one });
        return verdicts.get(node) ?? { ok: true };
      },
    });
    const limits = { messageBytes: 32, perMinute: 3 };
    const common = { suite: 'ed25519', threshold: 2, parties: 3, purpose: 'releases' };
    const { party } = cluster.node(0);
    await party.createKey({ name: 'limited', limits, ...common }, forever());
    await party.createKey({ name: 'judged', ...common }, forever());
    await until('everywhere', () => cluster.nodes.every((n) => n.party.keys().length === 2));
  });
  afterAll(() => cluster.stop());

  const sign = (node: number, key: string, text: string) =>
    cluster
      .node(node)
      .party.sign({ key, message: new TextEncoder().encode(text), fresh: false }, forever())
      .then(
        (signed) => ({ ok: true as const, signed }),
        (error: unknown) => ({ ok: false as const, error }),
      );

  it('a key that sets a size takes nothing longer, and says which rule', async () => {
    expect(await sign(0, 'limited', 'x'.repeat(33))).toMatchObject({
      error: { code: 'REFUSED_BY_POLICY', details: { rule: 'size' } },
    });
    expect(await sign(0, 'limited', 'x'.repeat(32))).toMatchObject({ ok: true });
  });

  it('a key that sets a rate counts each requester; what was signed already is no request', async () => {
    for (const text of ['two', 'three', 'three', 'three']) {
      expect(await sign(0, 'limited', text)).toMatchObject({ ok: true });
    }
    expect(await sign(0, 'limited', 'four')).toMatchObject({
      error: { code: 'REFUSED_BY_POLICY', details: { rule: 'rate' } },
    });
    expect(await sign(1, 'limited', 'one of another requester')).toMatchObject({ ok: true });
  });

  it('every holder asks its own program; enough that say yes sign', async () => {
    asked.length = 0;
    verdicts.set('node2', { ok: false, reason: 'not on a Friday' });
    const done = await sign(0, 'judged', 'with two of three');
    const [a, b] = [cluster.node(0).peerId, cluster.node(1).peerId];
    expect(done).toMatchObject({ ok: true, signed: { signers: [a, b].sort() } });
    expect(new Set(asked.map(({ node }) => node))).toEqual(new Set(['node0', 'node1', 'node2']));
    expect(asked[0]?.question).toMatchObject({
      key: { name: 'judged' },
      purpose: 'releases',
      requester: a,
      messageSize: 17,
      message: Buffer.from('with two of three').toString('hex'),
    });
  });

  it('too many that say no: the requester reads rule and reason of each holder', async () => {
    verdicts.set('node1', { ok: false, reason: 'too big a day' });
    verdicts.set('node2', { ok: false, reason: 'not on a Friday' });
    const done = await sign(0, 'judged', 'with one of three');
    const refused = [1, 2].map((i) => ({
      peerId: cluster.node(i).peerId,
      code: 'REFUSED_BY_POLICY',
      rule: 'program',
      reason: expect.stringContaining(i === 1 ? 'too big a day' : 'not on a Friday'),
    }));
    expect(done).toMatchObject({
      error: {
        code: 'REFUSED_BY_POLICY',
        details: { rule: 'program', refused: expect.arrayContaining(refused) },
      },
    });
  });

  it('the requester’s own program comes first: nothing leaves when it says no', async () => {
    verdicts.clear();
    verdicts.set('node0', { ok: false, reason: 'not from here' });
    asked.length = 0;
    expect(await sign(0, 'judged', 'not at all')).toMatchObject({
      error: { code: 'REFUSED_BY_POLICY', details: { rule: 'program' } },
    });
    expect(asked.map(({ node }) => node)).toEqual(['node0']);
  });
});
