/**
 * Time as this process lives it. A machine that is kept from its work for a second, or that has ten
 * other things to do, lets an ordinary clock run on: every deadline passes at once, and nodes that
 * share the process take each other for dead. Here a turn of the event loop takes `STEP_MS` at most.
 */
import { millis } from '../../src/base/brands.ts';
import type { Clock } from '../../src/base/ports.ts';

/** Above what a turn takes that does some arithmetic, below every deadline of a test. */
const STEP_MS = 25;

interface Timer {
  readonly at: number;
  readonly fn: () => void;
}

const timers = new Set<Timer>();
let lived = 0;
let looked = performance.now();

const sinceLook = (): number => Math.min(performance.now() - looked, STEP_MS);

function look(): void {
  lived += sinceLook();
  looked = performance.now();
  const due = [...timers].filter(({ at }) => at <= lived).sort((a, b) => a.at - b.at);
  for (const timer of due) {
    // One that fired before may have cancelled it.
    if (timers.delete(timer)) timer.fn();
  }
}
setInterval(look, 1).unref();

export const steadyClock: Clock = {
  wallMs: () => Date.now(),
  now: () => millis(lived + sinceLook()),
  after(ms, fn) {
    const timer = { at: lived + sinceLook() + ms, fn };
    timers.add(timer);
    return () => void timers.delete(timer);
  },
};

export const steadySleep = (ms: number): Promise<void> =>
  new Promise((resolve) => void steadyClock.after(ms, resolve));
