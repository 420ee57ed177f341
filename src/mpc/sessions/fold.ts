/**
 * The state of a session as a fold over its chains: the same events give the same state, in
 * whatever order they came.
 *
 * | an author says | its state before                  | its state after     |
 * | -------------- | --------------------------------- | ------------------- |
 * | proposed       | invited                           | invited             |
 * | joined         | invited                           | joined              |
 * | refused        | invited, joined, running          | refused             |
 * | started        | invited, joined                   | running             |
 * | note           | any                               | the same            |
 * | completed      | any but completed                 | completed           |
 * | failed, expired, cancelled | invited, joined, running | that             |
 * | expired        | refused                           | refused; it is over |
 *
 * Anything else is no legal event: the chain counts only up to there.
 * @module
 */
import type { KeyId, PeerId } from '../../base/brands.ts';
import type { SessionState } from '../types.ts';
import type { Chain, EventKind, OpenedEvent, SessionEvent } from './events.ts';
import { chainPrefix, isForked } from './events.ts';

/** Where one author stands. */
export const PARTY_STATES = [
  'invited',
  'joined',
  'running',
  'completed',
  'refused',
  'failed',
  'expired',
  'cancelled',
] as const;
export type PartyState = (typeof PARTY_STATES)[number];

type Row = Partial<Readonly<Record<EventKind, PartyState>>>;

const LIVE: Row = {
  refused: 'refused',
  completed: 'completed',
  failed: 'failed',
  expired: 'expired',
  cancelled: 'cancelled',
};

/** Legal events by state; see the module comment. */
export const PARTY_TABLE: Readonly<Record<PartyState, Row>> = {
  invited: { ...LIVE, proposed: 'invited', joined: 'joined', started: 'running', note: 'invited' },
  joined: { ...LIVE, started: 'running', note: 'joined' },
  running: { ...LIVE, note: 'running' },
  completed: { note: 'completed' },
  // It shows that it would not, and that it waits for no end any more.
  refused: { completed: 'completed', note: 'refused', expired: 'refused' },
  failed: { completed: 'completed', note: 'failed' },
  expired: { completed: 'completed', note: 'expired' },
  cancelled: { completed: 'completed', note: 'cancelled' },
};

/** The ends that a session can have without evidence. */
const FAILURES = ['failed', 'expired', 'cancelled'] as const;
type FailureKind = (typeof FAILURES)[number];

const isFailure = (kind: EventKind): kind is FailureKind =>
  FAILURES.some((failure) => failure === kind);

const isEnd = (kind: EventKind): boolean => isFailure(kind) || kind === 'completed';

/** Whether nothing but evidence changes a session state any more (S1). */
export const isTerminal = (state: SessionState): boolean =>
  state === 'completed' || state === 'failed' || state === 'expired' || state === 'cancelled';

/** What the proposal and this node know, beside the chains. */
export interface SessionFacts {
  readonly self: PeerId;
  readonly proposer: PeerId;
  readonly parties: readonly PeerId[];
  /** So many parties make the session ready: all for a key, threshold-many for a signature. */
  readonly needed: number;
  /** This node runs a machine for it, so no other's word ends it here. */
  readonly taking: boolean;
  /** A certificate or a verifying signature was seen here. */
  readonly evidence: boolean;
}

/** What an operator is shown. */
export interface SessionView {
  readonly state: SessionState;
  /** It is completed by the word of others; nothing was verified here. */
  readonly reported: boolean;
  readonly parties: ReadonlyMap<PeerId, PartyState>;
  /** 0 before anything was said; the highest retry that an author told of. */
  readonly attempt: number;
  readonly keyId: KeyId | undefined;
  readonly error: { readonly code: string; readonly message: string } | undefined;
  readonly culprits: readonly PeerId[];
  /** The author's wall clock at the event that ended it. */
  readonly endedAtMs: number | undefined;
  /** Of all authors, in the order of their time, then author, then place. */
  readonly events: readonly OpenedEvent[];
}

interface AuthorView {
  readonly state: PartyState;
  readonly events: readonly OpenedEvent[];
  readonly end: OpenedEvent | undefined;
  /** Its end without success, also when it said later that it is completed after all. */
  readonly failure: OpenedEvent | undefined;
}

/** One author's state: its legal, unbroken beginning. */
export function foldAuthor(chain: Chain): AuthorView {
  let state: PartyState = 'invited';
  let end: OpenedEvent | undefined;
  let failure: OpenedEvent | undefined;
  const events: OpenedEvent[] = [];
  for (const opened of chainPrefix(chain)) {
    const next: PartyState | undefined = PARTY_TABLE[state][opened.event.kind];
    if (next === undefined) break;
    if (isEnd(opened.event.kind) && opened.event.kind !== end?.event.kind) end = opened;
    if (isFailure(opened.event.kind)) failure = opened;
    state = next;
    events.push(opened);
  }
  return { state, events, end, failure };
}

