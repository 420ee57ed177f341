/**
 * One fault: a request is made, a node breaks down at a step of it, living holders are asked for
 * signatures at once, the node comes back, and everything has to come to rest.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { type TestNode, until } from '../cluster.ts';
import { CALM_TTL_MS, type Protocol, SIGN_TTL_MS, TTL_MS, thresholdOf } from './protocols.ts';
import type { Fault, FaultRig, Fired, KeyView, Signed } from './rig.ts';

export interface Case {
  readonly protocol: Protocol;
  readonly role: string;
  readonly fault: Fault;
  readonly step: number;
}

export interface Outcome {
  /** undefined when the session had fewer steps this time. */
  readonly fired: Fired | undefined;
  /** `done`, or the code of the error; and what it says. */
  readonly request: string;
  readonly why: string;
  /** From the fault to each living holder's signature, ms. */
  readonly signed: readonly number[];
  /** The same for a signature without a fault, a moment before, ms. */
  readonly paceMs: number;
  /** From the return of the node to the rest of all, ms. */
  readonly restMs: number;
}

/** A node that comes back soon is away for so long, ms; the session still lives then. */
const SOON_MS = 2_000;
/** What an end may be late on a busy machine, ms. */
const LATE_MS = 15_000;
/** What a signature takes at most while the machine is ours, ms. */
const CALM_PACE_MS = 400;
/** What an earlier case left open is settled so long after everybody has come back, ms. */
const OPEN_MS = 60_000;
let cases = 0;

/** Runs one case; what it finds broken it throws. The cluster is whole again then too. */
export async function inject(rig: FaultRig, each: Case): Promise<Outcome> {
  try {
    const end = performance.now() + OPEN_MS;
    for (;;) {
      const outcome = await run(rig, each);
      if (outcome.fired !== undefined || outcome.request !== 'CONFLICT') return outcome;
      if (performance.now() > end) throw new Error(`K4: a change stays open: ${outcome.why}`);
      await sleep(1_000);
    }
  } catch (error) {
    const { down } = rig;
    await rig.revive();
    if (down.length === 0 || !(error instanceof Error)) throw error;
    throw new Error(`${error.message} (down: ${down.join(', ')})`, { cause: error });
  }
}

async function run(rig: FaultRig, each: Case): Promise<Outcome> {
  const { protocol, role, fault, step } = each;
  const what = `${protocol.name}-${role}-${fault}-${step}`;
  const id = `${what}-${++cases}`;
  await rig.whole();
  await protocol.prepare(rig);
  const paceMs = await paceOf(rig, id);
  const ttlMs = Math.round(TTL_MS * slowness(paceMs));
  rig.lay(protocol.kind, step, fault, protocol.roles(rig)[role] ?? []);
  const asked = { since: performance.now(), endedMs: 0 };
  const request = settle(protocol.request(rig, id, ttlMs)).finally(() => {
    asked.endedMs = performance.now() - asked.since;
  });
  const fired = await firing(rig, request);
  if (fired === undefined) {
    const { code, why } = await request;
    const restMs = await rest(rig, protocol, id, code);
    return { fired, request: code, why, signed: [], paceMs, restMs };
  }
  const victim = rig.named(fired.name);
  const signed = await signatures(rig, protocol, victim, fired, { id, ttlMs });
  const end = (): Promise<unknown> => Promise.race([request, sleep(ttlMs + LATE_MS)]);
  await away(fault, each, victim === rig.node(0), end);
  await rig.restore(victim, fault);
  const { code, why } = await request;
  expect(asked.endedMs, `S1: ${what}: the request has ended`).toBeLessThan(ttlMs + LATE_MS);
  const restMs = await rest(rig, protocol, id, code);
  return { fired, request: code, why, signed, paceMs, restMs };
}

/** What the machine has time for now. */
async function paceOf(rig: FaultRig, id: string): Promise<number> {
  const since = performance.now();
  await rig.sign(rig.node(0), rig.moving, `${id}: no fault`, CALM_TTL_MS);
  return Math.round(performance.now() - since);
}

/** Sessions live longer on a machine that others use as well. */
const slowness = (paceMs: number): number => Math.min(6, Math.max(1, paceMs / CALM_PACE_MS));

interface Settled {
  /** `done`, or the code of an error. */
  readonly code: string;
  readonly why: string;
}

const settle = (work: Promise<unknown>): Promise<Settled> =>
  work.then(
    () => ({ code: 'done', why: '' }),
    (error: { readonly code?: string; readonly message: string }) => {
      if (error.code === undefined) throw error;
      return { code: error.code, why: error.message };
    },
  );

/** The fault; undefined when the request ended, and a moment passed, without it. */
async function firing(rig: FaultRig, request: Promise<Settled>): Promise<Fired | undefined> {
  const over = request.then(() => sleep(500)).then(() => true);
  for (;;) {
    const fired = rig.fired();
    if (fired !== undefined) return fired;
    if ((await Promise.race([over, sleep(5).then(() => false)])) && rig.lift()) return undefined;
  }
}

