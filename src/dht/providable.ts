/**
 * What a provider record can name.
 * @module
 */
import { CID } from 'multiformats/cid';
import { BzzzError } from '../base/errors.ts';

const SHA2_256 = 0x12;
const DIGEST_BYTES = 32;
/** Text of a CIDv1 has 59 characters in base32; other bases are longer. */
const MAX_TEXT = 128;

/**
 * The CID behind `text`.
 * @throws BAD_MESSAGE: not a CID, or its hash is not SHA-256. Peers drop provider records of other
 * hashes without a word (kad-dht 16, rpc/handlers/add-provider.ts).
 */
export function providableCid(text: string): CID {
  const cid = text.length <= MAX_TEXT ? parse(text) : undefined;
  if (cid === undefined) {
    throw new BzzzError('BAD_MESSAGE', `not a CID: ${text.slice(0, MAX_TEXT)}`);
  }
  const { code, digest } = cid.multihash;
  if (code === SHA2_256 && digest.length === DIGEST_BYTES) return cid;
  throw new BzzzError('BAD_MESSAGE', `the hash of ${text} is not SHA-256`, {
    why: 'providers are found by SHA-256 only',
  });
}

function parse(text: string): CID | undefined {
  try {
    return CID.parse(text);
  } catch {
    return undefined;
  }
}
