/** One seed: a key in peace, then faults, then peace again, and what must have come of it. */
import type { PeerId } from '../../../src/base/brands.ts';
import type { KeyInfo } from '../../../src/mpc/types.ts';
import type { Violation } from '../violation.ts';
import type { Stats } from './checker.ts';
import { Disk } from './disk.ts';
import { unleash } from './faults.ts';
import type { Host } from './host.ts';
import { askKey, askRepair, askSignature, messageOf, type Wish } from './requests.ts';
import { asViolation, World } from './world.ts';

export interface SeedResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly events: number;
  /** Simulated. */
  readonly ms: number;
  readonly stats: Stats;
  /** With `trace`. */
  readonly lines: readonly string[];
}

/** A request in peace is answered within this, whoever died before. */
const PATIENCE_MS = 1_500;
/** Sessions that others run, and those from before a restart, end so much after their time. */
const LATE_MS = 4_000;

/** Runs one seed; never rejects for what the code under test does. */
export async function runSeed(seed: number, trace: boolean): Promise<SeedResult> {
  const world = new World(seed, trace);
  let violation: Violation | undefined;
  try {
    await firstKey(world);
    unleash(world);
    await world.run(world.plan.chaosMs);
    await peace(world);
  } catch (thrown) {
    violation = asViolation(thrown);
    world.say(undefined, violation.message);
  }
  for (const { process } of world.list) if (process !== undefined) process.dead = true;
  const { events, now, lines } = world;
  return { seed, violation, events, ms: now, stats: world.checker.stats, lines };
}

/** Signatures need a key. In a seed that is about making keys, the faults may come before it. */
async function firstKey(world: World): Promise<void> {
  const { plan, list } = world;
  const size = `${plan.threshold} of ${plan.holders} on ${plan.hosts}`;
  const disks = plan.requests === 0 ? [] : (firstDisks.get(size) ?? (await makeDisks(size)));
  for (const [i, contents] of disks.entries()) {
    const host = list[i];
    if (host !== undefined) host.disk = new Disk(contents);
  }
  for (const host of list) world.at(world.rng.between(0, 20), () => host.start());
  if (!(await world.run(2_000, () => isReady(world)))) {
    world.checker.fail('S4', 'the hosts do not start');
  }
  await world.run(50);
  world.checker.disks();
}

const isReady = ({ list }: World): boolean =>
  list.every(({ process }) => process?.party !== undefined);

type Contents = ReadonlyMap<string, Uint8Array>;

/** What the disks of a cluster of one size have after it has made a key: the same for all seeds. */
const firstDisks = new Map<string, readonly Contents[]>();

async function makeDisks(size: string): Promise<readonly Contents[]> {
  let seed = 0;
  const sizeOf = ({ plan }: World) => `${plan.threshold} of ${plan.holders} on ${plan.hosts}`;
  let world = new World(seed, false);
  while (sizeOf(world) !== size) world = new World(++seed, false);
  const { plan, list } = world;
  for (const host of list) host.start();
  await world.run(2_000, () => isReady(world));
  await world.run(50);
  const [first] = list;
  if (first?.process === undefined) throw new Error('no host to make a key');
  const wish = askKey(world, first.process, plan.threshold, list.slice(0, plan.holders));
  await world.run(plan.ttlMs, () => wish.answer !== undefined);
  if (wish.answer === undefined) world.checker.fail('S4', 'no key can be made in peace');
  await world.run(200);
  const disks = list.map(({ disk }) => new Map(disk.contents));
  firstDisks.set(size, disks);
  return disks;
}

async function peace(world: World): Promise<void> {
  const { plan, checker } = world;
  const there = survivors(world);
  world.say(undefined, `peace among ${there.map(({ name }) => name).join()}`);
  world.calm();
  for (const host of world.list) {
    if (there.includes(host)) continue;
    host.kill(false);
    host.buried = true;
  }
  for (const host of there) {
    host.resume();
    host.start();
  }
  await world.run(100);
  checker.disks();
  const owed = openSessions(world, there);
  await world.run(PATIENCE_MS + 1_000);
  for (const one of owed) stillOpen(world, one);
  await agree(world, there);
  await mended(world, there);
  await world.run(plan.ttlMs * (1 + plan.skew) + LATE_MS);
  ended(world, there);
  await settled(world, there);
  checker.disks();
}

