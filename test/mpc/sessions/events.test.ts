import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClusterId, PeerId, SessionId } from '../../../src/base/brands.ts';
import { encode } from '../../../src/base/codec.ts';
import type { Signer } from '../../../src/base/ports.ts';
import {
  addToChain,
  type Chain,
  chainPrefix,
  EVENT_KINDS,
  type EventKind,
  eventDomain,
  isForked,
  type OpenedEvent,
  openEvent,
  sealEvent,
} from '../../../src/mpc/sessions/events.ts';
import {
  foldAuthor,
  foldSession,
  isTerminal,
  PARTY_STATES,
  PARTY_TABLE,
  type SessionFacts,
} from '../../../src/mpc/sessions/fold.ts';
import { testSigner } from '../../support/world.ts';

const clusterId = 'ab'.repeat(32) as ClusterId;
const sid = '01'.repeat(32) as SessionId;
let signers: Signer[];
let peers: PeerId[];
let facts: SessionFacts;

beforeAll(async () => {
  signers = await Promise.all(['a', 'b', 'c'].map(testSigner));
  peers = signers.map((s) => s.peerId);
  facts = {
    self: peers[1]!,
    proposer: peers[0]!,
    parties: peers,
    needed: 2,
    taking: false,
    evidence: false,
  };
});

const chainOf = (signer: Signer, ...kinds: EventKind[]): OpenedEvent[] => {
  const events: OpenedEvent[] = [];
  for (const [i, kind] of kinds.entries()) {
    events.push(
      sealEvent(clusterId, signer, sid, events.at(-1), { kind, timeMs: 1_000 + i, data: {} }),
    );
  }
  return events;
};
const collect = (events: readonly OpenedEvent[]): Map<PeerId, Chain> => {
  const chains = new Map<PeerId, Chain>();
  for (const opened of events) {
    const { author } = opened.event;
    chains.set(author, addToChain(chains.get(author) ?? new Map(), opened));
  }
  return chains;
};
const stateOf = (events: readonly OpenedEvent[], change: Partial<SessionFacts> = {}) =>
  foldSession({ ...facts, ...change }, collect(events)).state;

describe('session events', () => {
  it('open as they were sealed; another author, cluster or byte is refused', () => {
    const [first] = chainOf(signers[0]!, 'proposed') as [OpenedEvent];
    expect(openEvent(first.envelope, clusterId)).toEqual(first);
    expect(() => openEvent(first.envelope, 'cd'.repeat(32) as ClusterId)).toThrow();
    const bad = new Uint8Array(first.envelope);
    bad[bad.length - 1] = (bad.at(-1) ?? 0) ^ 1;
    expect(() => openEvent(bad, clusterId)).toThrow();
    const forged = signers[1]!.seal(eventDomain(clusterId), encode(first.event));
    expect(() => openEvent(forged, clusterId)).toThrow(/signed by/);
  });

  it('count up to the first gap, fork or broken link of their chain', () => {
    const [one, two, three] = chainOf(signers[0]!, 'proposed', 'joined', 'started') as [
      OpenedEvent,
      OpenedEvent,
      OpenedEvent,
    ];
    const chain = (...events: OpenedEvent[]) => collect(events).get(peers[0]!)!;
    expect(chainPrefix(chain(three, one))).toEqual([one]);
    expect(chainPrefix(chain(three, one, two))).toEqual([one, two, three]);
    const other = sealEvent(clusterId, signers[0]!, sid, one, {
      kind: 'refused',
      timeMs: 5,
      data: {},
    });
    const third = sealEvent(clusterId, signers[0]!, sid, one, {
      kind: 'failed',
      timeMs: 6,
      data: {},
    });
    const forked = chain(one, two, three, other, third);
    expect(isForked(forked)).toBe(true);
    expect(forked.get(2)?.length).toBe(2);
    expect(chainPrefix(forked)).toEqual([one]);
    const unlinked = sealEvent(clusterId, signers[0]!, sid, two, {
      kind: 'note',
      timeMs: 7,
      data: {},
    });
    expect(chainPrefix(chain(one, other, unlinked))).toEqual([one, other]);
  });
});

