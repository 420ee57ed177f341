/**
 * FROST(ristretto255, SHA-512), RFC 9591 §6.2. Its signatures are the RFC's Schnorr signatures: no
 * standard tool verifies them.
 * @module
 */
import { createHash } from 'node:crypto';
import { ristretto255, ristretto255_FROST } from '@noble/curves/ed25519.js';
import { BzzzError } from '../../base/errors.ts';
import { encodedRistretto255 } from './encoded-sodium.ts';
import { createSuite } from './frost.ts';
import { decodePoint, type Group } from './group.ts';
import { littleEndian } from './plain-field.ts';
import { ristrettoVerifier } from './plain-ristretto.ts';
import { rfcChallenge } from './terms.ts';
import type { Suite } from './types.ts';
import { noStandardForm } from './weierstrass.ts';

const CONTEXT = 'FROST-RISTRETTO255-SHA512-v1';
const ELEMENT_BYTES = 32;

type Element = InstanceType<typeof ristretto255.Point>;

const sha512 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha512').update(bytes).digest());

const group: Group<Element> = {
  context: CONTEXT,
  Point: ristretto255.Point,
  pointBytes: ELEMENT_BYTES,
  hash: sha512,
  hashToScalar: (tag, bytes) =>
    ristretto255.Point.Fn.create(littleEndian(sha512(Buffer.concat([Buffer.from(tag), bytes])))),
  proofPointBytes: ELEMENT_BYTES,
  decodeProofPoint: (bytes) => decodePoint(group, 'proof', bytes),
  encoded: { ...encodedRistretto255, decode: (bytes) => ristretto255.Point.fromBytes(bytes) },
  normalise: (groupKey) => groupKey,
};

/** The `ristretto255` suite. */
export const ristretto255Suite: Suite = createSuite<Element>({
  name: 'ristretto255',
  group,
  frost: ristretto255_FROST,
  challenge: rfcChallenge(group),
  adjustOutcome: (commitments) => commitments,
  encodeSignature: (nonce, response) => new Uint8Array(Buffer.concat([nonce.toBytes(), response])),
  verify: ristrettoVerifier(CONTEXT),
  publicKeyBytes(groupKey) {
    if (groupKey.length === ELEMENT_BYTES) return new Uint8Array(groupKey);
    throw new BzzzError('BAD_MESSAGE', `group key: not ${ELEMENT_BYTES} bytes`);
  },
  exportKey: (_groupKey, format) => {
    throw noStandardForm('ristretto255', format);
  },
});
