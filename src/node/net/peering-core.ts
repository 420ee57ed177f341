/**
 * When to dial whom: the pure half of peering.
 *
 * | target is  | input              | then                                                      |
 * | ---------- | ------------------ | --------------------------------------------------------- |
 * | new        | want               | due after a short jitter, the smaller id first            |
 * | due        | tick, a free slot  | dial                                                      |
 * | dialling   | dialled, failed    | evict; due after back-off, 0.5 s doubling to 15 s, jitter |
 * | dialling   | connected          | at rest                                                   |
 * | not there  | hint               | due at once, but no two dials within half a second        |
 * | connected  | lost               | due after a short jitter                                  |
 * | any        | want without it    | forgotten                                                 |
 *
 * There is no last attempt. An address that takes the connection and then greets too slowly is a
 * busy host: each such dial of a row gets twice the time of the one before, up to 10 s. Hosts that
 * have no time left would otherwise spend it on greetings that are never finished.
 * @module
 */

/** `peer:<id>`, or `addr:<multiaddr>` of somebody whose id is not known. */
export type TargetKey = string;

export interface Target {
  readonly state: 'waiting' | 'dialling' | 'connected';
  /** Failures in a row. */
  readonly attempts: number;
  /** How many of them took the connection, and did not finish greeting in time. */
  readonly slow: number;
  /** Monotonic ms; meaningless unless waiting. */
  readonly dueAt: number;
  readonly lastDialAt: number;
}

export interface PeeringState {
  readonly targets: ReadonlyMap<TargetKey, Target>;
}

export type PeeringInput = { readonly now: number } & (
  | { readonly type: 'want'; readonly keys: readonly TargetKey[] }
  /** The target was sighted; `fresh` at an address that was not known. */
  | { readonly type: 'hint'; readonly key: TargetKey; readonly fresh: boolean }
  | { readonly type: 'connected'; readonly key: TargetKey }
  | { readonly type: 'lost'; readonly key: TargetKey }
  /** The dial failed; success is `connected`. `slow`: somebody was there, and took too long. */
  | { readonly type: 'failed'; readonly key: TargetKey; readonly slow: boolean }
  | { readonly type: 'tick' }
);

export type PeeringEffect =
  | {
      readonly type: 'dial';
      readonly key: TargetKey;
      readonly attempt: number;
      /** For each address. */
      readonly patienceMs: number;
    }
  /** It does not answer: no lookup should wait for it. */
  | { readonly type: 'evict'; readonly key: TargetKey }
  /** Send a tick at that instant; replaces an earlier wish. */
  | { readonly type: 'wake'; readonly at: number };

export interface PeeringDeps {
  /** 0 <= x < 1. */
  readonly chance: () => number;
  /** Whether this side should dial first when both know of each other at the same moment. */
  readonly first: (key: TargetKey) => boolean;
}

export interface PeeringStep {
  readonly state: PeeringState;
  readonly effects: readonly PeeringEffect[];
}

export const BACKOFF_MS = { first: 500, longest: 15_000 } as const;
/** What one address gets to connect and greet; see the head of this file. */
export const PATIENCE_MS = { first: 1_000, longest: 10_000 } as const;
/** Two dials of one target are at least this far apart, whatever is claimed about it. */
export const HINT_GAP_MS = 500;
const JITTER_MS = 50;
/** The larger id waits, so that two hosts that see each other at once make one connection. */
const YIELD_MS = 400;
const DIALS = 8;

export const emptyPeering: PeeringState = { targets: new Map() };

/** One step; the effects are to be carried out in order. */
export function stepPeering(
  state: PeeringState,
  input: PeeringInput,
  deps: PeeringDeps,
): PeeringStep {
  const targets = new Map(state.targets);
  const effects: PeeringEffect[] = [];
  apply(targets, input, deps, effects);
  dialDue(targets, input.now, effects);
  const due = [...targets.values()].filter((t) => t.state === 'waiting').map((t) => t.dueAt);
  const later = due.filter((at) => at > input.now);
  if (later.length > 0) effects.push({ type: 'wake', at: Math.min(...later) });
  return { state: { targets }, effects };
}

function apply(
  targets: Map<TargetKey, Target>,
  input: PeeringInput,
  deps: PeeringDeps,
  effects: PeeringEffect[],
): void {
  if (input.type === 'tick') return;
  if (input.type === 'want') {
    want(targets, input, deps);
    return;
  }
  const target = targets.get(input.key);
  if (target === undefined) return;
  const next = moved(target, input, deps);
  if (next === target) return;
  targets.set(input.key, next);
  if (input.type === 'failed') effects.push({ type: 'evict', key: input.key });
}

/** The row of the table for one target; the same target when the input means nothing to it. */
function moved(
  target: Target,
  input: Exclude<PeeringInput, { readonly type: 'tick' | 'want' }>,
  deps: PeeringDeps,
): Target {
  const soon = input.now + shortWait(input.key, deps);
  switch (input.type) {
    case 'connected':
      return { ...target, state: 'connected', attempts: 0, slow: 0 };
    case 'lost':
      return target.state === 'connected' ? { ...target, state: 'waiting', dueAt: soon } : target;
    case 'hint': {
      if (target.state !== 'waiting') return target;
      const dueAt = Math.min(target.dueAt, Math.max(soon, target.lastDialAt + HINT_GAP_MS));
      return { ...target, dueAt, attempts: input.fresh ? 0 : target.attempts };
    }
    case 'failed': {
      if (target.state !== 'dialling') return target;
      const attempts = target.attempts + 1;
      const slow = input.slow ? target.slow + 1 : 0;
      const dueAt = input.now + backoff(attempts, deps);
      return { ...target, state: 'waiting', attempts, slow, dueAt };
    }
  }
}

function want(
  targets: Map<TargetKey, Target>,
  input: { readonly keys: readonly TargetKey[]; readonly now: number },
  deps: PeeringDeps,
): void {
  const wanted = new Set(input.keys);
  for (const key of targets.keys()) if (!wanted.has(key)) targets.delete(key);
  for (const key of wanted) {
    if (targets.has(key)) continue;
    const dueAt = input.now + shortWait(key, deps);
    targets.set(key, { state: 'waiting', attempts: 0, slow: 0, dueAt, lastDialAt: -HINT_GAP_MS });
  }
}

/** Those that are due longest first, as many as there are slots. */
function dialDue(targets: Map<TargetKey, Target>, now: number, effects: PeeringEffect[]): void {
  let free = DIALS - [...targets.values()].filter((t) => t.state === 'dialling').length;
  const due = [...targets].filter(([, t]) => t.state === 'waiting' && t.dueAt <= now);
  due.sort(([, a], [, b]) => a.dueAt - b.dueAt);
  for (const [key, target] of due) {
    if (free-- <= 0) return;
    targets.set(key, { ...target, state: 'dialling', lastDialAt: now });
    const patienceMs = Math.min(PATIENCE_MS.longest, PATIENCE_MS.first * 2 ** target.slow);
    effects.push({ type: 'dial', key, attempt: target.attempts, patienceMs });
  }
}

const shortWait = (key: TargetKey, deps: PeeringDeps): number =>
  (deps.first(key) ? 0 : YIELD_MS) + deps.chance() * JITTER_MS;

/** Half of it fixed, half by chance: a cold start of all does not come in waves. */
function backoff(attempts: number, deps: PeeringDeps): number {
  const full = Math.min(BACKOFF_MS.longest, BACKOFF_MS.first * 2 ** Math.min(attempts, 10));
  return full / 2 + (deps.chance() * full) / 2;
}
