/** What happens to a cluster, and what its operators ask of it. */
import type { PeerId, Term } from '../../src/base/brands.ts';
import { equalBytes } from '../../src/base/bytes.ts';
import type { Change, EntryBody } from '../../src/roster/entry.ts';
import type { SimNode } from './node.ts';
import type { Fault } from './plan.ts';
import { pickWeighted } from './random.ts';
import type { World } from './world.ts';

/** Lets faults happen for as long as the plan says. */
export function unleash(world: World): void {
  const { plan, rng } = world;
  const until = world.now + plan.chaosMs;
  const next = (): void => {
    if (world.now >= until) return;
    strike(world, pickWeighted(rng, plan.faults));
    world.at(rng.exponential(plan.everyMs), next);
  };
  world.at(rng.between(0, 2 * plan.timing.timeoutMs), next);
}

/** The leader of the highest term, as an onlooker would name it. */
export function leaderOf(world: World): SimNode | undefined {
  let best: SimNode | undefined;
  for (const node of world.list) {
    if (!node.leads) continue;
    if (best === undefined || node.hard.term > best.hard.term) best = node;
  }
  return best;
}

function strike(world: World, fault: Fault): void {
  const { rng, list, plan } = world;
  const { timeoutMs } = plan.timing;
  const leader = leaderOf(world);
  const anyone = rng.pick(list);
  switch (fault) {
    case 'crash':
      anyone.crash();
      return;
    case 'crash-leader':
      leader?.crash();
      return;
    case 'restart-all':
      for (const node of list) node.crash();
      return;
    case 'pause':
      sleep(world, anyone);
      return;
    case 'pause-leader':
      sleep(world, leader ?? anyone);
      return;
    case 'split': {
      const side = list.map(() => rng.chance(0.5));
      cut(world, (a, b) => side[a] !== side[b]);
      return;
    }
    case 'isolate':
      cut(world, (a, b) => a === anyone.index || b === anyone.index);
      return;
    case 'isolate-leader': {
      const one = (leader ?? anyone).index;
      cut(world, (a, b) => a === one || b === one);
      return;
    }
    case 'one-way': {
      const one = (rng.chance(0.6) ? (leader ?? anyone) : anyone).index;
      rng.chance(0.5) ? cut(world, (a) => a === one) : cut(world, (_, b) => b === one);
      return;
    }
    case 'bridge': {
      const one = anyone.index;
      const side = list.map(() => rng.chance(0.5));
      cut(world, (a, b) => a !== one && b !== one && side[a] !== side[b]);
      return;
    }
    case 'loss':
      world.net.loss = rng.pick([0.1, 0.3, 0.5]);
      world.at(rng.exponential(timeoutMs), () => {
        world.net.loss = 0;
      });
      return;
    case 'slow-disk':
      world.slowDisks.set(anyone.index, rng.between(20, 100));
      world.at(rng.exponential(timeoutMs), () => {
        world.slowDisks.delete(anyone.index);
        world.checker.disturbNode(anyone);
      });
      return;
    case 'change':
      wish(world, rng.chance(0.8) ? leader : anyone);
      return;
    case 'changes':
      for (let i = 0; i < 4; i++) wish(world, leader);
      return;
    case 'change-then-fault':
      changeThenFault(world, leader);
      return;
    case 'drop-leader':
      dropLeader(world, leader);
      return;
    case 'transfer':
      handOver(world, rng.chance(0.8) ? leader : anyone);
      return;
    case 'step-down': {
      const node = rng.chance(0.8) ? leader : anyone;
      if (node === undefined || !node.runs) return;
      const id = `s${world.unique()}`;
      world.checker.disturbNode(node);
      world.checker.wishes.asked(node, id);
      node.give({ type: 'step-down', id });
      return;
    }
    case 'campaign':
      for (const node of list) {
        if (node.runs && rng.chance(0.5)) campaign(world, node);
      }
      return;
    case 'duel':
      duel(world, leader);
      return;
    case 'late-stand':
      lateStand(world, leader);
      return;
    case 'propose-twice':
      wish(world, leader);
      for (let i = 0; i < 3; i++) world.at(rng.between(0, 20), () => proposeTwice(world, leader));
      return;
  }
}

