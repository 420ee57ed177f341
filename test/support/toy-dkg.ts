/**
 * Key generation over a toy group, for thousands of runs in a second: an element is its own
 * logarithm modulo a prime, so Feldman's equations hold and nothing is secret. It cannot sign.
 */
import { equalBytes, taggedHash, toHex } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { Random } from '../../src/base/ports.ts';
import type { DkgRound1, DkgSecret, Suite } from '../../src/mpc/suites/types.ts';
import { scalarBytes } from './toy-suite.ts';

/** 2^127 - 1. */
const Q = (1n << 127n) - 1n;
const mod = (a: bigint): bigint => ((a % Q) + Q) % Q;
const bad = (why: string): BzzzError => new BzzzError('BAD_MESSAGE', why);

function numberOf(bytes: Uint8Array): bigint {
  const n = bytes.length === 32 ? BigInt(`0x${toHex(bytes)}`) : Q;
  if (n >= Q) throw bad('toy number out of range');
  return n;
}

function elementOf(bytes: Uint8Array): bigint {
  const n = numberOf(bytes);
  if (n === 0n) throw bad('toy identity');
  return n;
}

const randomScalar = (random: Random): bigint => mod(BigInt(`0x${toHex(random.bytes(15))}`) + 1n);

const evaluate = (coefficients: readonly bigint[], x: number): bigint =>
  coefficients.reduceRight((sum, c) => mod(sum * BigInt(x) + c), 0n);

function inverse(a: bigint): bigint {
  let [result, base, power] = [1n, mod(a), Q - 2n];
  for (; power > 0n; power >>= 1n) {
    if (power & 1n) result = mod(result * base);
    base = mod(base * base);
  }
  return result;
}

/** What the share at `index` counts among those at `indices` for the value at `x`. */
const weight = (index: number, indices: readonly number[], x: number): bigint =>
  indices
    .filter((other) => other !== index)
    .reduce((l, other) => mod(l * BigInt(other - x) * inverse(BigInt(other - index))), 1n);

const lambda = (index: number, indices: readonly number[]): bigint => weight(index, indices, 0);

const challenge = (index: number, first: Uint8Array, nonce: Uint8Array): bigint =>
  mod(BigInt(`0x${toHex(taggedHash('toy', Uint8Array.of(index), first, nonce))}`));

const never = (): never => {
  throw new BzzzError('INTERNAL', 'this toy suite generates keys only');
};

