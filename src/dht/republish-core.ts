/**
 * When to republish: a pass over all records every interval with jitter, after the start, and when
 * the member set grew; in slices with a pause between, so that a large store does not stall the
 * node. Pure: `step(state, event, chance)`.
 *
 * | state   | event | next    | effect                                    |
 * | ------- | ----- | ------- | ----------------------------------------- |
 * | waiting | start | waiting | timer soon                                |
 * | waiting | grown | waiting | timer soon                                |
 * | waiting | timer | slicing | slice from the beginning                  |
 * | slicing | grown | slicing | - (noted: another pass follows soon)      |
 * | slicing | sliced, more left | pausing | timer pause                   |
 * | slicing | sliced, the last  | waiting | timer interval, or soon       |
 * | pausing | grown | pausing | - (noted)                                 |
 * | pausing | timer | slicing | slice from where the last one ended       |
 *
 * Any other pair changes nothing.
 * @module
 */

export type RepublishState =
  | { readonly at: 'waiting' }
  | { readonly at: 'slicing'; readonly again: boolean }
  | { readonly at: 'pausing'; readonly from: string; readonly again: boolean };

export type RepublishEvent =
  | { readonly type: 'start' }
  | { readonly type: 'grown' }
  | { readonly type: 'timer' }
  /** A slice is done; `next` is where the following one begins, if there is one. */
  | { readonly type: 'sliced'; readonly next: string | undefined };

export type RepublishEffect =
  /** Replaces a running timer. */
  | { readonly type: 'timer'; readonly ms: number }
  /** `from` is `''` at the beginning of a pass. */
  | { readonly type: 'slice'; readonly from: string };

/** Times in ms. */
export interface RepublishPace {
  /** Between passes, +-10 %. */
  readonly intervalMs: number;
  /** From the start or a grown member set to the pass, plus up to as much again. */
  readonly soonMs: number;
  readonly pauseMs: number;
}

export interface RepublishStep {
  readonly state: RepublishState;
  readonly effects: readonly RepublishEffect[];
}

export const REPUBLISH_START: RepublishState = { at: 'waiting' };

/** @param chance 0..1, fresh for every call: nodes that started together drift apart. */
export function republishStep(
  pace: RepublishPace,
  state: RepublishState,
  event: RepublishEvent,
  chance: number,
): RepublishStep {
  const soon = { type: 'timer', ms: pace.soonMs * (1 + chance) } as const;
  switch (state.at) {
    case 'waiting':
      if (event.type === 'start' || event.type === 'grown') return { state, effects: [soon] };
      if (event.type === 'timer') return slice('', false);
      break;
    case 'slicing':
      if (event.type === 'grown') return { state: { ...state, again: true }, effects: [] };
      if (event.type === 'sliced') return afterSlice(pace, state.again, event.next, chance);
      break;
    case 'pausing':
      if (event.type === 'grown') return { state: { ...state, again: true }, effects: [] };
      if (event.type === 'timer') return slice(state.from, state.again);
      break;
  }
  return { state, effects: [] };
}

const slice = (from: string, again: boolean): RepublishStep => ({
  state: { at: 'slicing', again },
  effects: [{ type: 'slice', from }],
});

function afterSlice(
  pace: RepublishPace,
  again: boolean,
  next: string | undefined,
  chance: number,
): RepublishStep {
  if (next !== undefined) {
    const state = { at: 'pausing', from: next, again } as const;
    return { state, effects: [{ type: 'timer', ms: pace.pauseMs }] };
  }
  const wait = again ? pace.soonMs * (1 + chance) : pace.intervalMs * (0.9 + chance / 5);
  return { state: { at: 'waiting' }, effects: [{ type: 'timer', ms: wait }] };
}
