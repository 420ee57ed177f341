/**
 * The one signed envelope: libp2p's (https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md).
 *
 * js-libp2p seals and opens asynchronously although Ed25519 in Node is synchronous. Pure machines
 * need the synchronous form, so the bytes are formed here as the RFC says; a test opens ours with
 * the library and the reverse.
 *
 * Every frame between hosts costs a signature and a verification, which is most of what a failover
 * or a signature takes. So keys are imported once (the library does it at each use, which doubles
 * or triples the time), and an envelope that was found valid is known again by its hash.
 * @module
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { publicKeyFromRaw } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { BoundedMap } from './bounded.ts';
import type { PeerId } from './brands.ts';
import { equalBytes, taggedHash, toHex, utf8Bytes, varintBytes } from './bytes.ts';
import { BzzzError } from './errors.ts';
import type { Signer } from './ports.ts';

/** Payload type of every envelope of this project; the domain tells the kinds apart. */
const PAYLOAD_TYPE = utf8Bytes('/bzzz/dag-cbor');

/** What an opened envelope proves: this peer signed this payload for this domain. */
export interface Opened {
  readonly signer: PeerId;
  readonly payload: Uint8Array;
}

/** Seals with `key`. */
export function createSigner(key: Ed25519PrivateKey): Signer {
  const { publicKey } = key;
  const peerId = publicKey.toString() as PeerId;
  const privateKey = importPrivateKey(key);
  return {
    peerId,
    seal(domain, payload) {
      const signature = new Uint8Array(sign(null, signedBytes(domain, payload), privateKey));
      const envelope = marshal({ publicKey: publicKey.raw, payload, signature });
      signers.set(nameOf(domain, envelope), peerId);
      return envelope;
    },
  };
}

/**
 * Verifies an envelope.
 * @throws BAD_MESSAGE: malformed, another payload type, not canonical, not signed for `domain`.
 */
export function openEnvelope(domain: string, bytes: Uint8Array): Opened {
  const parts = unmarshal(bytes);
  if (parts === undefined) {
    throw new BzzzError('BAD_MESSAGE', 'malformed envelope, not canonical, or of another kind');
  }
  return { signer: signerOf(domain, bytes, parts), payload: new Uint8Array(parts.payload) };
}

interface Parts {
  readonly publicKey: Uint8Array;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/** Field 1, a public key: type Ed25519 and 32 bytes. */
const KEY_HEAD = Uint8Array.of(0x0a, 36, 0x08, 0x01, 0x12, 32);
/** Field 2. */
const TYPE_FIELD = Uint8Array.of(0x12, PAYLOAD_TYPE.length, ...PAYLOAD_TYPE);
const PAYLOAD_TAG = 0x1a;
/** Field 5. */
const SIGNATURE_HEAD = Uint8Array.of(0x2a, 64);
const HEAD_BYTES = KEY_HEAD.length + 32 + TYPE_FIELD.length;

/** The canonical protobuf: fields in order, none twice, an empty one left out. */
function marshal({ publicKey, payload, signature }: Parts): Uint8Array {
  const { length } = payload;
  const field = length === 0 ? [] : [Uint8Array.of(PAYLOAD_TAG), varintBytes(length), payload];
  const parts = [KEY_HEAD, publicKey, TYPE_FIELD, ...field, SIGNATURE_HEAD, signature];
  return new Uint8Array(Buffer.concat(parts));
}

/**
 * Takes apart what `marshal` makes and nothing else, so one content has one envelope. By hand: the
 * library decodes, and to see that the bytes are canonical it would have to encode once more.
 */
function unmarshal(bytes: Uint8Array): Parts | undefined {
  const publicKey = bytes.subarray(KEY_HEAD.length, KEY_HEAD.length + 32);
  const signature = bytes.subarray(-64);
  const end = bytes.length - SIGNATURE_HEAD.length - 64;
  const parts = { publicKey, payload: bytes.subarray(payloadStart(bytes, end), end), signature };
  return equalBytes(marshal(parts), bytes) ? parts : undefined;
}

/** Behind tag and length, when the field is there. */
function payloadStart(bytes: Uint8Array, end: number): number {
  if (end <= HEAD_BYTES) return end;
  let at = HEAD_BYTES + 1;
  while (at < end && (bytes[at] ?? 0) >= 0x80) at++;
  return at + 1;
}

/** @throws BAD_MESSAGE: not signed for `domain`. */
function signerOf(domain: string, bytes: Uint8Array, parts: Parts): PeerId {
  const name = nameOf(domain, bytes);
  const known = signers.get(name);
  if (known !== undefined) return known;
  const { publicKey, payload, signature } = parts;
  const { key, peerId } = importKey(publicKey);
  if (!verify(null, signedBytes(domain, payload), key, signature)) {
    throw new BzzzError('BAD_MESSAGE', 'envelope signature is not valid for this domain');
  }
  signers.set(name, peerId);
  return peerId;
}

const nameOf = (domain: string, envelope: Uint8Array): string =>
  toHex(taggedHash(domain, envelope));

/** Who signed an envelope that was found valid or made here, by the hash of domain and envelope. */
const signers = new BoundedMap<string, PeerId>(4_096);
const keys = new BoundedMap<string, Imported>(1_024);

interface Imported {
  readonly key: KeyObject;
  readonly peerId: PeerId;
}

function importKey(raw: Uint8Array): Imported {
  const name = toHex(raw);
  const known = keys.get(name);
  if (known !== undefined) return known;
  const key = createPublicKey({ format: 'jwk', key: { ...JWK, x: base64url(raw) } });
  const imported = { key, peerId: publicKeyFromRaw(new Uint8Array(raw)).toString() as PeerId };
  keys.set(name, imported);
  return imported;
}

/** RFC 8037. libp2p's raw private key is the seed and the public key behind it. */
const JWK = { kty: 'OKP', crv: 'Ed25519' };

function importPrivateKey({ raw, publicKey }: Ed25519PrivateKey): KeyObject {
  const [d, x] = [base64url(raw.subarray(0, 32)), base64url(publicKey.raw)];
  return createPrivateKey({ format: 'jwk', key: { ...JWK, d, x } });
}

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

/** RFC 0002: domain, payload type and payload, each behind its length as an unsigned varint. */
function signedBytes(domain: string, payload: Uint8Array): Uint8Array {
  const parts = [utf8Bytes(domain), PAYLOAD_TYPE, payload];
  return new Uint8Array(Buffer.concat(parts.flatMap((part) => [varintBytes(part.length), part])));
}
