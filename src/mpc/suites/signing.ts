/**
 * Signing of a suite: shares come from the library, the sum and its check are ours. Nonces stand in
 * a table of this module and leave it before they are used (N2).
 * @module
 */
import type {
  FROST,
  FROSTPoint,
  FrostPublic,
  FrostSecret,
  Nonces,
} from '@noble/curves/abstract/frost.js';
import { assert, BzzzError } from '../../base/errors.ts';
import type { KeyShare } from '../types.ts';
import { type Ciphersuite, internal, rng, viewOf } from './ciphersuite.ts';
import { decodePoint, decodeScalar, groupCommitment } from './group.ts';
import type { Aggregate, NonceCommitment, SigningKey, SigningNonces, Suite } from './types.ts';

type Signing = Pick<
  Suite,
  'commit' | 'checkCommitment' | 'wipeNonces' | 'signShare' | 'verifyShare' | 'aggregate'
>;

/** The part of the port that signs. */
export function signing<P extends FROSTPoint<P>>(parts: Ciphersuite<P>): Signing {
  const { group, frost } = parts;
  const { Identifier } = frost;
  const { Fn } = group.Point;
  const nonceTable = new WeakMap<SigningNonces, Nonces>();
  const packages = new WeakMap<SigningKey, FrostPublic>();
  const publicOf = (key: SigningKey): FrostPublic => {
    const known = packages.get(key) ?? publicPackage(frost, key);
    packages.set(key, known);
    return known;
  };
  const secretOf = ({ index, signingShare }: KeyShare): FrostSecret => ({
    identifier: Identifier.fromNumber(index),
    // A view of the same bytes: a copy would be one more place to wipe.
    signingShare: viewOf(signingShare),
  });
  const listOf = (commitments: readonly NonceCommitment[]) =>
    commitments.map(({ index, hiding, binding }) => ({
      identifier: Identifier.fromNumber(index),
      hiding,
      binding,
    }));
  /** Takes the pair out of the table: from here on nobody else can use it. */
  const take = (handle: SigningNonces): Nonces | undefined => {
    const pair = nonceTable.get(handle);
    nonceTable.delete(handle);
    return pair;
  };
  const forget = (pair: Nonces): void => {
    pair.hiding.fill(0);
    pair.binding.fill(0);
  };
  const verifyShare: Suite['verifyShare'] = (key, commitments, message, index, share) => {
    if (decodeScalar(group, share) === undefined) return false;
    const id = Identifier.fromNumber(index);
    return internal(() =>
      frost.verifyShare(publicOf(key), listOf(commitments), message, id, share),
    );
  };

  return {
    commit: (share, random) =>
      internal(() => {
        const { nonces, commitments } = frost.commit(secretOf(share), rng(random));
        const handle: SigningNonces = Object.freeze({ secret: 'nonces' });
        nonceTable.set(handle, nonces);
        const { hiding, binding } = commitments;
        return { nonces: handle, commitment: { index: share.index, hiding, binding } };
      }),
    checkCommitment({ hiding, binding }) {
      decodePoint(group, 'hiding commitment', hiding);
      decodePoint(group, 'binding commitment', binding);
    },
    wipeNonces(handle) {
      const pair = take(handle);
      if (pair !== undefined) forget(pair);
    },
    signShare(key, share, handle, commitments, message) {
      const pair = take(handle);
      if (pair === undefined) throw new BzzzError('INTERNAL', 'the nonces were used before');
      try {
        return internal(() =>
          frost.signShare(secretOf(share), publicOf(key), pair, listOf(commitments), message),
        );
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
        const nonce = groupCommitment(group, key.groupKey, commitments, message);
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