/** Whoever is up from here on: everybody, or at least threshold-many holders. No copies. */
function survivors(world: World): readonly Host[] {
  const { plan, rng } = world;
  const originals = world.list.slice(0, plan.hosts);
  if (rng.chance(0.6)) return originals;
  const holders = rng.shuffled(originals.slice(0, plan.holders)).slice(0, plan.threshold);
  return originals.filter((host) => holders.includes(host) || rng.chance(0.5));
}

interface Owed {
  readonly host: Host;
  readonly sid: string;
}

/** S3: signing sessions that must complete, because threshold-many of their holders can go on. */
function openSessions(world: World, there: readonly Host[]): readonly Owed[] {
  if (world.checker.suspects.size > 0) return [];
  return there.flatMap((host) => {
    const { process } = host;
    return (process?.party?.sessions() ?? []).flatMap((session) => {
      const left = Date.parse(session.expiresAt) - (process?.deps?.clock.wallMs() ?? 0);
      if (session.kind !== 'sign' || left < PATIENCE_MS + 1_500) return [];
      if (process?.machines.has(session.sessionId) !== true || isOver(session.state)) return [];
      // A holder that restarted since has the new epoch's share alone, and cannot join again.
      const keys = [...world.checker.keys.values()];
      if (keys.some(({ keyId, epoch }) => keyId === session.keyId && epoch > 0)) return [];
      const able = session.parties.filter(({ peerId }) => {
        const other = there.find(({ id }) => id === peerId);
        const refused = world.checker.refusals.has(`${session.sessionId} ${peerId}`);
        if (other === undefined || refused || !holdsShare(world, other, keys)) return false;
        return couldSign(other, session.sessionId);
      });
      const threshold = world.plan.threshold;
      return able.length < threshold ? [] : [{ host, sid: session.sessionId }];
    });
  });
}

/** It has its share of every key: sessions name theirs only by its id. */
const holdsShare = ({ checker }: World, host: Host, keys: readonly KeyInfo[]): boolean =>
  keys.every((key) => !checker.losses.has(host, key));

/** It takes part now, or may be asked to: it has neither refused nor ended the session. */
function couldSign({ id, process }: Host, sid: string): boolean {
  const known = process?.party?.sessions().find(({ sessionId }) => sessionId === sid);
  const own = known?.parties.find(({ peerId }) => peerId === id)?.state;
  return known === undefined || (!isOver(known.state) && own !== 'refused');
}

const isOver = (state: string): boolean =>
  ['completed', 'failed', 'expired', 'cancelled'].includes(state);

function stillOpen(world: World, { host, sid }: Owed): void {
  const session = host.process?.party?.sessions().find(({ sessionId }) => sessionId === sid);
  const state = session?.state ?? 'forgotten';
  if (state === 'completed' || state === 'cancelled') return;
  world.checker.fail('S3', `session ${sid.slice(0, 8)} is ${state} at ${host.name} in peace`);
}

/** S3, S6: every request is answered in peace, and everybody has the same answer. */
async function agree(world: World, there: readonly Host[]): Promise<void> {
  const { checker, plan, rng } = world;
  if (checker.suspects.size > 0) return;
  for (const key of newest(world, there)) {
    if (rng.chance(0.5)) continue;
    const holders = holdersOf(world, key, there);
    if (holders.length < key.threshold) continue;
    const n = rng.chance(0.5) ? rng.below(plan.messages) : 100;
    await sameAnswer(world, key, holders, messageOf(n));
  }
}

/** Of each key the last epoch that one of these hosts knows: they all learn of it. */
function newest({ checker }: World, there: readonly Host[]): readonly KeyInfo[] {
  const found = new Map<string, KeyInfo>();
  for (const key of checker.keys.values()) {
    const { keyId, epoch } = key;
    // Who has it may be dead: then the others have their shares, and wait for it.
    const known = there.some(({ process }) => {
      const own = process?.deps?.keyring.byId(keyId)?.key.epoch;
      return own !== undefined && own >= epoch;
    });
    if (known && epoch >= (found.get(keyId)?.epoch ?? 0)) found.set(keyId, key);
  }
  return [...found.values()];
}

