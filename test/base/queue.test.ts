import { describe, expect, it } from 'vitest';
import { BoundedQueue } from '../../src/base/queue.ts';

describe('BoundedQueue (P3)', () => {
  it('drops the oldest and says how many were missed before the next item', () => {
    const queue = new BoundedQueue<number>(3);
    for (const n of [1, 2, 3, 4, 5]) queue.push(n);
    expect(queue.take()).toEqual({ kind: 'lagged', missed: 2 });
    expect(queue.take()).toEqual({ kind: 'item', value: 3 });
    expect(queue.dropped).toBe(2);
    expect(queue.size).toBe(2);
  });

  it('never holds more than its limit and keeps order', () => {
    const queue = new BoundedQueue<number>(10);
    for (let n = 0; n < 10_000; n++) queue.push(n);
    const seen: number[] = [];
    for (let next = queue.take(); next !== undefined; next = queue.take()) {
      if (next.kind === 'item') seen.push(next.value);
    }
    expect(seen).toEqual([9990, 9991, 9992, 9993, 9994, 9995, 9996, 9997, 9998, 9999]);
    expect(queue.dropped).toBe(9990);
  });

  it('wakes a waiting consumer and ends it after the last item when closed', async () => {
    const queue = new BoundedQueue<string>(4);
    const seen: string[] = [];
    const consumer = (async () => {
      for await (const next of queue) if (next.kind === 'item') seen.push(next.value);
    })();
    queue.push('a');
    await Promise.resolve();
    queue.push('b');
    queue.close();
    queue.push('after close');
    await consumer;
    expect(seen).toEqual(['a', 'b']);
  });
});
