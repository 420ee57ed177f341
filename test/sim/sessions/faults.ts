/** What happens to a cluster while its sessions run. */
import { pickWeighted } from '../random.ts';
import { Disk } from './disk.ts';
import type { Host } from './host.ts';
import type { Fault } from './plan.ts';
import type { Process } from './process.ts';
import { askKey, askRefresh, askRepair, askReshare, askSignature, messageOf } from './requests.ts';
import type { World } from './world.ts';

/** Puts the plan's faults and requests on the agenda. */
export function unleash(world: World): void {
  const { plan, rng } = world;
  world.peaceful = false;
  for (let at = rng.exponential(plan.everyMs); at < plan.chaosMs; ) {
    world.at(at, () => strike(world, pickWeighted(rng, plan.faults)));
    at += rng.exponential(plan.everyMs);
  }
  // Copies do harm to a key that is being made when they are there from its beginning.
  if (plan.faults.some(([fault]) => fault === 'twin')) world.at(1, () => twin(world));
  for (let i = 0; i < plan.keygens; i++) {
    world.at(rng.between(80, 80 + plan.chaosMs / 4), () => wishKey(world));
  }
  for (let i = 0; i < plan.refreshes; i++) {
    world.at(rng.between(0, plan.chaosMs / 3), () => wishRefresh(world));
  }
  for (let i = 0; i < plan.reshares; i++) {
    world.at(rng.between(0, plan.chaosMs / 2), () => wishReshare(world));
  }
  for (let i = 0; i < plan.repairs; i++) {
    const at = rng.between(0, plan.chaosMs / 2);
    world.at(at, () => rob(world));
    for (const later of [1, 2]) {
      world.at(at + later * rng.between(50, 300), () => wishRepair(world));
    }
  }
  for (let i = 0; i < plan.requests; i++) {
    world.at(rng.between(0, (2 * plan.chaosMs) / 3), () => wishSignature(world));
  }
}

/** The processes that answer requests. */
const serving = (world: World): readonly Process[] =>
  world.list.flatMap(({ process }) =>
    process?.party !== undefined && process.runs ? [process] : [],
  );

function wishKey(world: World): void {
  const { rng, plan, list } = world;
  const all = serving(world);
  if (all.length === 0) return;
  const { host } = rng.pick(all);
  // Two hosts of one identity cannot both hold a share.
  const parties = rng.shuffled(list.slice(0, plan.hosts)).slice(0, plan.holders);
  const proposer = parties.includes(host) || rng.chance(0.3) ? host : rng.pick(parties);
  if (proposer.process?.party === undefined || !proposer.runs) return;
  askKey(world, proposer.process, plan.threshold, parties);
}

function wishSignature(world: World): void {
  const { rng, plan } = world;
  const all = serving(world);
  if (all.length === 0) return;
  const process = rng.pick(all);
  const keys = process.deps?.keyring.list() ?? [];
  if (keys.length === 0) return;
  const { key } = rng.pick(keys);
  askSignature(world, process, key, messageOf(rng.below(plan.messages)), rng.chance(0.1));
}

function wishRefresh(world: World): void {
  const all = serving(world).flatMap((process) => {
    const [entry] = process.deps?.keyring.list() ?? [];
    return entry === undefined ? [] : [{ process, key: entry.key }];
  });
  if (all.length === 0) return;
  const { process, key } = world.rng.pick(all);
  askRefresh(world, process, key);
}

function wishReshare(world: World): void {
  const { rng, plan, list } = world;
  const all = serving(world).flatMap((process) => {
    const [entry] = process.deps?.keyring.list() ?? [];
    return entry === undefined ? [] : [{ process, key: entry.key }];
  });
  if (all.length === 0) return;
  const { process, key } = rng.pick(all);
  const originals = rng.shuffled(list.slice(0, plan.hosts));
  const count = 2 + rng.below(plan.hosts - 1);
  const threshold = 2 + rng.below(count - 1);
  askReshare(world, process, key, threshold, originals.slice(0, count));
}

