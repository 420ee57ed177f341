import { describe, expect, it } from 'vitest';
import type { Epoch, PeerId } from '../../../src/base/brands.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import { planSuccession } from '../../../src/mpc/reshare/plan.ts';
import { checkReshare } from '../../../src/mpc/reshare/rules.ts';
import type { KeyInfo, Party, ReshareProposal } from '../../../src/mpc/types.ts';
import type { Member, Role } from '../../../src/roster/types.ts';
import { CLUSTER } from '../keygen/network.ts';
import { makeKey } from './support.ts';

const { keyInfo: made, hash } = makeKey(2, 5).certified;
const peers = made.parties.map(({ peerId }) => peerId);
const [a, b, c, d, e] = peers as [PeerId, PeerId, PeerId, PeerId, PeerId];
const stranger = 'someone' as PeerId;
const roster = (ids: readonly PeerId[], role: Role = 'persistent') => ({
  members: new Map(
    ids.map((peerId): [PeerId, Member] => [
      peerId,
      { peerId, role, voter: false, noVoter: false, since: 0 as Epoch },
    ]),
  ),
});
const seats = (ids: readonly PeerId[]): readonly Party[] =>
  ids.map((peerId, i) => ({ peerId, index: i + 1, role: 'persistent' }));

const proposal = (
  change: Partial<ReshareProposal> = {},
  next: readonly PeerId[] = peers,
  away: readonly PeerId[] = [],
  key: KeyInfo = made,
): ReshareProposal => ({
  ...{ v: 1, kind: 'reshare', clusterId: CLUSTER, proposer: a, rosterEpoch: 1 as Epoch },
  ...{ ttlMs: 1_000, nonce: new Uint8Array(16), keyId: key.keyId, keyEpoch: key.epoch },
  ...{ previous: hash, suite: key.suite },
  ...planSuccession(key, { threshold: 2, parties: seats(next) }, (peer) => !away.includes(peer)),
  ...change,
});

function verdict(wanted: ReshareProposal, key: KeyInfo = made, ids: readonly PeerId[] = peers) {
  try {
    checkReshare(wanted, { key, hash }, roster(ids));
    return 'allowed';
  } catch (error) {
    if (!(error instanceof BzzzError)) throw error;
    return typeof error.details.rule === 'string' ? error.details.rule : error.code;
  }
}

describe('who may hand a key on, and how', () => {
  it.each([
    ['a refresh by a holder', 'allowed', proposal()],
    ['a refresh by any member', 'allowed', proposal({ proposer: stranger })],
    ['a reshare by a holder', 'allowed', proposal({}, [a, b, c])],
    [
      'a reshare by a stranger to the key',
      'requester',
      proposal({ proposer: stranger }, [a, b, c]),
    ],
    ['a minority of the holders', 'majority', proposal({}, [a, b], [c, d, e])],
    ['a majority of the holders', 'allowed', proposal({}, [a, b, c], [d, e])],
    ['an older epoch', 'BAD_MESSAGE', proposal({ previous: new Uint8Array(32) })],
    ['an epoch to come', 'NOT_FOUND', proposal({ keyEpoch: 1 })],
    ['a holder that is not named', 'BAD_MESSAGE', proposal({ witnesses: [] }, [a, b, c])],
    ['a witness that held no share', 'BAD_MESSAGE', proposal({ witnesses: [stranger] })],
    ['too many dealers', 'BAD_MESSAGE', proposal({ dealers: [a, b, c].sort() })],
    ['a dealer that holds no share', 'BAD_MESSAGE', proposal({ dealers: [a, stranger].sort() })],
    ['other requesters', 'BAD_MESSAGE', proposal({ requesters: [a] })],
    ['a party that is no member', 'NOT_A_MEMBER', proposal({}, [a, b, stranger])],
  ])('%s: %s', (_what, expected, wanted) => {
    expect(verdict(wanted)).toBe(expected);
  });

  it('K2: an epoch that is over is refused with its own code', () => {
    const key = { ...made, epoch: 1 };
    expect(verdict(proposal({}, peers, [], made), key)).toBe('STALE_EPOCH');
  });

  it('counts the majority among those who are members: the dead do not vote', () => {
    const wanted = proposal({}, [a, b], [c, d, e]);
    expect(verdict(wanted, made, [a, b, c])).toBe('allowed');
    expect(verdict(wanted, made, [a, b, c, d])).toBe('majority');
  });

  it('does not hand a key that wants approval to others', () => {
    const key: KeyInfo = { ...made, policy: 'approve' };
    expect(verdict(proposal(), key)).toBe('allowed');
    expect(verdict(proposal({}, [a, b, c]), key)).toBe('NOT_SUPPORTED');
  });

  it('moves the requesters with the share where they were the holders, and nowhere else', () => {
    expect(proposal({}, [a, b, c]).requesters).toEqual([a, b, c].sort());
    const key: KeyInfo = { ...made, requesters: [stranger] };
    expect(proposal({}, [a, b, c], [], key).requesters).toEqual([stranger]);
  });

  it('takes nobody to deal who has cheated', () => {
    const wish = { threshold: 2, parties: seats(peers) };
    const [first, second] = planSuccession(made, wish, () => true).dealers as [PeerId, PeerId];
    const { dealers } = planSuccession(made, wish, () => true, new Set([first]));
    expect(dealers).toContain(second);
    expect(dealers).not.toContain(first);
    expect(() => planSuccession(made, wish, () => true, new Set([a, b, c, d]))).toThrow(/can deal/);
    expect(() => planSuccession(made, { ...wish, threshold: 6 }, () => true)).toThrow(
      /threshold 6/,
    );
  });
});
