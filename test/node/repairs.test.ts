/** Repairs that the leader orders, over members that may go away in the middle. */
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { encode } from '../../src/base/codec.ts';
import type { Direct } from '../../src/base/ports.ts';
import { Repairs } from '../../src/node/repairs.ts';
import { quietLogger, testClock, testSigner } from '../support/world.ts';

const [self, faithful, doomed] = (await Promise.all(
  ['self', 'faithful', 'doomed'].map(async (name) => (await testSigner(name)).peerId),
)) as [PeerId, PeerId, PeerId];

function scene() {
  const clock = testClock();
  const listeners = new Set<(peer: PeerId, live: boolean) => void>();
  const report = { checked: 4, whole: 4 };
  const direct: Pick<Direct, 'connected' | 'handle' | 'onPeer' | 'request'> = {
    connected: () => [faithful, doomed],
    handle: () => {},
    onPeer(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    request: (peer) =>
      peer === faithful ? Promise.resolve(encode({ v: 1, ...report })) : new Promise(() => {}),
  };
  const repairs = new Repairs({
    ...{ self, clock, log: quietLogger, direct: direct as Direct },
    repairer: { ordered: async () => report, useOrders: () => {} },
    leader: () => self,
    submit: async () => {},
    alsoRepair: () => {},
  });
  const see = (peer: PeerId, live: boolean): void => {
    for (const listener of listeners) listener(peer, live);
  };
  return { clock, repairs, see, listeners };
}
const turns = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe('a repair job', () => {
  it('does not wait for a member that went away and stays away', async () => {
    const { clock, repairs, see, listeners } = scene();
    let ended: string | undefined;
    const run = repairs.run(`holders:${doomed}`).then((text) => {
      ended = text;
    });
    see(doomed, false);
    clock.advance(9_999);
    await turns();
    expect(ended).toBeUndefined();
    clock.advance(1);
    await run;
    expect(ended).toBe('2 of 3 members: 8 of 8 records whole');
    expect(listeners.size).toBe(0);
  });

  it('waits for one that comes back', async () => {
    const { clock, repairs, see } = scene();
    let ended = false;
    void repairs.run(`holders:${doomed}`).then(() => {
      ended = true;
    });
    see(doomed, false);
    clock.advance(9_000);
    see(doomed, true);
    clock.advance(60_000);
    await turns();
    expect(ended).toBe(false);
  });
});
