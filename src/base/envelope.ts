/**
 * The one signed envelope: libp2p's (https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md).
 *
 * js-libp2p seals and opens asynchronously although Ed25519 in Node is synchronous. Pure machines
 * need the synchronous form, so the signed bytes are formed here as the RFC says, and the library's
 * class carries them; a test opens ours with the library and the reverse.
 *
 * Every frame between hosts costs a signature and a verification, which is most of what a failover
 * or a signature takes. So keys are imported once (the library does it at each use, which doubles
 * or triples the time), and an envelope that was found valid is known again by its hash.
 * @module
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { Ed25519PrivateKey, PublicKey } from '@libp2p/interface';
import { RecordEnvelope } from '@libp2p/peer-record';
import { BoundedMap } from './bounded.ts';
import type { PeerId } from './brands.ts';
import { equalBytes, taggedHash, toHex, utf8Bytes } from './bytes.ts';
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
  const peerId = peerIdOf(publicKey);
  const privateKey = importPrivateKey(key);
  return {
    peerId,
    seal(domain, payload) {
      const signature = new Uint8Array(sign(null, signedBytes(domain, payload), privateKey));
      return new RecordEnvelope({
        publicKey,
        payloadType: PAYLOAD_TYPE,
        payload,
        signature,
      }).marshal();
    },
  };
}

/**
 * Verifies an envelope.
 * @throws BAD_MESSAGE: malformed, another payload type, not canonical, not signed for `domain`.
 */
export function openEnvelope(domain: string, bytes: Uint8Array): Opened {
  let envelope: RecordEnvelope;
  try {
    envelope = RecordEnvelope.createFromProtobuf(bytes);
  } catch (cause) {
    throw new BzzzError('BAD_MESSAGE', 'malformed envelope', { cause });
  }
  const { publicKey, payload, signature } = envelope;
  if (publicKey.type !== 'Ed25519' || !equalBytes(envelope.payloadType, PAYLOAD_TYPE)) {
    throw new BzzzError('BAD_MESSAGE', 'envelope of another kind');
  }
  const canonical = new RecordEnvelope({
    publicKey,
    payloadType: PAYLOAD_TYPE,
    payload,
    signature,
  });
  if (!equalBytes(canonical.marshal(), bytes)) {
    throw new BzzzError('BAD_MESSAGE', 'envelope is not canonical');
  }
  return { signer: signerOf(domain, bytes, envelope), payload: new Uint8Array(payload) };
}

/** @throws BAD_MESSAGE: not signed for `domain`. */
function signerOf(domain: string, bytes: Uint8Array, envelope: RecordEnvelope): PeerId {
  const id = toHex(taggedHash(domain, bytes));
  const known = signers.get(id);
  if (known !== undefined) return known;
  const { publicKey, payload, signature } = envelope;
  const signer = peerIdOf(publicKey);
  if (!verify(null, signedBytes(domain, payload), importKey(signer, publicKey), signature)) {
    throw new BzzzError('BAD_MESSAGE', 'envelope signature is not valid for this domain');
  }
  signers.set(id, signer);
  return signer;
}

/** Who signed an envelope that was found valid, by the hash of domain and envelope. */
const signers = new BoundedMap<string, PeerId>(4_096);
const keys = new BoundedMap<PeerId, KeyObject>(1_024);

function importKey(peer: PeerId, { raw }: PublicKey): KeyObject {
  const known = keys.get(peer);
  if (known !== undefined) return known;
  const key = createPublicKey({ format: 'jwk', key: { ...JWK, x: base64url(raw) } });
  keys.set(peer, key);
  return key;
}

/** RFC 8037. libp2p's raw private key is the seed and the public key behind it. */
const JWK = { kty: 'OKP', crv: 'Ed25519' };

function importPrivateKey({ raw, publicKey }: Ed25519PrivateKey): KeyObject {
  const [d, x] = [base64url(raw.subarray(0, 32)), base64url(publicKey.raw)];
  return createPrivateKey({ format: 'jwk', key: { ...JWK, d, x } });
}

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

const peerIdOf = (key: PublicKey): PeerId => key.toString() as PeerId;

/** RFC 0002: domain, payload type and payload, each behind its length as an unsigned varint. */
function signedBytes(domain: string, payload: Uint8Array): Uint8Array {
  const parts = [utf8Bytes(domain), PAYLOAD_TYPE, payload];
  return new Uint8Array(Buffer.concat(parts.flatMap((part) => [varint(part.length), part])));
}

/** Unsigned LEB128 (https://github.com/multiformats/unsigned-varint). */
function varint(n: number): Uint8Array {
  const bytes: number[] = [];
  let rest = n;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
