/** What happens to a cluster, and what its operators ask of it. */
import type { PeerId, Term } from '../../src/base/brands.ts';
import { equalBytes } from '../../src/base/bytes.ts';
import type { Change, EntryBody } from '../../src/roster/entry.ts';
import type { SimNode } from './node.ts';
import { drawFault, type Fault } from './plan.ts';
import type { World } from './world.ts';

/** Lets faults happen for as long as the plan says. */
export function unleash(world: World): void {
  const { plan, rng } = world;
  const until = world.now + plan.chaosMs;
  const next = (): void => {
    if (world.now >= until) return;
    strike(world, drawFault(rng, plan.faults));
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
      return anyone.crash();
    case 'crash-leader':
      return leader?.crash();
    case 'restart-all':
      for (const node of list) node.crash();
      return;
    case 'pause':
      return sleep(world, anyone);
    case 'pause-leader':
      return sleep(world, leader ?? anyone);
    case 'split': {
      const side = list.map(() => rng.chance(0.5));
      return cut(world, (a, b) => side[a] !== side[b]);
    }
    case 'isolate':
      return cut(world, (a, b) => a === anyone.index || b === anyone.index);
    case 'isolate-leader': {
      const one = (leader ?? anyone).index;
      return cut(world, (a, b) => a === one || b === one);
    }
    case 'one-way': {
      const one = (rng.chance(0.6) ? (leader ?? anyone) : anyone).index;
      return rng.chance(0.5) ? cut(world, (a) => a === one) : cut(world, (_, b) => b === one);
    }
    case 'bridge': {
      const one = anyone.index;
      const side = list.map(() => rng.chance(0.5));
      return cut(world, (a, b) => a !== one && b !== one && side[a] !== side[b]);
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
      return wish(world, rng.chance(0.8) ? leader : anyone);
    case 'changes':
      for (let i = 0; i < 4; i++) wish(world, leader);
      return;
    case 'change-then-fault':
      return changeThenFault(world, leader);
    case 'drop-leader':
      return dropLeader(world, leader);
    case 'transfer':
      return handOver(world, rng.chance(0.8) ? leader : anyone);
    case 'step-down': {
      const node = rng.chance(0.8) ? leader : anyone;
      if (node === undefined || !node.runs) return;
      const id = `s${world.unique()}`;
      world.checker.disturbNode(node);
      world.checker.wished(node, id, false);
      return node.give({ type: 'step-down', id });
    }
    case 'campaign':
      for (const node of list) {
        if (node.runs && rng.chance(0.5)) campaign(world, node);
      }
      return;
    case 'duel':
      return duel(world, leader);
    case 'propose-twice':
      return proposeTwice(world, leader);
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
  world.checker.wished(node, id, false);
  const force = rng.chance(0.5);
  const to = rng.chance(0.5) ? { to: rng.pick(plan.peers) } : {};
  node.give({ type: 'transfer', id, force, ...to });
}

/** Asks a node for a change; it may refuse. */
export function ask(world: World, node: SimNode, change: Change): string {
  const id = `w${world.unique()}`;
  const abandoned = !world.peaceful && world.rng.chance(0.1);
  world.checker.wished(node, id, abandoned);
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
