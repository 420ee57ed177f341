import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { checkComposition } from '../../src/mpc/composition.ts';
import { type AnnouncedParty, staticPool } from '../../src/mpc/pool.ts';
import { checkParticipants, selectParties } from '../../src/mpc/selection.ts';

const party = (name: string, change: Partial<AnnouncedParty> = {}): AnnouncedParty => ({
  peerId: name as PeerId,
  role: 'persistent',
  ready: true,
  draining: false,
  suites: ['ed25519'],
  fresh: true,
  ...change,
});
const five = ['a', 'b', 'c', 'd', 'e'].map((name) => party(name));
const composition = (threshold: number, parties: number) =>
  checkComposition({ threshold, parties });
const caught = (fn: () => unknown): BzzzError => {
  try {
    fn();
  } catch (error) {
    if (error instanceof BzzzError) return error;
  }
  throw new Error('nothing was thrown');
};

describe('selection', () => {
  it('R12: never chooses a party that is stale, not ready, draining or of another role', () => {
    const unfit = [
      party('f', { fresh: false }),
      party('g', { ready: false }),
      party('h', { draining: true }),
      party('i', { role: 'observer' }),
      party('j', { role: 'delegate' }),
      party('k', { suites: [] }),
    ];
    const pool = staticPool([...unfit, ...five]);
    for (let i = 0; i < 50; i++) {
      const chosen = selectParties(composition(2, 3), 'ed25519', pool, utf8Bytes(`${i}`));
      for (const { peerId } of chosen) expect('abcde').toContain(peerId);
    }
  });

  it('R36: too few persistent parties is an error with need and have by role, no fallback', () => {
    const delegates = ['v', 'w', 'x', 'y', 'z'].map((n) => party(n, { role: 'delegate' }));
    const pool = staticPool([party('a'), party('b'), party('c', { draining: true }), ...delegates]);
    const error = caught(() =>
      selectParties(composition(2, 3), 'ed25519', pool, utf8Bytes('seed')),
    );
    expect(error.code).toBe('INSUFFICIENT_PERSISTENT_PARTIES');
    expect(error.exit).toBe(5);
    expect(error.details).toMatchObject({
      need: 3,
      have: 2,
      byRole: { persistent: { need: 3, have: 2 } },
    });
    expect(error.details.passedOver).toContainEqual({ peerId: 'c', reason: 'draining' });
  });

  it('numbers one set of parties in one way, from 1', () => {
    const pool = staticPool([...five].reverse());
    const chosen = selectParties(composition(3, 5), 'ed25519', pool, utf8Bytes('x'));
    expect(chosen.map(({ peerId, index }) => [peerId, index])).toEqual([
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['d', 4],
      ['e', 5],
    ]);
  });

  it('R42: spreads keys evenly, and depends on nothing but seed and parties', () => {
    const pool = staticPool(five);
    const counts = new Map<string, number>();
    const rounds = 1_000;
    for (let i = 0; i < rounds; i++) {
      const seed = utf8Bytes(`seed ${i}`);
      const chosen = selectParties(composition(2, 2), 'ed25519', pool, seed);
      const again = selectParties(
        composition(2, 2),
        'ed25519',
        staticPool([...five].reverse()),
        seed,
      );
      expect(again).toEqual(chosen);
      for (const { peerId } of chosen) counts.set(peerId, (counts.get(peerId) ?? 0) + 1);
    }
    const expected = (rounds * 2) / 5;
    const chi = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // 4 degrees of freedom: 18.47 is the 99.9 % point; the seeds are fixed, so this never flickers.
    expect(counts.size).toBe(5);
    expect(chi).toBeLessThan(18.47);
  });

  it('checks named participants: members, role, available, none twice', () => {
    const pool = staticPool([
      ...five,
      party('o', { role: 'observer' }),
      party('t', { role: 'temporary' }),
      party('s', { fresh: false }),
    ]);
    const isMember = (peer: string): boolean => 'abcdeotsq'.includes(peer);
    const named = (...peers: string[]) => checkParticipants(peers, 'ed25519', pool, isMember);
    expect(named('c', 'a').map(({ peerId }) => peerId)).toEqual(['a', 'c']);
    expect(caught(() => named('a', 'a')).code).toBe('BAD_REQUEST');
    expect(caught(() => named('a', 'z')).code).toBe('NOT_A_MEMBER');
    expect(caught(() => named('a', 'o')).code).toBe('INVALID_COMPOSITION');
    expect(caught(() => named('a', 't')).code).toBe('INVALID_COMPOSITION');
    const silent = caught(() => named('a', 's', 'q'));
    expect(silent.code).toBe('INSUFFICIENT_PERSISTENT_PARTIES');
    expect(silent.details).toMatchObject({ need: 3, have: 1 });
    expect(silent.why).toContain('q: not heard of');
  });
});
