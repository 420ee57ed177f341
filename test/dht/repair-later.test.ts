/** A repair is about what stood when its members changed. */
import { expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { Counters } from '../../src/dht/counters.ts';
import { Repairer } from '../../src/dht/repair.ts';
import { quietLogger, testClock, testSigner } from '../support/world.ts';

it('what came after the change is not looked at, in any rank', async () => {
  const clock = testClock();
  const [self, other, gone] = (await Promise.all(
    ['self', 'other', 'gone'].map(async (name) => (await testSigner(name)).peerId),
  )) as [PeerId, PeerId, PeerId];
  let present: readonly PeerId[] = [other, gone];
  const came = new Map<string, number>();
  const looked: string[] = [];
  const keys = ['old', 'recent', 'later'];
  const repairer = new Repairer(
    { patienceMs: 100, orderMs: 1_000, rankMs: 1_000, ranks: 3, tickMs: 10, pauseMs: 0 },
    {
      ...{ self, clock, log: quietLogger, counters: new Counters() },
      members: () => [self, other, gone],
      present: () => present,
      copies: () => 3,
      page: async () => ({ keys: keys.map(utf8Bytes), next: undefined }),
      journalled: async () => [],
      cameAt: (key) => came.get(Buffer.from(key).toString()),
      async ensure(key) {
        looked.push(Buffer.from(key).toString());
        return 2;
      },
    },
  );
  repairer.start();
  clock.advance(20);
  present = [other];
  clock.advance(50);
  came.set('recent', clock.now());
  clock.advance(60);
  came.set('later', clock.now() + 1);
  for (let i = 0; i < 400; i++) {
    clock.advance(10);
    await Promise.resolve();
  }
  await repairer.stop();
  expect(new Set(looked)).toEqual(new Set(['old', 'recent']));
});
