/**
 * FROST(secp256k1, SHA-256) with Taproot: signatures are BIP 340 signatures under the x-only key.
 * Key generation tweaks the key with the empty Merkle root (BIP 341), as the Zcash Foundation's
 * `frost-secp256k1-tr` does, so that nobody can have hidden a script path in it.
 * @module
 */
import { createHash } from 'node:crypto';
import type { WeierstrassPoint } from '@noble/curves/abstract/weierstrass.js';
import { schnorr, schnorr_FROST, secp256k1, secp256k1_hasher } from '@noble/curves/secp256k1.js';
import { assert, BzzzError } from '../../base/errors.ts';
import { encodedSecp256k1, verifyBip340 } from './encoded-secp256k1.ts';
import { createSuite } from './frost.ts';
import { decodePoint, type Group } from './group.ts';
import { memoiseDecoding } from './memo.ts';
import type { Suite } from './types.ts';

type KoblitzPoint = WeierstrassPoint<bigint>;

const decodeOnce = memoiseDecoding((bytes) => secp256k1.Point.fromBytes(bytes));

/** The library's curve with remembered decoding. */
class Point extends secp256k1.Point {
  static override fromBytes(bytes: Uint8Array): KoblitzPoint {
    return decodeOnce(bytes);
  }
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof secp256k1.Point;
  }
}

const evenY = (point: KoblitzPoint): KoblitzPoint =>
  (point.toAffine().y & 1n) === 0n ? point : point.negate();

const xOnly = (point: KoblitzPoint): Uint8Array => new Uint8Array(point.toBytes().subarray(1));

const group: Group<KoblitzPoint> = {
  context: 'FROST-secp256k1-SHA256-TR-v1',
  Point,
  pointBytes: 33,
  hash: (bytes) => new Uint8Array(createHash('sha256').update(bytes).digest()),
  hashToScalar: (tag, bytes) =>
    secp256k1_hasher.hashToScalar(new Uint8Array(bytes), { DST: new TextEncoder().encode(tag) }),
  // Proofs carry an x-only nonce point, which stands for the one with even Y.
  proofPointBytes: 32,
  decodeProofPoint: (bytes) =>
    decodePoint(group, 'proof', new Uint8Array(Buffer.concat([Uint8Array.of(2), bytes]))),
  encoded: { ...encodedSecp256k1, decode: (bytes) => secp256k1.Point.fromBytes(bytes) },
  normalise: evenY,
};

/** BIP 341: P with even Y, then Q = P + H_TapTweak(x(P)) G. */
function tapTweak(commitments: readonly KoblitzPoint[]): readonly KoblitzPoint[] {
  const [key] = commitments;
  assert(key !== undefined, 'a group key');
  const even = evenY(key);
  const side = even === key ? commitments : commitments.map((point) => point.negate());
  const digest = schnorr.utils.taggedHash('TapTweak', xOnly(even));
  const tweak = BigInt(`0x${Buffer.from(digest).toString('hex')}`);
  assert(tweak > 0n && tweak < Point.Fn.ORDER, 'a tweak in range');
  const shift = Point.BASE.multiply(tweak);
  return side.map((point, k) => (k === 0 ? point.add(shift) : point));
}

/**
 * BIP 341 with the empty Merkle root: the output key of an internal key, both x-only.
 * @throws BAD_MESSAGE unless `internalKey` is the x coordinate of a point.
 */
export function taprootOutputKey(internalKey: Uint8Array): Uint8Array {
  const point = decodePoint(
    group,
    'internal key',
    new Uint8Array(Buffer.concat([Uint8Array.of(2), internalKey])),
  );
  const [output] = tapTweak([point]);
  assert(output !== undefined, 'one point in, one out');
  return xOnly(output);
}

/** The script that pays to an output key (BIP 341): OP_1 and 32 bytes. */
export const taprootScript = (outputKey: Uint8Array): Uint8Array =>
  new Uint8Array(Buffer.concat([Uint8Array.of(0x51, 0x20), outputKey]));

function publicKeyBytes(groupKey: Uint8Array): Uint8Array {
  if (groupKey.length !== 33) throw new BzzzError('BAD_MESSAGE', 'group key: not 33 bytes');
  return new Uint8Array(groupKey.subarray(1));
}

/** The `secp256k1-tr` suite. */
export const secp256k1TrSuite: Suite = createSuite<KoblitzPoint>({
  name: 'secp256k1-tr',
  group,
  frost: schnorr_FROST,
  // BIP 340: x(R), x(P) and the message behind their tag.
  challenge(nonce, groupKey, message) {
    const parts = [xOnly(nonce), xOnly(groupKey), new Uint8Array(message)];
    const digest = schnorr.utils.taggedHash('BIP0340/challenge', ...parts);
    return Point.Fn.create(BigInt(`0x${Buffer.from(digest).toString('hex')}`));
  },
  adjustOutcome: tapTweak,
  encodeSignature: (nonce, response) => new Uint8Array(Buffer.concat([xOnly(nonce), response])),
  verify: (groupKey, message, signature) =>
    groupKey.length === 33 && verifyBip340(groupKey.subarray(1), message, signature),
  publicKeyBytes,
  exportKey(_groupKey, format) {
    throw new BzzzError('NOT_SUPPORTED', `a secp256k1-tr key has no ${format} form`, {
      why: 'no standard tool reads a BIP 340 key as PEM or SSH',
      hint: 'use the x-only public key that `bzzz key show` prints',
    });
  },
});
