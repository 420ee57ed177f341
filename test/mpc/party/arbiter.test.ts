/** The arbiter on a clock: bonds that run out, and those of drivers that are gone. */
import { describe, expect, it } from 'vitest';
import type { PeerId, RequestId, SessionId } from '../../../src/base/brands.ts';
import { Arbitration } from '../../../src/mpc/party/arbiter.ts';
import type { SealedProposal, SignProposal } from '../../../src/mpc/types.ts';
import { testClock } from '../../support/world.ts';

const driver = 'a driver' as PeerId;

/** As much of a proposal as the arbiter looks at. */
const session = (n: number, request = 1): SealedProposal<SignProposal> =>
  ({
    sid: `${n}` as SessionId,
    proposal: { fresh: false, requestId: `request ${request}` as RequestId },
  }) as SealedProposal<SignProposal>;

function desk() {
  const clock = testClock();
  const standing = new Map<SessionId, SessionId | undefined>();
  const arbiter = new Arbitration(clock, ({ sid, standing: now }) => standing.set(sid, now?.by));
  return { arbiter, clock, standing };
}

describe('the arbiter of a node', () => {
  it('frees it when the bond to a driver runs out', () => {
    const { arbiter, clock, standing } = desk();
    arbiter.step({ type: 'opened' }, session(5));
    arbiter.step({ type: 'released', driver, bindsMs: 300 }, session(5));
    arbiter.step({ type: 'opened' }, session(3));
    expect(standing.get(session(3).sid)).toBe(session(5).sid);
    clock.advance(299);
    expect(standing.get(session(3).sid)).toBe(session(5).sid);
    clock.advance(2);
    expect(standing.get(session(3).sid)).toBeUndefined();
    expect(standing.get(session(5).sid)).toBe(session(3).sid);
    expect(arbiter.timers).toBe(0);
  });

  it('frees it of a driver that is gone, in all requests', () => {
    const { arbiter, standing } = desk();
    for (const request of [1, 2]) {
      const [low, high] = [session(request, request), session(request + 5, request)];
      arbiter.step({ type: 'opened' }, high);
      arbiter.step({ type: 'released', driver, bindsMs: 300 }, high);
      arbiter.step({ type: 'opened' }, low);
      expect(standing.get(low.sid)).toBe(high.sid);
    }
    arbiter.gone('another' as PeerId);
    expect([1, 2].map((n) => standing.get(session(n).sid))).not.toContain(undefined);
    arbiter.gone(driver);
    expect([1, 2].map((n) => standing.get(session(n).sid))).toEqual([undefined, undefined]);
    expect(arbiter.timers).toBe(0);
    arbiter.close();
  });
});
