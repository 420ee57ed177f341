/** One seed from its first to its last moment: faults, peace, and what must have come of it. */
import type { PeerId } from '../../src/base/brands.ts';
import type { Change } from '../../src/roster/entry.ts';
import type { Stats } from './checker.ts';
import { ask, leaderOf, unleash } from './faults.ts';
import type { SimNode } from './node.ts';
import { majorityOf } from './toy.ts';
import { Violation } from './violation.ts';
import { World, type WorldOptions } from './world.ts';

export interface SeedResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly events: number;
  /** Simulated. */
  readonly ms: number;
  readonly stats: Stats;
  /** Wishes that were refused. */
  readonly refusals: number;
  /** With `trace`. */
  readonly lines: readonly string[];
}

/** Runs one seed; never throws for what the machines do. */
export function runSeed(seed: number, options: WorldOptions): SeedResult {
  const world = new World(seed, options);
  let violation: Violation | undefined;
  try {
    unleash(world);
    world.run(world.plan.chaosMs + world.plan.timing.timeoutMs);
    live(world);
  } catch (thrown) {
    violation = asViolation(thrown);
    world.say(undefined, violation.message);
  }
  const { events, now, lines } = world;
  const { stats, wishes } = world.checker;
  return { seed, violation, events, ms: now, stats, refusals: wishes.refusals, lines };
}

function asViolation(thrown: unknown): Violation {
  if (thrown instanceof Violation) return thrown;
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return new Violation('ANSWER', `a machine threw: ${text}`);
}

/** E6, E8: with a connected majority there is a leader, and the roster can change. */
function live(world: World): void {
  const { plan, checker } = world;
  const there = survivors(world);
  makePeace(world, there);
  const patience = (5 * plan.timing.timeoutMs) / (1 - plan.skew) + 500;
  const isLed = (): boolean => settled(world, there) !== undefined;
  if (!world.run(patience, isLed) && hasMajority(there)) {
    checker.fail('E6', `no leader after ${Math.round(patience)} ms of peace`);
  }
  if (!changes(world, there, patience) && hasMajority(there)) {
    checker.fail('E6', 'no roster change goes through in peace');
  }
  world.run(plan.timing.timeoutMs);
  if (checker.wishes.unanswered.length > 0)
    checker.fail('ANSWER', `nobody answers ${checker.wishes.unanswered.join()}`);
  if (plan.wild) return;
  checker.quiet = settled(world, there) !== undefined;
  world.run(3 * plan.timing.timeoutMs);
}

/**
 * Who is up and connected from here on: everyone, or no more than a majority of the newest roster
 * that one of them has.
 */
function survivors(world: World): readonly SimNode[] {
  const { rng, list } = world;
  if (rng.chance(0.6)) return list;
  for (let attempt = 0; attempt < 20; attempt++) {
    const some = list.filter(() => rng.chance(0.6));
    if (hasMajority(some)) return some;
  }
  return list;
}

/** An entry that was half made may still promote the dead; nothing is promised then. */
function hasMajority(nodes: readonly SimNode[]): boolean {
  const newest = [...nodes].sort((a, b) => b.head.epoch - a.head.epoch)[0];
  if (newest === undefined) return false;
  const { voters } = newest.head.facts;
  const ids = new Set(nodes.map((node) => node.id));
  return voters.filter((voter) => ids.has(voter)).length >= majorityOf(voters.length);
}

function makePeace(world: World, there: readonly SimNode[]): void {
  const { checker } = world;
  world.say(undefined, `peace among ${there.map((node) => node.id).join()}`);
  world.calm();
  const inside = new Set(there.map((node) => node.index));
  for (const node of world.list) if (!inside.has(node.index)) world.bury(node);
  // Replaces every cut that is in force; later healings find none.
  world.net.heal();
  for (const node of there) {
    node.resume();
    node.rearm();
    world.revive(node);
  }
  // Whoever is not known yet is dialled, and the rosters are compared before anything else.
  for (const one of there) {
    for (const other of there) {
      if (!one.head.facts.members.has(other.id)) world.meet(one.index, other.index);
    }
  }
  // What is signed goes on; what nobody waits for must not promote the dead.
  for (const node of there) {
    for (const id of checker.wishes.give(node)) node.give({ type: 'abandon', id });
  }
}

/** The one leader whom a majority of its voters follows; undefined while there is none. */
function settled(world: World, there: readonly SimNode[]): SimNode | undefined {
  const leader = leaderOf(world);
  if (leader === undefined || !there.includes(leader)) return undefined;
  const { voters } = leader.head.facts;
  const followers = voters.filter((voter) => {
    const led = world.nodes.get(voter)?.state?.leader;
    return led?.leader === leader.id && led.term === leader.hard.term;
  });
  return followers.length >= majorityOf(voters.length) ? leader : undefined;
}

/** Admits a host that never was there; asks again when leaders change. */
function changes(world: World, there: readonly SimNode[], patience: number): boolean {
  const stranger = 'z' as PeerId;
  const change: Change = { kind: 'admit', peer: stranger, role: 'observer', noVoter: true };
  const until = world.now + patience;
  const isDone = (): boolean => {
    const leader = settled(world, there);
    return leader?.head.facts.members.has(stranger) === true;
  };
  while (world.now < until) {
    const leader = settled(world, there);
    if (leader !== undefined) ask(world, leader, change);
    if (world.run(world.plan.timing.timeoutMs, isDone)) return true;
  }
  return false;
}
