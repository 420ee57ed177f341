import { beforeAll, describe, expect, it } from 'vitest';
import type {
  ClusterId,
  Epoch,
  KeyId,
  Millis,
  PeerId,
  SessionId,
  Term,
} from '../../../src/base/brands.ts';
import { sha256, utf8Bytes } from '../../../src/base/bytes.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import type { Signer } from '../../../src/base/ports.ts';
import { openToken, sealToken, TOKEN_BYTES, TokenLedger } from '../../../src/mpc/join-token.ts';
import { checkKeygen, checkSigning, type PolicyContext } from '../../../src/mpc/policy/policy.ts';
import { requestIdOf } from '../../../src/mpc/result.ts';
import type { KeygenProposal, KeyInfo, Party, SignProposal } from '../../../src/mpc/types.ts';
import type { Member, Role, RosterView } from '../../../src/roster/types.ts';
import { testRandom, testSigner } from '../../support/world.ts';

const clusterId = 'ab'.repeat(32) as ClusterId;
const message = utf8Bytes('release 1.0');
const keyId = '01'.repeat(32) as KeyId;
let signers: Signer[];
let peers: PeerId[];
let context: PolicyContext;
let keygen: KeygenProposal;
let sign: SignProposal;
let key: KeyInfo;

const view = (members: readonly (readonly [PeerId, Role])[]): RosterView => {
  const map = new Map(
    members.map(([peerId, role]): [PeerId, Member] => [
      peerId,
      { peerId, role, voter: false, noVoter: false, since: 0 as Epoch },
    ]),
  );
  return {
    clusterId,
    clusterName: 'lab',
    tag: 'tag',
    founder: members[0]![0],
    epoch: 1 as Epoch,
    term: 0 as Term,
    head: new Uint8Array(32),
    members: map,
    voters: [],
    recoveries: [],
    standing: (peer) => (map.has(peer) ? 'member' : 'stranger'),
  };
};

beforeAll(async () => {
  signers = await Promise.all(['a', 'b', 'c', 'd'].map(testSigner));
  peers = signers.map((s) => s.peerId);
  const [a, b, c, d] = peers as [PeerId, PeerId, PeerId, PeerId];
  context = {
    self: a,
    roster: view([
      [a, 'persistent'],
      [b, 'persistent'],
      [c, 'persistent'],
      [d, 'observer'],
    ]),
    draining: false,
    liveSessions: 0,
    suites: new Set(['ed25519']),
  };
  const base = {
    v: 1 as const,
    clusterId,
    proposer: b,
    rosterEpoch: 1 as Epoch,
    ttlMs: 60_000,
    nonce: new Uint8Array(16),
    suite: 'ed25519' as const,
    threshold: 2,
    purpose: 'releases',
  };
  const parties = [a, b, c].map(
    (peerId, i): Party => ({ peerId, index: i + 1, role: 'persistent' }),
  );
  keygen = {
    ...base,
    kind: 'keygen',
    name: 'release',
    parties,
    requesters: [...peers.slice(0, 3)].sort(),
    policy: 'auto',
  };
  const messageHash = sha256(message);
  sign = {
    ...base,
    kind: 'sign',
    keyId,
    keyEpoch: 0,
    messageHash,
    requestId: requestIdOf({ clusterId, keyId, purpose: 'releases', messageHash }),
    fresh: false,
  };
  key = {
    keyId,
    name: 'release',
    suite: 'ed25519',
    threshold: 2,
    parties,
    groupKey: new Uint8Array(32),
    commitments: [],
    verifyingShares: [],
    purpose: 'releases',
    requesters: keygen.requesters,
    policy: 'auto',
    epoch: 0,
    sid: '05'.repeat(32) as SessionId,
  };
});

const free = () => false;
const code = (code: string) => expect.objectContaining({ code });