function cut(world: World, is: (from: number, to: number) => boolean): void {
  const { rng, plan } = world;
  world.say(undefined, 'cut');
  world.net.cut(is, rng.chance(plan.notice));
  world.at(rng.exponential(3 * plan.timing.timeoutMs), () => {
    world.say(undefined, 'heal');
    world.net.heal();
  });
}

function sleep(world: World, node: SimNode): void {
  if (!node.runs) return;
  node.pause();
  world.at(world.rng.exponential(2 * world.plan.timing.timeoutMs), () => node.resume());
}

function campaign(world: World, node: SimNode): void {
  world.checker.disturbNode(node);
  const trigger = world.rng.pick(['discovery', 'manual'] as const);
  world.at(world.rng.between(0, 10), () => node.give({ type: 'campaign', trigger }));
}

/**
 * A hand-over lies in a buffer while its target is cut off and the others elect a leader, who
 * changes the roster; then the target gets the new roster, and the hand-over.
 */
function lateStand(world: World, leader: SimNode | undefined): void {
  const { rng, net, plan } = world;
  const voters = leader?.head.facts.voters.filter((voter) => voter !== leader.id) ?? [];
  const target = voters.length < 2 ? undefined : world.nodes.get(rng.pick(voters));
  if (leader === undefined || target === undefined || !leader.runs || !target.runs) return;
  net.holdStand = true;
  const id = `t${world.unique()}`;
  world.checker.wishes.asked(leader, id);
  leader.give({ type: 'transfer', id, force: true, to: target.id });
  net.holdStand = false;
  net.cut((a, b) => a === target.index || b === target.index, false);
  // The others see its end at once, so that the next leader is there before the target gives up.
  for (const { index } of world.list) {
    if (index !== leader.index) net.part(leader.index, index, true);
  }
  leader.crash();
  const { timeoutMs } = plan.timing;
  for (let i = 1; i <= 10; i++) world.at((i * timeoutMs) / 20, () => promote(world));
  world.at(rng.between(0.5, 0.75) * timeoutMs, () => {
    const next = leaderOf(world);
    if (next === undefined || next === target) return net.heal();
    net.replace(leader.index, target.index);
    // Whoever follows says nothing by itself: only the new leader would tell the target.
    const pair = target.index + next.index;
    const parts = (a: number, b: number): boolean => a === target.index || b === target.index;
    net.cut((a, b) => parts(a, b) && a + b === pair, false);
    for (const { index } of world.list) if (!parts(index, index)) world.meet(target.index, index);
    world.at(rng.between(5, 30), () => net.release(1));
    world.at(rng.between(60, 120), () => net.heal());
  });
}

/** Whoever leads promotes whom it can. */
function promote(world: World): void {
  const leader = leaderOf(world);
  if (leader === undefined || !leader.runs) return;
  const { members, voters } = leader.head.facts;
  const onlooker = world.plan.peers.find((peer) => members.has(peer) && !voters.includes(peer));
  if (onlooker !== undefined) ask(world, leader, { kind: 'promote', peer: onlooker });
}

/** The leader dies and all others stand at one instant. */
function duel(world: World, leader: SimNode | undefined): void {
  leader?.crash();
  world.at(2, () => {
    for (const node of world.list) {
      if (!node.runs) continue;
      world.checker.disturbNode(node);
      node.give({ type: 'campaign', trigger: 'manual' });
    }
  });
}

function handOver(world: World, node: SimNode | undefined): void {
  if (node === undefined || !node.runs) return;
  const { rng, plan } = world;
  const id = `t${world.unique()}`;
  world.checker.wishes.asked(node, id);
  const force = rng.chance(0.5);
  const to = rng.chance(0.5) ? { to: rng.pick(plan.peers) } : {};
  node.give({ type: 'transfer', id, force, ...to });
}

