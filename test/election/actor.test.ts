/** The single writer around the machine: order, late timers, bounds, failures. */
import { beforeEach, describe, expect, it } from 'vitest';
import { millis, type PeerId, type Term } from '../../src/base/brands.ts';
import { type ActorDeps, ElectionActor } from '../../src/election/actor.ts';
import { factsSource } from '../../src/election/facts.ts';
import { createSeals } from '../../src/election/seals.ts';
import { NO_HARD } from '../../src/election/store.ts';
import type { ElectionEffect, ElectionInput, Message } from '../../src/election/types.ts';
import type { Chain } from '../../src/roster/chain.ts';
import { ada, admit, ben, chainWith, cyd, promote } from '../roster/support.ts';
import { type TestClock, testClock } from '../support/world.ts';
import { TIMING } from './service-lab.ts';

const three = [admit(ben), admit(cyd), promote(ben), promote(cyd)] as const;

let clock: TestClock;
/** How far the clock is ahead of its timers: the event loop was blocked so long. */
let behind: number;
let chain: Chain;
let turns: (() => void)[];
let writes: { resolve: () => void; reject: (error: Error) => void }[];
let said: string[];
let crashes: unknown[];
let actor: ElectionActor;

const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve();
};

/** Ben's actor, with `persist` and turns of the loop in the test's hands. */
function make(): ElectionActor {
  const word = (effect: ElectionEffect): string =>
    effect.type === 'send' ? `${effect.message.type} to ${effect.to.slice(-4)}` : effect.type;
  const deps: ActorDeps = {
    clock: { ...clock, now: () => millis(clock.now() + behind) },
    nextTurn: () => new Promise((resolve) => turns.push(resolve)),
    facts: factsSource(() => chain),
    context: (roster) => ({
      ...{ self: ben.peerId, now: millis(clock.now() + behind), chance: () => 0, timing: TIMING },
      ...{ roster, seals: createSeals(chain.view.clusterId, ben), ranking: roster.voters },
    }),
    perform: (effect) => {
      said.push(word(effect));
      if (effect.type !== 'persist') return undefined;
      return new Promise<undefined>((resolve, reject) => {
        writes.push({ resolve: () => resolve(undefined), reject });
      });
    },
    onCrash: (error) => void crashes.push(error),
  };
  return new ElectionActor(NO_HARD, deps);
}

beforeEach(() => {
  clock = testClock();
  behind = 0;
  chain = chainWith(three);
  turns = [];
  writes = [];
  said = [];
  crashes = [];
  actor = make();
});

const from = (peer: PeerId, message: Message): ElectionInput => ({
  ...{ type: 'message', from: peer, message },
});
const beat = (term: number, round: number): ElectionInput => {
  const { term: rosterTerm, epoch } = chain.view;
  return from(ada.peerId, { type: 'beat', term: term as Term, round, rosterTerm, epoch });
};

/** Runs the turns that are waited for now. */
async function turn(): Promise<number> {
  const due = turns.splice(0);
  for (const resolve of due) resolve();
  await settle();
  return due.length;
}

async function written(): Promise<void> {
  for (const { resolve } of writes.splice(0)) resolve();
  await settle();
}

async function led(): Promise<void> {
  actor.start();
  actor.feed(beat(1, 1));
  await written();
  said = [];
}

const preVotes = (): number => said.filter((word) => word.startsWith('pre-vote')).length;

