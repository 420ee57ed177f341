/**
 * Stands in for `src/base/envelope.ts` in the simulator, under the same names; see hooks.ts. A seal
 * is a hash, so nothing is secret; but it binds author, domain and payload as a signature does, and
 * nobody in the simulator makes one for another.
 */
import type { Ed25519PrivateKey } from '@libp2p/interface';
import type { PeerId } from '../../../src/base/brands.ts';
import { equalBytes, taggedHash, utf8Bytes } from '../../../src/base/bytes.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import type { Signer } from '../../../src/base/ports.ts';

export interface Opened {
  readonly signer: PeerId;
  readonly payload: Uint8Array;
}

const TAG = 32;

const tagOf = (author: Uint8Array, domain: string, payload: Uint8Array): Uint8Array =>
  taggedHash('toy seal', author, utf8Bytes(domain), payload);

export function createSigner({ publicKey }: Ed25519PrivateKey): Signer {
  const peerId = publicKey.toString() as PeerId;
  const author = utf8Bytes(peerId);
  return {
    peerId,
    seal(domain, payload) {
      const tag = tagOf(author, domain, payload);
      const size = Uint8Array.of(author.length);
      const bytes = new Uint8Array(Buffer.concat([size, author, tag, payload]));
      remember(nameOf(domain, bytes), peerId);
      return bytes;
    },
  };
}

/** Who sealed what; every envelope is opened by several hosts, and once is enough to check. */
const sealed = new Map<string, PeerId>();

function remember(name: string, author: PeerId): void {
  if (sealed.size > 4_096) sealed.clear();
  sealed.set(name, author);
}

const nameOf = (domain: string, bytes: Uint8Array): string =>
  domain + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

export function openEnvelope(domain: string, bytes: Uint8Array): Opened {
  const end = 1 + (bytes[0] ?? 0);
  if (bytes.length < end + TAG) throw new BzzzError('BAD_MESSAGE', 'malformed toy envelope');
  const payload = bytes.slice(end + TAG);
  const name = nameOf(domain, bytes);
  const known = sealed.get(name);
  if (known !== undefined) return { signer: known, payload };
  const author = bytes.subarray(1, end);
  if (!equalBytes(bytes.subarray(end, end + TAG), tagOf(author, domain, payload))) {
    throw new BzzzError('BAD_MESSAGE', 'toy envelope is not sealed for this domain');
  }
  const signer = Buffer.from(author).toString() as PeerId;
  remember(name, signer);
  return { signer, payload };
}
