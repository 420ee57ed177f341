/** A key that changes hands often: its certificates fill a record one day. */
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/base/limits.ts';
import { checkRoom } from '../../../src/mpc/keys/certificate.ts';
import type { SealedProposal } from '../../../src/mpc/types.ts';
import type { Network } from '../keygen/network.ts';
import { type Held, handOn, makeKey, next, type Wish } from './support.ts';

const proposalOf = ({ sealed }: Network): SealedProposal<never> => sealed as SealedProposal<never>;

const check = (held: Held, net: Network): void => {
  const { keyInfo: key, history, newest } = held.certified;
  checkRoom({ key, history, newest, certificate: held.certificate }, proposalOf(net));
};

/** Hands the key on until there is no room. @returns the last certificate, and how many came. */
function fill(held: Held, wishes: readonly Wish[], most: number): { held: Held; count: number } {
  for (let count = 0; count < most; count++) {
    const wish = wishes[count % wishes.length]!;
    const net = handOn(held, { ...wish, nonce: count % 256 });
    try {
      check(held, net);
    } catch (error) {
      expect(error).toMatchObject({ code: 'TOO_LARGE', hint: 'make a new key' });
      return { held, count };
    }
    // What was let in fits: this throws otherwise, when everybody has attested.
    held = next(held, net.start().run());
  }
  return { held, count: most };
}

describe('the certificates of a key', () => {
  it('are refused before anybody agrees to one that fits no record', () => {
    const away = { threshold: 2, parties: [1, 2, 3] };
    const back = { threshold: 2, parties: [0, 1, 2] };
    const { held, count } = fill(makeKey(2, 3), [away, back], 200);
    expect(count).toBeGreaterThan(30);
    expect(count).toBeLessThan(200);
    // Not a whole link is wasted.
    expect(held.certificate.length).toBeGreaterThan(
      LIMITS.recordBytes - 2 * held.certified.newest.length,
    );
  });

  it('need no room of their own while the holders stay', () => {
    const { held, count } = fill(makeKey(2, 3), [{ threshold: 2, parties: [0, 1, 2] }], 50);
    expect(count).toBe(50);
    expect(held.certificate.length).toBeLessThan(4 * held.certified.newest.length);
  });

  it('a link of many seats is no longer than was looked for', () => {
    const parties = Array.from({ length: 5 }, (_, i) => i + 2);
    const { count } = fill(makeKey(3, 5), [{ threshold: 4, parties }], 1);
    expect(count).toBe(1);
  });
});