/** Every second time the node stays away until the request has ended. */
async function away(
  fault: Fault,
  { step }: Case,
  isAsking: boolean,
  end: () => Promise<unknown>,
): Promise<void> {
  if (fault === 'kill') return;
  if (step % 2 === 0 || isAsking) await sleep(SOON_MS);
  else await end();
}

/**
 * Two living holders sign: the same request again, when a signature was asked for. While fewer
 * shares than the threshold are there, each of them is told why not.
 */
async function signatures(
  rig: FaultRig,
  protocol: Protocol,
  victim: TestNode,
  { at }: Fired,
  { id, ttlMs }: { readonly id: string; readonly ttlMs: number },
): Promise<readonly number[]> {
  const { kind } = protocol;
  const key = protocol.key(rig);
  const living = (await holders(rig, key)).filter((node) => node !== victim);
  const able = await ableOf(living, key);
  // Where nobody can sign the answer is the end of the session: the fault must not last for that.
  const patienceMs = able ? Math.round(ttlMs * (SIGN_TTL_MS / TTL_MS)) : ttlMs;
  const made = await Promise.all(
    living.slice(0, 2).map(async (node) => {
      const message = kind === 'sign' ? id : `${id} by ${node.name}`;
      const signed = await rig.sign(node, key, message, patienceMs).catch((error: Error) => error);
      if (!(signed instanceof Error)) return [{ ...signed, ms: Math.round(Date.now() - at) }];
      // A reshare may have taken its seat since it was chosen.
      if (able && (await holds(node, key))) {
        throw new Error(`S3: ${node.name} did not sign: ${signed.message}`);
      }
      return [];
    }),
  );
  const results = made.flat();
  const different = new Set(results.map(({ signature }) => signature)).size;
  if (kind === 'sign') expect(different, `S6: ${id}: one result`).toBe(1);
  return results.map(({ ms }) => ms);
}

/** By its own word. */
async function holds(node: TestNode, key: string): Promise<boolean> {
  const { parties } = await node.get<KeyView>(`/v1/keys/${key}`);
  return parties.some(({ peerId }) => peerId === node.peerId);
}

/** Whether the living have shares enough. */
async function ableOf(living: readonly TestNode[], key: string): Promise<boolean> {
  const views = await Promise.all(living.map((node) => node.get<KeyView>(`/v1/keys/${key}`)));
  const active = views.filter(({ status }) => status === 'active').length;
  return active >= Math.max(...views.map(({ threshold }) => threshold));
}

/** Who has the key, by the word of whoever answers first. */
async function holders(rig: FaultRig, key: string): Promise<readonly TestNode[]> {
  const views = rig.nodes.map((node) =>
    node.control(1_000).call<KeyView>('GET', `/v1/keys/${key}`),
  );
  const { parties } = await Promise.any(views);
  return rig.nodes.filter(({ peerId }) => parties.some((party) => party.peerId === peerId));
}

/** S1, K4, S5: what must hold on every node when all is over. @returns how long it took, ms. */
async function rest(rig: FaultRig, protocol: Protocol, id: string, code: string): Promise<number> {
  const since = performance.now();
  await rig.whole();
  const sessions = await rig.ended(id);
  const name = protocol.result(rig, id);
  let views = await rig.agreed(name);
  const ms = Math.round(performance.now() - since);
  expect(
    sessions.flatMap(({ culprits = [] }) => culprits),
    `S5: ${id}: nobody is blamed`,
  ).toEqual([]);
  if (views.some((view) => view?.status === 'lost')) {
    expect(protocol.name, `K2: ${id}: no share is lost`).toBe('repair');
    expect(code, `${id}: a repair that came through`).not.toBe('done');
    await repairAgain(rig, protocol, id);
    views = await rig.agreed(name);
  }
  if (code === 'done') expect(views[0], `K4: ${id}: the key that was told of`).toBeDefined();
  if (views[0] !== undefined) await everyHolderSigns(rig, name, id);
  return ms;
}

async function repairAgain(rig: FaultRig, protocol: Protocol, id: string): Promise<void> {
  // The cluster's own upkeep may be at it.
  await until(`${id}: the share is back`, async () => {
    const { code } = await settle(protocol.request(rig, id, CALM_TTL_MS));
    return code === 'done' || code === 'CONFLICT';
  });
}

/** Each takes part in the signature that it asks for. */
async function everyHolderSigns(rig: FaultRig, key: string, id: string): Promise<void> {
  const signed: Signed[] = [];
  for (const node of await holders(rig, key)) {
    const made = rig.sign(node, key, `${id}: ${node.name} still signs`, CALM_TTL_MS);
    const one = await made.catch((error: Error) => error);
    if (!(one instanceof Error)) signed.push(one);
    // A change that was left open may have come through since, and others hold the key.
    else if (await holds(node, key)) throw one;
    else return everyHolderSigns(rig, key, `${id}, once more`);
  }
  expect(signed.length).toBeGreaterThanOrEqual(thresholdOf(3));
}
