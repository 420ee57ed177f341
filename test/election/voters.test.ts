/** Who becomes a voter and who stops being one: named cases and properties. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Epoch, PeerId } from '../../src/base/brands.ts';
import { planVoters, type VoterFacts } from '../../src/election/voters.ts';
import { type Change, majority } from '../../src/roster/entry.ts';
import type { Role } from '../../src/roster/types.ts';

const EPOCH = 9 as Epoch;
const MINUTE = 60_000;

interface Host {
  readonly name: string;
  readonly role?: Role;
  readonly noVoter?: boolean;
  /** undefined: connected. */
  readonly awayMs?: number;
  /** How many epochs its roster is behind. */
  readonly behind?: number;
}

interface World {
  /** The first is the leader. */
  readonly voters: readonly string[];
  readonly hosts: readonly Host[];
  readonly target?: number;
  readonly maxVoters?: number;
}

const host = (name: string, extra: Partial<Host> = {}): Host => ({ name, ...extra });
const hosts = (names: string): Host[] => [...names].map((name) => host(name));
const peer = (name: string): PeerId => name as PeerId;

function factsOf({ voters, hosts: all, target, maxVoters = 7 }: World): VoterFacts {
  const byName = new Map(all.map((one) => [one.name, one]));
  return {
    self: peer(voters[0] ?? ''),
    voters: voters.map(peer),
    members: all.map(({ name, role = 'persistent', noVoter = false }) => ({
      ...{ peerId: peer(name), role, noVoter },
    })),
    connected: new Set(all.filter((one) => one.awayMs === undefined).map(({ name }) => peer(name))),
    epochOf: (who) => (EPOCH - (byName.get(who)?.behind ?? 0)) as Epoch,
    epoch: EPOCH,
    absentMs: (who) => byName.get(who)?.awayMs ?? 0,
    maxVoters,
    ...(target === undefined ? {} : { target }),
  };
}

const text = (change: Change | undefined): string => {
  if (change === undefined) return '-';
  if (change.kind !== 'promote' && change.kind !== 'demote') throw new Error(change.kind);
  return `${change.kind === 'promote' ? '+' : '-'}${change.peer}`;
};
const plan = (world: World): string => text(planVoters(factsOf(world)));

const applied = (world: World, change: Change): World => {
  if (change.kind === 'promote') return { ...world, voters: [...world.voters, change.peer] };
  if (change.kind !== 'demote') throw new Error(`not a change of voters: ${change.kind}`);
  return { ...world, voters: world.voters.filter((name) => name !== change.peer) };
};

/** Asks again and again, every change certified at once. @returns all worlds, also the first. */
function run(first: World): readonly World[] {
  const worlds = [first];
  for (let world = first; ; ) {
    const change = planVoters(factsOf(world));
    if (change === undefined) return worlds;
    world = applied(world, change);
    worlds.push(world);
    if (worlds.length > 40) throw new Error('it does not come to an end');
  }
}
const path = (world: World): string =>
  run(world)
    .map(({ voters }) => voters.join(''))
    .join(' ');

const LOST = 11 * MINUTE;
const LATE = 9 * MINUTE;

describe('growing', () => {
  it('goes from 1 to 3 to 5 and no further', () => {
    expect(path({ voters: ['a'], hosts: hosts('abcdefgh') })).toBe('a ab abc abcd abcde');
    expect(path({ voters: ['a'], hosts: hosts('abc') })).toBe('a ab abc');
    expect(path({ voters: ['a'], hosts: hosts('abcde'), target: 3 })).toBe('a ab abc');
    expect(path({ voters: ['a'], hosts: hosts('abcde'), target: 4 })).toBe('a ab abc');
    expect(path({ voters: ['a'], hosts: hosts('abcde'), maxVoters: 4 })).toBe('a ab abc');
    expect(path({ voters: ['a'], hosts: hosts('abcdefgh'), target: 7 })).toContain('abcdefg');
  });

  it('does not begin what would end at an even number', () => {
    expect(plan({ voters: ['a'], hosts: hosts('ab') })).toBe('-');
    expect(plan({ voters: ['a', 'b', 'c'], hosts: hosts('abcd') })).toBe('-');
  });

  it('ends what was begun, by whomever', () => {
    expect(plan({ voters: ['a', 'b'], hosts: hosts('abc') })).toBe('+c');
    expect(plan({ voters: ['a', 'b', 'c', 'd'], hosts: hosts('abcde') })).toBe('+e');
  });

  it.each<[string, Partial<Host>]>([
    ['a delegate', { role: 'delegate' }],
    ['a temporary member', { role: 'temporary' }],
    ['an observer', { role: 'observer' }],
    ['one that opted out', { noVoter: true }],
    ['one that is away', { awayMs: 1 }],
    ['one whose roster is old', { behind: 2 }],
  ])('does not count on %s', (_what, extra) => {
    expect(plan({ voters: ['a'], hosts: [...hosts('ab'), host('c', extra)] })).toBe('-');
    expect(plan({ voters: ['a', 'b'], hosts: [...hosts('ab'), host('c', extra)] })).toBe('-');
    const all = [...hosts('ab'), host('c', extra), host('d')];
    expect(path({ voters: ['a'], hosts: all })).toBe('a ab abd');
  });
});

