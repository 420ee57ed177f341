/**
 * Key generation of a suite, over the library's. A polynomial stands in a table of this module,
 * keyed by an empty object: whoever holds the object can use the secret, nobody can print it.
 * @module
 */
import type {
  DKG_Round1,
  DKG_Secret,
  FROST,
  FROSTPoint,
  FrostPublic,
} from '@noble/curves/abstract/frost.js';
import { equalBytes } from '../../base/bytes.ts';
import { assert, BzzzError } from '../../base/errors.ts';
import { type Ciphersuite, internal, rng } from './ciphersuite.ts';
import { checkRound1, decodePoint, decodeScalar, evaluate, type Group } from './group.ts';
import type { DkgPublic, DkgRound1, DkgSecret, Suite } from './types.ts';

type KeyGeneration = Pick<
  Suite,
  | 'dkgRound1'
  | 'checkRound1'
  | 'dkgRound2'
  | 'verifySubshare'
  | 'dkgFinish'
  | 'dkgPublic'
  | 'wipeDkg'
  | 'checkPublic'
  | 'verifyingShareOf'
>;

/** The part of the port that generates keys. */
export function keyGeneration<P extends FROSTPoint<P>>(parts: Ciphersuite<P>): KeyGeneration {
  const { group, frost } = parts;
  const { Identifier, DKG } = frost;
  const secrets = new WeakMap<DkgSecret, DKG_Secret>();
  const opened = (secret: DkgSecret): DKG_Secret => {
    const found = secrets.get(secret);
    if (found === undefined) throw new BzzzError('INTERNAL', 'the polynomial is gone');
    return found;
  };
  const packages = (others: ReadonlyMap<number, DkgRound1>): DKG_Round1[] =>
    [...others].map(([index, { commitments, proof }]) => ({
      identifier: Identifier.fromNumber(index),
      commitment: commitments.map((c) => new Uint8Array(c)),
      proofOfKnowledge: new Uint8Array(proof),
    }));
  const wipeDkg = (secret: DkgSecret): void => {
    const found = secrets.get(secret);
    secrets.delete(secret);
    if (found !== undefined) DKG.clean(found);
  };

  return {
    dkgRound1: (index, threshold, parties, random) =>
      internal(() => {
        const id = Identifier.fromNumber(index);
        const signers = { min: threshold, max: parties };
        const made = DKG.round1(id, signers, undefined, rng(random));
        const secret: DkgSecret = Object.freeze({ secret: 'dkg' });
        secrets.set(secret, made.secret);
        const { commitment, proofOfKnowledge } = made.public;
        return { secret, round1: { commitments: commitment, proof: proofOfKnowledge } };
      }),
    checkRound1: (index, threshold, round1) => checkRound1(group, index, threshold, round1),
    dkgRound2: (secret, others) =>
      internal(() => {
        const shares = new Map(Object.entries(DKG.round2(opened(secret), packages(others))));
        const byIndex = [...others.keys()].map((index): [number, Uint8Array] => {
          const made = shares.get(Identifier.fromNumber(index));
          assert(made !== undefined, 'a subshare for every other party');
          return [index, new Uint8Array(made.signingShare)];
        });
        return new Map(byIndex);
      }),
    verifySubshare(commitments, receiver, subshare) {
      const scalar = decodeScalar(group, subshare);
      // A zero subshare has probability 2^-252 from an honest dealer.
      if (scalar === undefined || scalar === 0n) return false;
      const points = commitments.map((c) => decodePoint(group, 'commitment', c));
      // The subshare is a secret of the receiver: constant-time multiplication.
      return group.Point.BASE.multiply(scalar).equals(evaluate(group, points, receiver));
    },
    dkgFinish: (secret, others, subshares) =>
      internal(() => {
        try {
          const mine = opened(secret);
          const own = Number(mine.identifier);
          const received = [...subshares].map(([index, signingShare]) => ({
            identifier: Identifier.fromNumber(index),
            signingShare: new Uint8Array(signingShare),
          }));
          const key = DKG.round3(mine, packages(others), received);
          for (const { signingShare } of received) signingShare.fill(0);
          return {
            share: { index: own, signingShare: key.secret.signingShare },
            public: outcomeOf(frost, key.public),
          };
        } finally {
          wipeDkg(secret);
        }
      }),
    dkgPublic(threshold, round1) {
      const { ZERO } = group.Point;
      const sums = Array.from({ length: threshold }, (_, k) =>
        round1
          .map(({ commitments }) => commitments[k] ?? new Uint8Array())
          .map((bytes) => decodePoint(group, `commitment ${k}`, bytes))
          .reduce((sum, point) => sum.add(point), ZERO),
      );
      const points = parts.adjustOutcome(sums);
      const commitments = points.map((point) => point.toBytes());
      const verifyingShares = round1.map((_, i) => evaluate(group, points, i + 1).toBytes());
      return { groupKey: commitments[0] ?? new Uint8Array(), commitments, verifyingShares };
    },
    wipeDkg,
    checkPublic: (threshold, parties, outcome) => checkPublic(group, threshold, parties, outcome),
    verifyingShareOf({ signingShare }) {
      const scalar = decodeScalar(group, signingShare);
      if (scalar === undefined || scalar === 0n) {
        throw new BzzzError('SHARE_CORRUPT', 'the signing share is no scalar of its group');
      }
      return group.Point.BASE.multiply(scalar).toBytes();
    },
  };
}

function outcomeOf({ Identifier }: FROST, key: FrostPublic): DkgPublic {
  const shares = new Map(Object.entries(key.verifyingShares));
  const verifyingShares = Array.from({ length: key.signers.max }, (_, i) => {
    const share = shares.get(Identifier.fromNumber(i + 1));
    assert(share !== undefined, 'a verifying share for every party');
    return share;
  });
  const [groupKey] = key.commitments;
  assert(groupKey !== undefined, 'a group key');
  return { groupKey, commitments: key.commitments, verifyingShares };
}

function checkPublic<P extends FROSTPoint<P>>(
  group: Group<P>,
  threshold: number,
  parties: number,
  { groupKey, commitments, verifyingShares }: DkgPublic,
): void {
  const refuse = (why: string): BzzzError => new BzzzError('BAD_MESSAGE', `group key: ${why}`);
  if (commitments.length !== threshold) throw refuse('commitments are not one per threshold');
  if (verifyingShares.length !== parties) throw refuse('shares are not one per party');
  const points = commitments.map((c, k) => decodePoint(group, `commitment ${k}`, c));
  if (!equalBytes(groupKey, commitments[0] ?? new Uint8Array())) {
    throw refuse('not the constant commitment');
  }
  verifyingShares.forEach((share, i) => {
    if (!equalBytes(evaluate(group, points, i + 1).toBytes(), share)) {
      throw refuse(`verifying share ${i + 1} does not lie on the polynomial`);
    }
  });
}
