import { describe, expect, it } from 'vitest';
import { ResultPublisher } from '../../../src/mpc/party/result-publisher.ts';
import { quietLogger, testClock } from '../../support/world.ts';

/** A publisher whose store takes `takesMs` for each record. */
function setup(takesMs: number, busy: () => boolean) {
  const clock = testClock();
  const published: number[] = [];
  const kept: string[] = [];
  const publisher = new ResultPublisher({
    clock,
    logger: quietLogger,
    busy,
    done: () => {},
    records: {
      complete: () =>
        new Promise((done) => {
          published.push(clock.now());
          clock.after(takesMs, done);
        }),
      keep: async (address) => void kept.push(address),
      publish: async () => {},
      candidates: async () => [],
    },
  });
  const result = (i: number) => ({ address: `ucxl://${i}`, record: Uint8Array.of(i) });
  /** Lets the clock run, with promises in between. */
  const pass = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 5) {
      clock.advance(5);
      await new Promise((done) => setImmediate(done));
    }
  };
  return { publisher, published, kept, result, pass };
}

describe('results on their way to their addresses', () => {
  it('take a thirtieth of the time while this node signs, and none is forgotten', async () => {
    const { publisher, published, result, pass } = setup(20, () => true);
    for (let i = 0; i < 5; i++) publisher.author(result(i));
    await pass(1_200);
    expect(published).toHaveLength(2);
    await pass(3_000);
    expect(published).toHaveLength(5);
    publisher.close();
  });

  it('follow one another once it does not', async () => {
    const { publisher, published, result, pass } = setup(20, () => false);
    for (let i = 0; i < 5; i++) publisher.author(result(i));
    // The first one half a second after the newest result at the latest.
    await pass(1_300);
    expect(published).toHaveLength(5);
    publisher.close();
  });

  it('stay with a witness, which asks nobody', async () => {
    const { publisher, published, kept, result, pass } = setup(20, () => true);
    for (let i = 0; i < 5; i++) publisher.witness(result(i));
    await pass(2_900);
    expect(kept).toEqual([]);
    await pass(200);
    expect(kept).toEqual([0, 1, 2, 3, 4].map((i) => `ucxl://${i}`));
    expect(published).toEqual([]);
    expect(publisher.timers).toBe(0);
    publisher.close();
  });
});
