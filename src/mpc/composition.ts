/**
 * How many parties of which role a new key gets, checked before anything else happens.
 *
 * With no composition given all parties are persistent, and there is no fallback to another role:
 * a share that silently is not stored would be a key that silently is not durable.
 * @module
 */
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { ROLES, type Role } from '../roster/types.ts';

/** What an operator asks for, not checked yet. */
export interface CompositionRequest {
  readonly threshold: number;
  /** Number of parties; may be left out when composition or participants tell it. */
  readonly parties?: number | undefined;
  /** Role -> count. */
  readonly composition?: Readonly<Record<string, number>> | undefined;
  readonly participants?: readonly string[] | undefined;
  /** Lets fewer than threshold-many parties be persistent. */
  readonly ephemeral?: boolean | undefined;
}

/** A checked composition: `threshold` of `parties`. */
export interface Composition {
  readonly threshold: number;
  readonly parties: number;
  readonly byRole: ReadonlyMap<Role, number>;
  /** Fewer persistent parties than the threshold. */
  readonly ephemeral: boolean;
}

const invalid = (message: string, why?: string): never => {
  throw new BzzzError('INVALID_COMPOSITION', message, why === undefined ? {} : { why });
};

const isRole = (text: string): text is Role => (ROLES as readonly string[]).includes(text);

/**
 * Checks threshold, number of parties and roles against each other.
 * @throws INVALID_COMPOSITION, INVALID_THRESHOLD naming the wrong number.
 */
export function checkComposition(request: CompositionRequest): Composition {
  const asked = readCounts(request.composition);
  const parties = countParties(request, asked);
  checkThreshold(request.threshold, parties);
  const byRole: ReadonlyMap<Role, number> =
    asked ?? new Map<Role, number>([['persistent', parties]]);
  const durable = byRole.get('persistent') ?? 0;
  const ephemeral = durable < request.threshold;
  if (ephemeral && request.ephemeral !== true) {
    throw new BzzzError(
      'INVALID_COMPOSITION',
      `${durable} persistent parties for a threshold of ${request.threshold}`,
      {
        why: 'shares of the other roles are in memory only: a restart may destroy such a key',
        hint: 'ask for more persistent parties, or say --ephemeral',
      },
    );
  }
  return { threshold: request.threshold, parties, byRole, ephemeral };
}

/** @returns undefined when no composition is given; an empty one is an error. */
function readCounts(
  composition: Readonly<Record<string, number>> | undefined,
): ReadonlyMap<Role, number> | undefined {
  if (composition === undefined) return undefined;
  const counts = new Map<Role, number>();
  for (const [role, count] of Object.entries(composition)) {
    if (!isRole(role)) return invalid(`unknown role "${role}"`, `roles are ${ROLES.join(', ')}`);
    if (role === 'observer') return invalid('an observer holds no share');
    if (!Number.isInteger(count) || count < 1) {
      return invalid(`${role}: ${count} is not a positive whole number`);
    }
    counts.set(role, count);
  }
  if (counts.size === 0) return invalid('the composition is empty');
  return counts;
}

function countParties(
  request: CompositionRequest,
  counts: ReadonlyMap<Role, number> | undefined,
): number {
  const sum = counts === undefined ? undefined : [...counts.values()].reduce((a, b) => a + b, 0);
  const named = request.participants?.length;
  const parties = request.parties ?? sum ?? named;
  if (parties === undefined) return invalid('the number of parties is missing');
  if (!Number.isInteger(parties) || parties < 2 || parties > LIMITS.parties) {
    return invalid(`parties: ${parties}`, `a key has 2 to ${LIMITS.parties} parties`);
  }
  if (sum !== undefined && sum !== parties) {
    return invalid(`the composition adds up to ${sum}, not to ${parties} parties`);
  }
  if (named !== undefined && named !== parties) {
    return invalid(`${named} participants are named, but ${parties} parties asked for`);
  }
  return parties;
}

function checkThreshold(threshold: number, parties: number): void {
  if (Number.isInteger(threshold) && threshold >= 2 && threshold <= parties) return;
  throw new BzzzError('INVALID_THRESHOLD', `threshold ${threshold} of ${parties} parties`, {
    why: 'a threshold is a whole number from 2 to the number of parties',
  });
}