/** The share of a holder is gone from its disk; enough others have theirs. */
function rob(world: World): void {
  const { rng, plan, list, checker } = world;
  if (plan.holders === plan.threshold || checker.suspects.size > 0) return;
  const host = rng.pick(list.slice(plan.liar ? 1 : 0, plan.holders));
  host.kill(false);
  checker.losses.rob(host);
}

function wishRepair(world: World): void {
  const { rng, checker } = world;
  const [loss] = checker.losses.list;
  const all = serving(world).flatMap((process) => {
    const entry = loss === undefined ? undefined : process.deps?.keyring.byId(loss.keyId);
    return entry === undefined ? [] : [{ process, key: entry.key }];
  });
  if (loss === undefined || all.length === 0) return;
  const { process, key } = rng.pick(all);
  askRepair(world, process, key, loss.host);
}

function strike(world: World, fault: Fault): void {
  if (world.peaceful) return;
  const { rng, list, net } = world;
  const anyone = rng.pick(list);
  world.say(undefined, `fault: ${fault} (${anyone.name})`);
  switch (fault) {
    case 'crash':
    case 'power':
      anyone.kill(fault === 'power');
      return;
    case 'pause':
      anyone.pause();
      world.at(rng.exponential(700), () => anyone.resume());
      return;
    case 'split': {
      const side = list.map(() => rng.chance(0.5));
      cut(world, (a, b) => side[a] !== side[b]);
      return;
    }
    case 'isolate':
      cut(world, (a, b) => a === anyone.index || b === anyone.index);
      return;
    case 'one-way':
      cut(world, (_, b) => b === anyone.index);
      return;
    case 'loss':
      net.loss = rng.pick([0.2, 0.5]);
      world.at(rng.exponential(400), () => {
        net.loss = 0;
      });
      return;
    case 'full-disk':
      anyone.disk.full = true;
      world.at(rng.exponential(300), () => {
        anyone.disk.full = false;
      });
      return;
    case 'replay':
      for (let i = 0; i < 10 && net.frames.length > 0; i++) net.replay(rng.pick(net.frames));
      return;
    case 'cancel': {
      const wish = world.wishes.at(-1);
      if (wish?.answer === undefined) wish?.abort.abort();
      return;
    }
    case 'restore':
      restore(world);
      return;
    case 'twin':
      twin(world);
      return;
  }
}

function cut(world: World, is: (from: number, to: number) => boolean): void {
  const { rng, plan, net } = world;
  net.cut(is, rng.chance(plan.notice));
  world.at(rng.exponential(800), () => net.heal());
}

/** The first host's disk as it is now comes back later, in the place of what it has by then. */
function restore(world: World): void {
  const host = world.list[0] as Host;
  const old = new Map(host.disk.contents);
  world.at(world.rng.exponential(300), () => {
    if (world.peaceful) return;
    host.kill(false);
    host.disk = new Disk(old);
    world.checker.suspects.add(host.id);
    world.say(host, 'has its old disk back');
  });
}

/** A copy of the first host runs beside it, on a copy of its disk. Some hear this, some that. */
function twin(world: World): void {
  if (world.checker.suspects.size > 0) return;
  const host = world.list[0] as Host;
  world.checker.suspects.add(host.id);
  const copy = world.addHost(host.signer, new Disk(host.disk.contents));
  world.say(copy, `is a copy of ${host.name}`);
  copy.start();
  const others = world.rng.shuffled(world.list.filter(({ id }) => id !== host.id));
  const near = new Set(others.filter((_, i) => i % 2 === 0).map(({ index }) => index));
  const apart = (a: number, b: number): boolean => {
    const isOne = a === host.index || b === host.index;
    const isOther = a === copy.index || b === copy.index;
    const third = a === host.index || a === copy.index ? b : a;
    return isOne !== isOther && near.has(third) === isOther;
  };
  if (world.rng.chance(0.8)) world.net.cut(apart, true);
}
