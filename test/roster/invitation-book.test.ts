import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { parseInvitation } from '../../src/roster/invitation.ts';
import { InvitationBook, type IssueOptions } from '../../src/roster/invitation-book.ts';
import { testRandom } from '../support/world.ts';
import {
  ada,
  admit,
  ben,
  bytesOf,
  chainWith,
  cyd,
  openNode,
  refusalOf,
  type TestNode,
} from './support.ts';

const HOUR = 3_600_000;
const options: IssueOptions = { role: 'persistent', noVoter: false, ttlMs: HOUR, addresses: [] };
const bookOf = (node: TestNode, seed = 'book'): InvitationBook =>
  new InvitationBook({
    roster: node.roster,
    signer: node.signer,
    clock: node.clock,
    store: node.store.sub('invitations'),
    random: testRandom(seed),
  });

describe('issuing', () => {
  test('gives a string with the head of the chain as checkpoint', async () => {
    const node = await openNode(ada, { entries: bytesOf(chainWith([admit(ben)])) });
    const issued = await bookOf(node).issue({ ...options, role: 'observer', noVoter: true });
    const { token, checkpoint, issuer, genesis } = parseInvitation(issued.text);
    expect(issuer).toBe(ada.peerId);
    expect(genesis.clusterId).toBe(node.roster.view.clusterId);
    expect(checkpoint).toEqual({ epoch: 1, head: node.roster.view.head });
    expect(token).toMatchObject({ role: 'observer', noVoter: true });
    expect(token.expiresAt).toBe(node.clock.wallMs() + HOUR);
    expect(issued).toMatchObject({ id: toHex(token.id), state: 'open', role: 'observer' });
  });

  test('is for voters: other members could enlarge the cluster by themselves', async () => {
    const node = await openNode(ben, { entries: bytesOf(chainWith([admit(ben)])) });
    expect((await refusalOf(bookOf(node).issue(options))).code).toBe('NOT_A_VOTER');
  });

  test.each([0, -1, 999, Number.NaN, LIMITS.invitationTtlMs + 1, Number.POSITIVE_INFINITY])(
    'refuses a life of %d ms',
    async (ttlMs) => {
      const node = await openNode(ada);
      expect((await refusalOf(bookOf(node).issue({ ...options, ttlMs }))).code).toBe('BAD_USAGE');
    },
  );

  test('P3 remembers a bounded number, and forgets those closed for long', async () => {
    const node = await openNode(ada);
    const book = bookOf(node);
    for (let i = 0; i < 3; i++) await book.issue(options);
    const [first] = [...node.disk].filter(([key]) => key.startsWith('invitations!'));
    for (let i = 3; i < LIMITS.invitations; i++) {
      const key = `invitations!${i.toString(16).padStart(32, '0')}`;
      node.disk.set(key, first![1]);
    }
    expect((await refusalOf(book.issue(options))).code).toBe('CONFLICT');
    node.clock.advance(31 * 24 * HOUR);
    await book.issue(options);
    expect(await book.list()).toHaveLength(1);
  });
});

describe('the list', () => {
  test('says open, used by whom, revoked and expired, and survives a restart', async () => {
    const node = await openNode(ada);
    const book = bookOf(node);
    const used = await book.issue(options);
    const revoked = await book.issue({ ...options, ttlMs: 2 * HOUR });
    const expired = await book.issue({ ...options, ttlMs: 5_000 });
    const open = await book.issue({ ...options, ttlMs: 3 * HOUR, role: 'delegate' });
    await node.roster.propose(admit(cyd), parseInvitation(used.text).token.id);
    await book.revoke(revoked.id);
    node.clock.advance(6_000);
    const later = await openNode(ada, { disk: node.disk, clock: node.clock });
    expect(await bookOf(later).list()).toEqual([
      expect.objectContaining({ id: expired.id, state: 'expired' }),
      expect.objectContaining({ id: used.id, state: 'used', usedBy: cyd.peerId }),
      expect.objectContaining({ id: revoked.id, state: 'revoked' }),
      expect.objectContaining({ id: open.id, state: 'open', role: 'delegate' }),
    ]);
  });
});

describe('revoking', () => {
  test('takes an id or the shortest prefix that fits one, and is idempotent', async () => {
    const book = bookOf(await openNode(ada));
    const { id } = await book.issue(options);
    expect(await book.revoke(id.slice(0, 4).toUpperCase())).toBe(id);
    expect(await book.revoke(id)).toBe(id);
    expect((await book.list())[0]?.state).toBe('revoked');
  });

  test('refuses a prefix of none and of several', async () => {
    const book = bookOf(await openNode(ada));
    // 17 ids over 16 first digits: two begin alike.
    const ids: string[] = [];
    for (let i = 0; i < 17; i++) ids.push((await book.issue(options)).id);
    const digit = [...'0123456789abcdef'].find(
      (d) => ids.filter((id) => id.startsWith(d)).length > 1,
    )!;
    expect((await refusalOf(book.revoke(digit))).code).toBe('CONFLICT');
    expect((await refusalOf(book.revoke('zz'))).code).toBe('NOT_FOUND');
    expect((await refusalOf(book.revoke(''))).code).toBe('NOT_FOUND');
    expect((await book.list()).every(({ state }) => state === 'open')).toBe(true);
  });

  test('comes too late for a used one, and says whom to remove', async () => {
    const node = await openNode(ada);
    const book = bookOf(node);
    const { text, id } = await book.issue(options);
    await node.roster.propose(admit(cyd), parseInvitation(text).token.id);
    const error = await refusalOf(book.revoke(id));
    expect([error.code, error.why]).toEqual(['CONFLICT', expect.stringContaining(cyd.peerId)]);
  });

  test('that returned is not overtaken by an admission under way', async () => {
    for (let round = 0; round < 10; round++) {
      const node = await openNode(ada);
      const book = bookOf(node, `race ${round}`);
      const { text, id } = await book.issue(options);
      const { token } = parseInvitation(text);
      const judge = book.using(token.id, async (standing) => {
        if (standing === 'revoked') return 'refused';
        await new Promise((resolve) => setTimeout(resolve, 1));
        await node.roster.propose(admit(cyd), token.id);
        return 'admitted';
      });
      if (round % 2 === 1) await new Promise((resolve) => setTimeout(resolve, round % 3));
      const revoke = book.revoke(id).then(
        () => 'revoked',
        () => 'too late',
      );
      expect([
        ['admitted', 'too late'],
        ['refused', 'revoked'],
      ]).toContainEqual(await Promise.all([judge, revoke]));
    }
  });
});
