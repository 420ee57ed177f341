/**
 * FROST(secp256k1, SHA-256) and FROST(P-256, SHA-256), RFC 9591 §6.5 and §6.4. Their signatures are
 * the RFC's Schnorr signatures: no standard tool verifies them, OpenSSL's ECDSA does not either.
 * @module
 */
import { createHash } from 'node:crypto';
import type { FROST } from '@noble/curves/abstract/frost.js';
import type { WeierstrassPoint, WeierstrassPointCons } from '@noble/curves/abstract/weierstrass.js';
import { p256, p256_FROST, p256_hasher } from '@noble/curves/nist.js';
import { secp256k1, secp256k1_FROST, secp256k1_hasher } from '@noble/curves/secp256k1.js';
import { BzzzError } from '../../base/errors.ts';
import type { SuiteName } from '../types.ts';
import type { EncodedGroup } from './encoded.ts';
import { encodedSecp256k1 } from './encoded-secp256k1.ts';
import { createSuite } from './frost.ts';
import { decodePoint, type Group } from './group.ts';
import { memoiseDecoding } from './memo.ts';
import { type WeierstrassCurve, weierstrassVerifier } from './plain-weierstrass.ts';
import { rfcChallenge } from './terms.ts';
import type { Suite } from './types.ts';

type Point = WeierstrassPoint<bigint>;

interface Parts {
  readonly name: SuiteName;
  readonly context: string;
  readonly Point: WeierstrassPointCons<bigint>;
  readonly frost: FROST;
  readonly hasher: typeof p256_hasher;
  readonly curve: WeierstrassCurve;
  readonly encoded?: EncodedGroup;
}

const POINT_BYTES = 33;

/** The library's curve with remembered decoding. */
function remembering(Curve: WeierstrassPointCons<bigint>): WeierstrassPointCons<bigint> {
  const decodeOnce = memoiseDecoding((bytes) => Curve.fromBytes(bytes));
  return class extends Curve {
    static override fromBytes(bytes: Uint8Array): Point {
      return decodeOnce(bytes);
    }
    static override [Symbol.hasInstance](value: unknown): boolean {
      return value instanceof Curve;
    }
  };
}

function groupOf({ context, Point: Curve, hasher, encoded }: Parts): Group<Point> {
  const group: Group<Point> = {
    context,
    Point: remembering(Curve),
    pointBytes: POINT_BYTES,
    hash: (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest()),
    hashToScalar: (tag, bytes) =>
      hasher.hashToScalar(new Uint8Array(bytes), { DST: new TextEncoder().encode(tag) }),
    proofPointBytes: POINT_BYTES,
    decodeProofPoint: (bytes) => decodePoint(group, 'proof', bytes),
    ...(encoded && { encoded: { ...encoded, decode: (bytes) => Curve.fromBytes(bytes) } }),
    normalise: (groupKey) => groupKey,
  };
  return group;
}

function weierstrassSuite(parts: Parts): Suite {
  const { name, frost, curve, context } = parts;
  const group = groupOf(parts);
  return createSuite<Point>({
    name,
    group,
    frost,
    challenge: rfcChallenge(group),
    adjustOutcome: (commitments) => commitments,
    encodeSignature: (nonce, response) =>
      new Uint8Array(Buffer.concat([nonce.toBytes(), response])),
    verify: weierstrassVerifier(curve, context),
    publicKeyBytes(groupKey) {
      if (groupKey.length === POINT_BYTES) return new Uint8Array(groupKey);
      throw new BzzzError('BAD_MESSAGE', `group key: not ${POINT_BYTES} bytes`);
    },
    exportKey: (_groupKey, format) => {
      throw noStandardForm(name, format);
    },
  });
}

/** Why a key of such a suite is not handed to tools that would misunderstand it. */
export const noStandardForm = (name: SuiteName, format: string): BzzzError =>
  new BzzzError('NOT_SUPPORTED', `a ${name} key has no ${format} form`, {
    why: 'its signatures are Schnorr signatures of RFC 9591, which no standard tool verifies',
    hint: 'verify with `bzzz verify`, or by RFC 9591 with the public key of `bzzz key show`',
  });

/** The `secp256k1` suite: SEC 2 v2 §2.4.1. */
export const secp256k1Suite: Suite = weierstrassSuite({
  name: 'secp256k1',
  context: 'FROST-secp256k1-SHA256-v1',
  Point: secp256k1.Point,
  frost: secp256k1_FROST,
  hasher: secp256k1_hasher,
  encoded: encodedSecp256k1,
  curve: {
    p: 2n ** 256n - 2n ** 32n - 977n,
    a: 0n,
    b: 7n,
    order: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
    base: [
      0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n,
      0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8n,
    ],
  },
});

/** The `p256` suite: SP 800-186 §3.2.1.3. */
export const p256Suite: Suite = weierstrassSuite({
  name: 'p256',
  context: 'FROST-P256-SHA256-v1',
  Point: p256.Point,
  frost: p256_FROST,
  hasher: p256_hasher,
  curve: {
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    a: -3n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    base: [
      0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
      0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
    ],
  },
});
