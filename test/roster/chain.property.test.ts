/** Random histories of a cluster, built by a model that knows nothing of the code's bookkeeping. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { toHex } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { type Chain, createChain, extendChain } from '../../src/roster/chain.ts';
import { type Change, decodeEntry, majority } from '../../src/roster/entry.ts';
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
  readonly newTerm: boolean;
  readonly invitation: boolean;
}

const act: fc.Arbitrary<Act> = fc.record({
  kind: fc.constantFrom('admit', 'admit', 'promote', 'promote', 'remove', 'demote'),
  who: fc.nat(pool.length - 1),
  role: fc.constantFrom('persistent', 'persistent', ...ROLES),
  noVoter: fc.boolean(),
  turn: fc.nat(4),
  newTerm: fc.boolean(),
  invitation: fc.boolean(),
});
const history = fc.array(act, { minLength: 1, maxLength: 20 });

interface Model {
  members: Map<PeerId, { role: Role; noVoter: boolean }>;
  voters: PeerId[];
  gone: Set<PeerId>;
}

const changeOf = ({ kind, who, role, noVoter }: Act): Change => {
  const { peerId: peer } = pool[who]!;
  if (kind === 'admit') return { kind, peer, role, noVoter };
  if (kind === 'remove') return { kind, peer, reason: 'removed' };
  return { kind, peer };
};

/** The rules once more, in their plainest form. */
function allowed({ members, voters }: Model, change: Change): boolean {
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
  if (change.kind === 'admit') {
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
    const { voters, view } = { voters: chain.view.voters, view: chain.view };
    const turned = voters.map((_, k) => voters[(k + each.turn) % voters.length]!);
    const by = turned.slice(0, majority(voters.length)).map(signerOf);
    const uses = each.invitation && change.kind === 'admit';
    const body = {
      term: term(view.term + (each.newTerm ? 1 : 0)),
      ...(uses ? { invitationId: new Uint8Array(16).fill(i + 1) } : {}),
    };
    const entry = entryAfter(chain, change, { body, by });
    if (allowed(model, change)) {
      chain = extendChain(chain, [entry]).chain;
      apply(model, change);
    } else {
      expect(() => extendChain(chain, [entry])).toThrow(BzzzError);
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
      }),
      { numRuns: 30 },
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
          if (fits) chain = extendChain(before, batch).chain;
          else expect(() => extendChain(before, batch)).toThrow(/ends before it/);
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
            );
          expect(load).toThrow(BzzzError);
        },
      ),
      { numRuns: 40 },
    );
  });
});
