/**
 * A ciphersuite over the library's FROST, behind the port of `types.ts`.
 *
 * Secrets that outlive a call stand in tables of this module, keyed by an empty object: whoever
 * holds the object can use the secret, nobody can print it. JavaScript cannot promise that freed
 * bytes are overwritten; what can be zeroed is.
 * @module
 */
import type {
  DKG_Round1,
  DKG_Secret,
  FROST,
  FROSTPoint,
  FrostPublic,
  FrostSecret,
  Nonces,
} from '@noble/curves/abstract/frost.js';
import { equalBytes } from '../../base/bytes.ts';
import { assert, BzzzError, toBzzzError } from '../../base/errors.ts';
import type { Random } from '../../base/ports.ts';
import type { KeyShare, SuiteName } from '../types.ts';
import {
  checkRound1,
  decodePoint,
  decodeScalar,
  evaluate,
  type Group,
  groupCommitment,
} from './group.ts';
import type {
  Aggregate,
  DkgPublic,
  DkgRound1,
  DkgSecret,
  KeyFormat,
  NonceCommitment,
  SigningKey,
  SigningNonces,
  Suite,
} from './types.ts';

/** What one ciphersuite brings. */
export interface Ciphersuite<P extends FROSTPoint<P>> {
  readonly name: SuiteName;
  readonly group: Group<P>;
  readonly frost: FROST;
  /** What a suite does to the summed commitments: the Taproot tweak, or nothing. */
  adjustOutcome(commitments: readonly P[]): readonly P[];
  encodeSignature(nonce: P, response: Uint8Array): Uint8Array;
  verify(groupKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  publicKeyBytes(groupKey: Uint8Array): Uint8Array;
  exportKey(groupKey: Uint8Array, format: KeyFormat, comment: string): string;
}

/** Builds the port's suite from its parts. */
export function createSuite<P extends FROSTPoint<P>>(parts: Ciphersuite<P>): Suite {
  const { name, group, verify, publicKeyBytes, exportKey } = parts;
  return {
    name,
    pointBytes: group.pointBytes,
    ...keyGeneration(parts),
    ...signing(parts),
    verify,
    publicKeyBytes,
    exportKey,
  };
}

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

/** The library's random source: `random`, 32 bytes unless told otherwise. */
const rng =
  (random: Random) =>
  (length = 32): Uint8Array<ArrayBuffer> =>
    new Uint8Array(random.bytes(length));

/** The library's types want an `ArrayBuffer` below; every buffer of this project has one. */
function viewOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  assert(bytes.buffer instanceof ArrayBuffer, 'bytes in an ArrayBuffer');
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Runs library code; what it throws is a fault of ours, the input having been checked. */
function internal<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw toBzzzError(cause);
  }
}

function keyGeneration<P extends FROSTPoint<P>>(parts: Ciphersuite<P>): KeyGeneration {
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

type Signing = Pick<
  Suite,
  'commit' | 'checkCommitment' | 'wipeNonces' | 'signShare' | 'verifyShare' | 'aggregate'
>;

function signing<P extends FROSTPoint<P>>(parts: Ciphersuite<P>): Signing {
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
