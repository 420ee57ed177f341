/**
 * The port between the session machines and the cryptography. Everything is synchronous; parties
 * are named by their index (1..n) and by nothing else, so no identifier from the wire ever becomes
 * a property name or a scalar.
 *
 * Bytes that come from other parties are checked here, once, at the boundary: a point that is the
 * identity, off the curve, not canonical or outside the prime-order group, and a scalar out of
 * range, are BAD_MESSAGE. FROST: RFC 9591; key generation: Pedersen DKG with proofs of knowledge
 * (Komlo and Goldberg, https://eprint.iacr.org/2020/852, figure 1).
 * @module
 */
import type { Random } from '../../base/ports.ts';
import type { KeyInfo, KeyShare, SuiteName } from '../types.ts';

/** What signing needs of a key; every `KeyInfo` is one. The same object should be passed again. */
export type SigningKey = Pick<
  KeyInfo,
  'threshold' | 'parties' | 'groupKey' | 'commitments' | 'verifyingShares'
>;

/**
 * A party's secret polynomial while key generation lasts. The suite that made it keeps the
 * coefficients; the object itself carries none, so it cannot leak into a log or a message.
 */
export interface DkgSecret {
  readonly secret: 'dkg';
}

/** A pair of signing nonces, for one share. It carries no bytes; see {@link DkgSecret}. */
export interface SigningNonces {
  readonly secret: 'nonces';
}

/** What a dealer publishes in the first round. */
export interface DkgRound1 {
  /** Feldman commitments to the coefficients; one per threshold. */
  readonly commitments: readonly Uint8Array[];
  /** Schnorr proof of knowledge of coefficient 0, bound to the dealer's index. */
  readonly proof: Uint8Array;
}

/** The outcome that every party computes alike. */
export interface DkgPublic {
  readonly groupKey: Uint8Array;
  readonly commitments: readonly Uint8Array[];
  /** By party index - 1. */
  readonly verifyingShares: readonly Uint8Array[];
}

/** What a dealer hands on. */
export interface Deal {
  /** Feldman commitments; one per threshold. */
  readonly commitments: readonly Uint8Array[];
  /** Secret, by the receiver's index; each goes to its receiver only and is wiped then. */
  readonly subshares: ReadonlyMap<number, Uint8Array>;
}

/** A signer's public half of a nonce pair. */
export interface NonceCommitment {
  readonly index: number;
  readonly hiding: Uint8Array;
  readonly binding: Uint8Array;
}

/** A signature that verified, or the signers of bad shares. Nothing else is wrong when it fails. */
export type Aggregate =
  | { readonly ok: true; readonly signature: Uint8Array }
  | { readonly ok: false; readonly culprits: readonly number[] };

/** Text forms of a group key for standard tools. */
export type KeyFormat = 'pem' | 'ssh';

/** One ciphersuite. */
export interface Suite {
  readonly name: SuiteName;
  /** Length in bytes of an encoded group element: 32 or 33. */
  readonly pointBytes: number;

  // -- key generation

  /** Draws a polynomial of degree threshold - 1. @throws INTERNAL unless 2 <= threshold <= n. */
  dkgRound1(
    index: number,
    threshold: number,
    parties: number,
    random: Random,
  ): { readonly secret: DkgSecret; readonly round1: DkgRound1 };
  /** @throws BAD_MESSAGE: vector length, a point, or the proof of knowledge for this index. */
  checkRound1(index: number, threshold: number, round1: DkgRound1): void;
  /**
   * The subshares for the others, by receiver index.
   * @param others every other party's checked first round, by index.
   */
  dkgRound2(
    secret: DkgSecret,
    others: ReadonlyMap<number, DkgRound1>,
  ): ReadonlyMap<number, Uint8Array>;
  /** Whether `subshare` is the dealer's polynomial at `receiver`. False for any malformed input. */
  verifySubshare(
    dealerCommitments: readonly Uint8Array[],
    receiver: number,
    subshare: Uint8Array,
  ): boolean;
  /**
   * Ends key generation and wipes `secret`.
   * @param subshares the verified subshares for this party, by dealer index.
   */
  dkgFinish(
    secret: DkgSecret,
    others: ReadonlyMap<number, DkgRound1>,
    subshares: ReadonlyMap<number, Uint8Array>,
  ): { readonly share: KeyShare; readonly public: DkgPublic };
  /** The public outcome from all n first rounds, in index order. Needs no secret. */
  dkgPublic(threshold: number, round1: readonly DkgRound1[]): DkgPublic;
  /** Forgets a polynomial; harmless when it is gone. */
  wipeDkg(secret: DkgSecret): void;
  /** @throws BAD_MESSAGE unless the points are valid and all shares lie on the one polynomial. */
  checkPublic(threshold: number, parties: number, outcome: DkgPublic): void;
  /** The public point of a share; compare it with `verifyingShares[share.index - 1]`. */
  verifyingShareOf(share: KeyShare): Uint8Array;

