/**
 * Signing of a suite: RFC 9591 §5, by hand on the library's points and scalars. The library's own
 * `signShare` computes the signer's commitments and checks every point again, and its `aggregate`
 * the group commitment once more: most of the time of a signature. The vectors of the RFC and of
 * the Zcash Foundation hold this to the letter, and single shares are judged by the library.
 *
 * Nonces stand in a table of this module and leave it before they are used (N2).
 * @module
 */
import type { FROST, FROSTPoint, FrostPublic } from '@noble/curves/abstract/frost.js';
import { equalBytes } from '../../base/bytes.ts';
import { assert, BzzzError } from '../../base/errors.ts';
import type { Random } from '../../base/ports.ts';
import type { KeyShare } from '../types.ts';
import { type Ciphersuite, internal } from './ciphersuite.ts';
import { checkElement, decodePoint, decodeScalar } from './group.ts';
import { lagrange } from './scalars.ts';
import { termsOf } from './terms.ts';
import type { Aggregate, NonceCommitment, SigningKey, SigningNonces, Suite } from './types.ts';

type Signing = Pick<
  Suite,
  'commit' | 'checkCommitment' | 'wipeNonces' | 'signShare' | 'verifyShare' | 'aggregate'
>;

interface Pair {
  /** Encoded scalars, wiped after use. */
  readonly hiding: Uint8Array;
  readonly binding: Uint8Array;
  readonly commitment: NonceCommitment;
}

/** The part of the port that signs. */
export function signing<P extends FROSTPoint<P>>(parts: Ciphersuite<P>): Signing {
  const { group, frost } = parts;
  const { Identifier } = frost;
  const { Point } = group;
  const { Fn } = Point;
  const nonceTable = new WeakMap<SigningNonces, Pair>();
  const packages = new WeakMap<SigningKey, FrostPublic>();
  const termsFor = termsOf(group, parts.challenge);
  const publicOf = (key: SigningKey): FrostPublic => {
    const known = packages.get(key) ?? publicPackage(frost, key);
    packages.set(key, known);
    return known;
  };
  /** Takes the pair out of the table: from here on nobody else can use it. */
  const take = (handle: SigningNonces): Pair | undefined => {
    const pair = nonceTable.get(handle);
    nonceTable.delete(handle);
    return pair;
  };
  const forget = (pair: Pair): void => {
    pair.hiding.fill(0);
    pair.binding.fill(0);
  };
  const scalarOf = (bytes: Uint8Array): bigint => {
    const scalar = decodeScalar(group, bytes);
    assert(scalar !== undefined && scalar !== Fn.ZERO, 'a scalar in range');
    return scalar;
  };
  /** RFC 9591 §4.1: fresh randomness and the secret, so that a bad source alone does no harm. */
  const draw = (share: KeyShare, random: Random): bigint => {
    const seed = Buffer.concat([random.bytes(32), share.signingShare]);
    const nonce = group.hashToScalar(`${group.context}nonce`, seed);
    seed.fill(0);
    // Probability 2^-252; a zero has no commitment.
    return nonce === Fn.ZERO ? draw(share, random) : nonce;
  };
  const commitTo = (nonce: bigint): Uint8Array =>
    group.encoded?.multiplyBase(Fn.toBytes(nonce)) ?? Point.BASE.multiply(nonce).toBytes();
  const verifyShare: Suite['verifyShare'] = (key, commitments, message, index, share) => {
    if (decodeScalar(group, share) === undefined) return false;
    const list = commitments.map((one) => ({
      identifier: Identifier.fromNumber(one.index),
      hiding: one.hiding,
      binding: one.binding,
    }));
    const id = Identifier.fromNumber(index);
    return internal(() => frost.verifyShare(publicOf(key), list, message, id, share));
  };
  /** RFC 9591 §5.2, with the signs that BIP 340 wants: R and the group key have even Y. */
  const respond = (
    key: SigningKey,
    { index, signingShare }: KeyShare,
    pair: Pair,
    commitments: readonly NonceCommitment[],
    message: Uint8Array,
  ): Uint8Array => {
    const own = commitments.find((one) => one.index === index);
    const { commitment } = pair;
    const exact =
      own !== undefined &&
      equalBytes(own.hiding, commitment.hiding) &&
      equalBytes(own.binding, commitment.binding);
    assert(exact, "the commitment of this signer's own nonces");
    const { nonce, factors, challenge } = termsFor(key, commitments, message);
    const indices = commitments.map((one) => one.index);
    const weight = lagrange(group, indices, index, 0);
    const factor = factors.get(index);
    assert(factor !== undefined, 'a binding factor for each signer');
    const secrets = Fn.add(scalarOf(pair.hiding), Fn.mul(scalarOf(pair.binding), factor));
    const share = Fn.mul(Fn.mul(weight, scalarOf(signingShare)), challenge);
    const groupKey = decodePoint(group, 'group key', key.groupKey);
    return Fn.toBytes(
      Fn.add(
        group.normalise(nonce) === nonce ? secrets : Fn.neg(secrets),
        group.normalise(groupKey) === groupKey ? share : Fn.neg(share),
      ),
    );
  };

  return {
    commit: (share, random) =>
      internal(() => {
        scalarOf(share.signingShare);
        const [hiding, binding] = [draw(share, random), draw(share, random)];
        const points = { hiding: commitTo(hiding), binding: commitTo(binding) };
        const commitment = { index: share.index, ...points };
        const handle: SigningNonces = Object.freeze({ secret: 'nonces' });
        const pair = { hiding: Fn.toBytes(hiding), binding: Fn.toBytes(binding), commitment };
        nonceTable.set(handle, pair);
        return { nonces: handle, commitment };
      }),
    checkCommitment({ hiding, binding }) {
      checkElement(group, 'hiding commitment', hiding);
      checkElement(group, 'binding commitment', binding);
    },
    wipeNonces(handle) {
      const pair = take(handle);
      if (pair !== undefined) forget(pair);
    },
    signShare(key, share, handle, commitments, message) {
      const pair = take(handle);
      if (pair === undefined) throw new BzzzError('INTERNAL', 'the nonces were used before');
      try {
        return internal(() => respond(key, share, pair, commitments, message));
      } finally {
        forget(pair);
      }
    },
    verifyShare,
    aggregate(key, commitments, message, shares): Aggregate {
      const indices = commitments.map(({ index }) => index);
      assert(
        shares.size === indices.length && indices.every((index) => shares.has(index)),
        'one signature share per commitment',
      );
      const scalars = [...shares.values()].map((share) => decodeScalar(group, share));
      if (!scalars.includes(undefined)) {
        const sum = scalars.reduce<bigint>((z, share) => Fn.add(z, share ?? 0n), Fn.ZERO);
        const { nonce } = termsFor(key, commitments, message);
        const signature = parts.encodeSignature(nonce, Fn.toBytes(sum));
        if (parts.verify(key.groupKey, message, signature)) return { ok: true, signature };
      }
      const culprits = [...shares]
        .filter(([index, share]) => !verifyShare(key, commitments, message, index, share))
        .map(([index]) => index);
      return { ok: false, culprits: culprits.sort((a, b) => a - b) };
    },
  };
}

function publicPackage({ Identifier }: FROST, key: SigningKey): FrostPublic {
  return {
    signers: { min: key.threshold, max: key.parties.length },
    commitments: key.commitments.map((c) => new Uint8Array(c)),
    verifyingShares: Object.fromEntries(
      key.verifyingShares.map((share, i) => [Identifier.fromNumber(i + 1), new Uint8Array(share)]),
    ),
  };
}
