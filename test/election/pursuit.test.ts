/** What an asker does when leaders come and go; the rows of the table in pursuit.ts. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Epoch, PeerId, Term } from '../../src/base/brands.ts';
import { BzzzError, type ErrorCode } from '../../src/base/errors.ts';
import { LeaderWatch } from '../../src/election/leader-watch.ts';
import { pursue } from '../../src/election/pursuit.ts';
import type { Leadership } from '../../src/election/types.ts';
import { type TestClock, testClock } from '../support/world.ts';

const lead = (leader: string, term: number): Leadership => ({
  ...{ leader: leader as PeerId, term: term as Term },
});
const epoch = (n: number): Epoch => n as Epoch;

let clock: TestClock;
let watch: LeaderWatch;
let asked: string[];
/** What each attempt comes to, in order; the last one stays. */
let ends: (ErrorCode | Epoch | 'never')[];
let so: Epoch | undefined;
let looked: number;

beforeEach(() => {
  clock = testClock();
  watch = new LeaderWatch(clock, (error) => {
    throw error;
  });
  asked = [];
  ends = [];
  so = undefined;
  looked = 0;
});

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

const run = (withinMs = 1_000): Promise<Epoch> =>
  pursue(
    {
      withinMs,
      attempt: async ({ leader, term }) => {
        asked.push(`${leader} ${term}`);
        const end = ends.length > 1 ? ends.shift() : ends[0];
        if (end === 'never' || end === undefined) return new Promise(() => undefined);
        if (typeof end === 'number') return end;
        throw new BzzzError(end, `refused: ${end}`);
      },
      isSo: async () => {
        looked++;
        return so;
      },
    },
    { clock, watch, missing: () => ['cyd' as PeerId] },
  );

/** Lets time pass in small steps until the promise settles. */
async function outcome(work: Promise<Epoch>): Promise<unknown> {
  let result: unknown;
  work.then(
    (value) => {
      result = value;
    },
    (error: unknown) => {
      result = error;
    },
  );
  for (let i = 0; i < 500 && result === undefined; i++) {
    await settle();
    clock.advance(5);
  }
  return result;
}

describe('an asker', () => {
  it('is done at once where the leader is', async () => {
    watch.set(lead('ada', 1));
    ends = [epoch(7)];
    expect(await outcome(run())).toBe(7);
    expect(asked).toEqual(['ada 1']);
    expect(looked).toBe(0);
  });

  it('waits for a leader, and asks that one', async () => {
    ends = [epoch(7)];
    const work = run();
    await settle();
    expect(asked).toEqual([]);
    watch.set(lead('ben', 3));
    expect(await outcome(work)).toBe(7);
    expect(asked).toEqual(['ben 3']);
  });

  it.each<ErrorCode>(['NOT_LEADER', 'BUSY', 'DRAINING', 'LEADERSHIP_LOST', 'TIMEOUT'])(
    'asks again after %s',
    async (code) => {
      watch.set(lead('ada', 1));
      ends = [code, epoch(8)];
      expect(await outcome(run())).toBe(8);
      expect(asked).toEqual(['ada 1', 'ada 1']);
    },
  );

  it('asks the new leader when the old one does not answer', async () => {
    watch.set(lead('ada', 1));
    ends = ['never', epoch(9)];
    const work = run();
    await settle();
    watch.set(undefined);
    await settle();
    expect(asked).toEqual(['ada 1']);
    watch.set(lead('ben', 2));
    expect(await outcome(work)).toBe(9);
    expect(asked).toEqual(['ada 1', 'ben 2']);
  });

  it.each<ErrorCode>(['CONFLICT', 'NOT_FOUND', 'INVITATION_USED'])(
    'takes %s for done when an earlier attempt may have done it and the roster says so',
    async (code) => {
      watch.set(lead('ada', 1));
      so = epoch(4);
      for (const first of ['LEADERSHIP_LOST', 'DRAINING'] as const) {
        ends = [first, code];
        expect(await outcome(run())).toBe(4);
      }
    },
  );

  it('takes a refusal for one when the roster does not say so, or nothing was in doubt', async () => {
    watch.set(lead('ada', 1));
    ends = ['TIMEOUT', 'CONFLICT'];
    expect(await outcome(run())).toMatchObject({ code: 'CONFLICT' });
    expect(looked).toBe(1);
    so = epoch(4);
    ends = ['NOT_LEADER', 'CONFLICT'];
    expect(await outcome(run())).toMatchObject({ code: 'CONFLICT' });
    expect(looked).toBe(1);
  });

  it('ends with NO_LEADER and who is missing', async () => {
    expect(await outcome(run())).toMatchObject({
      code: 'NO_LEADER',
      why: 'not connected: cyd',
      details: { missing: ['cyd'] },
    });
    expect(clock.now()).toBeGreaterThanOrEqual(1_000);
  });

  it('ends at its deadline, done if the roster says so, else in doubt', async () => {
    watch.set(lead('ada', 1));
    ends = ['never'];
    so = epoch(5);
    expect(await outcome(run())).toBe(5);
    so = undefined;
    expect(await outcome(run())).toMatchObject({
      code: 'TIMEOUT',
      hint: expect.stringContaining('may still be done'),
    });
  });

  it('ends at once when the election on this node does', async () => {
    const waiting = run();
    watch.set(lead('ada', 1));
    ends = ['never'];
    const asking = run();
    await settle();
    watch.end(new BzzzError('DRAINING', 'this host is stopping'));
    expect(await outcome(waiting)).toMatchObject({ code: 'DRAINING' });
    expect(await outcome(asking)).toMatchObject({ code: 'DRAINING' });
    expect(clock.now()).toBeLessThan(50);
  });
});
