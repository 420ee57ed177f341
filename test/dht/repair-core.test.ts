/** When the copies of records are looked at again, and whose turn it is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { nearest } from '../../src/dht/homes.ts';
import {
  type RepairEffect,
  type RepairEvent,
  type RepairPace,
  repairStart,
  repairStep,
  turnAt,
} from '../../src/dht/repair-core.ts';
import { testSigner } from '../support/world.ts';

const PACE: RepairPace = { patienceMs: 10, orderMs: 20, rankMs: 30, ranks: 3 };
const peers: readonly PeerId[] = await Promise.all(
  Array.from({ length: 9 }, async (_, i) => (await testSigner(`repair ${i}`)).peerId),
);
const [a, b, c, d] = peers as [PeerId, PeerId, PeerId, PeerId];
type Leader = 'self' | 'other' | 'none';

/** An effect, short. */
const brief = (effect: RepairEffect): object =>
  effect.type === 'order'
    ? effect
    : { type: 'pass', rank: effect.pass.rank, changed: [...effect.pass.changed] };

/** A machine over three other members, fed by hand. */
function machine(members: readonly PeerId[] = [a, b, c]) {
  let state = repairStart(members);
  const feed = (event: RepairEvent): readonly object[] => {
    const step = repairStep(PACE, state, event);
    state = step.state;
    return step.effects.map(brief);
  };
  return {
    tick: (now: number, present: readonly PeerId[], leader: Leader = 'none') =>
      feed({ type: 'tick', now, present: new Set(present), leader }),
    ordered: (now: number, changed: readonly PeerId[]) => feed({ type: 'ordered', now, changed }),
  };
}

describe('without a leader', () => {
  it('a member that is away for long enough starts one pass, and the later ranks', () => {
    const { tick } = machine();
    expect(tick(0, [a, b, c])).toEqual([]);
    expect(tick(1, [a, b])).toEqual([]);
    expect(tick(10, [a, b])).toEqual([]);
    expect(tick(11, [a, b])).toEqual([{ type: 'pass', rank: 0, changed: [c] }]);
    expect(tick(40, [a, b])).toEqual([]);
    expect(tick(41, [a, b])).toEqual([{ type: 'pass', rank: 1, changed: [c] }]);
    expect(tick(71, [a, b])).toEqual([{ type: 'pass', rank: 2, changed: [c] }]);
    expect(tick(500, [a, b])).toEqual([]);
  });

  it('a restart moves nothing', () => {
    const { tick } = machine();
    tick(0, [a, b]);
    tick(9, [a, b, c]);
    // Away again: the time counts anew.
    tick(12, [a, b]);
    expect(tick(21, [a, b])).toEqual([]);
    expect(tick(22, [a, b])).toMatchObject([{ changed: [c] }]);
  });

  it('all that died together are one pass, and who comes back is another', () => {
    const { tick } = machine();
    tick(0, [a]);
    expect(tick(10, [a])).toEqual([{ type: 'pass', rank: 0, changed: [b, c] }]);
    tick(100, [a, b]);
    expect(tick(110, [a, b])).toEqual([{ type: 'pass', rank: 0, changed: [b] }]);
  });

  it('a member that came and went in a moment was given copies: it is one that went', () => {
    const { tick } = machine();
    tick(0, [a, b, c, d]);
    expect(tick(5, [a, b, c])).toEqual([]);
    expect(tick(14, [a, b, c])).toEqual([]);
    expect(tick(15, [a, b, c])).toEqual([{ type: 'pass', rank: 0, changed: [d] }]);
    // It was never settled, so it comes like a new one.
    tick(200, [a, b, c, d]);
    expect(tick(210, [a, b, c, d])).toEqual([{ type: 'pass', rank: 0, changed: [d] }]);
    expect(tick(220, [a, b, c, d])).toEqual([]);
  });

  it('a new member that is away for a moment begins anew', () => {
    const { tick } = machine();
    tick(0, [a, b, c, d]);
    tick(5, [a, b, c]);
    tick(8, [a, b, c, d]);
    expect(tick(17, [a, b, c, d])).toEqual([]);
    expect(tick(18, [a, b, c, d])).toEqual([{ type: 'pass', rank: 0, changed: [d] }]);
  });

  it('a member that was admitted is one that came', () => {
    const { tick } = machine();
    tick(0, [a, b, c, d]);
    expect(tick(10, [a, b, c, d])).toEqual([{ type: 'pass', rank: 0, changed: [d] }]);
  });
});

