/**
 * Two sessions for the same request: which one a holder works on (S6).
 *
 * A holder that has released no share for a request yields to the lower live session id. One that
 * has released a share stays with that session for a while, because its signature may be on its
 * way; then it yields too, so in the end every holder works on the lowest. A session that asked
 * for a fresh signature takes no part in this. The rule decides only how many signatures are made:
 * nonces are safe without it, and readers agree on one result by its CID.
 * @module
 */
import type { Millis, RequestId, SessionId } from '../../base/brands.ts';
import { compareText } from '../../base/bytes.ts';

/**
 * So long a released share binds its holder, in ms. A driver signs first of all itself, so two that
 * ask at once are both bound; when nobody can spare either of them, both wait for this.
 */
export const SHARE_BINDS_MS = 500;

interface LiveSession {
  readonly sid: SessionId;
  /** When this node released its first share in it. Later ones do not renew the bond. */
  readonly releasedAt: Millis | undefined;
  readonly supersededBy: SessionId | undefined;
}

/** The live sessions of every request with one. */
export type ArbiterState = ReadonlyMap<RequestId, readonly LiveSession[]>;

/** What happens to sessions; `now` is monotonic. */
export interface ArbiterInput {
  /** `opened` for a session that asks for no fresh signature, `ended` whatever its end was. */
  readonly type: 'opened' | 'released' | 'ended' | 'tick';
  readonly requestId: RequestId;
  /** The session; any for `tick`. */
  readonly sid: SessionId;
  readonly now: Millis;
}

/** A session whose standing changed: feed `superseded` with `by`, or `resumed` without. */
export interface Ruling {
  readonly sid: SessionId;
  readonly by: SessionId | undefined;
}

/** The sessions after a step, and what to tell whom. */
export interface ArbiterStep {
  readonly state: ArbiterState;
  readonly rulings: readonly Ruling[];
  /** Feed a `tick` for this request after so long: a bond runs out. */
  readonly recheckMs: number | undefined;
}

/** No session yet. */
export const NO_SESSIONS: ArbiterState = new Map();

/** One step. Repeated and unknown sessions change nothing. */
export function stepArbiter(state: ArbiterState, input: ArbiterInput): ArbiterStep {
  const { requestId, now } = input;
  const live = change(state.get(requestId) ?? [], input);
  const bound = live.filter((one) => isBound(one, now));
  const winner = lowest(bound.length > 0 ? bound : live);
  const ruled = live.map((one) => ({
    ...one,
    supersededBy: one.sid === winner ? undefined : winner,
  }));
  const before = new Map(live.map((one) => [one.sid, one.supersededBy]));
  const rulings = ruled
    .filter((one) => one.supersededBy !== before.get(one.sid))
    .map(({ sid, supersededBy }) => ({ sid, by: supersededBy }));
  const next = new Map(state);
  if (ruled.length > 0) next.set(requestId, ruled);
  else next.delete(requestId);
  const recheckMs = winner === lowest(live) ? undefined : untilFree(bound, now);
  return { state: next, rulings, recheckMs };
}

function change(live: readonly LiveSession[], { type, sid, now }: ArbiterInput) {
  const known = live.some((one) => one.sid === sid);
  switch (type) {
    case 'opened':
      return known ? live : [...live, { sid, releasedAt: undefined, supersededBy: undefined }];
    case 'released':
      return live.map((one) =>
        one.sid === sid ? { ...one, releasedAt: one.releasedAt ?? now } : one,
      );
    case 'ended':
      return live.filter((one) => one.sid !== sid);
    case 'tick':
      return live;
  }
}

const isBound = ({ releasedAt }: LiveSession, now: Millis): boolean =>
  releasedAt !== undefined && now - releasedAt < SHARE_BINDS_MS;

const lowest = (live: readonly LiveSession[]): SessionId | undefined =>
  live.map(({ sid }) => sid).sort(compareText)[0];

const untilFree = (bound: readonly LiveSession[], now: Millis): number =>
  Math.max(1, ...bound.map(({ releasedAt }) => (releasedAt ?? now) + SHARE_BINDS_MS - now));
