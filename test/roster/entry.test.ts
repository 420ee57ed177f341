import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { encode } from '../../src/base/codec.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { Signer } from '../../src/base/ports.ts';
import { createChain } from '../../src/roster/chain.ts';
import {
  assembleEntry,
  decodeEntry,
  type Entry,
  hashBody,
  majority,
  openSignature,
  signBody,
  verifyCertified,
} from '../../src/roster/entry.ts';
import {
  ada,
  admit,
  ben,
  bodyAfter,
  codeOf,
  cyd,
  dov,
  eve,
  fay,
  genesisOf,
  gus,
  promote,
  term,
} from './support.ts';

const genesis = genesisOf();
const { clusterId } = genesis;
const body = bodyAfter(createChain(genesis), admit(gus, { name: 'host-g' }));
const peers = (...who: Signer[]): PeerId[] => who.map((s) => s.peerId);
const ballot = term(3);
const signedBy = (...who: Signer[]): Entry =>
  assembleEntry(
    clusterId,
    body,
    ballot,
    who.map((s) => signBody(clusterId, s, body, ballot)),
  );

describe('certification', () => {
  test.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
  ])('E8 of %i voters %i must sign, one fewer is refused', (n, need) => {
    const voters = [ada, ben, cyd, dov, eve].slice(0, n);
    expect(majority(n)).toBe(need);
    const enough = signedBy(...voters.slice(0, need));
    expect(verifyCertified(clusterId, enough, peers(...voters))).toHaveLength(need);
    if (need === 1) return;
    const few = signedBy(...voters.slice(0, need - 1));
    expect(codeOf(() => verifyCertified(clusterId, few, peers(...voters)))).toBe('BAD_MESSAGE');
  });

  test('any majority will do, and the hash is the same', () => {
    const voters = peers(ada, ben, cyd);
    const one = signedBy(ada, ben);
    const other = signedBy(cyd, ben);
    expect(one.hash).toEqual(other.hash);
    expect(verifyCertified(clusterId, one, voters)).toHaveLength(2);
    expect(verifyCertified(clusterId, other, voters)).toHaveLength(2);
  });

  test('a signature that is not a voter makes the whole entry invalid', () => {
    const entry = signedBy(ada, ben, fay);
    expect(codeOf(() => verifyCertified(clusterId, entry, peers(ada, ben, cyd)))).toBe(
      'BAD_MESSAGE',
    );
  });

  test('one voter signing twice does not count twice', () => {
    const entry = signedBy(ada, ada);
    expect(codeOf(() => verifyCertified(clusterId, entry, peers(ada, ben, cyd)))).toBe(
      'BAD_MESSAGE',
    );
  });

  test('signatures in another order are refused: a set of signers has one encoding', () => {
    const sorted = signedBy(ada, ben);
    const turned = decodeEntry(
      clusterId,
      encode({ v: 1, body: sorted.bodyBytes, ballot, signatures: sorted.signatures.toReversed() }),
    );
    expect(codeOf(() => verifyCertified(clusterId, turned, peers(ada, ben)))).toBe('BAD_MESSAGE');
  });

  test('a signature for another body does not count', () => {
    const other = signBody(clusterId, ada, { ...body, time: body.time + 1 }, ballot);
    const entry = assembleEntry(clusterId, body, ballot, [other]);
    expect(codeOf(() => verifyCertified(clusterId, entry, peers(ada)))).toBe('BAD_MESSAGE');
  });

  test('a signature for another cluster does not count', () => {
    const foreign = signBody(genesisOf('other').clusterId, ada, body, ballot);
    const bytes = encode({ v: 1, body: signedBy(ada).bodyBytes, ballot, signatures: [foreign] });
    const entry = decodeEntry(clusterId, bytes);
    expect(codeOf(() => verifyCertified(clusterId, entry, peers(ada)))).toBe('BAD_MESSAGE');
  });

  test('E8 signatures of two ballots do not add up: neither was chosen', () => {
    const voters = peers(ada, ben, cyd);
    const under = (n: number, who: Signer) => signBody(clusterId, who, body, term(n));
    for (const named of [3, 4]) {
      const mixed = assembleEntry(clusterId, body, term(named), [under(3, ada), under(4, ben)]);
      expect(codeOf(() => verifyCertified(clusterId, mixed, voters))).toBe('BAD_MESSAGE');
    }
    const one = assembleEntry(clusterId, body, term(4), [under(4, ada), under(4, ben)]);
    expect(verifyCertified(clusterId, one, voters)).toHaveLength(2);
  });

  test('E8 proposed again in a later term it is the same entry: same hash, higher ballot', () => {
    const voters = peers(ada, ben, cyd);
    const again = [ben, cyd].map((who) => signBody(clusterId, who, body, term(9)));
    const later = assembleEntry(clusterId, body, term(9), again);
    expect(later.hash).toEqual(signedBy(ada, ben).hash);
    expect(later.hash).toEqual(hashBody(clusterId, body));
    expect(later.ballot).toBe(9);
    expect(verifyCertified(clusterId, later, voters)).toHaveLength(2);
  });

  test('E2 a ballot below the term of the body is refused', () => {
    const inTerm = { ...body, term: term(5) };
    const under = (n: number) =>
      assembleEntry(clusterId, inTerm, term(n), [signBody(clusterId, ada, inTerm, term(n))]);
    expect(codeOf(() => verifyCertified(clusterId, under(4), peers(ada)))).toBe('BAD_MESSAGE');
    expect(verifyCertified(clusterId, under(5), peers(ada))).toEqual([ada.peerId]);
  });

  test('a single signature tells its signer, for exactly this body and ballot', () => {
    const bytes = signBody(clusterId, ada, body, ballot);
    expect(openSignature(clusterId, body, ballot, bytes)).toBe(ada.peerId);
    const other = { ...body, time: body.time + 1 };
    const open = [
      () => openSignature(clusterId, other, ballot, bytes),
      () => openSignature(clusterId, body, term(4), bytes),
      () => openSignature(genesisOf('other').clusterId, body, ballot, bytes),
      () => openSignature(clusterId, body, ballot, bytes.subarray(1)),
    ];
    for (const each of open) expect(codeOf(each)).toBe('BAD_MESSAGE');
  });

  test('an entry with any byte altered is refused', () => {
    const { bytes } = signedBy(ada, ben);
    const voters = peers(ada, ben, cyd);
    let tried = 0;
    for (let at = 0; at < bytes.length; at++) {
      const altered = new Uint8Array(bytes);
      altered[at]! ^= 1 << (at & 7);
      const use = () => verifyCertified(clusterId, decodeEntry(clusterId, altered), voters);
      expect(codeOf(use), `byte ${at}`).toBe('BAD_MESSAGE');
      tried++;
    }
    expect(tried).toBe(bytes.length);
  });
});

