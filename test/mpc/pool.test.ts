/** One contract for every party pool (R45). */
import { describe, expect, it } from 'vitest';
import type { Epoch, PeerId } from '../../src/base/brands.ts';
import { type AnnouncedParty, createPool, type PartyPool, staticPool } from '../../src/mpc/pool.ts';
import type { Member, RosterView } from '../../src/roster/types.ts';

const party = (name: string, change: Partial<AnnouncedParty> = {}): AnnouncedParty => ({
  peerId: name as PeerId,
  role: 'persistent',
  ready: true,
  draining: false,
  suites: ['ed25519'],
  fresh: true,
  ...change,
});

interface Made {
  readonly pool: PartyPool;
  set(parties: readonly AnnouncedParty[]): void;
}

function gossiped(): Made {
  let parties: readonly AnnouncedParty[] = [];
  const listeners = new Set<() => void>();
  const roster = (): RosterView => {
    const members = parties.map(({ peerId, role }): [PeerId, Member] => [
      peerId,
      { peerId, role, voter: false, noVoter: false, since: 0 as Epoch },
    ]);
    return { members: new Map(members) } as unknown as RosterView;
  };
  const view = {
    parties: () => parties,
    watch: (listener: () => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    trouble: () => undefined,
  };
  const set = (next: readonly AnnouncedParty[]): void => {
    parties = next;
    for (const listener of listeners) listener();
  };
  return { pool: createPool(view, roster), set };
}

function fixed(): Made {
  const pool = staticPool([]);
  return { pool, set: (parties) => pool.set(parties) };
}

it('R43: a pool says why it cannot be trusted, as long as that is so', () => {
  const pool = staticPool([]);
  const over = createPool({ parties: () => [], watch: pool.watch, trouble: pool.trouble }, () => {
    throw new Error('the roster says nothing about that');
  });
  for (const why of ['nobody answers', undefined]) {
    pool.fail(why);
    expect([pool.trouble(), over.trouble()]).toEqual([why, why]);
  }
});

describe.each([
  ['gossip', gossiped],
  ['static', fixed],
])('R45: the %s pool', (_, make) => {
  it('lists everybody, and as eligible whoever is fresh, ready, not draining, with the suite', () => {
    const { pool, set } = make();
    set([
      party('a'),
      party('b', { fresh: false }),
      party('c', { ready: false }),
      party('d', { draining: true }),
      party('e', { suites: ['p256'] }),
    ]);
    expect(pool.list().map(({ peerId }) => peerId)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(pool.eligible('ed25519').map(({ peerId }) => peerId)).toEqual(['a']);
    expect(pool.eligible('p256').map(({ peerId }) => peerId)).toEqual(['e']);
  });

  it('R35: gives one role at a time, persistent unless asked, and never another in its place', () => {
    const { pool, set } = make();
    set([
      party('a'),
      party('b', { role: 'delegate' }),
      party('c', { role: 'temporary' }),
      party('d', { role: 'observer' }),
    ]);
    const of = (role?: AnnouncedParty['role']) =>
      pool.eligible('ed25519', role).map(({ peerId }) => peerId);
    expect([of(), of('delegate'), of('temporary')]).toEqual([['a'], ['b'], ['c']]);
  });

  it('tells of every change until it is told to stop', () => {
    const { pool, set } = make();
    let calls = 0;
    const stop = pool.watch(() => calls++);
    set([party('a')]);
    set([]);
    stop();
    set([party('b')]);
    expect(calls).toBe(2);
    expect(pool.list()).toHaveLength(1);
  });
});
