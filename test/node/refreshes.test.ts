import { describe, expect, it } from 'vitest';
import type { Term } from '../../src/base/brands.ts';
import { millis } from '../../src/base/brands.ts';
import type { Clock } from '../../src/base/ports.ts';
import type { KeyAge } from '../../src/mpc/keys/key-age.ts';
import { refreshDuty } from '../../src/node/refreshes.ts';
import { quietLogger } from '../support/world.ts';

const EVERY = 400_000;

/** A clock whose pauses pass at once, and age the keys. */
function world(failing = false) {
  let now = 0;
  const stop = new AbortController();
  const clock: Clock = {
    now: () => millis(now),
    wallMs: () => now,
    after(ms, fn) {
      now += ms;
      if (now > 5 * EVERY) stop.abort();
      queueMicrotask(fn);
      return () => undefined;
    },
  };
  const ids: string[] = [];
  const subjects = new Set<string>();
  const deps = {
    ...{ clock, logger: quietLogger },
    keys: (): readonly KeyAge[] => [
      {
        durable: true,
        keyId: 'ab'.repeat(32),
        name: 'k',
        epoch: 3,
        ageMs: now,
        standing: 'none',
        gone: [],
      },
    ],
    submit: async (subject: string, id: string) => {
      ids.push(id);
      subjects.add(subject);
      if (failing) throw new Error('no leader');
    },
  };
  const run = () => refreshDuty(EVERY, deps).run(1 as Term, stop.signal, () => undefined);
  return { ids, subjects, run };
}

describe('scheduled refreshes', () => {
  it('order a key that is old by the same name until the next slot: two leaders, one job', async () => {
    const [one, two] = [world(), world()];
    await one.run();
    await two.run();
    expect([...one.subjects]).toEqual([`${'ab'.repeat(32)}@3`]);
    expect(new Set(one.ids)).toEqual(new Set(two.ids));
    // It is looked at many times, and ordered under few names: four for each time it is over due.
    expect(one.ids.length).toBeGreaterThan(20);
    expect(new Set(one.ids).size).toBeLessThan(20);
    expect(one.ids[0]).toMatch(/^refresh-(ab){8}-3-4$/);
  });

  it('go on where an order fails', async () => {
    const { ids, run } = world(true);
    await run();
    expect(ids.length).toBeGreaterThan(20);
  });
});
