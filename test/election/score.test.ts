/** The score that orders candidacies (R97, R100), and when a leader gives its place up. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { millis, type PeerId } from '../../src/base/brands.ts';
import {
  DEFAULT_WEIGHTS,
  type Observation,
  partsOf,
  rank,
  SELF_REPORTED_CAP,
  scoreOf,
  type TransferInput,
  type TransferWatch,
  transferTarget,
} from '../../src/election/score.ts';
import { formatWeights, weights } from '../../src/node/config-weights.ts';
import { term } from './certificate-support.ts';

const HOUR = 3_600_000;
const known = { suites: ['ed25519', 'secp256k1-tr'], protocols: ['mpc/1', 'mpc/2'] };
const best: Observation = {
  connectedMs: HOUR,
  capabilities: known,
  resources: { freeMemory: 1, cpus: 4, load1: 0 },
  rttMs: 0,
  termsLed: 5,
};
const worst: Observation = {
  connectedMs: 0,
  capabilities: { suites: [], protocols: [] },
  resources: { freeMemory: 0, cpus: 1, load1: 9 },
  rttMs: 1e9,
  termsLed: 0,
};

describe('the parts of a score', () => {
  it.each<[string, Partial<Observation>, object]>([
    ['nothing yet', {}, { uptime: 0, capabilities: 0, resources: 0, experience: 0 }],
    ['half an hour', { connectedMs: HOUR / 2 }, { uptime: 0.5 }],
    ['an hour', { connectedMs: HOUR }, { uptime: 1 }],
    ['a year', { connectedMs: 9_000 * HOUR }, { uptime: 1 }],
    [
      'one of four words, and others',
      { capabilities: { suites: ['ed25519', 'rsa'], protocols: ['x'] } },
      { capabilities: 0.25 },
    ],
    ['all words', { capabilities: known }, { capabilities: 1 }],
    ['no word about itself', { capabilities: null, resources: null }, { resources: 0 }],
    [
      'half the memory, half the load',
      { resources: { freeMemory: 0.5, cpus: 8, load1: 4 } },
      { resources: 0.5 },
    ],
    [
      'more load than processors',
      { resources: { freeMemory: 1, cpus: 2, load1: 64 } },
      { resources: 0.5 },
    ],
    ['no processors', { resources: { freeMemory: 1, cpus: 0, load1: 0 } }, { resources: 0.5 }],
    ['the same host', { rttMs: 0 }, { network: 1 }],
    ['20 ms away', { rttMs: 20 }, { network: 0.5 }],
    ['never measured', { rttMs: null }, { network: 0.5 }],
    ['two terms', { termsLed: 2 }, { experience: 0.4 }],
    ['a hundred terms', { termsLed: 100 }, { experience: 1 }],
  ])('%s', (_what, extra, expected) => {
    expect(partsOf({ ...worst, ...extra }, known)).toMatchObject(expected);
  });

  it('are within 0 and 1 whatever was measured or said, and so is the score', () => {
    const number = fc.oneof(fc.double(), fc.constantFrom(-1, 0, Number.NaN, Infinity, -Infinity));
    const words = fc.array(fc.constantFrom(...known.suites, ...known.protocols, 'x'));
    const observation = fc.record({
      connectedMs: number,
      capabilities: fc.option(fc.record({ suites: words, protocols: words })),
      resources: fc.option(fc.record({ freeMemory: number, cpus: number, load1: number })),
      rttMs: fc.option(number),
      termsLed: number,
    });
    fc.assert(
      fc.property(observation, (seen) => {
        for (const part of Object.values(partsOf(seen, known))) {
          expect(part).toBeGreaterThanOrEqual(0);
          expect(part).toBeLessThanOrEqual(1);
        }
        expect(scoreOf(seen, known)).toBeGreaterThanOrEqual(0);
        expect(scoreOf(seen, known)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the score', () => {
  it('is the weighted sum of its parts', () => {
    const seen: Observation = {
      connectedMs: HOUR / 2,
      capabilities: { suites: ['ed25519'], protocols: ['mpc/1'] },
      resources: { freeMemory: 0.5, cpus: 2, load1: 1 },
      rttMs: 20,
      termsLed: 1,
    };
    const expected = 0.3 * 0.5 + 0.2 * 0.5 + 0.2 * 0.5 + 0.15 * 0.5 + 0.15 * 0.2;
    expect(scoreOf(seen, known)).toBeCloseTo(expected, 12);
    const onlyNetwork = { uptime: 0, capabilities: 0, resources: 0, network: 1, experience: 0 };
    expect(scoreOf(seen, known, onlyNetwork)).toBe(0.5);
  });

  it('takes at most 0.3 from what a peer says of itself, whatever the weights', () => {
    const bragging = { ...worst, capabilities: best.capabilities, resources: best.resources };
    const gained = scoreOf(bragging, known) - scoreOf(worst, known);
    expect(gained).toBeCloseTo(SELF_REPORTED_CAP, 9);
    const trusting = { uptime: 0, capabilities: 0.5, resources: 0.5, network: 0, experience: 0 };
    expect(scoreOf(best, known, trusting)).toBe(SELF_REPORTED_CAP);
    expect(scoreOf(best, known)).toBeCloseTo(0.6 + SELF_REPORTED_CAP, 9);
  });

  it('has the same weights as the configuration, which passes its own here', () => {
    const text = formatWeights(DEFAULT_WEIGHTS);
    expect(weights.parse(text)).toEqual(DEFAULT_WEIGHTS);
  });
});

const PEERS = [...'abcdefg'].map((name) => name as PeerId);
const scored = (...scores: number[]) => new Map(scores.map((score, i) => [PEERS[i]!, score]));

describe('the ranking', () => {
  it('puts the better first', () => {
    const scores = scored(0.2, 0.9, 0.5);
    expect(rank(PEERS.slice(0, 3), scores, term(1))).toEqual(['b', 'c', 'a']);
    expect(rank(PEERS.slice(0, 4), scores, term(1)).at(-1)).toBe('d');
    expect(rank([], scores, term(1))).toEqual([]);
  });

  it('is a permutation, the same in whatever order it is asked; jitter does not move it', () => {
    const some = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 7, maxLength: 7 });
    fc.assert(
      fc.property(
        some,
        fc.array(fc.double({ min: -0.02, max: 0.02, noNaN: true }), {
          minLength: 7,
          maxLength: 7,
        }),
        fc.integer({ min: 0, max: 1e6 }),
        (steps, jitter, n) => {
          const scores = scored(...steps.map((step) => step / 20));
          const shaken = scored(...steps.map((step, i) => step / 20 + jitter[i]!));
          const order = rank(PEERS, scores, term(n));
          expect([...order].sort()).toEqual(PEERS);
          expect(rank(PEERS.toReversed(), scores, term(n))).toEqual(order);
          expect(rank(PEERS, shaken, term(n))).toEqual(order);
        },
      ),
    );
  });

  it('is by score first and by the hash of the term then, in every small case', () => {
    const three = PEERS.slice(0, 3);
    const levels = [0, 0.05, 0.1];
    for (let n = 0; n < 12; n++) {
      const lots = rank(three, new Map(), term(n));
      for (const a of levels) {
        for (const b of levels) {
          for (const c of levels) {
            const scores = scored(a, b, c);
            const expected = [...lots].sort((x, y) => scores.get(y)! - scores.get(x)!);
            expect(rank(three, scores, term(n))).toEqual(expected);
          }
        }
      }
    }
  });

  it('orders equals by a hash: alike on every node, and everybody is first in some term', () => {
    const equal = scored(...PEERS.map(() => 0.5));
    const firsts = Array.from({ length: 70 }, (_, n) => rank(PEERS, equal, term(n))[0]);
    expect(new Set(firsts).size).toBe(PEERS.length);
    expect(rank(PEERS, equal, term(5))).toEqual(rank(PEERS, equal, term(5)));
  });
});

describe('a voluntary transfer', () => {
  const MIN = 30_000;
  const input = (scores: ReadonlyMap<PeerId, number>, now: number): TransferInput => ({
    ...{ self: PEERS[0]!, scores, term: term(4), now: millis(now), minTermMs: MIN },
  });
  /** Looks once a second at what `scores` says. @returns the second in which it was proposed. */
  const watch = (scores: (second: number) => ReadonlyMap<PeerId, number>, seconds = 120) => {
    let seen: TransferWatch = new Map();
    for (let second = 0; second < seconds; second++) {
      const advice = transferTarget(seen, input(scores(second), second * 1_000));
      seen = advice.watch;
      if (advice.target !== undefined) return { second, target: advice.target };
    }
    return undefined;
  };

  it('goes to one that was clearly better for longer than the shortest term', () => {
    expect(watch(() => scored(0.3, 0.6, 0.4))).toEqual({ second: 31, target: 'b' });
  });

  it.each([0.5, 0.45, 0.3, 0.1])('does not happen for %d against 0.3', (other) => {
    expect(watch(() => scored(0.3, other))).toBeUndefined();
  });

  it('counts from the last gap', () => {
    const scores = (second: number) => scored(0.3, second === 20 ? 0.45 : 0.6);
    expect(watch(scores)).toEqual({ second: 52, target: 'b' });
    const away = (second: number) => (second === 25 ? scored(0.3) : scored(0.3, 0.6));
    expect(watch(away)).toEqual({ second: 57, target: 'b' });
    expect(watch((second) => scored(0.3, second % 30 === 0 ? 0.3 : 0.9))).toBeUndefined();
  });

  it('goes to the best of several, and never to the leader', () => {
    expect(watch(() => scored(0.1, 0.4, 0.8, 0.5))?.target).toBe('c');
    expect(watch(() => scored(0.9, 0.4))).toBeUndefined();
    expect(watch(() => new Map())).toBeUndefined();
  });
});