/** Who can sign with a key. */
const holdersOf = (world: World, key: KeyInfo, there: readonly Host[]): readonly Host[] =>
  there.filter(
    (host) =>
      key.parties.some(({ peerId }) => peerId === host.id) && !world.checker.losses.has(host, key),
  );

/** K2: in peace, others rebuild a lost share when enough of them have theirs. */
async function mended(world: World, there: readonly Host[]): Promise<void> {
  const { checker, plan } = world;
  if (checker.suspects.size > 0 || plan.liar) return;
  for (const { process } of there) if (process !== undefined) checker.losses.settle(process);
  for (const key of newest(world, there)) {
    const loss = checker.losses.list.find(({ host }) => checker.losses.has(host, key));
    const helpers = holdersOf(world, key, there);
    const process = helpers[0]?.process;
    if (loss === undefined || process === undefined || !there.includes(loss.host)) continue;
    if (helpers.length < key.threshold || process.party === undefined) continue;
    const wish = askRepair(world, process, key, loss.host);
    await world.run(plan.ttlMs, () => (wish.answer ?? wish.error) !== undefined);
    // Another repair, asked for during the faults, may have been the one.
    if (!checker.losses.has(loss.host, key)) continue;
    checker.fail('K2', `${wish.what} is ${wish.error ?? 'not answered'} in peace`);
  }
}

async function sameAnswer(
  world: World,
  key: KeyInfo,
  holders: readonly Host[],
  message: Uint8Array,
): Promise<void> {
  const { rng } = world;
  const wishes: Wish[] = [];
  for (const { process } of rng.shuffled(holders).slice(0, 2)) {
    if (process?.party === undefined) continue;
    wishes.push(askSignature(world, process, key, message));
  }
  const over = (): boolean => wishes.every(({ answer, error }) => (answer ?? error) !== undefined);
  await world.run(PATIENCE_MS, over);
  for (const wish of wishes) {
    if (wish.answer !== undefined) continue;
    world.checker.fail('S3', `${wish.what} is ${wish.error ?? 'not answered'} in peace`);
  }
  // Two that ask at once may be answered by two sessions; when both are through, all read alike.
  await world.run(100);
  const read = new Set<string>();
  for (const { process } of holders.slice(0, 2)) {
    if (process?.party === undefined) continue;
    const wish = askSignature(world, process, key, message);
    await world.run(PATIENCE_MS, () => (wish.answer ?? wish.error) !== undefined);
    read.add(wish.answer ?? `no answer: ${wish.error}`);
  }
  if (read.size !== 1) {
    world.checker.fail('S6', `${read.size} answers to one request of key ${key.name}`);
  }
}

/** S1, S4: every session has ended everywhere, and every client has its answer. */
function ended(world: World, there: readonly Host[]): void {
  for (const { process, name, id } of there) {
    // What two hosts say under one name is no chain.
    if (world.checker.suspects.has(id)) continue;
    for (const { sessionId, state, kind, initiator } of process?.party?.sessions() ?? []) {
      if (isOver(state) || world.checker.suspects.has(initiator as PeerId)) continue;
      const which = `${kind} session ${sessionId.slice(0, 8)}`;
      world.checker.fail('S1', `${which} is still ${state} at ${name} after its time`);
    }
  }
  for (const { what, process, answer, error } of world.wishes) {
    if (process.dead || (answer ?? error) !== undefined) continue;
    world.checker.fail('S4', `${what} is never answered`);
  }
}

/**
 * K4: when all parties of a key generation are there, either all hold the key or nobody does. A
 * share beside another's refusal waits for nothing; it is kept in case that one lied.
 */
async function settled(world: World, there: readonly Host[]): Promise<void> {
  const { checker } = world;
  if (there.length < world.plan.hosts || checker.suspects.size > 0) return;
  const pending = (): readonly string[] =>
    there.flatMap(({ disk, name }) =>
      disk
        .keys('shares!p/')
        .filter((key) => !disk.isSynced(`sessions!r/${key.slice('shares!p/'.length)}`))
        .map((key) => `${name} ${key}`),
    );
  if (pending().length === 0) return;
  // Inquiries are up to 30 s apart.
  await world.run(70_000, () => pending().length === 0);
  if (pending().length > 0) {
    checker.fail('K4', `shares wait for ever: ${pending().join().slice(0, 80)}`);
  }
}