/**
 * The view of one node. A session that this node takes part in ends by its own word; for an
 * onlooker its own word (a deadline that passed) goes before the proposer's. Other parties' ends
 * are theirs alone. An end stands until there is evidence: one who says `completed` behind its own
 * `expired` has seen some, and a node that has not keeps the end (S1).
 *
 * A host without a part in a signature never sees evidence: it would have to know the message. For
 * it the session is completed when its proposer says so, or as many parties as are needed, and the
 * view says that this is a report.
 */
export function foldSession(facts: SessionFacts, chains: ReadonlyMap<PeerId, Chain>): SessionView {
  const authors = new Map([...chains].map(([peer, chain]) => [peer, foldAuthor(chain)]));
  // A party that has seen the evidence is through, whether it said so or not.
  const through = (peer: PeerId): boolean => facts.evidence && peer === facts.self;
  const stateOf = (peer: PeerId): PartyState =>
    through(peer) ? 'completed' : (authors.get(peer)?.state ?? 'invited');
  const deciders = facts.taking ? [facts.self] : [facts.self, facts.proposer];
  const end = deciders
    .map((peer) => authors.get(peer)?.failure?.event ?? forkedEnd(chains.get(peer)))
    .find((event) => event !== undefined);
  const all = [...authors.values()].flatMap(({ events }) => events);
  const completed = [facts.self, facts.proposer, ...facts.parties].flatMap((peer) =>
    stateOf(peer) === 'completed' ? (authors.get(peer)?.end ?? []) : [],
  )[0]?.event;
  const report = facts.evidence || end !== undefined ? undefined : reportOf(facts, chains);
  const isThrough = facts.evidence || report !== undefined;
  const last = facts.evidence ? completed : (report ?? end);
  return {
    state: isThrough ? 'completed' : stateOfSession(facts, stateOf, end?.kind),
    reported: report !== undefined,
    parties: new Map(facts.parties.map((peer) => [peer, stateOf(peer)])),
    attempt: Math.max(all.length === 0 ? 0 : 1, ...all.map(({ event }) => event.data.attempt ?? 0)),
    keyId: (completed ?? report)?.data.keyId,
    error: facts.evidence || end === undefined ? undefined : errorOf(end.data),
    culprits: last?.data.culprits ?? [],
    endedAtMs: last?.timeMs,
    events: all.sort(byTime),
  };
}

/** The first end without success in a chain that was forked there: an end stays one (S1). */
function forkedEnd(chain: Chain | undefined): SessionEvent | undefined {
  if (chain === undefined || !isForked(chain)) return undefined;
  const ends = [...chain.values()].flat().filter(({ event }) => isFailure(event.kind));
  return ends.sort(byTime)[0]?.event;
}

/**
 * What those who should know say to one who cannot see for itself: that it is completed. Said is
 * said, also in a chain that was forked there, as a power cut may do.
 */
function reportOf(
  { self, proposer, parties, needed }: SessionFacts,
  chains: ReadonlyMap<PeerId, Chain>,
): SessionEvent | undefined {
  if (self === proposer || parties.includes(self)) return undefined;
  const saidBy = (peer: PeerId): readonly OpenedEvent[] =>
    [...(chains.get(peer)?.values() ?? [])]
      .flat()
      .filter(({ event }) => event.kind === 'completed');
  const [own] = saidBy(proposer);
  const through = parties.flatMap((peer) => saidBy(peer).slice(0, 1));
  return (own ?? (through.length >= needed ? through[0] : undefined))?.event;
}

function stateOfSession(
  { parties, needed }: SessionFacts,
  stateOf: (peer: PeerId) => PartyState,
  end: EventKind | undefined,
): SessionState {
  if (end !== undefined && isFailure(end)) return end;
  const states = parties.map(stateOf);
  if (states.some((state) => state === 'running' || state === 'completed')) return 'running';
  const joined = states.filter((state) => state === 'joined').length;
  if (joined >= needed) return 'ready';
  return joined > 0 ? 'joining' : 'proposed';
}

const errorOf = ({
  code,
  message,
}: {
  code?: string | undefined;
  message?: string | undefined;
}) => ({
  code: code ?? 'SESSION_FAILED',
  message: message ?? '',
});

const byTime = ({ event: a }: OpenedEvent, { event: b }: OpenedEvent): number =>
  a.timeMs - b.timeMs || (a.author < b.author ? -1 : a.author > b.author ? 1 : 0) || a.seq - b.seq;
