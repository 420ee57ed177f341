import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import type { Signer } from '../../src/base/ports.ts';
import type { Chain } from '../../src/roster/chain.ts';
import type { TokenStanding } from '../../src/roster/invitation-wire.ts';
import { judgeJoin, judgeLeave } from '../../src/roster/join-rules.ts';
import type { JoinPetition } from '../../src/roster/join-wire.ts';
import {
  admit,
  ben,
  chainWith,
  codeOf,
  cyd,
  demote,
  dov,
  epoch,
  promote,
  remove,
} from './support.ts';

const petitionBy = (issuer: Signer, peer: PeerId): JoinPetition => ({
  kind: 'join',
  issuer: issuer.peerId,
  peer,
  have: epoch(0),
  token: {
    v: 1,
    clusterId: chainWith([]).view.clusterId,
    id: new Uint8Array(16).fill(3),
    role: 'temporary',
    noVoter: true,
    expiresAt: 1_000,
    publicKey: new Uint8Array(32),
  },
});

describe('an invitation of another voter', () => {
  const judge = (chain: Chain, nowMs = 0, book: TokenStanding | 'silent' = 'issued') =>
    judgeJoin(chain, petitionBy(ben, dov.peerId), { nowMs, book });
  const voting = [admit(ben), promote(ben)];

  test('counts while it is a voter, with the role and opt-out of the token', () => {
    expect(judge(chainWith(voting))).toEqual({
      kind: 'change',
      change: { kind: 'admit', peer: dov.peerId, role: 'temporary', noVoter: true },
      invitationId: new Uint8Array(16).fill(3),
    });
  });

  test('counts after it was demoted, as long as it is a member', () => {
    expect(judge(chainWith([...voting, demote(ben)])).kind).toBe('change');
  });

  test('counts no more once it was removed, even if it was admitted again', () => {
    const removed = [...voting, remove(ben)];
    expect(codeOf(() => judge(chainWith(removed)))).toBe('INVALID_INVITATION');
    expect(codeOf(() => judge(chainWith([...removed, admit(ben)])))).toBe('INVALID_INVITATION');
  });

  test('never counted before it was a voter', () => {
    expect(codeOf(() => judge(chainWith([admit(ben)])))).toBe('INVALID_INVITATION');
  });

  test('counts by the word of its issuer, and waits for it', () => {
    const chain = chainWith(voting);
    expect(codeOf(() => judge(chain, 0, 'revoked'))).toBe('INVITATION_REVOKED');
    expect(codeOf(() => judge(chain, 0, 'unknown'))).toBe('INVALID_INVITATION');
    expect(codeOf(() => judge(chain, 0, 'silent'))).toBe('PEER_UNREACHABLE');
    expect(codeOf(() => judge(chain, 1_001, 'silent'))).toBe('INVITATION_EXPIRED');
  });

  test('holds to the millisecond of its expiry', () => {
    expect(judge(chainWith(voting), 1_000).kind).toBe('change');
    expect(codeOf(() => judge(chainWith(voting), 1_001))).toBe('INVITATION_EXPIRED');
  });
});

describe('a request to leave', () => {
  const ask = (chain: Chain, since: number) =>
    judgeLeave(chain, { kind: 'leave', peer: cyd.peerId, since: epoch(since), have: epoch(0) });

  test('is granted to the membership that made it', () => {
    const chain = chainWith([admit(ben), admit(cyd)]);
    expect(ask(chain, 2)).toMatchObject({ change: { kind: 'remove', reason: 'left' } });
    expect(codeOf(() => ask(chain, 1))).toBe('CONFLICT');
    expect(codeOf(() => ask(chainWith([admit(ben)]), 1))).toBe('NOT_A_MEMBER');
  });

  test('made again after it was granted is granted with the same epoch', () => {
    const chain = chainWith([admit(ben), admit(cyd), remove(cyd)]);
    expect(ask(chain, 2)).toEqual({ kind: 'already', epoch: 3 });
  });
});
