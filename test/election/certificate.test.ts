/** Votes and leader certificates: what is believed offline, and what is not (R98). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { compareText } from '../../src/base/bytes.ts';
import { encode } from '../../src/base/codec.ts';
import { LIMITS } from '../../src/base/limits.ts';
import {
  decodeLeaderCertificate,
  encodeLeaderCertificate,
  verifyLeaderCertificate,
  votersAt,
} from '../../src/election/certificate.ts';
import { openVote, sealVote } from '../../src/election/vote.ts';
import {
  ada,
  admit,
  ben,
  chainWith,
  cyd,
  demote,
  dov,
  genesisOf,
  promote,
  remove,
} from '../roster/support.ts';
import { testSigner } from '../support/world.ts';
import {
  CHAIN,
  CLUSTER_ID,
  certificateOf,
  epoch,
  rawCertificate,
  THREE,
  term,
  violationOf,
  vote,
  votesBy,
} from './certificate-support.ts';

const OTHER_ID = genesisOf('another').clusterId;
const verify = (bytes: Uint8Array) => verifyLeaderCertificate(bytes, CHAIN);
const sorted = (peers: readonly PeerId[]) => [...peers].sort(compareText);

describe('a vote', () => {
  it('opens as it was sealed, and names who sealed it', () => {
    const sealed = sealVote(CLUSTER_ID, ben, vote());
    expect(openVote(CLUSTER_ID, sealed)).toEqual({ ...vote(), voter: ben.peerId });
    expect(sealed.length).toBeLessThanOrEqual(LIMITS.voteBytes);
  });

  it('is nothing in another cluster, for another purpose, or with a bit flipped', () => {
    const sealed = sealVote(CLUSTER_ID, ben, vote());
    expect(() => openVote(OTHER_ID, sealed)).toThrow(/signature/);
    const other = ben.seal(`bzzz/${CLUSTER_ID}/announce/1`, encode({ ...vote() }));
    expect(() => openVote(CLUSTER_ID, other)).toThrow(/signature/);
    fc.assert(
      fc.property(fc.nat(sealed.length * 8 - 1), (bit) => {
        const altered = new Uint8Array(sealed);
        altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(() => openVote(CLUSTER_ID, altered)).toThrow();
      }),
      { numRuns: 200 },
    );
  });

  it('keeps to its schema and its size, also under a good seal', () => {
    const seal = (value: unknown) => ben.seal(`bzzz/${CLUSTER_ID}/vote/1`, encode(value));
    const bad = [
      { ...vote(), term: 0 },
      { ...vote(), term: 1.5 },
      { ...vote(), epoch: -1 },
      { ...vote(), candidate: 'ada' },
      { ...vote(), extra: 1 },
      { term: 7, epoch: 0 },
      'vote',
    ];
    for (const value of bad) expect(() => openVote(CLUSTER_ID, seal(value))).toThrow(/^vote/);
    expect(() => openVote(CLUSTER_ID, new Uint8Array(LIMITS.voteBytes + 1))).toThrow(/at most 512/);
    expect(() => sealVote(CLUSTER_ID, ben, vote({ term: 0 }))).toThrow(/at least 1/);
  });
});

describe('the voters of an epoch', () => {
  it('are those whom the entries up to it made', () => {
    const chain = chainWith([
      ...[admit(ben), promote(ben), admit(cyd), promote(cyd), demote(ada), remove(ben)],
    ]);
    const names = new Map([ada, ben, cyd].map((who, i) => [who.peerId, 'abc'[i]]));
    const at = (n: number) => sorted(votersAt(chain, n) ?? []).map((peer) => names.get(peer));
    const expected = ['a', 'a', 'ab', 'ab', 'abc', 'bc', 'c'];
    for (const [n, voters] of expected.entries()) expect(at(n).sort().join('')).toBe(voters);
    for (const beyond of [7, 8, -1, 1.5]) expect(votersAt(chain, beyond)).toBeUndefined();
    expect(votersAt(chainWith([]), 0)).toEqual([ada.peerId]);
    expect(votersAt(chainWith([]), 1)).toBeUndefined();
  });
});

describe('a leader certificate', () => {
  it('says term, epoch and leader, and who voted, at the head and behind it', () => {
    const two = verify(certificateOf(ben, { voters: [cyd, ben] }));
    expect(two).toMatchObject({ term: 7, epoch: THREE, leader: ben.peerId });
    expect(two.voters).toEqual(sorted([ben.peerId, cyd.peerId]));
    expect(verify(certificateOf(cyd, { epoch: 6 })).epoch).toBe(6);
    expect(verify(certificateOf(ada, { epoch: 0, voters: [ada] })).voters).toEqual([ada.peerId]);
    const pair = verify(certificateOf(ada, { epoch: 2, voters: [ada, ben] }));
    expect(pair.voters).toHaveLength(2);
  });

  it('is the same bytes whatever order the votes came in, and holds a bare majority', () => {
    const bytes = certificateOf(ada, { voters: [cyd, ada, ben] });
    expect(bytes).toEqual(certificateOf(ada, { voters: [ben, cyd, ada] }));
    expect(verify(bytes).voters).toHaveLength(2);
  });

  it('fits its limit with the most voters that there can be', async () => {
    const names = Array.from({ length: LIMITS.parties }, (_, i) => `voter${i}`);
    const crowd = await Promise.all(names.map(testSigner));
    const most = Number.MAX_SAFE_INTEGER;
    const votes = votesBy(crowd.slice(0, 9), { term: most, epoch: most });
    const bytes = rawCertificate(votes, { term: most, epoch: most });
    expect(bytes.length).toBeLessThanOrEqual(LIMITS.leaderCertificateBytes);
    expect(decodeLeaderCertificate(bytes).votes).toHaveLength(9);
  });

  const good = votesBy([ada, ben]);
  const [first, second] = [good[0]!, good[1]!];
  it.each([
    ['one vote of three', 'too-few', rawCertificate([first])],
    ['one vote of two', 'too-few', rawCertificate(votesBy([ada], { epoch: 2 }), { epoch: 2 })],
    ['one vote twice', 'order', rawCertificate([first, first])],
    ['votes in another order', 'order', rawCertificate([second, first])],
    ['a vote for another', 'candidate', rawCertificate(votesBy([ada, ben], { candidate: cyd }))],
    ['a vote of another term', 'term', rawCertificate(votesBy([ada, ben], { term: 6 }))],
    ['a vote of another epoch', 'epoch', rawCertificate(votesBy([ada, ben], { epoch: 2 }))],
    ['another term than its votes', 'term', rawCertificate(good, { term: 8 })],
    ['another leader than its votes', 'candidate', rawCertificate(good, { leader: ben.peerId })],
    ['another epoch than its votes', 'epoch', rawCertificate(good, { epoch: 5 })],
    ['a vote of a member that is no voter', 'voter', rawCertificate(votesBy([ada, ben, dov]))],
    [
      'a leader that is no voter',
      'leader',
      rawCertificate(votesBy([ada, ben], { candidate: dov }), { leader: dov.peerId }),
    ],
    [
      'a leader that became a voter later',
      'leader',
      rawCertificate(votesBy([ada, ben], { epoch: 2, candidate: cyd }), {
        epoch: 2,
        leader: cyd.peerId,
      }),
    ],
    [
      'a vote that became one later',
      'voter',
      rawCertificate(votesBy([ada, ben, cyd], { epoch: 2 }), { epoch: 2 }),
    ],
    ['votes of another cluster', 'seal', rawCertificate(votesBy([ada, ben], {}, OTHER_ID))],
    ['a vote that is none', 'seal', rawCertificate([new Uint8Array(40), first])],
    [
      'an epoch beyond the roster',
      'epoch-unknown',
      rawCertificate(votesBy([ada, ben], { epoch: 7 }), { epoch: 7 }),
    ],
    ['term 0', 'form', rawCertificate(good, { term: 0 })],
    ['no votes', 'form', rawCertificate([])],
    ['another version', 'form', rawCertificate(good, { v: 2 })],
    ['more votes than voters can be', 'form', rawCertificate(Array(17).fill(first))],
    ['too many bytes', 'form', new Uint8Array(LIMITS.leaderCertificateBytes + 1)],
    ['no CBOR', 'form', new Uint8Array([0xff])],
    ['nothing', 'form', new Uint8Array()],
  ])('is refused with %s: %s', (_what, violation, bytes) => {
    expect(violationOf(() => verify(bytes))).toBe(violation);
  });

  it('tells a node whose roster is behind how far', () => {
    const behind = chainWith([admit(ben), promote(ben)]);
    const work = () => verifyLeaderCertificate(certificateOf(), behind);
    expect(violationOf(work)).toBe('epoch-unknown');
    expect(work).toThrow(/of epoch 4: the roster here ends at 2/);
  });

  it('does not hold with any bit flipped', () => {
    const bytes = certificateOf();
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const altered = new Uint8Array(bytes);
        altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(() => verify(altered)).toThrow();
      }),
      { numRuns: 300 },
    );
  });

  it('counts a voter once although it voted for several (the majority is of voters)', () => {
    const mixed = [...votesBy([ada]), ...votesBy([ada], { candidate: ben })];
    expect(violationOf(() => verify(rawCertificate(mixed)))).toBe('order');
  });

  it('cannot be made of a vote that does not open', () => {
    const election = { term: term(7), epoch: epoch(THREE), leader: ada.peerId };
    const votes = [first, new Uint8Array(40)];
    expect(() => encodeLeaderCertificate(CLUSTER_ID, { ...election, votes }, 3)).toThrow(
      /envelope/,
    );
  });
});
