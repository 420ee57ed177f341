/** The circuit breaker: its table, and what holds over every schedule of events. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BREAKER_START,
  type BreakerEvent,
  type BreakerPace,
  type BreakerState,
  breakerStep,
} from '../../src/dht/breaker.ts';

const PACE: BreakerPace = {
  thresholdErrors: 3,
  backoffMs: 1_000,
  maxBackoffMs: 2_000,
  intervalMs: 30_000,
};
const closed = (errors: number): BreakerState => ({ at: 'closed', errors });
const open = (waitMs: number): BreakerState => ({ at: 'open', waitMs });
const half = (waitMs: number): BreakerState => ({ at: 'halfOpen', waitMs });
const timer = (ms: number) => ({ type: 'timer', ms });
const plain = (type: 'start' | 'timer' | 'ok' | 'failed'): BreakerEvent => ({ type });
const probed = (ok: boolean): BreakerEvent => ({ type: 'probed', ok });
const OPENED = [{ type: 'opened' }, timer(1_000)];

type Row = [BreakerState, BreakerEvent, BreakerState, readonly object[]];
const TABLE: readonly Row[] = [
  [closed(2), plain('start'), closed(0), [timer(30_000)]],
  [closed(2), plain('ok'), closed(0), []],
  [closed(0), plain('failed'), closed(1), []],
  [closed(2), plain('failed'), open(1_000), OPENED],
  [closed(1), plain('timer'), closed(1), [{ type: 'probe' }]],
  [closed(2), probed(true), closed(0), [timer(30_000)]],
  [closed(1), probed(false), closed(2), [timer(1_000)]],
  [closed(2), probed(false), open(1_000), OPENED],
  [open(1_000), plain('timer'), half(1_000), [{ type: 'probe' }]],
  [half(1_000), probed(true), closed(0), [{ type: 'closed' }, timer(30_000)]],
  [half(1_000), probed(false), open(2_000), [timer(2_000)]],
  [half(2_000), probed(false), open(2_000), [timer(2_000)]],
  ...[open(1_000), half(2_000)].flatMap((state) =>
    [plain('ok'), plain('failed')].map((event): Row => [state, event, state, []]),
  ),
  [open(2_000), plain('start'), open(1_000), [timer(1_000)]],
  [half(2_000), plain('start'), open(1_000), [timer(1_000)]],
  [open(1_000), probed(true), open(1_000), []],
  [open(1_000), probed(false), open(1_000), []],
  [half(1_000), plain('timer'), half(1_000), []],
];

describe('the table of the breaker', () => {
  it.each(TABLE)('%j on %j', (state, event, next, effects) => {
    expect(breakerStep(PACE, state, event)).toEqual({ state: next, effects });
  });

  it('keeps a backoff that is longer than the cap', () => {
    const slow = { ...PACE, backoffMs: 10_000 };
    expect(breakerStep(slow, half(10_000), probed(false)).state).toEqual(open(10_000));
  });
});

const anyEvent: fc.Arbitrary<BreakerEvent> = fc.oneof(
  fc.constantFrom(plain('ok'), plain('failed'), plain('timer')),
  fc.boolean().map(probed),
);
const anyPace: fc.Arbitrary<BreakerPace> = fc.record({
  thresholdErrors: fc.integer({ min: 1, max: 6 }),
  backoffMs: fc.integer({ min: 1, max: 5_000 }),
  maxBackoffMs: fc.integer({ min: 1, max: 5_000 }),
  intervalMs: fc.integer({ min: 1, max: 60_000 }),
});

describe('over every schedule the breaker', () => {
  it('opens at exactly so many failures in a row, and closes only by a probe that succeeds', () => {
    fc.assert(
      fc.property(anyPace, fc.array(anyEvent, { maxLength: 200 }), (pace, events) => {
        let state = breakerStep(pace, BREAKER_START, plain('start')).state;
        let inRow = 0;
        for (const event of events) {
          const before = state;
          const { state: after, effects } = breakerStep(pace, before, event);
          state = after;
          const failure = event.type === 'failed' || (event.type === 'probed' && !event.ok);
          const success = event.type === 'ok' || (event.type === 'probed' && event.ok);
          if (before.at === 'closed') {
            inRow = failure ? inRow + 1 : success ? 0 : inRow;
            expect(after.at === 'open').toBe(inRow >= pace.thresholdErrors);
          }
          const turned = before.at !== 'closed' && after.at === 'closed';
          if (turned) inRow = 0;
          expect(turned).toBe(before.at === 'halfOpen' && event.type === 'probed' && event.ok);
          const opened = before.at === 'closed' && after.at === 'open';
          expect(effects.some(({ type }) => type === 'opened')).toBe(opened);
          expect(effects.some(({ type }) => type === 'closed')).toBe(turned);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('never stands still: a timer or a probe is always under way', () => {
    fc.assert(
      fc.property(anyPace, fc.array(fc.nat(99), { maxLength: 200 }), (pace, choices) => {
        let { state, effects } = breakerStep(pace, BREAKER_START, plain('start'));
        let armed = false;
        let probing = false;
        let waited = 0;
        for (const choice of [...choices, 0]) {
          for (const effect of effects) {
            if (effect.type === 'timer') {
              armed = true;
              const cap = Math.max(pace.backoffMs, pace.maxBackoffMs, pace.intervalMs);
              expect(effect.ms).toBeLessThanOrEqual(cap);
              if (state.at === 'open') expect(effect.ms).toBeGreaterThanOrEqual(waited);
              waited = state.at === 'open' ? effect.ms : 0;
            }
            if (effect.type === 'probe') probing = true;
          }
          expect(armed || probing).toBe(true);
          // Only what can happen: a timer that was set, a probe that was sent, or a call.
          let event: BreakerEvent = plain(choice % 2 === 0 ? 'ok' : 'failed');
          if (armed && choice % 5 < 2) {
            event = plain('timer');
            armed = false;
          } else if (probing && choice % 5 < 4) {
            event = probed(choice % 3 === 0);
            probing = false;
          }
          ({ state, effects } = breakerStep(pace, state, event));
        }
      }),
      { numRuns: 500 },
    );
  });
});