describe('policy for a new key', () => {
  it('lets a proposal pass that keeps the rules', () => {
    expect(() => checkKeygen(keygen, context, free)).not.toThrow();
  });

  it('R40: refuses each broken rule with its own reason, whatever the proposer allowed', () => {
    const [a, b, c, d] = peers as [PeerId, PeerId, PeerId, PeerId];
    const cases: [string, Partial<KeygenProposal>, Partial<PolicyContext>, string][] = [
      ['proposer not a member', { proposer: 'x' as PeerId }, {}, 'NOT_A_MEMBER'],
      ['draining', {}, { draining: true }, 'DRAINING'],
      ['too many sessions', {}, { liveSessions: 256 }, 'BUSY'],
      ['unknown suite', { suite: 'secp256k1-tr' }, {}, 'UNSUPPORTED_SUITE'],
      ['not a party', {}, { self: d }, 'REFUSED_BY_POLICY'],
      [
        'party unknown to the roster',
        {
          parties: [
            ...keygen.parties.slice(0, 2),
            { peerId: 'x' as PeerId, index: 3, role: 'persistent' },
          ],
        },
        {},
        'NOT_A_MEMBER',
      ],
      [
        'observer dressed as persistent',
        { parties: [...keygen.parties.slice(0, 2), { peerId: d, index: 3, role: 'persistent' }] },
        {},
        'REFUSED_BY_POLICY',
      ],
      [
        'a key that a restart may destroy, not called ephemeral',
        {
          parties: keygen.parties.map((one, i) => ({
            ...one,
            role: i === 0 ? ('persistent' as const) : ('delegate' as const),
          })),
        },
        {
          roster: view([
            [a, 'persistent'],
            [b, 'delegate'],
            [c, 'delegate'],
          ]),
        },
        'REFUSED_BY_POLICY',
      ],
    ];
    for (const [what, change, world, expected] of cases) {
      const proposal = { ...keygen, ...change };
      expect(() => checkKeygen(proposal, { ...context, ...world }, free), what).toThrow(
        code(expected),
      );
    }
    expect(() => checkKeygen(keygen, context, (name) => name === 'release')).toThrow(
      code('CONFLICT'),
    );
  });
});

describe('policy for a signature', () => {
  it('lets a proposal pass that keeps the rules', () => {
    expect(() => checkSigning(sign, key, message, context)).not.toThrow();
  });

  it('S2: refuses whatever does not match the key or the message', () => {
    const refit = (change: Partial<SignProposal>): SignProposal => {
      const next = { ...sign, ...change };
      return { ...next, requestId: requestIdOf(next) };
    };
    const cases: [string, SignProposal, string][] = [
      ['requester', { ...sign, proposer: peers[3]! }, 'REFUSED_BY_POLICY'],
      ['purpose', refit({ purpose: 'payments' }), 'REFUSED_BY_POLICY'],
      ['suite', { ...sign, suite: 'secp256k1-tr' }, 'UNSUPPORTED_SUITE'],
      ['threshold', { ...sign, threshold: 3 }, 'BAD_MESSAGE'],
      ['key epoch', { ...sign, keyEpoch: 1 }, 'BAD_MESSAGE'],
      ['key id', refit({ keyId: '09'.repeat(32) as KeyId }), 'BAD_MESSAGE'],
      [
        'request id',
        { ...sign, requestId: '00'.repeat(32) as SignProposal['requestId'] },
        'BAD_MESSAGE',
      ],
      ['message hash', refit({ messageHash: new Uint8Array(32) }), 'BAD_MESSAGE'],
      ['proposer', { ...sign, proposer: 'x' as PeerId }, 'NOT_A_MEMBER'],
    ];
    for (const [what, proposal, expected] of cases) {
      expect(() => checkSigning(proposal, key, message, context), what).toThrow(code(expected));
    }
    expect(() => checkSigning(sign, key, utf8Bytes('release 1.1'), context)).toThrow(
      /message is not the one/,
    );
    const big = new Uint8Array(1_048_577);
    expect(() => checkSigning(refit({ messageHash: sha256(big) }), key, big, context)).toThrow(
      code('TOO_LARGE'),
    );
  });

  it('refuses a suite that the key does not have although it is built in', () => {
    const both = { ...context, suites: new Set(['ed25519', 'secp256k1-tr']) };
    expect(() => checkSigning({ ...sign, suite: 'secp256k1-tr' }, key, message, both)).toThrow(
      code('BAD_MESSAGE'),
    );
  });
});

