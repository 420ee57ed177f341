import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import {
  createChain,
  entriesFrom,
  extendChain,
  hashAt,
  isCheckpointReached,
  removalOf,
} from '../../src/roster/chain.ts';
import { checkChange } from '../../src/roster/membership.ts';
import {
  ada,
  admit,
  ben,
  bytesOf,
  chainWith,
  codeOf,
  cyd,
  demote,
  dov,
  entriesOf,
  entryAfter,
  epoch,
  eve,
  fay,
  genesisOf,
  promote,
  remove,
  term,
} from './support.ts';

describe('view', () => {
  test('at epoch 0 the founder is the only member and voter', () => {
    const { view, genesis } = createChain(genesisOf());
    expect(view.epoch).toBe(0);
    expect(view.head).toEqual(fromHex(view.clusterId));
    expect(view.voters).toEqual([ada.peerId]);
    expect(view.members.get(ada.peerId)).toEqual({
      peerId: ada.peerId,
      role: 'persistent',
      voter: true,
      noVoter: false,
      since: 0,
      name: 'host-a',
    });
    expect(view.standing(ada.peerId)).toBe('member');
    expect(view.standing(ben.peerId)).toBe('stranger');
    expect([view.clusterName, view.tag]).toEqual(['lab', genesis.tag]);
  });

  test('says of each peer whether it is, was or never was a member', () => {
    const chain = chainWith([admit(ben), admit(cyd, { role: 'observer' }), remove(ben)]);
    expect(chain.view.standing(ben.peerId)).toBe('removed');
    expect(chain.view.standing(cyd.peerId)).toBe('member');
    expect(chain.view.standing(dov.peerId)).toBe('stranger');
    expect(removalOf(chain, ben.peerId)?.body.epoch).toBe(3);
    expect(removalOf(chain, cyd.peerId)).toBeUndefined();
  });

  test('a removed peer that is admitted again is a member, with its new role and epoch', () => {
    const chain = chainWith([admit(ben), remove(ben), admit(ben, { role: 'observer' })]);
    expect(chain.view.standing(ben.peerId)).toBe('member');
    expect(chain.view.members.get(ben.peerId)).toMatchObject({ role: 'observer', since: 3 });
    expect(removalOf(chain, ben.peerId)).toBeUndefined();
  });

  test('never changes once it was given out', () => {
    const before = chainWith([admit(ben)]);
    const { view } = before;
    const members = [...view.members.keys()];
    const { chain: after } = extendChain(before, [entryAfter(before, remove(ben))]);
    expect(after.view.members.has(ben.peerId)).toBe(false);
    expect([...view.members.keys()]).toEqual(members);
    expect(view.standing(ben.peerId)).toBe('member');
    expect(before.links).toHaveLength(1);
  });
});