it('one step behind is too old to begin with, and good enough to leave an even number', () => {
  const all = [...hosts('ab'), host('c', { behind: 1 })];
  expect(plan({ voters: ['a'], hosts: all })).toBe('-');
  expect(plan({ voters: ['a', 'b'], hosts: all })).toBe('+c');
});

describe('replacing', () => {
  const away = (awayMs: number) => [...hosts('abcd'), host('e', { awayMs })];
  const five = ['a', 'b', 'c', 'd', 'e'];

  it('waits for the grace, and for somebody to take the place', () => {
    const spare = host('f');
    expect(plan({ voters: five, hosts: [...away(LATE), spare] })).toBe('-');
    expect(plan({ voters: five, hosts: away(LOST) })).toBe('-');
    expect(plan({ voters: five, hosts: [...away(LOST), spare] })).toBe('+f');
  });

  it('promotes first and demotes then', () => {
    expect(path({ voters: five, hosts: [...away(LOST), ...hosts('fgh')] })).toBe(
      'abcde abcdef abcdf',
    );
    const three = [...hosts('ab'), host('c', { awayMs: LOST }), host('d')];
    expect(path({ voters: ['a', 'b', 'c'], hosts: three })).toBe('abc abcd abd');
  });

  it('demotes first where the cluster allows no more voters', () => {
    expect(path({ voters: five, hosts: [...away(LOST), ...hosts('fgh')], maxVoters: 5 })).toBe(
      'abcde abcd abcdf',
    );
  });

  it('replaces several, the longest away first', () => {
    const all = [
      ...hosts('abc'),
      host('d', { awayMs: LOST }),
      host('e', { awayMs: 2 * LOST }),
      ...hosts('fg'),
    ];
    expect(path({ voters: five, hosts: all })).toBe('abcde abcdef abcdf abcdfg abcfg');
  });

  it('leaves an even number by demoting a lost one when nobody can be promoted', () => {
    const lost = [...hosts('abc'), host('d', { awayMs: LOST })];
    expect(path({ voters: ['a', 'b', 'c', 'd'], hosts: lost })).toBe('abcd abc');
    const late = [...hosts('abc'), host('d', { awayMs: LATE })];
    expect(plan({ voters: ['a', 'b', 'c', 'd'], hosts: late })).toBe('-');
    expect(plan({ voters: ['a', 'b', 'c', 'd'], hosts: hosts('abcd') })).toBe('-');
  });

  it('makes nobody a voter beyond the goal, and brings an even number there down to it', () => {
    const six = [...five, 'f'];
    const all = [...away(LOST), ...hosts('fg')];
    expect(plan({ voters: six, hosts: all })).toBe('-e');
    expect(plan({ voters: six, hosts: hosts('abcdefg') })).toBe('-');
  });

  it('leaves an odd number beyond the goal as an operator made it', () => {
    const all = [...hosts('ab'), host('c', { awayMs: LOST }), ...hosts('de')];
    const three = { voters: ['a', 'b', 'c'], hosts: all, target: 1 };
    expect(plan({ ...three, maxVoters: 3 })).toBe('-');
    expect(plan({ ...three, maxVoters: 7 })).toBe('-');
  });

  it('keeps the grace that it is given', () => {
    const facts = factsOf({ voters: five, hosts: [...away(1_001), host('f')] });
    expect(text(planVoters({ ...facts, graceMs: 1_001 }))).toBe('-');
    expect(text(planVoters({ ...facts, graceMs: 1_000 }))).toBe('+f');
  });
});

