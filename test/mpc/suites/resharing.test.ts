/** Keys that are handed on: same public key, new shares, other parties, another threshold. */
import { describe, expect, it } from 'vitest';
import { toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { SUITE_TABLE } from '../../../src/mpc/suites/index.ts';
import type { Deal, Suite } from '../../../src/mpc/suites/types.ts';
import { keyOf, type MadeKey, makeKey, range, sign, systemRandom } from './keys.ts';

const message = utf8Bytes('a message');

function deals(
  suite: Suite,
  { key, shares }: MadeKey,
  dealers: readonly number[],
  threshold: number,
  parties: number,
): ReadonlyMap<number, Deal> {
  const made = dealers.map((dealer) => {
    const share = shares[dealer - 1]!;
    const deal = suite.deal(share, dealers, threshold, parties, systemRandom);
    suite.checkDeal(key, dealers, dealer, threshold, deal.commitments);
    return [dealer, deal] as const;
  });
  return new Map(made);
}

/** Hands a key on as its holders would, every check included. */
function reshare(
  suite: Suite,
  made: MadeKey,
  dealers: readonly number[],
  threshold: number,
  parties: number,
): MadeKey {
  const dealt = deals(suite, made, dealers, threshold, parties);
  const commitments = [...dealt.values()].map((deal) => deal.commitments);
  const outcome = suite.resharePublic(made.key, threshold, parties, commitments);
  const shares = range(parties).map((index) => {
    const mine = [...dealt].map(([dealer, deal]): [number, Uint8Array] => {
      const subshare = deal.subshares.get(index)!;
      expect(suite.verifySubshare(deal.commitments, index, subshare)).toBe(true);
      return [dealer, subshare];
    });
    return suite.reshareFinish(index, new Map(mine));
  });
  return { key: keyOf(threshold, parties, outcome), shares };
}

function signs(suite: Suite, made: MadeKey, signers: readonly number[]): boolean {
  const { list, parts } = sign(suite, made, signers, message);
  const result = suite.aggregate(made.key, list, message, parts);
  return result.ok && suite.verify(made.key.groupKey, message, result.signature);
}

describe.each([...SUITE_TABLE.values()].map((suite) => [suite.name, suite] as const))(
  '%s',
  (_name, suite) => {
    const old = makeKey(suite, 2, 3);

    it('new shares for the same parties: the key stays, no share does', () => {
      const fresh = reshare(suite, old, [1, 3], 2, 3);
      expect(fresh.key.groupKey).toEqual(old.key.groupKey);
      expect(() => suite.checkPublic(2, 3, fresh.key)).not.toThrow();
      for (const [i, share] of fresh.shares.entries()) {
        expect(suite.verifyingShareOf(share)).toEqual(fresh.key.verifyingShares[i]);
        expect(toHex(share.signingShare)).not.toBe(toHex(old.shares[i]!.signingShare));
      }
      expect(signs(suite, fresh, [1, 2])).toBe(true);
      expect(signs(suite, fresh, [2, 3])).toBe(true);
    });

    it('other parties and a higher threshold, then back', () => {
      const wider = reshare(suite, old, [2, 3], 3, 5);
      expect(wider.key.groupKey).toEqual(old.key.groupKey);
      expect(signs(suite, wider, [1, 4, 5])).toBe(true);
      const back = reshare(suite, wider, [5, 2, 4], 2, 2);
      expect(back.key.groupKey).toEqual(old.key.groupKey);
      expect(signs(suite, back, [1, 2])).toBe(true);
    });

    it('shares of before and after do not sign together', () => {
      const fresh = reshare(suite, old, [1, 2], 2, 3);
      const mixed = { key: fresh.key, shares: fresh.shares.with(0, old.shares[0]!) };
      const { list, parts } = sign(suite, mixed, [1, 2], message);
      expect(suite.aggregate(fresh.key, list, message, parts)).toEqual({
        ok: false,
        culprits: [1],
      });
    });

    it('a dealer of anything but its own share is found out', () => {
      const dealers = [1, 3];
      const right = deals(suite, old, dealers, 2, 3).get(1)!;
      const check = (c: readonly Uint8Array[], d = dealers, dealer = 1, t = 2) =>
        suite.checkDeal(old.key, d, dealer, t, c);
      expect(() => check(right.commitments)).not.toThrow();
      const foreign = suite.deal(old.shares[1]!, [1, 2], 2, 3, systemRandom);
      const stranger = makeKey(suite, 2, 3);
      const other = suite.deal(stranger.shares[0]!, dealers, 2, 3, systemRandom);
      for (const [what, run] of [
        ['the share of another', () => check(foreign.commitments)],
        ['a share of another key', () => check(other.commitments)],
        ['among other dealers', () => check(right.commitments, [1, 2])],
        ['in the name of another', () => check(right.commitments, dealers, 3)],
        ['a higher threshold', () => check(right.commitments, dealers, 1, 3)],
        ['a malformed point', () => check(right.commitments.with(1, new Uint8Array(4)))],
      ] as const) {
        expect(run, what).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
      }
    });

    it('deals that do not add up to the key are refused as a whole', () => {
      const dealt = deals(suite, old, [1, 3], 2, 3);
      const one = [dealt.get(1)!.commitments];
      expect(() => suite.resharePublic(old.key, 2, 3, one)).toThrow(/another key/);
    });
  },
);
