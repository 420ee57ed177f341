/** Keys made by the real key generation functions of a suite, without a network. */
import { randomBytes } from 'node:crypto';
import type { PeerId } from '../../../src/base/brands.ts';
import type { Random } from '../../../src/base/ports.ts';
import type { DkgPublic, SigningKey, Suite } from '../../../src/mpc/suites/types.ts';
import type { KeyShare } from '../../../src/mpc/types.ts';

export const systemRandom: Random = { bytes: (n) => new Uint8Array(randomBytes(n)) };

export const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i + 1);

export interface MadeKey {
  readonly key: SigningKey;
  readonly shares: readonly KeyShare[];
}

export const keyOf = (threshold: number, parties: number, outcome: DkgPublic): SigningKey => ({
  threshold,
  parties: range(parties).map((index) => ({
    peerId: `peer ${index}` as PeerId,
    index,
    role: 'persistent',
  })),
  ...outcome,
});

export function makeKey(suite: Suite, threshold: number, parties: number): MadeKey {
  const all = range(parties);
  const made = all.map((i) => suite.dkgRound1(i, threshold, parties, systemRandom));
  const others = (i: number) =>
    new Map(all.filter((j) => j !== i).map((j) => [j, made[j - 1]!.round1] as const));
  const subshares = all.map((i) => suite.dkgRound2(made[i - 1]!.secret, others(i)));
  const done = all.map((i) =>
    suite.dkgFinish(
      made[i - 1]!.secret,
      others(i),
      new Map([...others(i).keys()].map((j) => [j, subshares[j - 1]!.get(i)!])),
    ),
  );
  return {
    key: keyOf(threshold, parties, done[0]!.public),
    shares: done.map(({ share }) => share),
  };
}

export function sign(
  suite: Suite,
  { key, shares }: MadeKey,
  signers: readonly number[],
  message: Uint8Array,
) {
  const nonces = signers.map((i) => suite.commit(shares[i - 1]!, systemRandom));
  const list = nonces.map(({ commitment }) => commitment);
  const parts = new Map(
    signers.map((i, at) => [
      i,
      suite.signShare(key, shares[i - 1]!, nonces[at]!.nonces, list, message),
    ]),
  );
  return { list, parts };
}
