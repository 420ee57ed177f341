/** The life of a duty: never two runners, in whatever order promotions and demotions come (R106). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { millis, type Term } from '../../src/base/brands.ts';
import {
  DUTY_IDLE,
  type DutyBounds,
  type DutyInput,
  DutyRunner,
  type DutyState,
  dutyFault,
  stepDuty,
} from '../../src/election/duty.ts';
import { quietLogger, testClock } from '../support/world.ts';

const bounds: DutyBounds = { startMs: 100, stallMs: 200, stopMs: 50, pauseMs: 40 };
const term = (n: number) => n as Term;
const promote = (n: number): DutyInput => ({ type: 'promote', term: term(n) });
const demote = (n: number): DutyInput => ({ type: 'demote', term: term(n) });
const ended: DutyInput = { type: 'ended' };
const progress: DutyInput = { type: 'progress' };
const tick: DutyInput = { type: 'tick' };

type Script = readonly (DutyInput | readonly [number, DutyInput])[];

/** Feeds inputs, each at its instant; `effects` are those of the last one. */
function play(...inputs: Script) {
  let state: DutyState = DUTY_IDLE;
  let effects: readonly string[] = [];
  for (const item of inputs) {
    const [at, input] = 'type' in item ? ([0, item] as const) : item;
    const step = stepDuty(bounds, state, input, millis(at));
    state = step.state;
    effects = step.effects.map((e) =>
      e.type === 'run' ? `run ${e.term}` : e.type === 'report' ? e.fault : e.type,
    );
  }
  return { state, at: state.at, effects, fault: dutyFault(state) };
}

const ROWS: readonly (readonly [string, Script, string, readonly string[]])[] = [
  ['idle, promote', [promote(1)], 'running', ['run 1']],
  ['running, progress', [promote(1), progress], 'running', []],
  ['running, demote', [promote(1), demote(1)], 'stopping', ['abort']],
  ['running, demote of a later term', [promote(1), demote(4)], 'stopping', ['abort']],
  ['running, demote of an earlier term', [promote(3), demote(2)], 'running', []],
  ['running, promote of the same term', [promote(3), promote(3)], 'running', []],
  ['running, promote of a later term', [promote(1), promote(2)], 'stopping', ['abort']],
  ['running, ended', [promote(1), ended], 'pausing', ['ended by itself']],
  ['stopping, promote', [promote(1), demote(1), promote(2)], 'stopping', []],
  ['stopping, ended', [promote(1), demote(1), ended], 'idle', []],
  [
    'stopping with a next one, ended',
    [promote(1), demote(1), promote(2), ended],
    'running',
    ['run 2'],
  ],
  ['stopping, the next demoted', [promote(1), promote(2), demote(2), ended], 'idle', []],
  ['stopping, demote again', [promote(1), demote(1), demote(1)], 'stopping', []],
  ['idle, promote after its demote', [demote(2), promote(2)], 'idle', []],
  ['idle, promote of an earlier term', [demote(5), promote(4)], 'idle', []],
  ['idle, ended', [ended], 'idle', []],
  ['idle, progress', [progress], 'idle', []],
  ['idle, tick', [tick], 'idle', []],
  ['pausing, too early', [promote(1), ended, [39, tick]], 'pausing', []],
  ['pausing, over', [promote(1), ended, [40, tick]], 'running', ['run 1']],
  ['pausing, demote', [promote(1), ended, demote(1)], 'idle', []],
  ['pausing, promote', [promote(1), ended, promote(2)], 'running', ['run 2']],
  ['slow start, in time', [promote(1), [99, tick]], 'running', []],
  ['slow start', [promote(1), [100, tick]], 'running', ['late start']],
  ['slow start, told once', [promote(1), [100, tick], [300, tick]], 'running', []],
  ['stall, in time', [promote(1), [50, progress], [249, tick]], 'running', []],
  ['stall', [promote(1), [50, progress], [250, tick]], 'running', ['stalled']],
  ['slow stop, in time', [promote(1), demote(1), [49, tick]], 'stopping', []],
  ['slow stop', [promote(1), demote(1), [50, tick]], 'stopping', ['late stop']],
  ['slow stop, told once', [promote(1), demote(1), [50, tick], [99, tick]], 'stopping', []],
];

describe('the machine of a duty', () => {
  it.each(ROWS)('%s', (_name, inputs, at, effects) => {
    const result = play(...inputs);
    expect([result.at, result.effects]).toEqual([at, effects]);
  });

  it('is in order again after progress', () => {
    const stalled: Script = [promote(1), [50, progress], [250, tick]];
    expect(play(...stalled).fault).toBe('stalled');
    expect(play(...stalled, [260, progress]).fault).toBeUndefined();
    expect(play(promote(1), [100, tick]).fault).toBe('late start');
    expect(play(promote(1), demote(1), [50, tick]).fault).toBe('late stop');
    expect(play(promote(1), ended).fault).toBe('ended by itself');
  });

  it('never has two runners, nor one of a term that was demoted, in any order', () => {
    const termed = fc.record({
      type: fc.constantFrom('promote', 'demote'),
      term: fc.integer({ min: 1, max: 6 }).map(term),
    });
    const plain = fc.constantFrom(ended, progress, tick);
    const input = fc.oneof(termed, plain) as fc.Arbitrary<DutyInput>;
    let runs = 0;
    fc.assert(
      fc.property(fc.array(input, { maxLength: 40 }), (inputs) => {
        let state = DUTY_IDLE;
        let running: Term | null = null;
        let aborted = false;
        let now = 0;
        let demoted = 0;
        let last = 0;
        for (const given of inputs) {
          // Only a run that there is can end.
          if (given.type === 'ended' && running === null) continue;
          if (given.type === 'ended') running = null;
          if (given.type === 'demote') demoted = Math.max(demoted, given.term);
          now += 30;
          const step = stepDuty(bounds, state, given, millis(now));
          state = step.state;
          for (const effect of step.effects) {
            if (effect.type === 'run') {
              expect(running).toBeNull();
              expect(effect.term).toBeGreaterThan(demoted);
              expect(effect.term).toBeGreaterThanOrEqual(last);
              running = effect.term;
              last = effect.term;
              aborted = false;
              runs++;
            }
            if (effect.type === 'abort') aborted = true;
          }
          if (running !== null && running <= demoted) expect(aborted).toBe(true);
          expect(running === null).toBe(state.at === 'idle' || state.at === 'pausing');
        }
      }),
      { numRuns: 2_000, seed: 5 },
    );
    expect(runs).toBeGreaterThan(1_000);
  });
});