describe('extension refuses', () => {
  const chain = chainWith([admit(ben)]);
  const refuses = (make: Parameters<typeof entryAfter>) =>
    codeOf(() => extendChain(chain, [entryAfter(...make)]));

  test('an entry whose prev is not the head', () => {
    expect(refuses([chain, admit(cyd), { body: { prev: chain.genesis.hash } }])).toBe(
      'BAD_MESSAGE',
    );
  });
  test('an entry that skips an epoch, and says what is missing', () => {
    const entry = entryAfter(chain, admit(cyd), { body: { epoch: epoch(3) } });
    expect(() => extendChain(chain, [entry])).toThrow(
      expect.objectContaining({ code: 'BAD_MESSAGE', details: { have: 1, need: 2 } }),
    );
  });
  test('E2 a term below the last one', () => {
    const later = extendChain(chain, [entryAfter(chain, admit(cyd), { body: { term: term(4) } })]);
    expect(later.chain.view.term).toBe(4);
    const lower = entryAfter(later.chain, admit(dov), { body: { term: term(3) } });
    expect(codeOf(() => extendChain(later.chain, [lower]))).toBe('BAD_MESSAGE');
  });
  test('the signature of a member that is no voter', () => {
    expect(refuses([chain, admit(cyd), { by: [ben] }])).toBe('BAD_MESSAGE');
  });
  test('the signature of a stranger', () => {
    expect(refuses([chain, admit(cyd), { by: [eve] }])).toBe('BAD_MESSAGE');
  });
  test('a second admission of a member', () => {
    expect(refuses([chain, admit(ben)])).toBe('BAD_MESSAGE');
  });
  test('removal, promotion and demotion of a peer that is no member', () => {
    expect(refuses([chain, remove(cyd)])).toBe('BAD_MESSAGE');
    expect(refuses([chain, promote(cyd)])).toBe('BAD_MESSAGE');
    expect(refuses([chain, demote(cyd)])).toBe('BAD_MESSAGE');
  });
  test('removal and demotion of the last voter', () => {
    expect(refuses([chain, remove(ada)])).toBe('BAD_MESSAGE');
    expect(refuses([chain, demote(ada)])).toBe('BAD_MESSAGE');
  });
  test('an invitation used a second time, also after its first user was removed', () => {
    const invitationId = new Uint8Array(16).fill(7);
    const used = extendChain(chain, [entryAfter(chain, admit(cyd), { body: { invitationId } })]);
    const again = entryAfter(used.chain, admit(dov), { body: { invitationId } });
    expect(codeOf(() => extendChain(used.chain, [again]))).toBe('BAD_MESSAGE');
    const gone = extendChain(used.chain, [entryAfter(used.chain, remove(cyd))]).chain;
    const back = entryAfter(gone, admit(cyd), { body: { invitationId } });
    expect(codeOf(() => extendChain(gone, [back]))).toBe('BAD_MESSAGE');
  });
  test('a whole batch for one bad entry, without any effect', () => {
    const good = entryAfter(chain, admit(cyd));
    const next = extendChain(chain, [good]).chain;
    const bad = entryAfter(next, admit(cyd));
    expect(codeOf(() => extendChain(chain, [good, bad]))).toBe('BAD_MESSAGE');
    expect(chain.view.epoch).toBe(1);
    expect(chain.view.standing(cyd.peerId)).toBe('stranger');
  });
  test('the entry of another cluster', () => {
    const foreign = chainWith([admit(ben)], genesisOf('other'));
    expect(codeOf(() => extendChain(createChain(genesisOf()), entriesOf(foreign)))).toBe(
      'BAD_MESSAGE',
    );
  });
});

describe('rules of membership', () => {
  const rule = (chain: ReturnType<typeof chainWith>, change: Parameters<typeof checkChange>[2]) =>
    codeOf(() => checkChange(chain.membership, chain.genesis.policy, change, undefined));

  test('only a persistent member that did not opt out becomes a voter', () => {
    const chain = chainWith([
      admit(ben, { role: 'observer' }),
      admit(cyd, { noVoter: true }),
      admit(dov),
    ]);
    expect(rule(chain, promote(ben))).toBe('REFUSED_BY_POLICY');
    expect(rule(chain, promote(cyd))).toBe('REFUSED_BY_POLICY');
    expect(rule(chain, promote(ada))).toBe('CONFLICT');
    expect(rule(chain, demote(dov))).toBe('CONFLICT');
    const { view } = extendChain(chain, [entryAfter(chain, promote(dov))]).chain;
    expect(view.voters).toEqual([ada.peerId, dov.peerId].sort());
    expect(view.members.get(dov.peerId)?.voter).toBe(true);
  });

  test('voters never exceed what the genesis allows', () => {
    const others = [ben, cyd, dov, eve, fay];
    const chain = chainWith([...others.map((s) => admit(s)), ...others.slice(0, 4).map(promote)]);
    expect(chain.view.voters).toHaveLength(5);
    expect(rule(chain, promote(fay))).toBe('REFUSED_BY_POLICY');
  });

  test('a full roster admits nobody', () => {
    const chain = chainWith([admit(ben)]);
    const full = { maxMembers: 2, maxVoters: 5 };
    expect(codeOf(() => checkChange(chain.membership, full, admit(cyd), undefined))).toBe(
      'REFUSED_BY_POLICY',
    );
  });

  test('E8 with several voters a majority signs, and the founder has no special power', () => {
    const chain = chainWith([admit(ben), admit(cyd), promote(ben), promote(cyd)]);
    expect(codeOf(() => extendChain(chain, [entryAfter(chain, admit(dov), { by: [ada] })]))).toBe(
      'BAD_MESSAGE',
    );
    const without = extendChain(chain, [entryAfter(chain, remove(ada), { by: [ben, cyd] })]).chain;
    expect(without.view.voters).toEqual([ben.peerId, cyd.peerId].sort());
    expect(without.view.standing(ada.peerId)).toBe('removed');
    // Two voters: both must sign, the removed founder no longer counts.
    expect(
      codeOf(() => extendChain(without, [entryAfter(without, admit(dov), { by: [ada, ben] })])),
    ).toBe('BAD_MESSAGE');
    const grown = extendChain(without, [entryAfter(without, admit(dov))]).chain;
    expect(grown.view.standing(dov.peerId)).toBe('member');
  });
});

