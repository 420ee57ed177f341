/** Refusal, withdrawal, cancellation, and that everything a session holds ends with it (R55). */
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import type { SigningNonces } from '../../../src/mpc/suites/types.ts';
import { toySuite } from '../../support/toy-suite.ts';
import { Net, peer } from './net.ts';

const message = utf8Bytes('the end');
const ALL = [1, 2, 3, 4, 5].map(peer);

function session(proposer = peer(1)) {
  const net = new Net({ threshold: 3, n: 5 });
  const sealed = net.proposal(proposer, message);
  net.beginAll(sealed, message, 0);
  return { net, sid: sealed.sid };
}

/** Nothing is left of an ended session but its result. */
function expectNothingHeld({ net, sid }: ReturnType<typeof session>, nodes = ALL): void {
  for (const one of nodes) {
    const { state, timers } = net.machine(one, sid);
    expect(timers.size).toBe(0);
    expect([state.timers.size, state.attempts.size, state.early.size]).toEqual([0, 0, 0]);
    expect(state.drive).toBeUndefined();
  }
  expect(net.toy.liveNonces()).toBe(0);
}

describe('refusals', () => {
  it('of n - t + 1 holders end the session at once, with the reason of each (S4)', () => {
    const run = session(peer(1));
    const { net, sid } = run;
    net.wire = ({ envelope }) => [{ envelope, delayMs: 5 }];
    for (const i of [2, 3, 4]) {
      net.at(0, () => net.input(peer(i), sid, { type: 'withdraw', code: 'REFUSED_BY_POLICY' }));
    }
    net.run(20);
    expect(net.outcomes(peer(1), sid)).toEqual([
      expect.objectContaining({
        state: 'failed',
        culprits: [],
        error: expect.objectContaining({
          code: 'REFUSED_BY_POLICY',
          details: {
            refused: [2, 3, 4].map((i) => ({ peerId: peer(i), code: 'REFUSED_BY_POLICY' })),
            culprits: [],
          },
        }),
      }),
    ]);
    net.run();
    for (const one of ALL) expect(net.outcomes(one, sid).at(-1)?.state).toBe('failed');
    expectNothingHeld(run);
  });

  it('that answer the proposal itself count the same', () => {
    const { net, sid } = session();
    net.wire = () => [];
    net.run(0);
    for (const i of [3, 4]) {
      net.input(peer(1), sid, { type: 'refused', from: peer(i), code: 'UNAUTHORISED' });
      net.input(peer(1), sid, { type: 'refused', from: peer(i), code: 'UNAUTHORISED' });
    }
    expect(net.outcomes(peer(1), sid)).toEqual([]);
    net.input(peer(1), sid, { type: 'refused', from: peer(9), code: 'UNAUTHORISED' });
    expect(net.outcomes(peer(1), sid)).toEqual([]);
    net.input(peer(1), sid, { type: 'refused', from: peer(5), code: 'KEYSTORE_LOCKED' });
    expect(net.outcomes(peer(1), sid)[0]).toMatchObject({ error: { code: 'REFUSED_BY_POLICY' } });
  });

  it('of n - t holders leave it to the others, and nobody is silent or faulty', () => {
    const { net, sid } = session();
    for (const i of [2, 3]) {
      net.at(0, () => net.input(peer(i), sid, { type: 'withdraw', code: 'REFUSED_BY_POLICY' }));
    }
    net.run();
    expect(net.completion(peer(1), sid).result.signers).toEqual([1, 4, 5].map(peer));
    // Those who refused learn the result all the same.
    for (const i of [2, 3]) {
      expect(net.outcomes(peer(i), sid).map(({ state }) => state)).toEqual(['failed', 'completed']);
    }
    expect(net.named()).toEqual([]);
  });
});