export function toyDkg(): Suite {
  const secrets = new WeakMap<DkgSecret, { readonly index: number; readonly c: bigint[] }>();
  const opened = (secret: DkgSecret) => {
    const found = secrets.get(secret);
    if (found === undefined) throw new BzzzError('INTERNAL', 'the polynomial is gone');
    return found;
  };
  const dkgPublic: Suite['dkgPublic'] = (threshold, rounds) => {
    const sums = Array.from({ length: threshold }, (_, k) =>
      rounds.reduce((sum, { commitments }) => mod(sum + elementOf(commitments[k]!)), 0n),
    );
    return {
      groupKey: scalarBytes(sums[0]!),
      commitments: sums.map(scalarBytes),
      verifyingShares: rounds.map((_, i) => scalarBytes(evaluate(sums, i + 1))),
    };
  };
  return {
    name: 'ed25519',
    pointBytes: 32,
    dkgRound1(index, threshold, _parties, random) {
      const c = Array.from({ length: threshold }, () => randomScalar(random));
      const commitments = c.map(scalarBytes);
      const k = randomScalar(random);
      const nonce = scalarBytes(k);
      const response = scalarBytes(k + c[0]! * challenge(index, commitments[0]!, nonce));
      const secret: DkgSecret = { secret: 'dkg' };
      secrets.set(secret, { index, c });
      return { secret, round1: { commitments, proof: new Uint8Array([...nonce, ...response]) } };
    },
    checkRound1(index, threshold, { commitments, proof }) {
      if (commitments.length !== threshold) throw bad('toy threshold');
      const [first] = commitments.map(elementOf);
      const nonce = proof.slice(0, 32);
      const expected = numberOf(nonce) + first! * challenge(index, commitments[0]!, nonce);
      if (numberOf(proof.slice(32)) !== mod(expected)) throw bad('toy proof');
    },
    dkgRound2(secret, others) {
      const { c } = opened(secret);
      return new Map([...others.keys()].map((i) => [i, scalarBytes(evaluate(c, i))]));
    },
    verifySubshare(commitments, receiver, subshare) {
      return equalBytes(subshare, scalarBytes(evaluate(commitments.map(elementOf), receiver)));
    },
    dkgFinish(secret, others, subshares) {
      const { index, c } = opened(secret);
      secrets.delete(secret);
      const own: DkgRound1 = { commitments: c.map(scalarBytes), proof: new Uint8Array() };
      const rounds = [...others, [index, own] as const].sort(([a], [b]) => a - b);
      const share = [...subshares.values()].reduce(
        (sum, bytes) => sum + numberOf(bytes),
        evaluate(c, index),
      );
      return {
        share: { index, signingShare: scalarBytes(share) },
        public: dkgPublic(
          c.length,
          rounds.map(([, round]) => round),
        ),
      };
    },
    dkgPublic,
    wipeDkg: (secret) => void secrets.delete(secret),
    checkPublic(threshold, parties, { groupKey, commitments, verifyingShares }) {
      const points = commitments.map(elementOf);
      if (points.length !== threshold || verifyingShares.length !== parties) throw bad('toy sizes');
      if (!equalBytes(groupKey, commitments[0]!)) throw bad('toy group key');
      verifyingShares.forEach((share, i) => {
        if (!equalBytes(share, scalarBytes(evaluate(points, i + 1)))) throw bad('toy share');
      });
    },
    verifyingShareOf: ({ signingShare }) => signingShare.slice(),
    commit: never,
    checkCommitment: never,
    wipeNonces: never,
    signShare: never,
    verifyShare: never,
    aggregate: never,
    verify: never,
    publicKeyBytes: (groupKey) => groupKey,
    deal(share, dealers, threshold, parties, random) {
      const constant = mod(numberOf(share.signingShare) * lambda(share.index, dealers));
      const c = [constant, ...Array.from({ length: threshold - 1 }, () => randomScalar(random))];
      const indices = Array.from({ length: parties }, (_, i) => i + 1);
      const subshares = new Map(indices.map((i) => [i, scalarBytes(evaluate(c, i))]));
      return { commitments: c.map(scalarBytes), subshares };
    },
    checkDeal(key, dealers, dealer, threshold, commitments) {
      if (commitments.length !== threshold) throw bad('toy threshold');
      const [first] = commitments.map(elementOf);
      const held = elementOf(key.verifyingShares[dealer - 1]!);
      if (first !== mod(held * lambda(dealer, dealers))) throw bad('toy deal of another share');
    },
    reshareFinish(index, subshares) {
      const sum = [...subshares.values()].reduce((total, bytes) => total + numberOf(bytes), 0n);
      return { index, signingShare: scalarBytes(sum) };
    },
    resharePublic(key, threshold, parties, deals) {
      const sums = Array.from({ length: threshold }, (_, k) =>
        deals.reduce((sum, commitments) => mod(sum + elementOf(commitments[k]!)), 0n),
      );
      if (!equalBytes(scalarBytes(sums[0]!), key.groupKey)) throw bad('toy key changed');
      const verifyingShares = Array.from({ length: parties }, (_, i) =>
        scalarBytes(evaluate(sums, i + 1)),
      );
      return { groupKey: key.groupKey, commitments: sums.map(scalarBytes), verifyingShares };
    },
    repairDeltas(share, helpers, lost, random) {
      const whole = mod(numberOf(share.signingShare) * weight(share.index, helpers, lost));
      const parts = helpers.slice(1).map(() => randomScalar(random));
      const rest = parts.reduce((left, part) => mod(left - part), whole);
      return new Map(helpers.map((i, at) => [i, scalarBytes(at === 0 ? rest : parts[at - 1]!)]));
    },
    repairSigma: (deltas) =>
      scalarBytes([...deltas.values()].reduce((sum, part) => mod(sum + numberOf(part)), 0n)),
    repairFinish(key, lost, sigmas) {
      const sum = [...sigmas.values()].reduce((total, part) => mod(total + numberOf(part)), 0n);
      const signingShare = scalarBytes(sum);
      if (!equalBytes(signingShare, key.verifyingShares[lost - 1]!)) throw bad('toy repair');
      return { index: lost, signingShare };
    },
    publicOfShares: never,
    exportKey: never,
  };
}
