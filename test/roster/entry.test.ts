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
  majority,
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
} from './support.ts';

const genesis = genesisOf();
const { clusterId } = genesis;
const body = bodyAfter(createChain(genesis), admit(gus, { name: 'host-g' }));
const peers = (...who: Signer[]): PeerId[] => who.map((s) => s.peerId);
const signedBy = (...who: Signer[]): Entry =>
  assembleEntry(
    clusterId,
    body,
    who.map((s) => signBody(clusterId, s, body)),
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
      encode({ v: 1, body: sorted.bodyBytes, signatures: sorted.signatures.toReversed() }),
    );
    expect(codeOf(() => verifyCertified(clusterId, turned, peers(ada, ben)))).toBe('BAD_MESSAGE');
  });

  test('a signature for another body does not count', () => {
    const other = signBody(clusterId, ada, { ...body, time: body.time + 1 });
    const entry = assembleEntry(clusterId, body, [other]);
    expect(codeOf(() => verifyCertified(clusterId, entry, peers(ada)))).toBe('BAD_MESSAGE');
  });

  test('a signature for another cluster does not count', () => {
    const foreign = signBody(genesisOf('other').clusterId, ada, body);
    const bytes = encode({ v: 1, body: signedBy(ada).bodyBytes, signatures: [foreign] });
    const entry = decodeEntry(clusterId, bytes);
    expect(codeOf(() => verifyCertified(clusterId, entry, peers(ada)))).toBe('BAD_MESSAGE');
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
    encode({ v: 1, body: encode({ ...body, ...change }), signatures: signedBy(ada).signatures });

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
    const bytes = encode({ v: 1, body: bodyBytes, signatures: many });
    expect(codeOf(() => decodeEntry(clusterId, bytes))).toBe('BAD_MESSAGE');
    expect(
      codeOf(() => decodeEntry(clusterId, encode({ v: 1, body: bodyBytes, signatures: [] }))),
    ).toBe('BAD_MESSAGE');
  });

  test('more bytes than the limit are refused', () => {
    const bytes = new Uint8Array(LIMITS.rosterEntryBytes + 1);
    expect(() => decodeEntry(clusterId, bytes)).toThrow(/at most/);
  });
});