describe('nothing', () => {
  it('is proposed without a majority, or by a node that does not vote', () => {
    const gone = { awayMs: LOST };
    const all = [host('a'), host('b'), host('c', gone), host('d', gone), ...hosts('ef')];
    expect(plan({ voters: ['a', 'b', 'c', 'd'], hosts: all })).toBe('-');
    expect(plan({ voters: ['a', 'c'], hosts: all })).toBe('-');
    const facts = factsOf({ voters: ['a'], hosts: hosts('abc') });
    expect(planVoters({ ...facts, self: peer('b') })).toBeUndefined();
  });

  it('happens to the leader, although nobody says that it is connected to itself', () => {
    const all = [host('a', { awayMs: LOST }), ...hosts('bcd')];
    expect(plan({ voters: ['a', 'b', 'c'], hosts: all })).toBe('-');
    expect(plan({ voters: ['a', 'b', 'c', 'd'], hosts: all })).toBe('-');
  });
});

describe('from any state', () => {
  const NAMES = [...'abcdefghijkl'];
  const rarely = fc.constantFrom(false, false, false, true);
  const anyHost = (name: string): fc.Arbitrary<Host> =>
    fc
      .record({
        role: fc.constantFrom<Role>('persistent', 'persistent', 'persistent', 'delegate'),
        noVoter: rarely,
        awayMs: fc.constantFrom(undefined, undefined, undefined, 1, LATE, LOST, 2 * LOST),
        behind: fc.constantFrom(0, 0, 0, 1, 2),
      })
      .map(({ awayMs, ...rest }) => host(name, awayMs === undefined ? rest : { ...rest, awayMs }));
  const anyWorld: fc.Arbitrary<World> = fc
    .record({
      hosts: fc.tuple(...NAMES.map(anyHost)),
      count: fc.integer({ min: 1, max: 8 }),
      target: fc.constantFrom(1, 2, 3, 4, 5, 5, 5, 6, 7, 8),
      spareSeats: fc.integer({ min: 0, max: 3 }),
    })
    .map(({ hosts: all, count, target, spareSeats }) => ({
      hosts: all,
      voters: NAMES.slice(0, count),
      target,
      maxVoters: count + spareSeats,
    }));
  const isAway = ({ hosts: all }: World, name: string): boolean =>
    all.find((one) => one.name === name)?.awayMs !== undefined;
  const here = (world: World): number =>
    world.voters.filter((name, i) => i === 0 || !isAway(world, name)).length;
  const hasMajority = (world: World): boolean => here(world) >= majority(world.voters.length);

  it('it comes to an end, and connected voters stay a majority all the way', () => {
    let moved = 0;
    fc.assert(
      fc.property(anyWorld, (first) => {
        const worlds = run(first);
        if (worlds.length > 1) moved++;
        for (const [i, world] of worlds.entries()) {
          if (i > 0) expect(hasMajority(world)).toBe(true);
          expect(world.voters[0]).toBe('a');
          expect(new Set(world.voters).size).toBe(world.voters.length);
          expect(world.voters.length).toBeLessThanOrEqual(first.maxVoters ?? 0);
          expect(here(world)).toBeGreaterThanOrEqual(here(first));
        }
        if (worlds.length > 1) expect(hasMajority(first)).toBe(true);
        const last = worlds.at(-1) ?? first;
        // Begun at an odd number it rests at none that is even.
        if (first.voters.length % 2 === 1) expect(last.voters.length % 2).toBe(1);
      }),
      { numRuns: 1_000 },
    );
    expect(moved).toBeGreaterThan(100);
  });

  it('also while hosts come and go between the changes', () => {
    const step = fc.tuple(...NAMES.map(anyHost));
    fc.assert(
      fc.property(anyWorld, fc.array(step, { minLength: 1, maxLength: 12 }), (first, weather) => {
        let world = first;
        for (const now of weather) {
          world = { ...world, hosts: now };
          const change = planVoters(factsOf(world));
          if (change === undefined) continue;
          expect(hasMajority(world)).toBe(true);
          const next = applied(world, change);
          expect(hasMajority(next)).toBe(true);
          // Whoever is promoted is here, whoever is demoted is lost.
          const subject = now.find(({ name }) => name === ('peer' in change ? change.peer : ''));
          expect(subject?.awayMs ?? 0).toSatisfy((ms: number) =>
            change.kind === 'promote' ? ms === 0 : ms > 10 * MINUTE,
          );
          world = next;
        }
      }),
      { numRuns: 500 },
    );
  });
});