describe('the election actor', () => {
  it('lets nothing out before the disk has what it follows from (E2)', async () => {
    actor.start();
    actor.feed(beat(1, 1));
    await settle();
    expect(said).toEqual(['persist']);
    await written();
    expect(said).toEqual(['persist', 'leader', `beat-reply to ${ada.peerId.slice(-4)}`]);
  });

  it('takes one input at a time: what comes during a write waits for it', async () => {
    actor.start();
    actor.feed(beat(1, 1));
    actor.feed(beat(2, 2));
    await settle();
    expect(said).toEqual(['persist']);
    expect(actor.waiting).toBe(1);
    await written();
    expect(said.filter((word) => word === 'persist')).toHaveLength(2);
    expect(said.at(-1)).toBe('persist');
    await written();
    expect(said.at(-1)).toMatch(/^beat-reply/);
  });

  it('does nothing before it is started', async () => {
    actor.feed(beat(1, 1));
    clock.advance(5_000);
    await turn();
    expect(said).toEqual([]);
    actor.start();
    expect(said).toEqual(['persist']);
  });

  it('stands when its time has come, after a turn of the loop', async () => {
    await led();
    clock.advance(TIMING.timeoutMs + 3 * TIMING.staggerMs);
    expect(preVotes()).toBe(0);
    expect(await turn()).toBe(1);
    expect(preVotes()).toBe(2);
  });

  it('does not stand when the beat was only held up with its own loop (E7)', async () => {
    await led();
    clock.advance(TIMING.timeoutMs + 3 * TIMING.staggerMs);
    actor.feed(beat(1, 2));
    await turn();
    expect(preVotes()).toBe(0);
    // The timer runs on from the beat.
    clock.advance(TIMING.timeoutMs + 3 * TIMING.staggerMs);
    await turn();
    expect(preVotes()).toBe(2);
  });

  it('gives what arrived more turns when the timer is late', async () => {
    await led();
    behind = 10_000;
    clock.advance(TIMING.timeoutMs + 3 * TIMING.staggerMs);
    expect([await turn(), await turn()]).toEqual([1, 1]);
    expect(preVotes()).toBe(0);
    actor.feed(beat(1, 2));
    expect([await turn(), await turn()]).toEqual([1, 0]);
    expect(preVotes()).toBe(0);
  });

  it('puts a tick behind what waits for a write', async () => {
    await led();
    actor.feed(beat(2, 2));
    actor.feed(beat(2, 3));
    clock.advance(TIMING.timeoutMs + 3 * TIMING.staggerMs);
    await turn();
    expect(preVotes()).toBe(0);
    await written();
    expect(preVotes()).toBe(0);
    expect(said.filter((word) => word.startsWith('beat-reply'))).toHaveLength(2);
  });

  it('tells a change of the roster before anything else', async () => {
    actor.start();
    const stranger = from(cyd.peerId, { type: 'stand', term: 1 as Term });
    chain = chainWith([admit(ben)]);
    actor.feed(stranger);
    expect(said).toEqual(['ignored']);
    chain = chainWith(three);
    actor.poke();
    actor.feed(beat(1, 1));
    await written();
    expect(said.at(-1)).toMatch(/^beat-reply/);
  });

  it('is bounded: messages are dropped and counted, own requests find room (P3)', async () => {
    actor.start();
    actor.feed(beat(1, 1));
    for (let i = 0; i < 1_500; i++) actor.feed(beat(1, 2 + i));
    expect(actor.waiting).toBe(1_024);
    expect(actor.dropped).toBe(476);
    expect(actor.feed({ type: 'campaign', trigger: 'manual' })).toBe(true);
    await written();
    expect(actor.waiting).toBe(0);
  });

  it('stops for good when a write fails, and says nothing that follows from it', async () => {
    actor.start();
    actor.feed(beat(1, 1));
    actor.feed(beat(1, 2));
    for (const { reject } of writes.splice(0)) reject(new Error('EIO'));
    await settle();
    expect(crashes).toEqual([new Error('EIO')]);
    expect(said).toEqual(['persist']);
    expect(actor.feed(beat(1, 3))).toBe(false);
    clock.advance(60_000);
    await turn();
    expect(said).toEqual(['persist']);
  });

  it('closes after the write that is under way, and runs no timer any more', async () => {
    actor.start();
    actor.feed(beat(1, 1));
    let closed = false;
    const closing = actor.close().then(() => {
      closed = true;
    });
    await settle();
    expect(closed).toBe(false);
    await written();
    await closing;
    clock.advance(60_000);
    await turn();
    expect(said).toEqual(['persist']);
    expect(crashes).toEqual([]);
  });

  it('arms one timer, however many beats come', async () => {
    let armed = 0;
    const { after } = clock;
    clock = {
      ...clock,
      after: (ms, fn) => {
        armed++;
        return after(ms, fn);
      },
    };
    actor = make();
    await led();
    const before = armed;
    for (let i = 0; i < 100; i++) actor.feed(beat(1, 2 + i));
    expect(armed - before).toBeLessThanOrEqual(1);
  });
});
