import { beforeAll, describe, expect, it } from 'vitest';
import type { ClusterId, Epoch, KeyId, PeerId, RequestId } from '../../../src/base/brands.ts';
import { compareText } from '../../../src/base/bytes.ts';
import { encode } from '../../../src/base/codec.ts';
import type { Signer } from '../../../src/base/ports.ts';
import { openProposal, proposalDomain, sealProposal } from '../../../src/mpc/sessions/proposal.ts';
import type { KeygenProposal, SignProposal } from '../../../src/mpc/types.ts';
import { testSigner } from '../../support/world.ts';

const cluster = 'ab'.repeat(32) as ClusterId;
let signers: Signer[];
let peers: PeerId[];
let keygen: KeygenProposal;
let sign: SignProposal;

beforeAll(async () => {
  signers = await Promise.all(['a', 'b', 'c'].map(testSigner));
  peers = signers.map((s) => s.peerId);
  const base = {
    v: 1 as const,
    clusterId: cluster,
    proposer: peers[0]!,
    rosterEpoch: 3 as Epoch,
    ttlMs: 60_000,
    nonce: new Uint8Array(16),
  };
  keygen = {
    ...base,
    kind: 'keygen',
    suite: 'ed25519',
    name: 'release',
    threshold: 2,
    parties: peers.map((peerId, i) => ({ peerId, index: i + 1, role: 'persistent' as const })),
    purpose: 'releases',
    requesters: [...peers].sort(compareText),
    policy: 'auto',
  };
  sign = {
    ...base,
    kind: 'sign',
    keyId: '01'.repeat(32) as KeyId,
    keyEpoch: 0,
    suite: 'ed25519',
    threshold: 2,
    purpose: 'releases',
    messageHash: new Uint8Array(32),
    requestId: '02'.repeat(32) as RequestId,
    fresh: false,
  };
});

describe('proposal', () => {
  it('opens what was sealed, under the same session id', () => {
    for (const proposal of [keygen, sign]) {
      const sealed = sealProposal(proposal, signers[0]!);
      const opened = openProposal(sealed.envelope, cluster);
      expect(opened.sid).toBe(sealed.sid);
      expect(opened.proposal).toEqual(proposal);
    }
  });

  it('S2: every field is bound in the session id', () => {
    const changed: SignProposal[] = [
      { ...sign, threshold: 3 },
      { ...sign, suite: 'secp256k1-tr' },
      { ...sign, purpose: 'other' },
      { ...sign, messageHash: new Uint8Array(32).fill(1) },
      { ...sign, keyId: '03'.repeat(32) as KeyId },
      { ...sign, nonce: new Uint8Array(16).fill(1) },
      { ...sign, fresh: true },
    ];
    const sids = [sign, ...changed].map((p) => sealProposal(p, signers[0]!).sid);
    expect(new Set(sids).size).toBe(sids.length);
  });

  it('refuses a proposal signed by somebody else, and one of another cluster', () => {
    const stolen = signers[1]!.seal(proposalDomain(cluster), encode(sign));
    expect(() => openProposal(stolen, cluster)).toThrow(/signed by/);
    const { envelope } = sealProposal(sign, signers[0]!);
    expect(() => openProposal(envelope, 'cd'.repeat(32) as ClusterId)).toThrow(/not valid/);
    const foreign = { ...sign, clusterId: 'cd'.repeat(32) as ClusterId };
    const crossed = signers[0]!.seal(proposalDomain(cluster), encode(foreign));
    expect(() => openProposal(crossed, cluster)).toThrow(/another cluster/);
    expect(() => sealProposal(sign, signers[1]!)).toThrow(/sealed by/);
  });

  it('refuses every broken rule of a key generation, at both ends', () => {
    const [a, b, c] = keygen.parties;
    const unsorted = [...keygen.requesters].reverse();
    const broken: Record<string, object> = {
      't < 2': { threshold: 1 },
      't > n': { threshold: 4 },
      fractional: { threshold: 2.5 },
      'index 0': { parties: [{ ...a, index: 0 }, b, c] },
      'swapped indices': { parties: [b, a, c] },
      'same party twice': { parties: [a, { ...a, index: 2 }, c] },
      observer: { parties: [a, b, { ...c, role: 'observer' }] },
      'unsorted requesters': { requesters: unsorted },
      'repeated requesters': { requesters: [peers[0], peers[0]] },
      'no requesters': { requesters: [] },
      'upper-case name': { name: 'Release' },
      'long name': { name: 'a'.repeat(64) },
      'dash first': { name: '-a' },
      'path in the name': { name: 'a/b' },
      'purpose with a line feed': { purpose: 'a\nb' },
      'purpose of 129 bytes': { purpose: 'ä'.repeat(65) },
      'unknown field': { extra: 1 },
      'no life': { ttlMs: 0 },
      'endless life': { ttlMs: 1e12 },
      'short nonce': { nonce: new Uint8Array(15) },
    };
    for (const [what, change] of Object.entries(broken)) {
      const bad = { ...keygen, ...change } as KeygenProposal;
      expect(() => sealProposal(bad, signers[0]!), what).toThrow();
      const envelope = signers[0]!.seal(proposalDomain(cluster), encode(bad));
      expect(() => openProposal(envelope, cluster), what).toThrow(
        expect.objectContaining({ code: 'BAD_MESSAGE' }),
      );
    }
  });

  it('refuses garbage and an envelope over the limit', () => {
    expect(() => openProposal(new Uint8Array(70_000), cluster)).toThrow(/70000 bytes/);
    expect(() => openProposal(Uint8Array.of(1, 2, 3), cluster)).toThrow(/envelope/);
  });
});
