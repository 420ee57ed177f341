/** When records are republished, on the test clock. */
import { describe, expect, it } from 'vitest';
import { Republisher } from '../../src/dht/republish.ts';
import {
  type RepublishEvent,
  type RepublishPace,
  type RepublishState,
  republishStep,
} from '../../src/dht/republish-core.ts';
import { quietLogger, testClock, testRandom } from '../support/world.ts';

const PACE: RepublishPace = { intervalMs: 1_000_000, soonMs: 1_000, pauseMs: 10 };
const step = (state: RepublishState, event: RepublishEvent, chance = 0) =>
  republishStep(PACE, state, event, chance);
const waiting: RepublishState = { at: 'waiting' };
const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe('the schedule', () => {
  it.each<[string, RepublishState, RepublishEvent, RepublishState, object[]]>([
    ['starts soon', waiting, { type: 'start' }, waiting, [{ type: 'timer', ms: 1_000 }]],
    [
      'passes soon for new members',
      waiting,
      { type: 'grown' },
      waiting,
      [{ type: 'timer', ms: 1_000 }],
    ],
    [
      'begins a pass',
      waiting,
      { type: 'timer' },
      { at: 'slicing', again: false },
      [{ type: 'slice', from: '' }],
    ],
    [
      'notes new members in a slice',
      { at: 'slicing', again: false },
      { type: 'grown' },
      {
        at: 'slicing',
        again: true,
      },
      [],
    ],
    [
      'pauses between slices',
      { at: 'slicing', again: true },
      { type: 'sliced', next: 'k' },
      {
        at: 'pausing',
        from: 'k',
        again: true,
      },
      [{ type: 'timer', ms: 10 }],
    ],
    [
      'goes on after the pause',
      { at: 'pausing', from: 'k', again: false },
      { type: 'timer' },
      {
        at: 'slicing',
        again: false,
      },
      [{ type: 'slice', from: 'k' }],
    ],
    [
      'notes new members in a pause',
      { at: 'pausing', from: 'k', again: false },
      {
        type: 'grown',
      },
      { at: 'pausing', from: 'k', again: true },
      [],
    ],
    [
      'rests after the last slice',
      { at: 'slicing', again: false },
      {
        type: 'sliced',
        next: undefined,
      },
      waiting,
      [{ type: 'timer', ms: 900_000 }],
    ],
    [
      'passes again soon when members came meanwhile',
      { at: 'slicing', again: true },
      {
        type: 'sliced',
        next: undefined,
      },
      waiting,
      [{ type: 'timer', ms: 1_000 }],
    ],
    ['ignores a slice that nobody waits for', waiting, { type: 'sliced', next: 'k' }, waiting, []],
    [
      'ignores a timer in a slice',
      { at: 'slicing', again: false },
      { type: 'timer' },
      {
        at: 'slicing',
        again: false,
      },
      [],
    ],
  ])('%s', (_what, state, event, next, effects) => {
    expect(step(state, event)).toEqual({ state: next, effects });
  });

  it('spreads nodes over a tenth of the interval either way', () => {
    const rest = (chance: number) =>
      step({ at: 'slicing', again: false }, { type: 'sliced', next: undefined }, chance).effects;
    expect(rest(0)).toEqual([{ type: 'timer', ms: 900_000 }]);
    expect(rest(0.5)).toEqual([{ type: 'timer', ms: 1_000_000 }]);
    expect(rest(1)).toEqual([{ type: 'timer', ms: 1_100_000 }]);
  });
});

describe('the republisher', () => {
  const make = (slice: (from: string) => Promise<string | undefined>) => {
    const clock = testClock();
    const deps = { clock, random: testRandom('republish'), log: quietLogger, slice };
    return { clock, republisher: new Republisher(PACE, deps) };
  };

  it('passes over everything in slices, and again every interval', async () => {
    const seen: string[] = [];
    const { clock, republisher } = make(async (from) => {
      seen.push(from);
      return from === '' ? 'a' : from === 'a' ? 'b' : undefined;
    });
    republisher.start();
    expect(seen).toEqual([]);
    for (let i = 0; i < 300; i++) {
      clock.advance(10);
      await settle();
    }
    expect(seen).toEqual(['', 'a', 'b']);
    clock.advance(800_000);
    await settle();
    expect(seen).toHaveLength(3);
    clock.advance(400_000);
    await settle();
    expect(seen).toEqual(['', 'a', 'b', '']);
    await republisher.stop();
    clock.advance(10_000_000);
    await settle();
    expect(seen).toHaveLength(4);
  });

  it('goes on after a slice that failed', async () => {
    let calls = 0;
    const { clock, republisher } = make(async () => {
      calls++;
      throw new Error('disk');
    });
    republisher.start();
    clock.advance(2_000);
    await settle();
    expect(calls).toBe(1);
    clock.advance(1_100_000);
    await settle();
    expect(calls).toBe(2);
    await republisher.stop();
  });

  it('passes soon when members came', async () => {
    let calls = 0;
    const { clock, republisher } = make(async () => {
      calls++;
      return undefined;
    });
    republisher.start();
    clock.advance(2_000);
    await settle();
    republisher.grown();
    clock.advance(2_000);
    await settle();
    expect(calls).toBe(2);
    await republisher.stop();
  });
});