describe('join token', () => {
  const sid = '07'.repeat(32) as SessionId;
  const random = testRandom('token');
  const make = (party: Party, signer = signers[1]!, id = sid) =>
    sealToken(clusterId, id, [party], 1_000, { signer, random });
  const expected = (party: Party) => ({ clusterId, sid, proposer: peers[1]!, party });
  const reason = (text: string) =>
    expect.objectContaining({ details: expect.objectContaining({ reason: text }) });
  const at = (ms: number) => ms as Millis;

  it('R29: is bound to session, proposer, peer and seat, each refused with its reason', () => {
    const [one, two] = keygen.parties as [Party, Party];
    expect(openToken(make(one), expected(one))).toMatchObject({ sid });
    const both = sealToken(clusterId, sid, [one, two], 1_000, { signer: signers[1]!, random });
    for (const seat of [one, two]) expect(openToken(both, expected(seat))).toMatchObject({ sid });
    expect(() => openToken(make(two), expected(one))).toThrow(reason('wrong-peer'));
    expect(() => openToken(make({ ...one, index: 2 }), expected(one))).toThrow(
      reason('wrong-peer'),
    );
    const other = '08'.repeat(32) as SessionId;
    expect(() => openToken(make(one, signers[1]!, other), expected(one))).toThrow(
      reason('other-session'),
    );
    expect(() => openToken(make(one, signers[2]!), expected(one))).toThrow(
      reason('wrong-proposer'),
    );
    const elsewhere = { ...expected(one), clusterId: 'cd'.repeat(32) as ClusterId };
    expect(() => openToken(make(one), elsewhere)).toThrow(code('BAD_MESSAGE'));
    expect(() => openToken(new Uint8Array(TOKEN_BYTES + 1), expected(one))).toThrow(
      code('BAD_MESSAGE'),
    );
  });

  it('R29: serves once, also as a second token for the same seat', () => {
    const one = keygen.parties[0]!;
    const ledger = new TokenLedger();
    ledger.redeem(openToken(make(one), expected(one)), at(0));
    expect(() => ledger.redeem(openToken(make(one), expected(one)), at(1))).toThrow(
      reason('reused'),
    );
  });

  it('R29: expires by the monotonic clock of its receiver, from the first receipt', () => {
    const one = keygen.parties[0]!;
    const ledger = new TokenLedger();
    const token = openToken(make(one), expected(one));
    ledger.receive(token, at(5_000));
    ledger.receive(token, at(5_900));
    expect(() => ledger.redeem(token, at(6_000))).toThrow(reason('expired'));
    expect(() => ledger.redeem(token, at(5_999))).not.toThrow();
  });

  it('has room for the seats of the largest change', () => {
    const seats = Array.from({ length: 2 * LIMITS.parties }, (_, i) => ({
      peerId: peers[1]!,
      index: i + 1,
    }));
    const token = sealToken(clusterId, sid, seats, 1_000, { signer: signers[1]!, random });
    expect(
      openToken(token, { ...expected(keygen.parties[0]!), party: seats.at(-1)! }),
    ).toMatchObject({ sid });
  });

  it('remembers a bounded number of sessions', () => {
    const one = keygen.parties[0]!;
    const ledger = new TokenLedger();
    const token = openToken(make(one), expected(one));
    ledger.redeem(token, at(0));
    for (let i = 0; i < 2_000; i++) {
      const jti = new Uint8Array(16);
      new DataView(jti.buffer).setUint32(0, i + 1);
      ledger.redeem({ ...token, jti, sid: i.toString(16).padStart(64, '0') as SessionId }, at(0));
    }
    expect(() => ledger.redeem(token, at(1))).not.toThrow();
  });
});
