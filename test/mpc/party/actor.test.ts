import { describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '../../../src/base/brands.ts';
import { SessionActor } from '../../../src/mpc/party/actor.ts';
import { EarlyMessages } from '../../../src/mpc/party/early-messages.ts';
import type { Step } from '../../../src/mpc/types.ts';
import { testClock } from '../../support/world.ts';

interface Input {
  readonly type: string;
}
type Effect = 'store' | 'quick' | 'throw' | 'follow';

/** A machine whose inputs name the effects they want, as in `store+quick`. */
function setup(beforeTimer?: () => Promise<void>) {
  const clock = testClock();
  const log: string[] = [];
  const crashes: unknown[] = [];
  const stores: (() => void)[] = [];
  const actor = new SessionActor<number, Input, Effect>(0, {
    clock,
    step: (state, { type }): Step<number, Effect> => {
      log.push(`step ${type}`);
      if (type === 'bad') throw new Error('bad step');
      const known = ['store', 'quick', 'throw', 'follow'];
      return {
        state: state + 1,
        effects: type.split('+').filter((one) => known.includes(one)) as Effect[],
      };
    },
    perform: (effect) => {
      log.push(effect);
      if (effect === 'throw') throw new Error('bad effect');
      if (effect === 'follow') return { type: 'followed' };
      if (effect !== 'store') return undefined;
      return new Promise((resolve) => stores.push(() => resolve({ type: 'stored' })));
    },
    timerInput: (name) => ({ type: `timer ${name}` }),
    ...(beforeTimer === undefined ? {} : { beforeTimer }),
    onCrash: (error) => crashes.push(error),
  });
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { actor, clock, log, crashes, stores, settle };
}

describe('session actor', () => {
  it('runs effects in order, awaits each store, and feeds its outcome before what waits', async () => {
    const { actor, log, stores, settle } = setup();
    actor.feed({ type: 'quick+store+quick' });
    actor.feed({ type: 'later' });
    await settle();
    expect(log).toEqual(['step quick+store+quick', 'quick', 'store']);
    stores[0]?.();
    await settle();
    expect(log.slice(3)).toEqual(['quick', 'step stored', 'step later']);
    expect(actor.state).toBe(3);
  });

  it('works without leaving the caller when nothing is awaited', () => {
    const { actor, log } = setup();
    actor.feed({ type: 'follow+quick' });
    expect(log).toEqual(['step follow+quick', 'follow', 'quick', 'step followed']);
  });

  it('hears what has come before a timer that has run out, which that may still clear', async () => {
    let read = (): void => {};
    const { actor, clock, log, settle } = setup(
      () =>
        new Promise((resolve) => {
          read = resolve;
        }),
    );
    actor.setTimer('a', 10);
    clock.advance(10);
    actor.feed({ type: 'quick' });
    read();
    await settle();
    expect(log).toEqual(['step quick', 'quick', 'step timer a']);
    expect(actor.timers).toBe(0);
    actor.setTimer('b', 10);
    clock.advance(10);
    actor.clearTimer('b');
    read();
    await settle();
    expect(log).toHaveLength(3);
  });

  it('R55: holds nothing after its end: timers, waiting inputs, effects of a store', async () => {
    const { actor, clock, log, stores, crashes, settle } = setup();
    actor.setTimer('a', 10);
    actor.setTimer('b', 20);
    actor.clearTimer('b');
    actor.setTimer('a', 30);
    expect(actor.timers).toBe(1);
    actor.feed({ type: 'store+quick' });
    actor.feed({ type: 'waiting' });
    actor.close();
    expect(actor.timers).toBe(0);
    expect(actor.signal.aborted).toBe(true);
    clock.advance(1_000);
    stores[0]?.();
    actor.feed({ type: 'late' });
    actor.setTimer('c', 1);
    await settle();
    clock.advance(1_000);
    expect(log).toEqual(['step store+quick', 'store']);
    expect(crashes).toEqual([]);
  });

  it('feeds a timer once, by its name', () => {
    const { actor, clock, log } = setup();
    actor.setTimer('a', 10);
    clock.advance(30);
    expect(log).toEqual(['step timer a']);
    expect(actor.timers).toBe(0);
  });

  it('ends the session when machine or effect throws what it must not', async () => {
    for (const type of ['bad', 'throw', 'store+throw']) {
      const { actor, crashes, stores, settle } = setup();
      actor.setTimer('a', 10);
      actor.feed({ type });
      stores[0]?.();
      await settle();
      expect(crashes, type).toHaveLength(1);
      expect(actor.timers).toBe(0);
    }
  });

  it('P3: bounds what waits, and counts what it drops', () => {
    const { actor } = setup();
    actor.feed({ type: 'store' });
    for (let i = 0; i < 1_030; i++) actor.feed({ type: 'more' });
    expect(actor.dropped).toBe(6);
  });
});

describe('early messages', () => {
  const sid = (n: number) => n.toString(16).padStart(64, '0') as SessionId;
  const message = { from: 'a' as PeerId, envelope: new Uint8Array(1) };

  it('ask once for a proposal that does not come, and not for one that does', () => {
    const clock = testClock();
    const asked: SessionId[] = [];
    const early = new EarlyMessages(clock, (id) => asked.push(id));
    early.add(sid(1), message);
    early.add(sid(1), message);
    early.add(sid(2), message);
    expect(early.take(sid(2))).toEqual([message]);
    clock.advance(1_000);
    expect(asked).toEqual([sid(1)]);
    expect(early.take(sid(1))).toHaveLength(2);
    expect(early.take(sid(1))).toEqual([]);
  });

  it('ask everybody who sent some: one of them may have died since', () => {
    const clock = testClock();
    const asked: PeerId[] = [];
    const early = new EarlyMessages(clock, (_id, from) => asked.push(from));
    const other = { ...message, from: 'b' as PeerId };
    early.add(sid(1), message);
    clock.advance(1_000);
    early.add(sid(1), other);
    early.add(sid(1), other);
    clock.advance(1_000);
    expect(asked).toEqual(['a', 'b']);
    early.forget(sid(1), message.from);
    early.add(sid(1), message);
    clock.advance(1_000);
    expect(asked).toEqual(['a', 'b', 'a']);
    for (const { from } of [message, other]) early.forget(sid(1), from);
    expect(early.take(sid(1))).toEqual([]);
    expect(early.timers).toBe(0);
  });

  it('P3: are bounded by session and in all', () => {
    const early = new EarlyMessages(testClock(), () => {});
    for (let i = 0; i < 100; i++) early.add(sid(0), message);
    expect(early.take(sid(0))).toHaveLength(64);
    for (let i = 0; i < 200; i++) early.add(sid(i), message);
    expect(early.timers).toBe(128);
    expect(early.take(sid(0))).toEqual([]);
    early.close();
    expect(early.timers).toBe(0);
  });
});
