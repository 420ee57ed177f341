/** Holders that wait for their operators (policy `approve`): no share in the machine, no signature. */
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import type { SealedProposal, SignProposal } from '../../../src/mpc/types.ts';
import { Net, peer } from './net.ts';

const message = utf8Bytes('ask first');
const ALL = [1, 2, 3, 4, 5].map(peer);

/** Peer 1 asks; the holders in `waiting` have a machine without their share. */
function session(waiting: readonly PeerId[], ttlMs = 60_000) {
  const net = new Net({ threshold: 3, n: 5 });
  const sealed = net.proposal(peer(1), message, { ttlMs });
  const { startOf } = net;
  net.startOf = function withheld(
    peerId: PeerId,
    proposal: SealedProposal<SignProposal>,
    bytes: Uint8Array,
  ) {
    const { share, ...start } = startOf.call(net, peerId, proposal, bytes);
    return waiting.includes(peerId) || share === undefined ? start : { ...start, share };
  };
  net.beginAll(sealed, message, 0);
  const approve = (who: PeerId, atMs: number) =>
    net.at(atMs, () => {
      const share = net.dealt.shares.get(who);
      if (share !== undefined) net.input(who, sealed.sid, { type: 'approved', share });
    });
  return { net, sid: sealed.sid, approve };
}

describe('holders that wait for their operators', () => {
  it('sign nothing, drive nothing and commit to nothing, whatever a driver asks', () => {
    const { net, sid } = session([2, 3, 4, 5].map(peer));
    net.run(20_000);
    for (const one of ALL) expect(net.outcomes(one, sid)).toEqual([]);
    for (const one of [2, 3, 4, 5].map(peer)) {
      const { state } = net.machine(one, sid);
      expect([state.counter, state.drive]).toEqual([0, undefined]);
    }
    const said = new Set(net.sent.filter(({ from }) => from !== peer(1)).map(({ from }) => from));
    expect([...said]).toEqual([]);
    expect(net.named()).toEqual([]);
  });

  it('sign as soon as the last one needed said yes, without waiting for the next question', () => {
    const { net, sid, approve } = session([2, 3, 4, 5].map(peer));
    approve(peer(4), 5_000);
    approve(peer(2), 9_000);
    net.runUntil(() => net.outcomes(peer(1), sid).length > 0);
    expect(net.completion(peer(1), sid).result.signers).toEqual([1, 2, 4].map(peer));
    expect(net.now).toBeLessThan(9_050);
    net.run();
    // Nobody else has to answer any more: they end with the signature of the others.
    for (const one of ALL) expect(net.outcomes(one, sid).at(-1)?.state).toBe('completed');
    expect(net.toy.liveNonces()).toBe(0);
  });

  it('refuse with their reason, and too many of them end the session at once (S4)', () => {
    const { net, sid } = session([2, 3, 4, 5].map(peer));
    for (const [i, who] of [2, 3, 4].map(peer).entries()) {
      const reason = `denied by an operator: not today ${i}`;
      const refusal = { code: 'REFUSED_BY_POLICY', rule: 'approval', reason } as const;
      net.at(1_000, () => net.input(who, sid, { type: 'withdraw', ...refusal }));
    }
    net.run(1_100);
    const [outcome] = net.outcomes(peer(1), sid);
    expect(outcome).toMatchObject({
      state: 'failed',
      culprits: [],
      error: {
        code: 'REFUSED_BY_POLICY',
        details: {
          rule: 'approval',
          refused: [2, 3, 4].map((n, i) => ({
            peerId: peer(n),
            code: 'REFUSED_BY_POLICY',
            rule: 'approval',
            reason: `denied by an operator: not today ${i}`,
          })),
        },
      },
    });
    expect(outcome?.state === 'failed' && outcome.error.why).toContain('not today 1');
  });

  it('S1: end with the deadline; a yes after it does nothing, and leaves no nonce', () => {
    const { net, sid, approve } = session([2, 3, 4, 5].map(peer), 3_000);
    approve(peer(2), 4_000);
    approve(peer(3), 4_000);
    net.run(10_000);
    for (const one of ALL) expect(net.outcomes(one, sid).at(-1)?.state).toBe('expired');
    expect(net.machine(peer(2), sid).state.session.start.share).toBeUndefined();
    expect(net.toy.liveNonces()).toBe(0);
  });

  it('take a share once, and only their own', () => {
    const { net, sid, approve } = session([peer(2)]);
    net.wire = () => [];
    net.run(0);
    approve(peer(2), 0);
    approve(peer(2), 0);
    net.run(1);
    expect(net.machine(peer(2), sid).state.counter).toBe(1);
    const other = session([peer(2)]);
    other.net.wire = () => [];
    other.net.run(0);
    const share = other.net.dealt.shares.get(peer(3));
    if (share === undefined) throw new Error('no share');
    expect(() => other.net.input(peer(2), other.sid, { type: 'approved', share })).toThrow(
      'the share of this holder',
    );
  });
});
