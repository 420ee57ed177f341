/**
 * FROST(Ed25519, SHA-512), RFC 9591 §6.1. Its signatures are RFC 8032 signatures, so OpenSSL,
 * OpenSSH and `node:crypto` verify them.
 * @module
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { createFROST } from '@noble/curves/abstract/frost.js';
import { ed25519 } from '@noble/curves/ed25519.js';
import { BoundedMap } from '../../base/bounded.ts';
import { toHex } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { encodedEd25519 } from './encoded-sodium.ts';
import { createSuite } from './frost.ts';
import { decodePoint, type Group } from './group.ts';
import { memoiseDecoding } from './memo.ts';
import { rfcChallenge } from './terms.ts';
import type { KeyFormat, Suite } from './types.ts';

const CONTEXT = 'FROST-ED25519-SHA512-v1';

const decodeOnce = memoiseDecoding(
  (bytes) => ed25519.Point.fromBytes(bytes),
  (point, bytes) => point.is0() || encodedEd25519.isElement(bytes),
);

/** The library's curve with remembered decoding. */
class Point extends ed25519.Point {
  static override fromBytes(bytes: Uint8Array): InstanceType<typeof ed25519.Point> {
    return decodeOnce(bytes);
  }
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof ed25519.Point;
  }
}

const sha512 = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash('sha512').update(bytes).digest());

type EdwardsPoint = InstanceType<typeof ed25519.Point>;

const group: Group<EdwardsPoint> = {
  context: CONTEXT,
  Point,
  pointBytes: 32,
  hash: sha512,
  hashToScalar(tag, bytes) {
    const digest = sha512(Buffer.concat([Buffer.from(tag), bytes]));
    return Point.Fn.create(BigInt(`0x${Buffer.from(digest).reverse().toString('hex')}`));
  },
  proofPointBytes: 32,
  decodeProofPoint: (bytes) => decodePoint(group, 'proof', bytes),
  encoded: { ...encodedEd25519, decode: (bytes) => ed25519.Point.fromBytes(bytes) },
  normalise: (groupKey) => groupKey,
};

/** SubjectPublicKeyInfo of an Ed25519 key up to the 32 key bytes (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

const spki = (groupKey: Uint8Array): Buffer => Buffer.concat([SPKI_PREFIX, groupKey]);

/** Importing a key takes half as long as a verification. */
const imported = new BoundedMap<string, KeyObject>(64);

function keyObject(groupKey: Uint8Array): KeyObject | undefined {
  if (groupKey.length !== 32) return undefined;
  const name = toHex(groupKey);
  const known = imported.get(name);
  if (known !== undefined) return known;
  const key = createPublicKey({ key: spki(groupKey), format: 'der', type: 'spki' });
  imported.set(name, key);
  return key;
}

/** RFC 4253 §6.6 and RFC 8709 §4: each string behind its length. */
function sshLine(groupKey: Uint8Array, comment: string): string {
  const text = (bytes: Uint8Array): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const blob = Buffer.concat([text(Buffer.from('ssh-ed25519')), text(groupKey)]);
  return `ssh-ed25519 ${blob.toString('base64')} ${comment}\n`;
}

function exportKey(groupKey: Uint8Array, format: KeyFormat, comment: string): string {
  if (groupKey.length !== 32) throw new BzzzError('BAD_MESSAGE', 'group key: not 32 bytes');
  if (format === 'ssh') return sshLine(groupKey, comment.replace(/[^\x20-\x7e]/g, ''));
  const body = spki(groupKey).toString('base64');
  return `-----BEGIN PUBLIC KEY-----\n${body}\n-----END PUBLIC KEY-----\n`;
}

/** The `ed25519` suite. */
export const ed25519Suite: Suite = createSuite<EdwardsPoint>({
  name: 'ed25519',
  group,
  // As the library's `ed25519_FROST`, which validates the subgroup a second time in a hook; H2 is
  // the plain challenge of RFC 8032.
  frost: createFROST({ name: CONTEXT, Point, hash: sha512, H2: '' }),
  // H2 is the plain challenge of RFC 8032.
  challenge: rfcChallenge(group, ''),
  adjustOutcome: (commitments) => commitments,
  encodeSignature: (nonce, response) => new Uint8Array(Buffer.concat([nonce.toBytes(), response])),
  verify(groupKey, message, signature) {
    const key = keyObject(groupKey);
    return key !== undefined && verify(null, message, key, signature);
  },
  publicKeyBytes: (groupKey) => new Uint8Array(groupKey),
  exportKey,
});