/** Asks a node for a change; it may refuse. */
export function ask(world: World, node: SimNode, change: Change): string {
  const id = `w${world.unique()}`;
  const abandoned = !world.peaceful && world.rng.chance(0.1);
  world.checker.wishes.asked(node, id, change, abandoned);
  node.give({ type: 'propose', id, change, time: world.unique() });
  if (abandoned) {
    world.at(world.rng.between(0, 20), () => node.give({ type: 'abandon', id }));
  }
  return id;
}

function wish(world: World, node: SimNode | undefined): void {
  if (node === undefined || !node.runs) return;
  const change = drawChange(world, node);
  if (change !== undefined) ask(world, node, change);
}

/** A change that the rules may allow by what this node knows. */
function drawChange(world: World, node: SimNode): Change | undefined {
  const { rng, plan } = world;
  const { members, voters } = node.head.facts;
  const outside = plan.peers.filter((peer) => !members.has(peer));
  const onlookers = plan.peers.filter((peer) => members.has(peer) && !voters.includes(peer));
  const kinds: Change[] = [];
  if (outside.length > 0) {
    kinds.push({ kind: 'admit', peer: rng.pick(outside), role: 'persistent', noVoter: false });
  }
  if (onlookers.length > 0) {
    const peer = rng.pick(onlookers);
    kinds.push({ kind: 'promote', peer }, { kind: 'promote', peer });
    if (rng.chance(0.5)) kinds.push({ kind: 'remove', peer, reason: 'removed' });
  }
  // Small sets of voters bite: they shrink to one as often as they grow.
  if (voters.length > 1) {
    kinds.push({ kind: 'demote', peer: rng.pick(voters) });
    kinds.push({ kind: 'remove', peer: rng.pick(voters), reason: 'left' });
  }
  return kinds.length === 0 ? undefined : rng.pick(kinds);
}

/** Hits the leader when a change is half made: signed by few, or certified and not yet spread. */
function changeThenFault(world: World, leader: SimNode | undefined): void {
  if (leader === undefined || !leader.runs) return;
  const { rng } = world;
  wish(world, leader);
  if (rng.chance(0.3)) wish(world, leader);
  const fault = rng.pick(['crash', 'pause', 'cut', 'one-way', 'cut-some'] as const);
  const one = leader.index;
  const friends = world.list.map(() => rng.chance(0.4));
  const hit = (): void => {
    if (fault === 'crash') leader.crash();
    else if (fault === 'pause') sleep(world, leader);
    else if (fault === 'cut') cut(world, (a, b) => a === one || b === one);
    else if (fault === 'one-way') cut(world, (_, b) => b === one);
    else cut(world, (a, b) => (a === one && !friends[b]) || (b === one && !friends[a]));
  };
  if (rng.chance(0.5)) hit();
  else world.at(rng.between(0, 30), hit);
}

/** The leader is removed or loses its vote. */
function dropLeader(world: World, leader: SimNode | undefined): void {
  if (leader === undefined || !leader.runs) return;
  const peer = leader.id;
  const demote = world.rng.chance(0.5);
  ask(world, leader, demote ? { kind: 'demote', peer } : { kind: 'remove', peer, reason: 'left' });
}

/**
 * A leader whose memory was set back proposes a second entry in its term to voters that signed the
 * first. A lawful voter does nothing, so the run is not disturbed.
 */
function proposeTwice(world: World, leader: SimNode | undefined): void {
  if (leader?.state?.role !== 'leader' || leader.state.gathering === null) return;
  const { body } = leader.state.gathering;
  const { term } = leader.hard;
  for (const node of world.list) {
    if (!node.runs || node === leader) continue;
    if (!signedSame(node, leader.id, term, body)) continue;
    const second: EntryBody = { ...body, time: world.unique() };
    node.give({
      type: 'message',
      from: leader.id,
      message: { type: 'propose', term, body: second },
    });
  }
}

function signedSame(node: SimNode, leader: PeerId, term: Term, body: EntryBody): boolean {
  const { accepted, term: own } = node.hard;
  if (accepted === null || accepted.ballot !== term || own !== term) return false;
  if (node.state?.leader?.leader !== leader || node.head.epoch !== body.epoch - 1) return false;
  return accepted.body.epoch === body.epoch && equalBytes(accepted.body.prev, body.prev);
}
