/** Random histories of a cluster, built by a model that knows nothing of the code's bookkeeping. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { toHex } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { type Chain, createChain, extendChain } from '../../src/roster/chain.ts';
import { type Change, decodeEntry, type Entry, majority } from '../../src/roster/entry.ts';
import { ROLES, type Role } from '../../src/roster/types.ts';
import {
  ada,
  ben,
  bytesOf,
  cyd,
  dov,
  entriesOf,
  entryAfter,
  eve,
  genesisOf,
  recoveryAfter,
  signedAgain,
  signerOf,
  term,
} from './support.ts';

const genesis = genesisOf();
const pool = [ada, ben, cyd, dov, eve];

interface Act {
  readonly kind: Change['kind'];
  readonly who: number;
  readonly role: Role;
  readonly noVoter: boolean;
  /** Which of the possible majorities signs. */
  readonly turn: number;
  /** How far the ballot is above the term of the body: an entry that a later leader took over. */
  readonly late: number;
  readonly newTerm: boolean;
  readonly invitation: boolean;
}

const act: fc.Arbitrary<Act> = fc.record({
  kind: fc.constantFrom('admit', 'admit', 'promote', 'promote', 'remove', 'demote', 'recover'),
  who: fc.nat(pool.length - 1),
  role: fc.constantFrom('persistent', 'persistent', ...ROLES),
  noVoter: fc.boolean(),
  turn: fc.nat(4),
  late: fc.nat(2),
  newTerm: fc.boolean(),
  invitation: fc.boolean(),
});
const history = fc.array(act, { minLength: 1, maxLength: 20 });

interface Model {
  members: Map<PeerId, { role: Role; noVoter: boolean }>;
  voters: PeerId[];
  gone: Set<PeerId>;
}

/** Names one or two of the pool, `turn` places apart. */
const namedBy = ({ who, turn }: Act): PeerId[] => {
  const named = [pool[who]!.peerId, pool[(who + turn) % pool.length]!.peerId];
  return [...new Set(named)].sort();
};

const changeOf = (each: Act): Change => {
  const { kind, who, role, noVoter } = each;
  if (kind === 'recover') return { kind, voters: namedBy(each) };
  const { peerId: peer } = pool[who]!;
  if (kind === 'admit') return { kind, peer, role, noVoter };
  if (kind === 'remove') return { kind, peer, reason: 'removed' };
  return { kind, peer };
};

/** The rules once more, in their plainest form. */
function allowed({ members, voters }: Model, change: Change): boolean {
  if (change.kind === 'recover') {
    return change.voters.every((peer) => members.get(peer)?.role === 'persistent');
  }
  const { kind, peer } = change;
  const member = members.get(peer);
  if (kind === 'admit') return member === undefined;
  if (member === undefined) return false;
  const last = voters.length === 1 && voters[0] === peer;
  if (kind === 'remove') return !last;
  if (kind === 'demote') return voters.includes(peer) && !last;
  return (
    member.role === 'persistent' && !member.noVoter && !voters.includes(peer) && voters.length < 5
  );
}

function apply(model: Model, change: Change): void {
  const { members, gone } = model;
  if (change.kind === 'recover') {
    model.voters = [...change.voters];
  } else if (change.kind === 'admit') {
    members.set(change.peer, { role: change.role, noVoter: change.noVoter });
    gone.delete(change.peer);
  } else if (change.kind === 'promote') {
    model.voters = [...model.voters, change.peer];
  } else {
    model.voters = model.voters.filter((voter) => voter !== change.peer);
    if (change.kind === 'remove') {
      members.delete(change.peer);
      gone.add(change.peer);
    }
  }
}

/** Every operator consented to every recovery. */
const everything = () => true;

/** The next entry as an honest majority, or all voters of a recovery, would sign it. */
function entryOf(chain: Chain, change: Change, each: Act, i: number): Entry {
  if (change.kind === 'recover') return recoveryAfter(chain, change.voters.map(signerOf));
  const { voters, term: now } = chain.view;
  const turned = voters.map((_, k) => voters[(k + each.turn) % voters.length]!);
  const by = turned.slice(0, majority(voters.length)).map(signerOf);
  const uses = each.invitation && change.kind === 'admit';
  const inTerm = term(now + (each.newTerm ? 1 : 0));
  const body = {
    term: inTerm,
    ...(uses ? { invitationId: new Uint8Array(16).fill(i + 1) } : {}),
  };
  return entryAfter(chain, change, { body, by, ballot: inTerm + each.late });
}

