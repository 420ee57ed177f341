/** Sessions in which nobody misbehaves: they complete, everywhere, with one verifying signature. */
import { describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { openResult, verifyResult } from '../../../src/mpc/result.ts';
import { rankHolders } from '../../../src/mpc/signing/rank.ts';
import { CLUSTER, Net, peer, toyOpen } from './net.ts';

const message = utf8Bytes('a message');

describe('a signing session', () => {
  it.each([
    [2, 2],
    [2, 3],
    [3, 5],
    [4, 7],
    [7, 10],
    [16, 16],
  ])('completes on every holder with one signature, %d of %d (R50, R57, S1)', (t, n) => {
    const net = new Net({ threshold: t, n });
    const sealed = net.proposal(peer(1), message);
    net.beginAll(sealed, message);
    net.run();
    const signatures = new Set<string>();
    for (let i = 1; i <= n; i++) {
      const { outcomes, state } = net.machine(peer(i), sealed.sid);
      expect(outcomes.map((o) => o.state)).toEqual(['completed']);
      expect(state.timers.size).toBe(0);
      const outcome = net.completion(peer(i), sealed.sid);
      expect(outcome.attempts).toBe(1);
      expect(outcome.culprits).toEqual([]);
      expect(outcome.result.signers).toHaveLength(t);
      expect(net.suite.verify(net.dealt.key.groupKey, message, outcome.result.signature)).toBe(
        true,
      );
      signatures.add(Buffer.from(outcome.result.signature).toString('hex'));
      const opened = openResult(outcome.record, CLUSTER, toyOpen);
      const { key } = net.dealt;
      expect(verifyResult(opened, { key, message, suite: net.suite }).verified).toBe(true);
    }
    expect(signatures.size).toBe(1);
    expect(net.toy.violations).toEqual([]);
    expect(net.toy.liveNonces()).toBe(0);
  });

  it('completes with the signers 1, 3 and 5 of a 3-of-5 key, as identifiers of key generation', () => {
    const net = new Net({ threshold: 3, n: 5 });
    net.kill(peer(2));
    net.kill(peer(4));
    const sealed = net.proposal(peer(1), message);
    net.beginAll(sealed, message);
    net.run();
    const outcome = net.completion(peer(5), sealed.sid);
    expect(outcome.result.signers).toEqual([peer(1), peer(3), peer(5)]);
  });

  it('completes with every threshold-sized set of holders', () => {
    for (let mask = 0; mask < 32; mask++) {
      const alive = [1, 2, 3, 4, 5].filter((i) => mask & (1 << (i - 1)));
      if (alive.length !== 3) continue;
      const net = new Net({ threshold: 3, n: 5 });
      for (const i of [1, 2, 3, 4, 5]) if (!alive.includes(i)) net.kill(peer(i));
      const proposer = peer(alive[0] ?? 0);
      const sealed = net.proposal(proposer, message);
      net.beginAll(sealed, message);
      net.run();
      const outcome = net.completion(proposer, sealed.sid);
      expect(outcome.result.signers).toEqual(alive.map(peer));
    }
  });

  it('is driven by a proposer that holds no share; a holder seals the result', () => {
    const net = new Net({ threshold: 2, n: 3 });
    const proposer = peer(9);
    const sealed = net.proposal(proposer, message);
    net.beginAll(sealed, message);
    net.run();
    const outcome = net.completion(proposer, sealed.sid);
    const opened = openResult(outcome.record, CLUSTER, toyOpen);
    expect([peer(1), peer(2), peer(3)]).toContain(opened.author);
    expect(net.sent.some(({ from }) => from === proposer)).toBe(true);
  });

  it('takes two round trips and a broadcast: nobody waits for a timer', () => {
    const net = new Net({ threshold: 3, n: 5 });
    const sealed = net.proposal(peer(1), message);
    net.beginAll(sealed, message, 0);
    net.runUntil(() => net.outcomes(peer(1), sealed.sid).length > 0);
    // Request, commitment, package, share: 1 ms each.
    expect(net.now).toBe(4);
  });

  it('waits for slow commitments without wasting an attempt', () => {
    const net = new Net({ threshold: 3, n: 3 });
    net.wire = ({ envelope, message: { kind } }) => [
      { envelope, delayMs: kind === 'commitment' ? 250 : 1 },
    ];
    const sealed = net.proposal(peer(2), message);
    net.beginAll(sealed, message);
    net.run();
    expect(net.completion(peer(2), sealed.sid).attempts).toBe(1);
  });

  it('is the same step on the same state: the state that was passed in does not change', () => {
    const net = new Net({ threshold: 2, n: 3 });
    const sealed = net.proposal(peer(1), message);
    net.beginAll(sealed, message);
    const seen: { before: unknown; text: string }[] = [];
    const show = (state: unknown): string =>
      JSON.stringify(state, (_, value) =>
        value instanceof Map || value instanceof Set ? [...value] : value,
      );
    net.beforeStep = (n, peerId) => {
      const before = n.node(peerId).sessions.get(sealed.sid)?.state;
      if (before !== undefined) seen.push({ before, text: show(before) });
    };
    net.run();
    expect(seen.length).toBeGreaterThan(10);
    for (const { before, text } of seen) expect(show(before)).toBe(text);
  });

  it('ranks every holder but the proposer, in another order for another request', () => {
    const holders = [1, 2, 3, 4, 5].map(peer);
    const net = new Net({ threshold: 3, n: 5 });
    const orders = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const { requestId } = net.proposal(peer(1), utf8Bytes(`message ${i}`)).proposal;
      const order = rankHolders(requestId, peer(1), holders);
      expect([...order].sort()).toEqual(holders.slice(1).sort());
      expect(rankHolders(requestId, peer(1), [...holders].reverse())).toEqual(order);
      orders.add(order.join());
    }
    expect(orders.size).toBeGreaterThan(5);
  });
});

describe('what the proposal binds (S2)', () => {
  const net = new Net({ threshold: 2, n: 3 });
  const open = (extra: object, text = message) => {
    const sealed = net.proposal(peer(1), message, extra);
    return () => net.begin(peer(2), sealed, text);
  };

  it.each([
    ['another message', {}, utf8Bytes('another message')],
    ['another purpose', { purpose: 'payments' }, message],
    ['another threshold', { threshold: 3 }, message],
    ['another suite', { suite: 'secp256k1-tr' }, message],
    ['another key', { keyId: 'a'.repeat(64) }, message],
    ['another epoch of the key', { keyEpoch: 1 }, message],
    ['another request id', { requestId: 'b'.repeat(64) }, message],
  ])('refuses %s', (_, extra, text) => {
    open(extra, text)();
    expect(() => net.run()).toThrowError(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });

  it('refuses a message over the limit with the advice to sign a digest', () => {
    const big = new Uint8Array(1_048_577);
    const sealed = net.proposal(peer(1), big);
    net.begin(peer(2), sealed, big);
    expect(() => net.run()).toThrowError(expect.objectContaining({ code: 'TOO_LARGE' }));
  });

  it('refuses a share of another party, and a node without any part in it', () => {
    const sealed = net.proposal(peer(1), message);
    const share = net.dealt.shares.get(peer(3));
    net.begin(peer(2), sealed, message, 0, share === undefined ? {} : { share });
    expect(() => net.run()).toThrowError(expect.objectContaining({ code: 'BAD_MESSAGE' }));
    net.begin(peer(9), sealed, message);
    expect(() => net.run()).toThrowError(expect.objectContaining({ code: 'BAD_MESSAGE' }));
  });
});