describe('with a leader', () => {
  it('who leads orders once, and begins when ordered', () => {
    const { tick, ordered } = machine();
    tick(0, [a, b], 'self');
    expect(tick(10, [a, b], 'self')).toEqual([{ type: 'order', changed: [c] }]);
    expect(tick(11, [a, b], 'self')).toEqual([]);
    expect(ordered(12, [c])).toEqual([{ type: 'pass', rank: 0, changed: [c] }]);
    expect(ordered(13, [c])).toEqual([]);
    expect(tick(42, [a, b], 'self')).toEqual([{ type: 'pass', rank: 1, changed: [c] }]);
  });

  it('the others wait for the order, and begin by themselves when none comes', () => {
    const { tick } = machine();
    tick(0, [a, b], 'other');
    expect(tick(29, [a, b], 'other')).toEqual([]);
    expect(tick(30, [a, b], 'other')).toEqual([{ type: 'pass', rank: 0, changed: [c] }]);
  });

  it('an order that was lost is made up for by who gave it', () => {
    const { tick } = machine();
    tick(0, [a, b], 'self');
    tick(10, [a, b], 'self');
    expect(tick(30, [a, b], 'self')).toEqual([{ type: 'pass', rank: 0, changed: [c] }]);
  });

  it('an order names only what this node sees as well', () => {
    const { tick, ordered } = machine();
    tick(0, [a, b], 'other');
    expect(ordered(5, [a, d])).toEqual([]);
    expect(ordered(5, [a, c])).toEqual([{ type: 'pass', rank: 0, changed: [c] }]);
  });

  it('a member that came and went is ordered like others, and obeyed by who saw it settled', () => {
    const { tick, ordered } = machine();
    tick(0, [a, b, c, d], 'self');
    tick(5, [a, b, c], 'self');
    expect(tick(15, [a, b, c], 'self')).toEqual([{ type: 'order', changed: [d] }]);
    expect(tick(16, [a, b, c], 'self')).toEqual([]);
    expect(ordered(17, [d])).toEqual([{ type: 'pass', rank: 0, changed: [d] }]);
    expect(ordered(18, [d])).toEqual([]);
  });

  it('a leader that dies leaves the repair to everybody', () => {
    const { tick } = machine();
    tick(0, [a, b], 'other');
    expect(tick(15, [a, b], 'none')).toEqual([{ type: 'pass', rank: 0, changed: [c] }]);
  });
});

describe('bounds', () => {
  it('hold whatever comes and goes: each change is passed over once a rank', () => {
    const step = fc.record({
      present: fc.subarray([a, b, c, d]),
      leader: fc.constantFrom<Leader>('self', 'other', 'none'),
      ms: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { tick } = machine();
        let now = 0;
        let changes = 0;
        let passes = 0;
        let before = new Set<PeerId>([a, b, c]);
        for (const { present, leader, ms } of steps) {
          now += ms;
          const next = new Set(present);
          for (const peer of [a, b, c, d]) if (before.has(peer) !== next.has(peer)) changes++;
          before = next;
          passes += tick(now, present, leader).filter((effect) => 'rank' in effect).length;
        }
        expect(passes).toBeLessThanOrEqual(changes * PACE.ranks);
      }),
    );
  });
});

describe('the turn at a record', () => {
  const keys = Array.from({ length: 300 }, (_, i) => utf8Bytes(`/ucxl/c/${i}`));
  /** Turns of all that live, as each computes its own. */
  const turns = (key: Uint8Array, dead: readonly PeerId[], copies = 5) => {
    const alive = peers.filter((peer) => !dead.includes(peer));
    return alive.map((self) => {
      const present = new Set(alive.filter((peer) => peer !== self));
      const before = new Set(peers.filter((peer) => peer !== self));
      const pass = { rank: 0, since: 0, changed: new Set(dead), before };
      return turnAt(key, pass, { self, present, copies });
    });
  };
  /** Who should have had it, of those that live. */
  const left = (key: Uint8Array, dead: readonly PeerId[]) =>
    nearest(key, peers, 5).filter((peer) => !dead.includes(peer));

  it('is the first of exactly one, when up to four of nine died', () => {
    for (const count of [1, 2, 4]) {
      for (const key of keys) {
        const all = turns(key, peers.slice(0, count));
        const alive = peers.slice(count);
        const holders = left(key, peers.slice(0, count));
        const turning = alive.filter((_, i) => all[i] !== undefined);
        if (turning.length === 0) continue;
        expect(turning.sort()).toEqual([...holders].sort());
        expect(all.filter((turn) => turn === 0)).toHaveLength(1);
      }
    }
  });

  it('goes by who held it before, also while only some of the dead are known for sure', () => {
    const [one, two, ...alive] = peers as [PeerId, PeerId, ...PeerId[]];
    for (const key of keys) {
      const firsts = alive.filter((self) => {
        const present = new Set(alive.filter((peer) => peer !== self));
        const before = new Set(peers.filter((peer) => peer !== self));
        const pass = { rank: 0, since: 0, changed: new Set([one]), before };
        return turnAt(key, pass, { self, present, copies: 5 }) === 0;
      });
      for (const first of firsts) expect(left(key, [one, two])).toContain(first);
    }
  });

  it('comes for what lost a holder, and for nothing else', () => {
    const touched = keys.filter((key) => turns(key, [a]).some((turn) => turn !== undefined));
    for (const key of keys) expect(touched.includes(key)).toBe(left(key, []).includes(a));
    // Five of nine hold each record.
    expect(touched.length).toBeGreaterThan(300 * 0.4);
    expect(touched.length).toBeLessThan(300 * 0.7);
  });

  it('is shared by the living about evenly', () => {
    const dead = peers.slice(0, 4);
    const firsts = [0, 0, 0, 0, 0];
    for (const key of keys)
      for (const [i, t] of turns(key, dead).entries()) if (t === 0) firsts[i]!++;
    expect(Math.min(...firsts)).toBeGreaterThan(30);
    expect(Math.max(...firsts)).toBeLessThan(110);
  });

  it('comes to copies outside the home when the whole home died', () => {
    const key = keys[0]!;
    const home = nearest(key, peers, 5);
    const others = peers.filter((peer) => !home.includes(peer));
    expect(turns(key, home)).toEqual(others.map(() => 0));
  });
});