/** Plays a history; acts that the model forbids must be refused by the chain, and are left out. */
function play(acts: readonly Act[]): { chain: Chain; model: Model; refused: number } {
  const model: Model = {
    members: new Map([[ada.peerId, { role: 'persistent', noVoter: false }]]),
    voters: [ada.peerId],
    gone: new Set(),
  };
  let chain = createChain(genesis);
  let refused = 0;
  for (const [i, each] of acts.entries()) {
    const change = changeOf(each);
    const entry = entryOf(chain, change, each, i);
    if (allowed(model, change)) {
      chain = extendChain(chain, [entry], everything).chain;
      apply(model, change);
    } else {
      expect(() => extendChain(chain, [entry], everything)).toThrow(BzzzError);
      refused++;
    }
  }
  return { chain, model, refused };
}

describe('random histories', () => {
  test('the view is what a plain model of the rules says', () => {
    let refused = 0;
    let grown = 0;
    fc.assert(
      fc.property(history, (acts) => {
        const played = play(acts);
        const { chain, model } = played;
        refused += played.refused;
        grown += chain.view.epoch;
        expect([...chain.view.members.keys()].sort()).toEqual([...model.members.keys()].sort());
        expect(chain.view.voters).toEqual([...model.voters].sort());
        for (const { peerId } of pool) {
          const member = chain.view.members.get(peerId);
          expect(member?.voter ?? false).toBe(model.voters.includes(peerId));
          expect(chain.view.standing(peerId)).toBe(
            model.members.has(peerId) ? 'member' : model.gone.has(peerId) ? 'removed' : 'stranger',
          );
        }
        expect(chain.view.voters.length).toBeGreaterThan(0);
        const recovered = entriesOf(chain).filter(({ body }) => body.change.kind === 'recover');
        expect(chain.view.recoveries).toEqual(recovered.map(({ body }) => body.epoch));
        // E2 terms never fall, and no ballot is below its body's term.
        const terms = entriesOf(chain).map(({ body }) => body.term);
        expect(terms).toEqual([...terms].sort((a, b) => a - b));
        for (const { body, ballot } of entriesOf(chain)) {
          expect(ballot).toBeGreaterThanOrEqual(body.term);
        }
      }),
      { numRuns: 120 },
    );
    // Both sides of the rules were exercised.
    expect(Math.min(refused, grown)).toBeGreaterThan(30);
  });

  test('E8 any batches in any order, again and again, lead to the same chain or to none of it', () => {
    const slices = fc.array(fc.tuple(fc.nat(24), fc.nat(24)), { maxLength: 12 });
    fc.assert(
      fc.property(history, slices, fc.boolean(), (acts, cuts, turned) => {
        const { chain: whole } = play(acts);
        const entries = entriesOf(whole);
        let chain = createChain(genesis);
        const deliver = (from: number, to: number) => {
          const slice = entries.slice(Math.min(from, to), Math.max(from, to) + 1);
          const before = chain;
          const fits = slice.length === 0 || slice[0]!.body.epoch <= before.view.epoch + 1;
          const batch = turned ? slice.toReversed() : slice;
          if (fits) chain = extendChain(before, batch, everything).chain;
          else expect(() => extendChain(before, batch, everything)).toThrow(/ends before it/);
          // Never anything but a prefix of the one chain.
          expect(bytesOf(chain)).toEqual(bytesOf(whole).slice(0, chain.view.epoch));
        };
        for (const [from, to] of cuts) deliver(from, to);
        deliver(0, entries.length);
        expect(toHex(chain.view.head)).toBe(toHex(whole.view.head));
        expect(chain.view.members).toEqual(whole.view.members);
        expect(chain.membership).toEqual(whole.membership);
      }),
      { numRuns: 20 },
    );
  });

  test('E8 entries with the signatures of a later ballot are the same chain', () => {
    fc.assert(
      fc.property(history, (acts) => {
        const { chain } = play(acts);
        // Another leader took every entry over: the same bodies, higher ballots.
        const again = chain.links.map(({ entry, voters }) =>
          entry.body.change.kind === 'recover'
            ? entry
            : signedAgain(chain, entry.body, voters.map(signerOf), entry.ballot + 7),
        );
        const taken = extendChain(createChain(genesis), again, everything).chain;
        expect(toHex(taken.view.head)).toBe(toHex(chain.view.head));
        expect(extendChain(chain, again, everything).added).toEqual([]);
        expect(extendChain(taken, entriesOf(chain), everything).added).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  test('a chain with any byte of any entry altered is refused', () => {
    fc.assert(
      fc.property(
        history,
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (acts, e, b, x) => {
          const { chain } = play(acts);
          const all = bytesOf(chain);
          if (all.length === 0) return;
          const which = e % all.length;
          const altered = new Uint8Array(all[which]!);
          altered[b % altered.length]! ^= x;
          const load = () =>
            extendChain(
              createChain(genesis),
              all.map((bytes, i) => decodeEntry(genesis.clusterId, i === which ? altered : bytes)),
              everything,
            );
          expect(load).toThrow(BzzzError);
        },
      ),
      { numRuns: 40 },
    );
  });
});
