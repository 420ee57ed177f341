/** The pure parts: quorums, the backlog, slots, and the question to several peers. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { Backlog } from '../../src/dht/backlog.ts';
import { deadline } from '../../src/dht/deadline.ts';
import { meets, needOf, outcomeOf } from '../../src/dht/quorum.ts';
import { RequestSlots } from '../../src/dht/slots.ts';
import { type Question, spread } from '../../src/dht/spread.ts';
import { testClock } from '../support/world.ts';

const peer = (name: string): PeerId => name as PeerId;
const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe('a quorum', () => {
  it.each([
    [0, 1, 1, 1],
    [1, 1, 1, 1],
    [2, 2, 2, 1],
    [3, 3, 2, 2],
    [4, 4, 3, 2],
    [5, 5, 3, 3],
    [9, 5, 3, 3],
  ])('of %i members: %i copies, %i are a quorum, %i meet every one', (members, r, q, blocking) => {
    expect(needOf(5, members)).toEqual({ copies: r, quorum: q, blocking });
  });

  it('meets every set of blocking holders in at least one member', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), (r, members) => {
        const need = needOf(r, members);
        expect(need.quorum + need.blocking).toBe(need.copies + 1);
        expect(2 * need.quorum).toBeGreaterThan(need.copies);
      }),
    );
  });

  it('counts this node’s own copy: alone it is a quorum, of five it takes two others', () => {
    const me = peer('me');
    const grade = (members: number, ...holders: string[]) =>
      outcomeOf(needOf(5, members), me, holders.map(peer));
    expect(grade(1, 'me')).toMatchObject({ ack: 'quorum', pending: 0 });
    expect(grade(5, 'me')).toMatchObject({ ack: 'local', pending: 4 });
    expect(grade(5, 'me', 'a')).toMatchObject({ ack: 'one', pending: 3 });
    expect(grade(5, 'me', 'a', 'b')).toMatchObject({ ack: 'quorum', pending: 2 });
    expect(grade(5)).toMatchObject({ ack: 'local', pending: 5 });
    expect(grade(5, 'a')).toMatchObject({ ack: 'one', pending: 4 });
    expect(grade(2, 'me')).toMatchObject({ ack: 'local', pending: 1 });
  });

  it('grades one after the other', () => {
    expect(meets('quorum', 'one')).toBe(true);
    expect(meets('one', 'quorum')).toBe(false);
    expect(meets('local', 'local')).toBe(true);
  });
});

describe('the backlog', () => {
  const key = new Uint8Array(1);
  const options = { limit: 3, firstMs: 100, maxMs: 1_000 };

  it('is bounded; the oldest note goes (P3)', () => {
    const backlog = new Backlog(options);
    for (const name of ['a', 'b', 'c']) expect(backlog.add(name, key, 0)).toBe(false);
    expect(backlog.add('a', key, 50)).toBe(false);
    expect(backlog.add('d', key, 50)).toBe(true);
    expect(backlog.due(1_000, 9).map(({ name }) => name)).toEqual(['b', 'c', 'd']);
  });

  it('waits twice as long after each failure, up to the limit, with jitter', () => {
    const backlog = new Backlog(options);
    backlog.add('a', key, 0);
    const waits: number[] = [];
    let now = 100;
    for (let i = 0; i < 5; i++) {
      expect(backlog.due(now - 1, 9)).toEqual([]);
      expect(backlog.due(now, 9)).toHaveLength(1);
      backlog.postpone('a', now, 1);
      waits.push(backlog.nextAt()! - now);
      now = backlog.nextAt()!;
    }
    expect(waits).toEqual([200, 400, 800, 1_000, 1_000]);
    backlog.postpone('a', 0, 0);
    expect(backlog.nextAt()).toBe(500);
    backlog.settle('a');
    expect([backlog.nextAt(), backlog.size]).toEqual([undefined, 0]);
  });

  it('gives a few at a time', () => {
    const backlog = new Backlog(options);
    for (const name of ['a', 'b', 'c']) backlog.add(name, key, 0);
    expect(backlog.due(100, 2).map(({ name }) => name)).toEqual(['a', 'b']);
  });
});

describe('slots', () => {
  it('run so many at once, in order, and refuse what would wait too long a line (P3)', async () => {
    let busy = 0;
    const slots = new RequestSlots(2, 2, () => busy++);
    const { signal } = new AbortController();
    const log: string[] = [];
    const gates: (() => void)[] = [];
    const work = (name: string) =>
      slots.run(signal, async () => {
        log.push(name);
        await new Promise<void>((resolve) => gates.push(resolve));
      });
    const all = ['a', 'b', 'c', 'd', 'e'].map((name) => work(name).catch(() => log.push('full')));
    await settle();
    expect(log).toEqual(['a', 'b', 'full']);
    expect(busy).toBe(1);
    while (gates.length > 0) {
      gates.shift()?.();
      await settle();
    }
    await Promise.all(all);
    expect(log).toEqual(['a', 'b', 'full', 'c', 'd']);
    await expect(slots.run(signal, async () => 7)).resolves.toBe(7);
  });

  it('forget who gave up waiting, and free the place of work that failed', async () => {
    const slots = new RequestSlots(1, 5, () => {});
    const stop = new AbortController();
    let release = (): void => {};
    const first = slots.run(new AbortController().signal, async () => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      throw new Error('broken');
    });
    const second = slots.run(stop.signal, async () => 2);
    const third = slots.run(new AbortController().signal, async () => 3);
    stop.abort();
    await expect(second).rejects.toMatchObject({ code: 'TIMEOUT' });
    release();
    await expect(first).rejects.toThrow('broken');
    await expect(third).resolves.toBe(3);
  });
});

describe('a deadline', () => {
  it('aborts in time, with the outer signal, or never once the work is over', () => {
    const clock = testClock();
    const outer = new AbortController();
    const [timed, ended, bound] = [1, 2, 3].map(() => deadline(clock, 100, outer.signal));
    ended!.end();
    clock.advance(99);
    expect(timed!.signal.aborted).toBe(false);
    clock.advance(1);
    expect([timed, ended].map((d) => d!.signal.aborted)).toEqual([true, false]);
    expect(bound!.signal.reason).toMatchObject({ code: 'TIMEOUT' });
    outer.abort();
    expect(ended!.signal.aborted).toBe(false);
    expect(deadline(clock, 100, outer.signal).signal.aborted).toBe(true);
  });
});

describe('a question to several peers', () => {
  const ask = (given: Partial<Question<string>> & { replies: Record<string, string | number> }) => {
    const clock = testClock();
    const asked: string[] = [];
    const failed: string[] = [];
    const cut: string[] = [];
    const result = spread<string>({
      peers: Object.keys(given.replies).map(peer),
      width: 2,
      timeoutMs: 1_000,
      graceMs: 50,
      clock,
      signal: new AbortController().signal,
      rest: 'abort',
      ask: (to, signal) => {
        asked.push(to);
        signal.addEventListener('abort', () => cut.push(to));
        const reply = given.replies[to]!;
        // Text answers at once, a number is the time in ms until the answer `late`, 'x' fails.
        return new Promise((resolve, reject) => {
          if (reply === 'x') reject(new Error('x'));
          else if (typeof reply === 'string') resolve(reply);
          else clock.after(reply, () => resolve('late'));
        });
      },
      fills: (answer) => answer === 'yes',
      judge: () => 'more',
      failed: (who) => failed.push(who),
      ...given,
    });
    return { clock, asked, failed, cut, result };
  };

  it('asks so many at once, and the next one for each that failed or did not fill', async () => {
    const { asked, failed, result } = ask({
      replies: { a: 'x', b: 'no', c: 'yes', d: 'yes', e: 'yes' },
    });
    expect([...(await result)]).toEqual([
      ['b', 'no'],
      ['c', 'yes'],
      ['d', 'yes'],
    ]);
    expect(asked).toEqual(['a', 'b', 'c', 'd']);
    expect(failed).toEqual(['a']);
  });

  it('ends at once with nobody to ask', async () => {
    expect((await ask({ replies: {} }).result).size).toBe(0);
  });

  it('ends when it is answered, and cuts the others off', async () => {
    const { result, cut, failed } = ask({ replies: { a: 500, b: 'yes' }, judge: () => 'done' });
    expect([...(await result).keys()]).toEqual(['b']);
    expect(cut).toContain('a');
    expect(failed).toEqual([]);
  });

  it('gives the slow ones a grace once it has enough', async () => {
    const { clock, result } = ask({ replies: { a: 500, b: 'yes' }, judge: () => 'enough' });
    let over = false;
    void result.then(() => {
      over = true;
    });
    await settle();
    clock.advance(49);
    await settle();
    expect(over).toBe(false);
    clock.advance(1);
    expect([...(await result).keys()]).toEqual(['b']);
  });

  it('ends with what it has when the time is up', async () => {
    const { clock, result } = ask({ replies: { a: 5_000, b: 'yes' } });
    await settle();
    clock.advance(1_000);
    expect([...(await result).keys()]).toEqual(['b']);
  });

  it('can let the others go on, up to the deadline', async () => {
    const { clock, result, cut } = ask({
      replies: { a: 5_000, b: 'yes' },
      judge: () => 'done',
      rest: 'finish',
    });
    await result;
    expect(cut).toEqual([]);
    clock.advance(1_000);
    expect(cut).toContain('a');
  });

  it('asks nobody after the caller gave up', async () => {
    const { asked, result } = ask({ replies: { a: 'yes' }, signal: AbortSignal.abort() });
    expect((await result).size).toBe(0);
    expect(asked).toEqual([]);
  });
});