describe('forks', () => {
  const base = chainWith([admit(ben)]);
  const ours = extendChain(base, [entryAfter(base, admit(cyd))]).chain;
  const rival = entryAfter(base, admit(dov));

  test('E8 a certified rival of a known entry is a fork, told with both hashes', () => {
    try {
      extendChain(ours, [rival]);
      expect.unreachable();
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(BzzzError);
      expect(thrown).toMatchObject({
        code: 'ROSTER_FORK',
        details: { epoch: 2, ours: toHex(ours.view.head), theirs: toHex(rival.hash) },
      });
    }
  });

  test('a rival that was not certified is no fork: anyone can make one up', () => {
    const forged = entryAfter(base, admit(dov), { by: [eve] });
    expect(codeOf(() => extendChain(ours, [forged]))).toBe('BAD_MESSAGE');
  });

  test('two rivals in one batch are a fork', () => {
    const entries = [entryAfter(base, admit(cyd)), rival];
    expect(codeOf(() => extendChain(base, entries))).toBe('ROSTER_FORK');
  });

  test('known entries again change nothing', () => {
    const { chain, added } = extendChain(ours, entriesOf(ours));
    expect(chain).toBe(ours);
    expect(added).toEqual([]);
  });
});

describe('checkpoint', () => {
  const base = chainWith([admit(ben)]);
  const whole = extendChain(base, [entryAfter(base, admit(cyd))]).chain;
  const checkpoint = { epoch: epoch(2), head: whole.view.head };

  test('is reached by the chain that contains it', () => {
    const begun = createChain(whole.genesis, checkpoint);
    expect(isCheckpointReached(begun)).toBe(false);
    expect(isCheckpointReached(extendChain(begun, entriesOf(base)).chain)).toBe(false);
    expect(isCheckpointReached(extendChain(begun, entriesOf(whole)).chain)).toBe(true);
  });

  test('refuses another chain, although it is certified', () => {
    const other = extendChain(base, [entryAfter(base, admit(dov))]).chain;
    const begun = createChain(whole.genesis, checkpoint);
    expect(codeOf(() => extendChain(begun, entriesOf(other)))).toBe('ROSTER_FORK');
  });

  test('at epoch 0 is the genesis', () => {
    const { genesis } = whole;
    expect(isCheckpointReached(createChain(genesis, { epoch: epoch(0), head: genesis.hash }))).toBe(
      true,
    );
    const wrong = { epoch: epoch(0), head: whole.view.head };
    expect(codeOf(() => createChain(genesis, wrong))).toBe('ROSTER_FORK');
  });
});

test('frames of entries are bounded in number and bytes', () => {
  const toggles = Array.from({ length: 80 }, (_, i) => (i % 2 === 0 ? admit(ben) : remove(ben)));
  const chain = chainWith(toggles);
  expect(entriesFrom(chain, 1)).toHaveLength(64);
  expect(entriesFrom(chain, 1, 3)).toEqual(bytesOf(chain).slice(0, 3));
  expect(entriesFrom(chain, 79)).toEqual(bytesOf(chain).slice(78));
  expect(entriesFrom(chain, 81)).toEqual([]);
  expect(hashAt(chain, 81)).toBeUndefined();
});
