/**
 * An invitation as one string: all that another host needs to join.
 *
 * ```
 * "bzzz1" base32( DAG-CBOR{v, genesis, token, secret, checkpoint, addresses} || checksum )
 * ```
 * Base32 and not base64url: a double click selects all of it, and case does not matter. The
 * checksum (first 4 bytes of a tagged SHA-256) tells a damaged string from a foreign one.
 * @module
 */
import { multiaddr } from '@multiformats/multiaddr';
import { base32 } from 'multiformats/bases/base32';
import { z } from 'zod';
import type { PeerId } from '../base/brands.ts';
import { equalBytes, taggedHash, toBase32 } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Checkpoint } from './chain.ts';
import { rosterField } from './fields.ts';
import { decodeGenesis, type Genesis } from './genesis.ts';
import { openToken, publicKeyOf, type Token } from './token.ts';

/** Everything that the string says, checked for consistency. */
export interface Invitation {
  readonly genesis: Genesis;
  readonly token: Token;
  readonly issuer: PeerId;
  /** The issuer's envelope around `token`, as it goes into the join request. */
  readonly sealedToken: Uint8Array;
  /** Ed25519 seed, 32 bytes. Whoever has it can use the invitation: never logged. */
  readonly secret: Uint8Array;
  /** Where the issuer's chain stood; a joining host accepts no chain without it. */
  readonly checkpoint: Checkpoint;
  /** Multiaddrs of the inviting host, best first. */
  readonly addresses: readonly string[];
}

const PREFIX = 'bzzz1';
const CHECKSUM_BYTES = 4;
const ADDRESS_BYTES = 256;

const invitationSchema = z.strictObject({
  v: z.literal(1),
  genesis: field.bytesUpTo(LIMITS.genesisBytes),
  token: field.bytesUpTo(LIMITS.invitationBytes),
  secret: field.bytes(32),
  checkpoint: z.strictObject({ epoch: field.epoch, head: rosterField.hash }),
  addresses: z.array(field.bytesUpTo(ADDRESS_BYTES)).max(LIMITS.invitationAddresses),
});

const checksum = (bytes: Uint8Array): Uint8Array =>
  taggedHash('bzzz/invitation-checksum/1', bytes).subarray(0, CHECKSUM_BYTES);

/**
 * @param addresses multiaddrs, best first; those beyond {@link LIMITS.invitationAddresses} and
 * repetitions are left out.
 * @throws BAD_USAGE: an address that is none.
 */
export function encodeInvitation(
  parts: Pick<Invitation, 'genesis' | 'sealedToken' | 'secret' | 'checkpoint' | 'addresses'>,
): string {
  const addresses = [...new Set(parts.addresses)].slice(0, LIMITS.invitationAddresses);
  const bytes = encode({
    v: 1,
    genesis: parts.genesis.bytes,
    token: parts.sealedToken,
    secret: parts.secret,
    checkpoint: parts.checkpoint,
    addresses: addresses.map(addressBytes),
  });
  return PREFIX + toBase32(Buffer.concat([bytes, checksum(bytes)]));
}

function addressBytes(address: string): Uint8Array {
  try {
    const { bytes } = multiaddr(address);
    if (bytes.length <= ADDRESS_BYTES) return bytes;
  } catch {
    // the library's reason says no more than the address itself
  }
  throw new BzzzError('BAD_USAGE', `"${address}" is not an address to invite to`, {
    hint: 'correct BZZZ_ANNOUNCE_ADDRS or BZZZ_LISTEN, e.g. /ip4/192.168.1.10/tcp/4750',
  });
}

/**
 * Reads what an operator pasted; blanks and line breaks inside are forgiven.
 * @throws INVALID_INVITATION naming what is wrong with it. Never repeats the secret.
 */
export function parseInvitation(text: string): Invitation {
  const bytes = unwrap(text);
  try {
    return readInvitation(bytes);
  } catch (thrown) {
    const { message } = toBzzzError(thrown, 'INVALID_INVITATION');
    throw invalid(message);
  }
}

/** @returns the DAG-CBOR inside the string. */
function unwrap(text: string): Uint8Array {
  const packed = text.replace(/\s+/g, '').toLowerCase();
  if (packed === '') throw invalid('it is empty');
  if (!packed.startsWith(PREFIX)) throw invalid(`it does not begin with ${PREFIX}`);
  const body = packed.slice(PREFIX.length);
  // 8 characters of base32 carry 5 bytes.
  if (body.length > Math.ceil(((LIMITS.invitationBytes + CHECKSUM_BYTES) * 8) / 5)) {
    throw invalid('it is too long');
  }
  const stranger = /[^a-z2-7]/.exec(body)?.[0];
  if (stranger !== undefined) throw invalid(`it contains ${JSON.stringify(stranger)}`);
  let all: Uint8Array;
  try {
    all = base32.baseDecode(body);
  } catch {
    throw invalid('it is cut off'); // a length that no bytes encode to
  }
  const bytes = all.subarray(0, -CHECKSUM_BYTES);
  const damaged =
    all.length <= CHECKSUM_BYTES ||
    toBase32(all) !== body ||
    !equalBytes(all.subarray(-CHECKSUM_BYTES), checksum(bytes));
  if (damaged) throw invalid('it is cut off or was altered: the checksum does not match');
  return bytes;
}

function readInvitation(bytes: Uint8Array): Invitation {
  const parts = decode('invitation', invitationSchema, bytes, LIMITS.invitationBytes);
  const genesis = decodeGenesis(parts.genesis);
  const { token, issuer } = openToken(genesis.clusterId, parts.token);
  if (!equalBytes(publicKeyOf(parts.secret), token.publicKey)) {
    throw new BzzzError('INVALID_INVITATION', 'its secret is not the one its token names');
  }
  const { checkpoint, secret } = parts;
  const addresses = parts.addresses.map((address) => multiaddr(address).toString());
  return { genesis, token, issuer, sealedToken: parts.token, secret, checkpoint, addresses };
}

const invalid = (why: string): BzzzError =>
  new BzzzError('INVALID_INVITATION', 'this is not a valid invitation', { why });
