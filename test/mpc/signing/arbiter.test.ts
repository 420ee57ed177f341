/** Which of several sessions of one request a holder works on (S6). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { millis, type PeerId, type RequestId, type SessionId } from '../../../src/base/brands.ts';
import {
  type ArbiterInput,
  type ArbiterState,
  NO_SESSIONS,
  type Standing,
  stepArbiter,
} from '../../../src/mpc/signing/arbiter.ts';

const sid = (n: number): SessionId => n.toString(16).padStart(64, '0') as SessionId;
const request = (n: number): RequestId => n.toString(16).padStart(64, 'e') as RequestId;

const BINDS_MS = 500;
const driver = (n: number): PeerId => `driver ${n}` as PeerId;

/** A node's sessions, with who stands back for whom as the machines were told. */
function desk() {
  let state: ArbiterState = NO_SESSIONS;
  const told = new Map<SessionId, Standing | undefined>();
  let recheckMs: number | undefined;
  const feed = (type: ArbiterInput['type'], n: number, now = 0, r = 1, d = 1): void => {
    const bond = { driver: driver(d), bindsMs: BINDS_MS };
    const where = { requestId: request(r), sid: sid(n), now: millis(now) };
    const step = stepArbiter(state, { type, ...bond, ...where });
    ({ state, recheckMs } = step);
    if (type === 'opened' && !told.has(sid(n))) told.set(sid(n), undefined);
    if (type === 'ended') told.delete(sid(n));
    for (const { sid: ruled, standing } of step.rulings) told.set(ruled, standing);
  };
  const by = (n: number): SessionId | undefined => told.get(sid(n))?.by;
  return { feed, told, by, recheck: () => recheckMs, size: () => state.size };
}

describe('the arbiter', () => {
  it('lets a single session run', () => {
    const { feed, told } = desk();
    feed('opened', 5);
    expect([...told]).toEqual([[sid(5), undefined]]);
  });

  it('yields to the lower live session while no share is out', () => {
    const { feed, told, by } = desk();
    feed('opened', 5);
    feed('opened', 3);
    expect(told.get(sid(5))).toEqual({ by: sid(3), bound: false });
    expect(by(3)).toBeUndefined();
    feed('opened', 9);
    expect(by(9)).toBe(sid(3));
    feed('opened', 1);
    for (const n of [3, 5, 9]) expect(by(n)).toBe(sid(1));
  });

  it('goes on with the next when the lowest ends', () => {
    const { feed, told, by, size } = desk();
    for (const n of [5, 3, 9]) feed('opened', n);
    feed('ended', 3);
    expect(by(5)).toBeUndefined();
    expect(by(9)).toBe(sid(5));
    feed('ended', 5);
    feed('ended', 9);
    expect(told.size).toBe(0);
    expect(size()).toBe(0);
  });

  it('stays for a while with the session that a share was released in, then yields', () => {
    const { feed, told, by, recheck } = desk();
    feed('opened', 5, 0);
    feed('released', 5, 100);
    feed('opened', 3, 200);
    expect(told.get(sid(3))).toEqual({ by: sid(5), bound: true });
    expect(by(5)).toBeUndefined();
    expect(recheck()).toBe(BINDS_MS - 100);
    // Another share for the same driver does not renew the bond; one for another driver binds.
    feed('released', 5, 400);
    expect(recheck()).toBe(BINDS_MS - 300);
    feed('released', 5, 450, 1, 2);
    expect(recheck()).toBe(BINDS_MS);
    feed('tick', 5, 100 + BINDS_MS);
    expect(by(3)).toBe(sid(5));
    feed('tick', 5, 450 + BINDS_MS);
    expect(by(3)).toBeUndefined();
    expect(told.get(sid(5))).toEqual({ by: sid(3), bound: false });
    expect(recheck()).toBeUndefined();
  });

  it('tells those that stand back when no share is out any more', () => {
    const { feed, told, recheck } = desk();
    feed('opened', 3, 0);
    feed('opened', 5, 0);
    feed('released', 3, 0);
    expect(told.get(sid(5))).toEqual({ by: sid(3), bound: true });
    expect(recheck()).toBe(BINDS_MS);
    feed('tick', 3, BINDS_MS);
    expect(told.get(sid(5))).toEqual({ by: sid(3), bound: false });
  });

  it('is free at once when the driver that has the share is gone', () => {
    const { feed, by } = desk();
    feed('opened', 5, 0);
    feed('released', 5, 0);
    feed('opened', 3, 10);
    feed('gone', 3, 20, 1, 2);
    expect(by(3)).toBe(sid(5));
    feed('gone', 3, 30, 1, 1);
    expect(by(5)).toBe(sid(3));
  });

  it('keeps requests apart', () => {
    const { feed, told } = desk();
    feed('opened', 5, 0, 1);
    feed('opened', 3, 0, 2);
    expect([...told.values()]).toEqual([undefined, undefined]);
  });

  it('has exactly one session at work per request, after any events', () => {
    const events = fc.array(
      fc.record({
        type: fc.constantFrom('opened', 'released', 'gone', 'ended', 'tick'),
        n: fc.integer({ min: 1, max: 5 }),
        d: fc.integer({ min: 1, max: 3 }),
        wait: fc.integer({ min: 0, max: 900 }),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(events, (list) => {
        const { feed, told, recheck } = desk();
        let now = 0;
        for (const { type, n, d, wait } of list) {
          now += wait;
          feed(type, n, now, 1, d);
          const atWork = [...told].filter(([, standing]) => standing === undefined);
          expect(atWork.length).toBe(told.size === 0 ? 0 : 1);
          for (const standing of told.values()) {
            if (standing !== undefined) expect(standing.by).toBe(atWork[0]?.[0]);
          }
        }
        // In the end, when all bonds ran out, the lowest is at work.
        for (let i = 0; i < 16 && told.size > 0; i++) {
          now += recheck() ?? 0;
          feed('tick', 1, now);
        }
        const lowest = [...told.keys()].sort()[0];
        if (lowest !== undefined) expect(told.get(lowest)).toBeUndefined();
      }),
    );
  });
});
