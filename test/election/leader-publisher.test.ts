/** A leader stands at its address while it leads, and no longer than it does. */
import { describe, expect, it } from 'vitest';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { openLeaderHead } from '../../src/election/leader-head.ts';
import { type Election, LeaderPublisher } from '../../src/election/leader-publisher.ts';
import { series } from '../../src/ucxl/address.ts';
import type { Resolver } from '../../src/ucxl/resolver.ts';
import { ada, ben, cyd } from '../roster/support.ts';
import { quietLogger, testClock } from '../support/world.ts';
import { CHAIN, epoch, THREE, term, votesBy } from './certificate-support.ts';

const HOUR = 3_600_000;
const election = (n: number, votes = votesBy([ada, cyd, ben], { term: n })): Election => ({
  term: term(n),
  epoch: epoch(THREE),
  votes,
});

function setup() {
  const clock = testClock();
  const heads: { leader: string; term: number; seq: number; time: number }[] = [];
  const errors: object[] = [];
  const wait: { failing: boolean; blocked: Promise<void> | undefined } = {
    failing: false,
    blocked: undefined,
  };
  const publish: Resolver['publish'] = async (address, bytes) => {
    expect(typeof address === 'string' ? address : series(address)).toBe(
      'ucxl://leader:slurp@lab:election/current',
    );
    const { seq, time, verified } = openLeaderHead(bytes, CHAIN);
    heads.push({ leader: verified.leader, term: verified.term, seq, time });
    await wait.blocked;
    if (wait.failing) throw new BzzzError('DISK_FAILED', 'no disk');
    return { address: '', version: null, pin: '', ack: 'quorum', holders: [], pending: 0 };
  };
  const log = { ...quietLogger, error: (fields: object) => void errors.push(fields) };
  const publisher = new LeaderPublisher(
    {},
    { resolver: { publish }, chain: () => CHAIN, signer: ada, clock, log },
  );
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { clock, heads, errors, wait, publisher, settle };
}

describe('the publisher of a leadership', () => {
  it('publishes at once, and again long before the head is past its time', async () => {
    const { clock, heads, publisher, settle } = setup();
    publisher.elected(election(7));
    await settle();
    const first = { leader: ada.peerId, term: 7, seq: 1, time: clock.wallMs() };
    expect(heads).toEqual([first]);
    for (let day = 0; day < 24; day += 1) {
      clock.advance(HOUR);
      await settle();
    }
    expect(heads.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    const times = heads.map(({ time }) => time);
    for (const [i, time] of times.slice(1).entries()) {
      expect(time - times[i]!).toBeLessThanOrEqual(LIMITS.leaderHeadLifeMs / 2);
    }
  });

  it('says nothing more once it is deposed, also when a publication is under way', async () => {
    const { clock, heads, wait, publisher, settle } = setup();
    publisher.elected(election(7));
    await settle();
    publisher.deposed();
    clock.advance(48 * HOUR);
    await settle();
    expect(heads).toHaveLength(1);
    let go = (): void => {};
    wait.blocked = new Promise<void>((resolve) => {
      go = resolve;
    });
    publisher.elected(election(8));
    publisher.deposed();
    go();
    await settle();
    clock.advance(48 * HOUR);
    await settle();
    expect(heads.map((head) => head.term)).toEqual([7, 8]);
  });

  it('goes on with the newest term alone when it is elected again', async () => {
    const { clock, heads, publisher, settle } = setup();
    publisher.elected(election(7));
    publisher.elected(election(9));
    await settle();
    clock.advance(7 * HOUR);
    await settle();
    expect(heads.map((head) => [head.term, head.seq])).toEqual([
      [7, 1],
      [9, 1],
      [9, 2],
    ]);
  });

  it('tries again soon after a failure, with a head newer than the failed one', async () => {
    const { clock, heads, wait, publisher, settle } = setup();
    wait.failing = true;
    publisher.elected(election(7));
    await settle();
    wait.failing = false;
    clock.advance(10_000);
    await settle();
    expect(heads.map(({ seq }) => seq)).toEqual([1, 2]);
    clock.advance(10_000);
    await settle();
    expect(heads).toHaveLength(2);
  });

  it('leads without a record when a vote does not open, and says so', async () => {
    const { heads, errors, publisher, settle } = setup();
    publisher.elected(election(7, [new Uint8Array(40)]));
    publisher.elected({ ...election(7), epoch: epoch(99) });
    await settle();
    expect(heads).toEqual([]);
    expect(errors).toHaveLength(2);
  });
});
