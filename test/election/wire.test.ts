/** The election's messages on the wire, and the seals that the machine is given. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { Epoch, PeerId, Term } from '../../src/base/brands.ts';
import { encode } from '../../src/base/codec.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { Signer } from '../../src/base/ports.ts';
import { createSeals } from '../../src/election/seals.ts';
import type { Message, Seals } from '../../src/election/types.ts';
import { decodeMessage, encodeMessage } from '../../src/election/wire.ts';
import { decodeEntry, type EntryBody, verifyCertified } from '../../src/roster/entry.ts';
import { createGenesis, type Genesis } from '../../src/roster/genesis.ts';
import { testSigner } from '../support/world.ts';

let ada: Signer;
let ben: Signer;
let genesis: Genesis;
let body: EntryBody;
let seals: Seals;

const term = (n: number): Term => n as Term;
const epoch = (n: number): Epoch => n as Epoch;
const standing = { rosterTerm: term(3), epoch: epoch(7) };

beforeAll(async () => {
  ada = await testSigner('ada');
  ben = await testSigner('ben');
  genesis = createGenesis({ name: 'lab', salt: new Uint8Array(16), founder: ada.peerId });
  const change = { kind: 'admit', peer: ben.peerId, role: 'persistent', noVoter: false } as const;
  body = { v: 1, epoch: epoch(1), term: term(4), prev: genesis.hash, change, time: 1 };
  seals = createSeals(genesis.clusterId, ada);
});

const messages = (): readonly Message[] => {
  const vote = seals.sealVote({ term: term(5), epoch: epoch(7), candidate: ada.peerId });
  const signature = seals.signEntry(body, term(5));
  return [
    { type: 'beat', term: term(5), round: 9, ...standing },
    { type: 'beat-reply', term: term(5), round: 9, ...standing },
    { type: 'pre-vote', term: term(5), ...standing },
    { type: 'pre-vote-reply', term: term(5), refusal: 'led', ...standing },
    { type: 'vote', term: term(5), transfer: true, ...standing },
    {
      ...{ type: 'vote-reply', term: term(5), refusal: null, vote, ...standing },
      accepted: { ballot: term(4), body },
    },
    { type: 'vote-reply', term: term(5), refusal: 'term', vote: null, accepted: null, ...standing },
    { type: 'propose', term: term(5), body },
    { type: 'propose', term: term(5), body: { ...body, invitationId: new Uint8Array(16) } },
    { type: 'propose-reply', term: term(5), hash: seals.hash(body), signature, standing },
    {
      ...{ type: 'propose-reply', term: term(5), hash: seals.hash(body), signature: null },
      standing,
    },
    { type: 'entry', term: term(5), entry: seals.assemble(body, term(5), [signature]) },
    { type: 'stand', term: term(5) },
  ];
};

describe('messages of the election', () => {
  it('come through as they were, each kind of them', () => {
    const all = messages();
    for (const message of all) expect(decodeMessage(encodeMessage(message))).toEqual(message);
    expect(new Set(all.map(({ type }) => type)).size).toBe(10);
  });

  it.each<readonly [string, () => object]>([
    ['no type', () => ({ term: 1 })],
    ['an unknown type', () => ({ type: 'coup', term: 1 })],
    ['a field too many', () => ({ type: 'stand', term: 1, now: true })],
    ['a field too few', () => ({ type: 'beat', term: 1, round: 1, epoch: 1 })],
    ['a negative term', () => ({ type: 'stand', term: -1 })],
    ['a term that is no integer', () => ({ type: 'stand', term: 1.5 })],
    ['a vote that is too large', () => vote({ vote: new Uint8Array(LIMITS.voteBytes + 1) })],
    ['an unknown refusal', () => vote({ refusal: 'mood' })],
    ['an accepted entry without a ballot', () => vote({ accepted: { body } })],
    ['a body of another version', () => ({ type: 'propose', term: 1, body: { ...body, v: 2 } })],
    ['a change of a kind unknown', () => propose({ kind: 'crown', peer: ben.peerId })],
    ['a hash that is too short', () => reply({ hash: new Uint8Array(31) })],
    ['a signature that is too large', () => reply({ signature: new Uint8Array(513) })],
  ])('with %s are refused', (_what, make) => {
    expect(() => decodeMessage(encode(make()))).toThrow(
      expect.objectContaining({ code: 'BAD_MESSAGE' }),
    );
  });

  const vote = (over: object): object => ({
    ...{ type: 'vote-reply', term: 5, refusal: null, vote: null, accepted: null },
    ...{ ...standing, ...over },
  });
  const propose = (change: object): object => ({
    ...{ type: 'propose', term: 1, body: { ...body, change } },
  });
  const reply = (over: object): object => ({
    ...{ type: 'propose-reply', term: 5, hash: new Uint8Array(32), signature: null },
    ...{ standing, ...over },
  });

  it('that are too large are refused before they are decoded', () => {
    expect(() => decodeMessage(new Uint8Array(LIMITS.noteBytes + 1))).toThrow(/at most/);
  });

  it('stay small: a beat below 100 bytes, the largest within a note', () => {
    const sizes = messages().map((message) => encodeMessage(message).length);
    expect(sizes[0]).toBeLessThan(100);
    expect(Math.max(...sizes)).toBeLessThan(LIMITS.noteBytes);
  });
});

describe('seals', () => {
  it('open as what was sealed, and by whom', () => {
    const vote = { term: term(5), epoch: epoch(7), candidate: ben.peerId };
    expect(seals.openVote(seals.sealVote(vote))).toEqual({ ...vote, voter: ada.peerId });
    const signature = seals.signEntry(body, term(5));
    expect(seals.openSignature(body, term(5), signature)).toBe(ada.peerId);
  });

  it('count for one cluster, one body and one ballot', () => {
    const foreign = createSeals(
      createGenesis({ name: 'other', salt: new Uint8Array(16), founder: ada.peerId }).clusterId,
      ada,
    );
    const vote = { term: term(5), epoch: epoch(7), candidate: ben.peerId };
    const refused = expect.objectContaining({ code: 'BAD_MESSAGE' });
    expect(() => foreign.openVote(seals.sealVote(vote))).toThrow(refused);
    const signature = seals.signEntry(body, term(5));
    expect(() => foreign.openSignature(body, term(5), signature)).toThrow(refused);
    expect(() => seals.openSignature(body, term(6), signature)).toThrow(refused);
    expect(() => seals.openSignature({ ...body, time: 2 }, term(5), signature)).toThrow(refused);
  });

  it('assemble what a verifier takes', () => {
    const voters: PeerId[] = [ada.peerId, ben.peerId].sort();
    const signatures = [ada, ben].map((signer) =>
      createSeals(genesis.clusterId, signer).signEntry(body, term(5)),
    );
    const bytes = seals.assemble(body, term(5), signatures);
    const entry = decodeEntry(genesis.clusterId, bytes);
    expect(entry.hash).toEqual(seals.hash(body));
    expect(verifyCertified(genesis.clusterId, entry, voters)).toEqual(voters);
  });
});