  // -- signing

  /** RFC 9591 §5.1. The nonces mix fresh randomness with the share. */
  commit(
    share: KeyShare,
    random: Random,
  ): { readonly nonces: SigningNonces; readonly commitment: NonceCommitment };
  /**
   * Call it once when a commitment arrives: it is also what makes later steps fast.
   * @throws BAD_MESSAGE
   */
  checkCommitment(commitment: NonceCommitment): void;
  /** Forgets a nonce pair; harmless when it is gone. */
  wipeNonces(nonces: SigningNonces): void;
  /**
   * RFC 9591 §5.2. The nonces are gone before anything else happens, also when it throws.
   * @param commitments of the exact signer set, in any order, this signer's own among them.
   * @throws INTERNAL: nonces used before, or not those of this signer's commitment.
   */
  signShare(
    key: SigningKey,
    share: KeyShare,
    nonces: SigningNonces,
    commitments: readonly NonceCommitment[],
    message: Uint8Array,
  ): Uint8Array;
  /** RFC 9591 §5.4. False for a malformed share. @throws INTERNAL: `index` is not among them. */
  verifyShare(
    key: SigningKey,
    commitments: readonly NonceCommitment[],
    message: Uint8Array,
    index: number,
    share: Uint8Array,
  ): boolean;
  /**
   * RFC 9591 §5.3: sums the shares, verifies the sum with {@link Suite.verify}, and looks at single
   * shares only when that fails.
   * @param shares by signer index; one per commitment. @throws INTERNAL when they do not match.
   */
  aggregate(
    key: SigningKey,
    commitments: readonly NonceCommitment[],
    message: Uint8Array,
    shares: ReadonlyMap<number, Uint8Array>,
  ): Aggregate;
  /** By an implementation that took no part in signing. False for any malformed input. */
  verify(groupKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;

  // -- handing the key on, see resharing.ts

  /**
   * Deals this party's share to `parties` receivers, by index.
   * @param dealers indices of all who deal, this one among them: threshold-many of the old key.
   * @param threshold of the new shares. @throws SHARE_CORRUPT.
   */
  deal(
    share: KeyShare,
    dealers: readonly number[],
    threshold: number,
    parties: number,
    random: Random,
  ): Deal;
  /** @throws BAD_MESSAGE: length, a point, or not the share that `dealer` holds. */
  checkDeal(
    key: SigningKey,
    dealers: readonly number[],
    dealer: number,
    threshold: number,
    commitments: readonly Uint8Array[],
  ): void;
  /** The new share of party `index`. @param subshares verified (`verifySubshare`), one a dealer. */
  reshareFinish(index: number, subshares: ReadonlyMap<number, Uint8Array>): KeyShare;
  /**
   * The new public half; the group key stays. Needs no secret.
   * @param deals the checked commitments of every dealer.
   * @throws BAD_MESSAGE: they do not add up to the key.
   */
  resharePublic(
    key: SigningKey,
    threshold: number,
    parties: number,
    deals: readonly (readonly Uint8Array[])[],
  ): DkgPublic;

  // -- rebuilding a lost share, see repairing.ts

  /**
   * This helper's parts for every helper, by index; each goes to its helper only.
   * @param helpers threshold-many holders, this one among them, without the lost one.
   * @throws SHARE_CORRUPT.
   */
  repairDeltas(
    share: KeyShare,
    helpers: readonly number[],
    lost: number,
    random: Random,
  ): ReadonlyMap<number, Uint8Array>;
  /** What a helper gives the party that lost its share. @throws BAD_MESSAGE: no scalar. */
  repairSigma(deltas: ReadonlyMap<number, Uint8Array>): Uint8Array;
  /** The share again. @throws BAD_MESSAGE: the sigmas, by helper, are not those of this share. */
  repairFinish(key: SigningKey, lost: number, sigmas: ReadonlyMap<number, Uint8Array>): KeyShare;

  // -- a key from elsewhere, see interpolating.ts

  /**
   * The public half of a key of which only verifying shares are known, by index - 1.
   * @throws BAD_MESSAGE: a point, or shares that lie on no polynomial of this degree.
   */
  publicOfShares(threshold: number, verifyingShares: readonly Uint8Array[]): DkgPublic;

  // -- the key in other forms

  /** The RFC 8032 key, the BIP 340 x-only key, or the group key itself. */
  publicKeyBytes(groupKey: Uint8Array): Uint8Array;
  /** @throws NOT_SUPPORTED when no standard tool reads such a key. */
  exportKey(groupKey: Uint8Array, format: KeyFormat, comment: string): string;
}

/** Every suite of this build, by name. */
export type Suites = ReadonlyMap<SuiteName, Suite>;
