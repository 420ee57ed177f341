/**
 * The one signed envelope: libp2p's (https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md).
 *
 * js-libp2p seals and opens asynchronously although Ed25519 in Node is synchronous. Pure machines
 * need the synchronous form, so the signed bytes are formed here as the RFC says, and the library's
 * class carries them; a test opens ours with the library and the reverse.
 * @module
 */
import type { Ed25519PrivateKey, PublicKey } from '@libp2p/interface';
import { RecordEnvelope } from '@libp2p/peer-record';
import type { PeerId } from './brands.ts';
import { equalBytes, utf8Bytes } from './bytes.ts';
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
  const peerId = peerIdOf(key.publicKey);
  return {
    peerId,
    seal(domain, payload) {
      const signature = key.sign(signedBytes(domain, payload));
      if (!(signature instanceof Uint8Array)) {
        throw new BzzzError('INTERNAL', 'the identity key signs asynchronously');
      }
      const { publicKey } = key;
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
  if (publicKey.verify(signedBytes(domain, payload), signature) !== true) {
    throw new BzzzError('BAD_MESSAGE', 'envelope signature is not valid for this domain');
  }
  return { signer: peerIdOf(publicKey), payload: new Uint8Array(payload) };
}

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
