/**
 * How the election is, in words.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { majority } from '../roster/entry.ts';
import type { Leadership } from './types.ts';

export interface ElectionHealth {
  readonly status: 'healthy' | 'degraded' | 'failed';
  readonly reason?: string;
}

export interface HealthFacts {
  readonly leadership: Leadership | undefined;
  /** ms without a leader. */
  readonly lostMs: number;
  readonly voters: readonly PeerId[];
  /** Voters without a stream to this node, itself left out. */
  readonly missing: readonly PeerId[];
  /** Why the election stopped on this node. */
  readonly crash: string | undefined;
}

/** Healthy when a leader is known. */
export function electionHealth(facts: HealthFacts): ElectionHealth {
  const { leadership, lostMs, voters, missing, crash } = facts;
  if (crash !== undefined) return { status: 'failed', reason: `stopped: ${crash}` };
  if (leadership !== undefined) return { status: 'healthy' };
  const silence = `no leader for ${Math.floor(lostMs / 1_000)} s`;
  const have = voters.length - missing.length;
  const need = majority(voters.length);
  const quorum = have < need ? `; ${have} of the ${need} voters needed are connected` : '';
  return { status: 'degraded', reason: silence + quorum };
}

/** What an operator should know of a roster with so many voters. */
export function voterWarnings(voters: number): readonly string[] {
  if (voters === 1) {
    return ['1 voter: without its host nobody can be admitted or removed; let two more hosts join'];
  }
  if (voters === 2) {
    return ['2 voters: while one is away the roster cannot change; let a third host join'];
  }
  if (voters === 4) {
    return ['4 voters: no more of them may fail than of 3; let a fifth host join, or demote one'];
  }
  return [];
}