describe('form', () => {
  const encoded = (change: object): Uint8Array =>
    encode({
      v: 1,
      body: encode({ ...body, ...change }),
      ballot,
      signatures: signedBy(ada).signatures,
    });

  test.each([
    ['epoch 0, which is the genesis', { epoch: 0 }],
    ['a negative term', { term: -1 }],
    ['a fractional epoch', { epoch: 1.5 }],
    ['a short prev', { prev: body.prev.subarray(1) }],
    ['an unknown change', { change: { kind: 'crown', peer: gus.peerId } }],
    ['an unknown role', { change: { ...admit(gus), role: 'king' } }],
    ['a peer that no key encodes to', { change: { ...admit(gus), peer: '__proto__' } }],
    ['a name that moves the cursor', { change: { ...admit(gus), name: 'x\u001b[2J' } }],
    ['an unknown field', { extra: 1 }],
    ['a recovery without voters', { change: { kind: 'recover', voters: [] } }],
    [
      'a recovery that names one voter twice',
      { change: { kind: 'recover', voters: peers(ada, ada) } },
    ],
    [
      'a recovery whose voters are not sorted',
      { change: { kind: 'recover', voters: peers(ada, ben).sort().reverse() } },
    ],
    [
      'an invitation without an admission',
      { change: promote(gus), invitationId: new Uint8Array(16) },
    ],
    ['a short invitation id', { invitationId: new Uint8Array(15) }],
  ])('%s is refused', (_, change) => {
    expect(codeOf(() => decodeEntry(clusterId, encoded(change)))).toBe('BAD_MESSAGE');
  });

  test('more signatures than there can be voters are refused before any is checked', () => {
    const { bodyBytes, signatures } = signedBy(ada);
    const many = Array.from({ length: LIMITS.parties + 1 }, () => signatures[0]!);
    const bytes = encode({ v: 1, body: bodyBytes, ballot, signatures: many });
    expect(codeOf(() => decodeEntry(clusterId, bytes))).toBe('BAD_MESSAGE');
    expect(
      codeOf(() =>
        decodeEntry(clusterId, encode({ v: 1, body: bodyBytes, ballot, signatures: [] })),
      ),
    ).toBe('BAD_MESSAGE');
  });

  test('more bytes than the limit are refused', () => {
    const bytes = new Uint8Array(LIMITS.rosterEntryBytes + 1);
    expect(() => decodeEntry(clusterId, bytes)).toThrow(/at most/);
  });
});