/** Lets promises settle. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setup(heed = true) {
  const clock = testClock();
  const log: string[] = [];
  const ends = new Map<number, () => void>();
  let alive = 0;
  let most = 0;
  const beats: (() => void)[] = [];
  let crash: ((error: Error) => void) | undefined;
  const runner = new DutyRunner(
    {
      name: 'jobs',
      run: async (n, signal, progressed) => {
        log.push(`start ${n}`);
        most = Math.max(most, ++alive);
        beats.push(progressed);
        try {
          await new Promise<void>((resolve, reject) => {
            crash = reject;
            ends.set(n, resolve);
            if (heed) signal.addEventListener('abort', () => resolve(), { once: true });
          });
        } finally {
          alive--;
          log.push(`end ${n}`);
        }
      },
    },
    { clock, logger: quietLogger },
    bounds,
  );
  return {
    ...{ clock, log, ends, runner, beats },
    most: () => most,
    beat: () => beats.at(-1)?.(),
    crash: (error: Error) => crash?.(error),
  };
}

describe('the runner of a duty', () => {
  it('starts on promotion and is over when its demotion resolves', async () => {
    const { runner, log } = setup();
    runner.promote(term(1));
    await settle();
    expect(runner.health()).toMatchObject({ status: 'healthy', term: 1 });
    await runner.demote(term(1));
    expect(log).toEqual(['start 1', 'end 1']);
    expect(runner.health()).toMatchObject({ status: 'healthy', term: null });
  });

  it('stops what was promoted and demoted in one breath', async () => {
    const { runner, log, most } = setup();
    runner.promote(term(1));
    const over = runner.demote(term(1));
    runner.promote(term(2));
    const second = runner.demote(term(2));
    runner.promote(term(3));
    await Promise.all([over, second]);
    await settle();
    expect(log).toEqual(['start 3']);
    expect(most()).toBe(1);
  });

  it('waits with the next run for one that does not stop, and says so', async () => {
    const { runner, log, clock, ends, most } = setup(false);
    runner.promote(term(1));
    await settle();
    let stopped = false;
    void runner.demote(term(1)).then(() => {
      stopped = true;
    });
    runner.promote(term(2));
    clock.advance(60);
    await settle();
    expect(stopped).toBe(false);
    expect(log).toEqual(['start 1']);
    expect(runner.health()).toMatchObject({
      status: 'degraded',
      errors: 1,
      reason: 'jobs: late stop',
    });
    ends.get(1)?.();
    await settle();
    expect(stopped).toBe(true);
    expect(log).toEqual(['start 1', 'end 1', 'start 2']);
    expect(most()).toBe(1);
    expect(runner.health()).toMatchObject({ status: 'healthy', term: 2 });
  });

  it('sees a loop that stalls, and that goes on', async () => {
    const { runner, clock, beat } = setup();
    runner.promote(term(1));
    await settle();
    clock.advance(120);
    expect(runner.health()).toMatchObject({ status: 'degraded', reason: 'jobs: late start' });
    beat();
    expect(runner.health().status).toBe('healthy');
    for (let i = 0; i < 5; i++) {
      clock.advance(150);
      beat();
      expect(runner.health().status).toBe('healthy');
    }
    clock.advance(230);
    expect(runner.health()).toMatchObject({ reason: 'jobs: stalled', errors: 2 });
  });

  it('tries a run again that broke off, and not after the demotion', async () => {
    const { runner, clock, crash, log } = setup();
    runner.promote(term(1));
    await settle();
    crash(new Error('broken'));
    await settle();
    expect(runner.health()).toMatchObject({ reason: 'jobs: ended by itself: broken' });
    clock.advance(60);
    await settle();
    expect(log).toEqual(['start 1', 'end 1', 'start 1']);
    crash(new Error('broken'));
    await settle();
    await runner.demote(term(1));
    clock.advance(1_000);
    await settle();
    expect(log).toEqual(['start 1', 'end 1', 'start 1', 'end 1']);
  });

  it('takes no sign of progress from a run that is over', async () => {
    const { runner, clock, beats, ends } = setup(false);
    runner.promote(term(1));
    await settle();
    void runner.demote(term(1));
    runner.promote(term(2));
    ends.get(1)?.();
    await settle();
    clock.advance(120);
    expect(runner.health()).toMatchObject({ term: 2, reason: 'jobs: late start' });
    beats[0]?.();
    expect(runner.health().status).toBe('degraded');
    beats[1]?.();
    expect(runner.health().status).toBe('healthy');
  });

  it('moves from term to term with one runner at a time', async () => {
    const { runner, log, most } = setup();
    for (const n of [1, 2, 3]) {
      runner.promote(term(n));
      await settle();
    }
    runner.promote(term(2));
    await runner.demote(term(3));
    expect(log).toEqual(['start 1', 'end 1', 'start 2', 'end 2', 'start 3', 'end 3']);
    expect(most()).toBe(1);
  });
});