describe('session state', () => {
  it('R52: follows one table, exhaustively; terminal states take nothing but evidence', () => {
    const legal = PARTY_STATES.flatMap((state) =>
      EVENT_KINDS.flatMap((kind) => {
        const next = PARTY_TABLE[state][kind];
        return next === undefined ? [] : [`${state} ${kind} ${next}`];
      }),
    );
    const live = ['invited', 'joined', 'running'];
    const expected = [
      'invited proposed invited',
      'invited joined joined',
      'invited started running',
      'joined started running',
      ...PARTY_STATES.map((state) => `${state} note ${state}`),
      ...PARTY_STATES.filter((s) => s !== 'completed').map((s) => `${s} completed completed`),
      ...live.flatMap((state) =>
        ['refused', 'failed', 'expired', 'cancelled'].map((end) => `${state} ${end} ${end}`),
      ),
      'refused expired refused',
    ];
    expect([...legal].sort()).toEqual([...expected].sort());
  });

  it('goes proposed, joining, ready, running', () => {
    const a = chainOf(signers[0]!, 'proposed', 'joined', 'started');
    const b = chainOf(signers[1]!, 'joined');
    expect(stateOf([])).toBe('proposed');
    expect(stateOf(a.slice(0, 1))).toBe('proposed');
    expect(stateOf(a.slice(0, 2))).toBe('joining');
    expect(stateOf([...a.slice(0, 2), ...b])).toBe('ready');
    expect(stateOf([...a, ...b])).toBe('running');
  });

  it('R53: nobody completes a session by word alone, and evidence completes any end (S1)', () => {
    const all = signers.flatMap((signer) => chainOf(signer, 'joined', 'started', 'completed'));
    expect(stateOf(all)).toBe('running');
    for (const end of ['failed', 'expired', 'cancelled'] as const) {
      const events = signers.flatMap((signer) => chainOf(signer, 'joined', end));
      expect(stateOf(events)).toBe(end);
      expect(stateOf(events, { evidence: true })).toBe('completed');
    }
  });

  it('R53: a host without a part takes the word of the proposer, or of enough parties', () => {
    const outside = { self: 'outside' as PeerId, parties: peers.slice(1) };
    const [proposer, first, second] = signers.map((signer) =>
      chainOf(signer, 'joined', 'started', 'completed'),
    ) as [OpenedEvent[], OpenedEvent[], OpenedEvent[]];
    const view = (events: readonly OpenedEvent[], more = {}) =>
      foldSession({ ...facts, ...outside, ...more }, collect(events));
    expect(view(first)).toMatchObject({ state: 'running', reported: false });
    expect(view([...first, ...second])).toMatchObject({ state: 'completed', reported: true });
    expect(view(proposer)).toMatchObject({ state: 'completed', reported: true, endedAtMs: 1_002 });
    expect(view(proposer, { evidence: true })).toMatchObject({ reported: false });
    // A power cut took what it had said; it says it once more, at another time.
    const again = { kind: 'completed' as const, timeMs: 9_000, data: {} };
    const fork = sealEvent(clusterId, signers[0]!, sid, proposer[1], again);
    expect(view([...proposer, fork])).toMatchObject({ state: 'completed', reported: true });
    const given = chainOf(signers[0]!, 'proposed', 'cancelled', 'completed');
    expect(view([...given, ...first, ...second]).state).toBe('cancelled');
  });

  it('ends by its own word where it takes part, by the proposer for an onlooker, by no other', () => {
    const proposer = chainOf(signers[0]!, 'proposed', 'cancelled');
    const self = chainOf(signers[1]!, 'joined', 'started', 'expired');
    const other = chainOf(signers[2]!, 'joined', 'failed');
    expect(stateOf(proposer)).toBe('cancelled');
    expect(stateOf([...proposer, ...self])).toBe('expired');
    expect(stateOf([...proposer, ...self.slice(0, 2)], { taking: true })).toBe('running');
    expect(isTerminal(stateOf(other))).toBe(false);
  });

  it('S1: an end is one for an onlooker also when the proposer learns of a result afterwards', () => {
    for (const end of ['failed', 'expired', 'cancelled'] as const) {
      const events = chainOf(signers[0]!, 'proposed', 'started', end, 'completed');
      expect(stateOf(events.slice(0, 3))).toBe(end);
      expect(stateOf(events)).toBe(end);
      expect(stateOf(events, { evidence: true })).toBe('completed');
    }
  });

  it('S1: an end stays one for an onlooker when its author forks its chain there', () => {
    const ended = chainOf(signers[0]!, 'proposed', 'failed');
    const again = { kind: 'cancelled' as const, timeMs: 9_000, data: {} };
    const fork = sealEvent(clusterId, signers[0]!, sid, ended[0], again);
    expect(stateOf(ended)).toBe('failed');
    expect(stateOf([...ended, fork])).toBe('failed');
    expect(stateOf([...ended, fork], { taking: true })).toBe('proposed');
  });

  it('S1: is over at its deadline for a party that refused and heard nothing more', () => {
    const self = chainOf(signers[1]!, 'refused', 'expired');
    expect(stateOf(self.slice(0, 1))).toBe('proposed');
    expect(stateOf(self)).toBe('expired');
    const view = foldSession(facts, collect(self));
    expect(view.parties.get(peers[1]!)).toBe('refused');
  });

  it('stops an author at its first illegal event', () => {
    const events = chainOf(signers[0]!, 'joined', 'failed', 'joined', 'completed');
    const view = foldAuthor(collect(events).get(peers[0]!)!);
    expect(view.state).toBe('failed');
    expect(view.events).toHaveLength(2);
  });

  it('R21: every delivery order, with repeats, gives the same state and the same view', () => {
    const kinds = fc.array(fc.constantFrom(...EVENT_KINDS), { maxLength: 7 });
    const run = fc
      .tuple(kinds, kinds, kinds, kinds, fc.boolean(), fc.boolean())
      .chain(([a, b, c, fork, evidence, taking]) => {
        const events = [
          ...chainOf(signers[0]!, ...a),
          ...chainOf(signers[1]!, ...b),
          ...chainOf(signers[2]!, ...c),
          ...chainOf(signers[2]!, ...fork),
        ];
        const shuffled = fc.shuffledSubarray([...events, ...events], {
          minLength: 2 * events.length,
        });
        return fc.record({
          events: fc.constant(events),
          order: shuffled,
          facts: fc.constant({ evidence, taking }),
        });
      });
    fc.assert(
      fc.property(run, ({ events, order, facts: change }) => {
        const world = { ...facts, ...change };
        expect(foldSession(world, collect(order))).toEqual(foldSession(world, collect(events)));
      }),
      { numRuns: 150 },
    );
  });
});
