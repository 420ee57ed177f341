/**
 * Two sessions for the same request: which one a holder works on (S6).
 *
 * A holder that has released no share for a request yields to the lower live session id. One that
 * has given a driver its share stays with that session for as long as it waits for that driver,
 * because the signature may be on its way; then it yields too, so in the end every holder works on
 * the lowest. A driver whose own share has not left it is bound by nothing: of two that ask at
 * once one signs for the other. A session that asked for a fresh signature takes no part in this.
 * The rule decides only how many signatures are made: nonces are safe without it, and readers agree
 * on one result by its CID.
 *
 * | input    | what it does to the session                                                  |
 * | -------- | ---------------------------------------------------------------------------- |
 * | opened   | it is live                                                                   |
 * | released | it binds this holder to a driver for a while; once for each driver           |
 * | gone     | no session binds it to that driver any more                                  |
 * | ended    | it is live no more                                                           |
 * | tick     | nothing; bonds may have run out                                              |
 * @module
 */
import type { Millis, PeerId, RequestId, SessionId } from '../../base/brands.ts';
import { compareText } from '../../base/bytes.ts';

interface Bond {
  readonly driver: PeerId;
  readonly until: Millis;
}

/**
 * Which session a session stands back for.
 * @property bound a share of this node is out there: a signature of this session would be a second.
 */
export interface Standing {
  readonly by: SessionId;
  readonly bound: boolean;
}

interface LiveSession {
  readonly sid: SessionId;
  /** One for each driver that got a share; they run out and are not renewed. */
  readonly bonds: readonly Bond[];
  readonly standing: Standing | undefined;
}

/** The live sessions of every request with one. */
export type ArbiterState = ReadonlyMap<RequestId, readonly LiveSession[]>;

/** A share is about to leave for its driver; the arbiter must know before the next input is fed. */
export interface Released {
  readonly type: 'released';
  readonly driver: PeerId;
  /** So long this party waits for what the driver makes of it. */
  readonly bindsMs: number;
}

/** What happens to a session. */
export type ArbiterEvent =
  | { readonly type: 'opened' | 'ended' | 'tick' }
  | Released
  /** The driver cannot be reached: what it made of the share it will not tell. */
  | { readonly type: 'gone'; readonly driver: PeerId };

/** An event with its where and when; `now` is monotonic. */
export type ArbiterInput = ArbiterEvent & {
  readonly requestId: RequestId;
  /** The session; any for `gone` and `tick`. */
  readonly sid: SessionId;
  readonly now: Millis;
};

/** A session whose standing changed; at work when it is undefined. */
export interface Ruling {
  readonly sid: SessionId;
  readonly standing: Standing | undefined;
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
  const bound = live.filter((one) => boundMs(one, now) > 0);
  const winner = lowest(bound.length > 0 ? bound : live);
  const back = winner === undefined ? undefined : { by: winner, bound: bound.length > 0 };
  const ruled = live.map((one) => ({ ...one, standing: one.sid === winner ? undefined : back }));
  const rulings = ruled
    .filter((one, i) => !isSame(one.standing, live[i]?.standing))
    .map(({ sid, standing }) => ({ sid, standing }));
  const next = new Map(state);
  if (ruled.length > 0) next.set(requestId, ruled);
  else next.delete(requestId);
  const waits = bound.length > 0 && live.length > 1;
  const untilFree = Math.max(1, ...bound.map((one) => boundMs(one, now)));
  return { state: next, rulings, recheckMs: waits ? untilFree : undefined };
}

function change(live: readonly LiveSession[], input: ArbiterInput): readonly LiveSession[] {
  const { sid } = input;
  switch (input.type) {
    case 'opened': {
      const known = live.some((one) => one.sid === sid);
      return known ? live : [...live, { sid, bonds: [], standing: undefined }];
    }
    case 'released':
      return live.map((one) => (one.sid === sid ? bind(one, input.driver, input) : one));
    case 'gone':
      return live.map((one) => ({
        ...one,
        bonds: one.bonds.filter(({ driver }) => driver !== input.driver),
      }));
    case 'ended':
      return live.filter((one) => one.sid !== sid);
    case 'tick':
      return live;
  }
}

function bind(
  one: LiveSession,
  driver: PeerId,
  { now, bindsMs }: { readonly now: Millis; readonly bindsMs: number },
): LiveSession {
  if (one.bonds.some((bond) => bond.driver === driver)) return one;
  return { ...one, bonds: [...one.bonds, { driver, until: (now + bindsMs) as Millis }] };
}

/** How long a session still binds this node, in ms; 0 when it does not. */
const boundMs = ({ bonds }: LiveSession, now: Millis): number =>
  Math.max(0, ...bonds.map(({ until }) => until - now));

const lowest = (live: readonly LiveSession[]): SessionId | undefined =>
  live.map(({ sid }) => sid).sort(compareText)[0];

const isSame = (a: Standing | undefined, b: Standing | undefined): boolean =>
  a?.by === b?.by && a?.bound === b?.bound;
