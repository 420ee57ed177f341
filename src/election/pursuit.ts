/**
 * Getting a change of the roster made by the leader, whoever that is by then. The asker outlives
 * leaders; it ends with the change made, a refusal, or its deadline.
 *
 * | the attempt ended with                         | then                                      |
 * | ---------------------------------------------- | ----------------------------------------- |
 * | done                                           | done                                      |
 * | nobody leads                                   | wait for a leader                         |
 * | another leads by now                           | ask that one                              |
 * | NOT_LEADER, BUSY                               | ask the leader, a little later            |
 * | LEADERSHIP_LOST, TIMEOUT, PEER_UNREACHABLE,    | the same; it may have been done           |
 * | DRAINING                                       |                                           |
 * | a refusal after it may have been done          | done if the roster says so, else refused  |
 * | another refusal                                | refused                                   |
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { BzzzError, type ErrorCode, toBzzzError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';
import type { LeaderWatch } from './leader-watch.ts';
import type { Leadership } from './types.ts';

/** Ends that say nothing about what was asked for, only about who was asked. */
const AGAIN: ReadonlySet<ErrorCode> = new Set(['NOT_LEADER', 'BUSY', 'NO_LEADER']);
/** Ends after which it may have been done, or may still be: a leader drains with work in hand. */
const DOUBTFUL: ReadonlySet<ErrorCode> = new Set([
  ...(['LEADERSHIP_LOST', 'TIMEOUT', 'PEER_UNREACHABLE', 'INTERRUPTED', 'DRAINING'] as const),
]);
/** Who refuses may know of a new leader before this node does. */
const PAUSE_MS = 25;

export interface PursuitDeps {
  readonly clock: Clock;
  readonly watch: LeaderWatch;
  /** Voters that this node has no stream to, itself left out. */
  readonly missing: () => readonly PeerId[];
}

export interface Goal {
  /** ms; counts from the start. */
  readonly withinMs: number;
  /** One attempt, with that leader; `leftMs` is all the time there is. */
  readonly attempt: (leader: Leadership, leftMs: number) => Promise<Epoch>;
  /** Whether it has come about, and in which epoch. Looked at only when it is in doubt. */
  readonly isSo: (leader: Leadership | undefined) => Promise<Epoch | undefined>;
}

/**
 * Pursues `goal` as in the table.
 * @throws the refusal; why this node's election ended; NO_LEADER with the voters that are missing;
 * TIMEOUT: it may have been done.
 */
export async function pursue(goal: Goal, deps: PursuitDeps): Promise<Epoch> {
  const { clock, watch } = deps;
  const deadline = clock.now() + goal.withinMs;
  let last: BzzzError | undefined;
  let doubt = false;
  for (;;) {
    if (watch.ended !== undefined) throw watch.ended;
    const left = deadline - clock.now();
    const leader = watch.current;
    if (left <= 0) {
      const epoch = doubt ? await goal.isSo(leader) : undefined;
      if (epoch !== undefined) return epoch;
      throw leader === undefined ? noLeader(deps.missing(), last) : late(goal, last);
    }
    if (leader === undefined) {
      await watch.until((now) => now !== undefined, left);
      continue;
    }
    try {
      return await unlessReplaced(goal.attempt(leader, left), leader, left, watch);
    } catch (thrown) {
      last = toBzzzError(thrown);
      const doubtful = DOUBTFUL.has(last.code);
      if (!doubtful && !AGAIN.has(last.code)) {
        const epoch = doubt ? await goal.isSo(leader) : undefined;
        if (epoch !== undefined) return epoch;
        throw last;
      }
      doubt ||= doubtful;
    }
    const pause = Math.min(PAUSE_MS, deadline - clock.now());
    await watch.until((now) => now !== undefined && isOther(now, leader), pause);
  }
}

const isOther = (a: Leadership, b: Leadership): boolean =>
  a.term !== b.term || a.leader !== b.leader;

/** A leader that died does not answer; that there is another one says enough. */
async function unlessReplaced(
  attempt: Promise<Epoch>,
  leader: Leadership,
  leftMs: number,
  watch: LeaderWatch,
): Promise<Epoch> {
  const wait = watch.wait((now) => now !== undefined && isOther(now, leader), leftMs);
  const replaced = wait.held.then((held): never => {
    if (!held) throw new BzzzError('TIMEOUT', `${leader.leader} took longer than ${leftMs} ms`);
    throw new BzzzError('LEADERSHIP_LOST', `${leader.leader} leads no longer`);
  });
  try {
    return await Promise.race([attempt, replaced]);
  } finally {
    wait.cancel();
  }
}

/** @param missing voters without a stream to this node. */
export function noLeader(missing: readonly PeerId[], cause?: BzzzError): BzzzError {
  return new BzzzError('NO_LEADER', 'no leader: no majority of the voters is connected', {
    why:
      missing.length === 0
        ? 'the voters are connected and have elected nobody yet'
        : `not connected: ${missing.join(', ')}`,
    details: { missing },
    ...(cause === undefined ? {} : { cause }),
  });
}

const late = (goal: Goal, cause: BzzzError | undefined): BzzzError =>
  new BzzzError('TIMEOUT', `not done within ${goal.withinMs} ms`, {
    why: cause?.message ?? 'the leader took longer',
    hint: 'it may still be done; `bzzz roster` tells',
    ...(cause === undefined ? {} : { cause }),
  });