describe('cancellation', () => {
  it('by the proposer ends it everywhere', () => {
    const run = session();
    const { net, sid } = run;
    net.wire = ({ envelope, message: { kind } }) =>
      kind === 'package' ? [] : [{ envelope, delayMs: 1 }];
    net.run(10);
    const reason = 'x'.repeat(1_000);
    net.input(peer(1), sid, { type: 'cancel', by: peer(1), reason });
    net.run();
    for (const one of ALL) {
      const [outcome] = net.outcomes(one, sid);
      expect(outcome).toMatchObject({ state: 'cancelled', error: { code: 'CANCELLED' } });
    }
    expectNothingHeld(run);
  });

  it('by anyone else is refused; one who asks for it withdraws itself', () => {
    const { net, sid } = session();
    net.wire = () => [];
    net.run(0);
    const forged = net.seal(peer(2), sid, { kind: 'cancel', reason: 'mine now' });
    net.inject(peer(2), peer(3), sid, forged);
    net.input(peer(3), sid, { type: 'cancel', by: peer(2), reason: 'mine now' });
    expect(net.machine(peer(3), sid).state.phase).toBe('running');
    expect(net.machine(peer(3), sid).ignored).toHaveLength(2);
    net.input(peer(3), sid, { type: 'cancel', by: peer(3), reason: 'not me' });
    expect(net.outcomes(peer(3), sid)[0]).toMatchObject({ state: 'failed' });
    expect(net.machine(peer(1), sid).state.phase).toBe('running');
  });
});

describe('an ended session', () => {
  it('holds no timer, no attempt and no nonce, a hundred times over (R55)', () => {
    for (let i = 0; i < 100; i++) {
      const net = new Net({ threshold: 2, n: 2 });
      const sealed = net.proposal(peer(1), message, { ttlMs: 5 + i * 5, salt: i });
      net.wire = ({ envelope, message: { kind } }) =>
        kind === 'share' ? [] : [{ envelope, delayMs: 3 }];
      net.beginAll(sealed, message, 0);
      net.run();
      const both = ALL.slice(0, 2);
      for (const one of both) expect(net.outcomes(one, sealed.sid)[0]?.state).toBe('expired');
      expectNothingHeld({ net, sid: sealed.sid }, both);
    }
  });

  it('stays as it is whatever else comes (S1)', () => {
    const { net, sid } = session();
    net.run();
    const before = net.machine(peer(2), sid).state;
    net.input(peer(2), sid, { type: 'start' });
    net.input(peer(2), sid, { type: 'timer', name: 'deadline' });
    net.input(peer(2), sid, { type: 'timer', name: 'drive' });
    net.input(peer(2), sid, { type: 'cancel', by: peer(1), reason: 'too late' });
    net.input(peer(2), sid, { type: 'withdraw', code: 'REFUSED_BY_POLICY' });
    net.input(peer(2), sid, { type: 'superseded', by: sid, bound: false });
    net.input(peer(2), sid, { type: 'resumed' });
    for (const { to, envelope, from } of [...net.sent]) {
      if (to === peer(2)) net.inject(from, to, sid, envelope);
    }
    expect(net.machine(peer(2), sid).state).toEqual(before);
    expect(net.outcomes(peer(2), sid)).toHaveLength(1);
  });
});

describe('nonces', () => {
  it('are in no state, effect, event or message (N3)', () => {
    const canary = 'canary-of-a-nonce';
    const inner = toySuite();
    const marked = new WeakMap<SigningNonces, SigningNonces>();
    const own = (nonces: SigningNonces): SigningNonces => marked.get(nonces) ?? nonces;
    const suite = {
      ...inner,
      commit: (...args: Parameters<typeof inner.commit>) => {
        const { nonces, commitment } = inner.commit(...args);
        const visible = { secret: 'nonces', canary } as const;
        marked.set(visible, nonces);
        return { nonces: visible, commitment };
      },
      wipeNonces: (nonces: SigningNonces) => inner.wipeNonces(own(nonces)),
      signShare: (...[key, share, nonces, ...rest]: Parameters<typeof inner.signShare>) =>
        inner.signShare(key, share, own(nonces), ...rest),
    };
    const net = new Net({ threshold: 3, n: 5, suite });
    const sealed = net.proposal(peer(1), message);
    let live = 0;
    const look = (what: unknown) => {
      const text = inspect(what, { depth: 20, showHidden: true }) + JSON.stringify(what);
      expect(text).not.toContain(canary);
    };
    net.beforeStep = (n) => {
      live = Math.max(live, inner.liveNonces());
      for (const { sessions } of n.nodes.values()) {
        for (const { state, events, outcomes } of sessions.values())
          look([state, events, outcomes]);
      }
    };
    net.beginAll(sealed, message);
    net.runUntil(() => net.outcomes(peer(5), sealed.sid).length > 0);
    expect(live).toBeGreaterThan(3);
    for (const { envelope } of net.sent) expect(Buffer.from(envelope).includes(canary)).toBe(false);
    net.completion(peer(5), sealed.sid);
  });
});
