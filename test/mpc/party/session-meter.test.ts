/** Where the time of sessions goes (S4). */
import { describe, expect, it } from 'vitest';
import { type Millis, millis, type SessionId } from '../../../src/base/brands.ts';
import type { Clock } from '../../../src/base/ports.ts';
import { SessionMeter } from '../../../src/mpc/party/session-meter.ts';
import type { Failure } from '../../../src/mpc/types.ts';

const sid = 'a1'.repeat(32) as SessionId;

function meterAt(): { readonly meter: SessionMeter; readonly pass: (ms: number) => void } {
  let now: Millis = millis(1_000);
  const clock: Clock = { now: () => now, wallMs: () => 0, after: () => () => {} };
  const pass = (ms: number): void => {
    now = millis(now + ms);
  };
  return { meter: new SessionMeter(clock), pass };
}

const failure: Failure = {
  ...{ state: 'failed', culprits: [], silent: [] },
  error: { code: 'SESSION_FAILED', message: 'a test' },
};

describe('the session meter', () => {
  it('adds the time between events to the phase that was running', () => {
    const { meter, pass } = meterAt();
    for (let i = 0; i < 2; i++) {
      meter.begin(sid);
      pass(1);
      meter.event(sid, 'sign', 'driving', { attempt: 1 });
      pass(2);
      meter.event(sid, 'sign', 'package', {});
      pass(3);
      meter.event(sid, 'sign', 'share', {});
      meter.event(sid, 'sign', 'culprit', {});
      pass(4);
      meter.end(sid, 'sign', { state: 'completed' });
    }
    expect(meter.figures()).toEqual({
      ended: [{ kind: 'sign', name: 'completed', count: 2, ms: 20 }],
      phases: [
        { kind: 'sign', name: 'opening', count: 2, ms: 2 },
        { kind: 'sign', name: 'driving', count: 2, ms: 4 },
        { kind: 'sign', name: 'signing', count: 2, ms: 6 },
        { kind: 'sign', name: 'gathering', count: 2, ms: 8 },
      ],
    });
  });

  it('takes the phases of a key generation as they are told', () => {
    const { meter, pass } = meterAt();
    meter.begin(sid);
    meter.event(sid, 'keygen', 'phase', { phase: 'commitments' });
    pass(5);
    meter.event(sid, 'keygen', 'phase', { phase: 'commitments' });
    pass(5);
    meter.end(sid, 'keygen', failure);
    expect(meter.figures().phases).toContainEqual({
      ...{ kind: 'keygen', name: 'commitments', count: 1, ms: 10 },
    });
    expect(meter.figures().ended).toEqual([{ kind: 'keygen', name: 'failed', count: 1, ms: 10 }]);
  });

  it('counts the first end of a session only, and nothing of one that it never saw', () => {
    const { meter } = meterAt();
    meter.begin(sid);
    meter.end(sid, 'sign', { state: 'completed' });
    meter.end(sid, 'sign', { state: 'completed' });
    meter.event('b2'.repeat(32) as SessionId, 'sign', 'driving', {});
    expect(meter.figures().ended).toMatchObject([{ count: 1 }]);
  });
});
