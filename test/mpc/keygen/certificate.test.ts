import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterId, KeyId } from '../../../src/base/brands.ts';
import { sha256, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { encode } from '../../../src/base/codec.ts';
import { isBadMessage } from '../../../src/base/errors.ts';
import { openMessage, type Payloads, sealMessage } from '../../../src/mpc/keygen/messages.ts';
import {
  certificateAddress,
  certificateKind,
  encodeCertificate,
  keyAgent,
  keyIdOf,
  verifyCertificate,
} from '../../../src/mpc/keys/certificate.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import { toyDkg } from '../../support/toy-dkg.ts';
import { CLUSTER, keyInfoOf, Network, SIGNERS, TTL_MS, toyOpen } from './network.ts';

const suite = toyDkg();
const deps = { open: toyOpen, suites: new Map([[suite.name, suite]]) };
const net = new Network({ threshold: 2, parties: 3, suite }).start().run(TTL_MS);
const other = new Network({ threshold: 2, parties: 3, suite, nonce: 2 }).start().run(TTL_MS);
const info = keyInfoOf(net.node(1));
const certificate = net.node(1).disk.certificate!;
const proposal = net.sealed.envelope;

const statements = (network: Network): Uint8Array[] =>
  [1, 2, 3].map((i) => network.node(1).state!.statements.get(i)!.envelope);
const mine = statements(net);

/** All three say the same other thing. */
const restated = (change: (payload: Payloads['statement']) => object): Uint8Array[] =>
  mine.map((envelope, i) => {
    const { payload } = openMessage(CLUSTER, toyOpen, 'statement', envelope);
    const { signer } = net.node(i + 1).deps;
    return sealMessage(CLUSTER, signer, 'statement', { ...payload, ...change(payload) });
  });

const why = (bytes: Uint8Array, cluster = CLUSTER): string => {
  try {
    verifyCertificate(bytes, cluster, deps);
    return 'valid';
  } catch (error) {
    if (isBadMessage(error)) return error.message;
    throw error;
  }
};

describe('a key certificate', () => {
  it('gives the whole key and its rules from its bytes alone', () => {
    const { keyInfo, proposal: sealed } = verifyCertificate(certificate, CLUSTER, deps);
    expect(keyInfo).toEqual(info);
    expect(sealed.sid).toBe(net.sealed.sid);
    expect(keyInfo).toMatchObject({ name: 'release', threshold: 2, epoch: 0, policy: 'auto' });
    expect(keyInfo.parties.map(({ index }) => index)).toEqual([1, 2, 3]);
    expect(keyInfo.keyId).toBe(keyIdOf(net.sealed.sid, keyInfo.groupKey));
    expect(why(encodeCertificate(proposal, mine))).toBe('valid');
  });

  it.each([
    ['a statement is missing', () => encodeCertificate(proposal, mine.slice(1))],
    ['a statement is twice', () => encodeCertificate(proposal, [mine[0]!, mine[0]!, mine[2]!])],
    ['statements are swapped', () => encodeCertificate(proposal, mine.toReversed())],
    ['there is one too many', () => encodeCertificate(proposal, [...mine, mine[0]!])],
    [
      'one says otherwise',
      () =>
        encodeCertificate(
          proposal,
          mine.with(1, restated(() => ({ transcript: new Uint8Array(32) }))[1]!),
        ),
    ],
    ['they are of another session', () => encodeCertificate(proposal, statements(other))],
    ['the proposal is another', () => encodeCertificate(other.sealed.envelope, mine)],
    [
      'the key id is wrong',
      () =>
        encodeCertificate(
          proposal,
          restated(() => ({ keyId: '0'.repeat(64) as KeyId })),
        ),
    ],
    [
      'the session id is wrong',
      () =>
        encodeCertificate(
          proposal,
          restated(() => ({ sid: other.sealed.sid })),
        ),
    ],
    [
      'a verifying share is off the polynomial',
      () =>
        encodeCertificate(
          proposal,
          restated(({ verifyingShares }) => ({ verifyingShares: verifyingShares.toReversed() })),
        ),
    ],
    [
      'the polynomial has another degree',
      () =>
        encodeCertificate(
          proposal,
          restated((p) => ({ commitments: p.commitments.slice(1) })),
        ),
    ],
    ['it has another field', () => encode({ v: 1, proposal, statements: mine, more: 1 })],
    ['it is of another version', () => encode({ v: 2, proposal, statements: mine })],
    ['it is empty', () => new Uint8Array()],
    ['it is huge', () => new Uint8Array(200_000)],
  ])('is refused when %s', (_what, make) => {
    expect(why(make())).not.toBe('valid');
  });

  it('is refused in another cluster', () => {
    expect(why(certificate, toHex(sha256(utf8Bytes('b'))) as ClusterId)).not.toBe('valid');
  });

  it('is refused with any bit flipped', () => {
    fc.assert(
      fc.property(fc.nat(certificate.length - 1), fc.nat(7), (at, bit) => {
        const bytes = certificate.with(at, certificate[at]! ^ (1 << bit));
        expect(why(bytes)).not.toBe('valid');
      }),
      { numRuns: 150 },
    );
  });

  it('stands at one address, and a store takes it nowhere else', () => {
    const kind = certificateKind(CLUSTER, 'lab', deps);
    const at = { agent: keyAgent(info.keyId), role: 'group', project: 'lab' };
    const address = { ...at, task: 'key', path: 'public' };
    expect(certificateAddress(info.keyId, 'lab')).toBe(
      `ucxl://${address.agent}:group@lab:key/public`,
    );
    expect(kind.matches(address)).toBe(true);
    expect(kind.verify(address, certificate).writer).toBe(SIGNERS[0]!.peerId);
    const foreign = { ...address, agent: keyAgent(keyInfoOf(other.node(1)).keyId) };
    expect(kind.matches(foreign)).toBe(true);
    expect(() => kind.verify(foreign, certificate)).toThrow(/elsewhere/);
    for (const change of [{ agent: 'shared' }, { role: 'x' }, { project: 'x' }, { path: 'x' }]) {
      expect(kind.matches({ ...address, ...change })).toBe(false);
    }
  });

  it('of 16 parties fits in a record and in a packet', () => {
    const { threshold, parties } = { threshold: 16, parties: 16 };
    const round1 = Array.from({ length: parties }, (_, i) =>
      suiteOf('ed25519').dkgRound1(i + 1, threshold, parties, net.node(1).deps.random),
    );
    const outcome = suiteOf('ed25519').dkgPublic(
      threshold,
      round1.map(({ round1: r }) => r),
    );
    const statement = SIGNERS[0]!.seal(
      'x',
      encode({
        v: 1,
        sid: net.sealed.sid,
        keyId: info.keyId,
        transcript: sha256(mine[0]!),
        ...outcome,
      }),
    );
    const bytes = encodeCertificate(new Uint8Array(8_000), Array(16).fill(statement));
    expect(bytes.length).toBeLessThan(60_000);
  });
});
