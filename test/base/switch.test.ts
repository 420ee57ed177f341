/** The switch between backends: each command, the way back, the sticky share of the keys. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import {
  BACKENDS,
  backendFor,
  bucketOf,
  type Choice,
  initialState,
  mainBackend,
  Switch,
  type SwitchCommand,
  type SwitchState,
  step,
} from '../../src/base/switch.ts';

const all = (backend: Choice['backend']): Choice => ({ backend, percent: 100 });
const set = (backend: Choice['backend'], percent = 100): SwitchCommand => ({
  kind: 'set',
  choice: { backend, percent },
});
const rollback: SwitchCommand = { kind: 'rollback' };
const isolate: SwitchCommand = { kind: 'isolate' };
const run = (state: SwitchState, ...commands: readonly SwitchCommand[]): SwitchState =>
  commands.reduce(step, state);
const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof BzzzError) return thrown.code;
    throw thrown;
  }
  return 'none';
};

const choice = fc.record({
  backend: fc.constantFrom(...BACKENDS),
  percent: fc.integer({ min: 0, max: 100 }),
});
const command = fc.oneof(
  choice.map((c): SwitchCommand => ({ kind: 'set', choice: c })),
  fc.constant(rollback),
  fc.constant(isolate),
);
const keys = Array.from({ length: 10_000 }, (_, i) => `i/${i.toString(36)}`);

describe('the switch', () => {
  it('goes to the backend that is set, and back one step, and again', () => {
    const start = initialState(all('hybrid'));
    const two = run(start, set('mock'), set('real'));
    expect(two.chosen.backend).toBe('real');
    expect(run(two, rollback).chosen.backend).toBe('mock');
    expect(run(two, rollback, rollback).chosen).toEqual(start.chosen);
    expect(codeOf(() => run(two, rollback, rollback, rollback))).toBe('CONFLICT');
  });

  it('isolates: all keys are local until a rollback or a set', () => {
    const isolated = run(initialState(all('hybrid')), set('real'), isolate);
    expect(keys.every((key) => backendFor(isolated, key) === 'mock')).toBe(true);
    expect(mainBackend(isolated)).toBe('mock');
    expect(run(isolated, isolate)).toBe(isolated);
    expect(mainBackend(run(isolated, rollback))).toBe('real');
    // The isolation was the last step, so the step before is taken back by the next one.
    expect(mainBackend(run(isolated, rollback, rollback))).toBe('hybrid');
    const again = run(isolated, set('real'));
    expect([again.isolated, again.previous]).toEqual([false, [all('hybrid')]]);
  });

  it('changes nothing, and counts nothing, when it is set to what it is', () => {
    const state = run(initialState(all('hybrid')), set('real', 30));
    expect(run(state, set('real', 30))).toBe(state);
    expect(run(state, set('real', 31)).generation).toBe(state.generation + 1);
  });

  it('refuses what is no percentage', () => {
    for (const percent of [-1, 101, 0.5, Number.NaN]) {
      expect(codeOf(() => run(initialState(all('mock')), set('real', percent)))).toBe(
        'BAD_REQUEST',
      );
      expect(codeOf(() => new Switch('dht', { backend: 'real', percent }))).toBe('BAD_REQUEST');
    }
  });

  it('gives 30 % of the keys to the backend, within 3 (R70)', () => {
    const state = initialState({ backend: 'real', percent: 30 });
    const share = keys.filter((key) => backendFor(state, key) === 'real').length / keys.length;
    expect(share).toBeGreaterThan(0.27);
    expect(share).toBeLessThan(0.33);
    // From the hash alone, so that every run and every host says the same.
    expect([bucketOf('i/0'), bucketOf('i/1'), bucketOf('')]).toEqual([83, 56, 10]);
  });

  it('moves keys one way only when the share grows', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(100), fc.nat(100), (key, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)].map((percent) =>
          initialState({ backend: 'hybrid', percent }),
        ) as [SwitchState, SwitchState];
        if (backendFor(less, key) === 'hybrid') {
          expect(backendFor(more, key)).toBe('hybrid');
        }
      }),
    );
  });

  it('takes back whatever was done, step by step (property)', () => {
    fc.assert(
      fc.property(choice, fc.array(command, { maxLength: 30 }), (first, commands) => {
        // The model: a stack of what was effective, as long as the history can be.
        let state = initialState(first);
        let stack: Choice[] = [first];
        let isolated = false;
        for (const one of commands) {
          const before = state;
          if (one.kind === 'rollback' && !isolated && stack.length === 1) {
            expect(codeOf(() => step(state, one))).toBe('CONFLICT');
            continue;
          }
          state = step(state, one);
          if (one.kind === 'isolate') isolated = true;
          else if (one.kind === 'rollback') {
            if (!isolated) stack.pop();
            isolated = false;
          } else {
            const top = stack.at(-1);
            if (top?.backend !== one.choice.backend || top.percent !== one.choice.percent) {
              stack.push(one.choice);
            }
            stack = stack.slice(-(LIMITS.switchHistory + 1));
            isolated = false;
          }
          expect(state.chosen).toEqual(stack.at(-1));
          expect(state.isolated).toBe(isolated);
          expect(state.previous.length).toBeLessThanOrEqual(LIMITS.switchHistory);
          expect(state.generation).toBe(before.generation + (state === before ? 0 : 1));
        }
      }),
    );
  });

  it('tells of each change, once, and of nothing else', () => {
    const one = new Switch('dht', all('hybrid'));
    const told: string[] = [];
    const stop = one.onChange(({ component, command: kind, before, after }) => {
      told.push(`${component} ${kind} ${mainBackend(before)}>${mainBackend(after)}`);
      expect(one.state).toBe(after);
    });
    one.apply(set('mock'));
    one.apply(set('mock'));
    one.apply(rollback);
    one.apply(isolate);
    expect(codeOf(() => one.apply(set('real', 200)))).toBe('BAD_REQUEST');
    stop();
    one.apply(rollback);
    expect(told).toEqual([
      'dht set hybrid>mock',
      'dht rollback mock>hybrid',
      'dht isolate hybrid>mock',
    ]);
    expect(one.backendFor('any')).toBe('hybrid');
  });
});
