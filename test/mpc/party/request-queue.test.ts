/** P3: requests for signatures are bounded, served in order, and lose no turn. */
import { describe, expect, it } from 'vitest';
import type { KeyId } from '../../../src/base/brands.ts';
import { RequestQueue } from '../../../src/mpc/party/request-queue.ts';

const key = (n: number) => String(n).padStart(64, '0') as KeyId;
const forever = (): AbortSignal => new AbortController().signal;
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: { code: string }) => error.code,
  );

describe('P3: the line of requests', () => {
  it('lets so many in, the others in their order, and refuses what is too much', async () => {
    const queue = new RequestQueue({ parallel: 2, waiting: 2 });
    const entered: number[] = [];
    const enter = (n: number) =>
      queue.enter(key(1), forever()).then((leave) => {
        entered.push(n);
        return leave;
      });
    const [a, b] = [await enter(1), await enter(2)];
    const [c, d] = [enter(3), enter(4)];
    expect(await codeOf(enter(5))).toBe('BUSY');
    expect([queue.waiting, queue.dropped]).toEqual([2, 1]);
    // Another key has a line of its own.
    (await queue.enter(key(2), forever()))();
    a();
    a();
    await c;
    expect(entered).toEqual([1, 2, 3]);
    b();
    (await d)();
    (await c)();
    expect(entered).toEqual([1, 2, 3, 4]);
    expect(queue.waiting).toBe(0);
    await Promise.all([enter(6), enter(7)]);
    expect(entered).toEqual([1, 2, 3, 4, 6, 7]);
  });

  it('forgets a client that goes while it waits, and gives its turn to the next', async () => {
    const queue = new RequestQueue({ parallel: 1, waiting: 2 });
    const leave = await queue.enter(key(1), forever());
    const client = new AbortController();
    const gone = codeOf(queue.enter(key(1), client.signal));
    const next = queue.enter(key(1), forever());
    client.abort();
    expect(await gone).toBe('INTERRUPTED');
    leave();
    (await next)();
    expect(queue.waiting).toBe(0);
  });
});
