/**
 * The circuit breaker between the local and the network store. Pure: `step(pace, state, event)`.
 *
 * | state    | event                      | next         | effects                      |
 * | -------- | -------------------------- | ------------ | ---------------------------- |
 * | closed   | start                      | closed, 0    | timer interval               |
 * | closed   | ok                         | closed, 0    | -                            |
 * | closed   | failed, below threshold    | closed, +1   | -                            |
 * | closed   | failed, at the threshold   | open         | opened, timer backoff        |
 * | closed   | timer                      | closed       | probe                        |
 * | closed   | probed ok                  | closed, 0    | timer interval               |
 * | closed   | probed not, below          | closed, +1   | timer backoff                |
 * | closed   | probed not, at             | open         | opened, timer backoff        |
 * | open     | timer                      | half-open    | probe                        |
 * | half-open| probed ok                  | closed, 0    | closed, timer interval       |
 * | half-open| probed not                 | open         | timer, twice as long, capped |
 * | open, half-open | start               | open         | timer backoff                |
 *
 * A start is one after a stop, which drops the probe under way: nobody tells of it any more.
 * Any other pair changes nothing: `ok` and `failed` of calls that began before it opened say
 * nothing about now. Errors count in a row; a timer takes the place of the one before.
 * @module
 */

export type BreakerState =
  | { readonly at: 'closed'; readonly errors: number }
  | { readonly at: 'open' | 'halfOpen'; readonly waitMs: number };

export type BreakerEvent =
  | { readonly type: 'start' | 'timer' | 'ok' | 'failed' }
  /** What the last probe found. */
  | { readonly type: 'probed'; readonly ok: boolean };

export type BreakerEffect =
  | { readonly type: 'timer'; readonly ms: number }
  | { readonly type: 'probe' }
  /** From now on calls go to the local store. */
  | { readonly type: 'opened' }
  /** From now on calls go to the network again. */
  | { readonly type: 'closed' };

/** Times in ms. */
export interface BreakerPace {
  /** Failures in a row that open it; at least 1. */
  readonly thresholdErrors: number;
  /** From opening to the first probe. */
  readonly backoffMs: number;
  /** The longest pause between two probes while it is open. */
  readonly maxBackoffMs: number;
  /** Between two probes while it is closed. */
  readonly intervalMs: number;
}

export interface BreakerStep {
  readonly state: BreakerState;
  readonly effects: readonly BreakerEffect[];
}

export const BREAKER_START: BreakerState = { at: 'closed', errors: 0 };

/** One step. Never throws. */
export function breakerStep(
  pace: BreakerPace,
  state: BreakerState,
  event: BreakerEvent,
): BreakerStep {
  if (state.at === 'closed') return stepClosed(pace, state, event);
  if (event.type === 'start') return open(pace.backoffMs, []);
  if (state.at === 'open' && event.type === 'timer') {
    return { state: { ...state, at: 'halfOpen' }, effects: [{ type: 'probe' }] };
  }
  if (state.at === 'halfOpen' && event.type === 'probed') {
    return event.ok ? close(pace) : reopen(pace, state.waitMs);
  }
  return { state, effects: [] };
}

function stepClosed(
  pace: BreakerPace,
  state: Extract<BreakerState, { readonly at: 'closed' }>,
  event: BreakerEvent,
): BreakerStep {
  const healthy = { type: 'timer', ms: pace.intervalMs } as const;
  switch (event.type) {
    case 'start':
      return { state: BREAKER_START, effects: [healthy] };
    case 'ok':
      return { state: BREAKER_START, effects: [] };
    case 'timer':
      return { state, effects: [{ type: 'probe' }] };
    case 'failed':
      return fail(pace, state.errors + 1, []);
    case 'probed':
      if (event.ok) return { state: BREAKER_START, effects: [healthy] };
      // Looked at again soon: an idle node has nothing else that tells.
      return fail(pace, state.errors + 1, [{ type: 'timer', ms: pace.backoffMs }]);
  }
}

function fail(pace: BreakerPace, errors: number, effects: readonly BreakerEffect[]): BreakerStep {
  if (errors < pace.thresholdErrors) return { state: { at: 'closed', errors }, effects };
  return open(pace.backoffMs, [{ type: 'opened' }]);
}

const open = (waitMs: number, effects: readonly BreakerEffect[]): BreakerStep => ({
  state: { at: 'open', waitMs },
  effects: [...effects, { type: 'timer', ms: waitMs }],
});

function reopen(pace: BreakerPace, waitedMs: number): BreakerStep {
  const cap = Math.max(pace.backoffMs, pace.maxBackoffMs);
  return open(Math.min(cap, waitedMs * 2), []);
}

const close = (pace: BreakerPace): BreakerStep => ({
  state: BREAKER_START,
  effects: [{ type: 'closed' }, { type: 'timer', ms: pace.intervalMs }],
});
