/**
 * The text that brings a host to a key that waits for its parties: who waits, where, and for what.
 * It is no secret: it is worth something only in the hands of a member, whom Noise authenticates.
 *
 * ```
 * "bzzz-join1" base32( envelope of DAG-CBOR{v, clusterId, jti, name, suite, threshold, parties,
 *                                           ttlMs, addresses} )
 * ```
 * @module
 */
import { base32 } from 'multiformats/bases/base32';
import { z } from 'zod';
import type { ClusterId, PeerId } from '../../base/brands.ts';
import { fromHex, toBase32, toHex } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Signer } from '../../base/ports.ts';

const PREFIX = 'bzzz-join1';
/** The cluster stands inside and not in the domain, so that another cluster's token says so. */
const DOMAIN = 'bzzz/gathering/1';
const ADDRESS_BYTES = 256;
export const JTI_BYTES = 16;
/** Longest text of a token. */
export const GATHERING_TEXT = 6_000;

const tokenSchema = z.strictObject({
  v: z.literal(1),
  clusterId: field.bytes(32),
  /** Names the gathering; drawn by its proposer. */
  jti: field.bytes(JTI_BYTES),
  name: field.text(LIMITS.nameBytes),
  suite: field.text(32),
  threshold: z.int().min(2).max(LIMITS.parties),
  parties: z.int().min(2).max(LIMITS.parties),
  /** How long the proposer waits, from when it signed this. */
  ttlMs: z.int().min(1).max(LIMITS.sessionTtlMs),
  addresses: z.array(field.text(ADDRESS_BYTES)).max(LIMITS.invitationAddresses).readonly(),
});

type Signed = Readonly<z.infer<typeof tokenSchema>>;

/** What a token says. */
export interface GatheringToken extends Omit<Signed, 'v' | 'clusterId'> {
  /** Who signed it, and waits. */
  readonly proposer: PeerId;
}

/** Signs a token. @returns its text. */
export function sealGatheringToken(
  clusterId: ClusterId,
  { addresses, ...token }: Omit<GatheringToken, 'proposer'>,
  signer: Signer,
): string {
  const usable = addresses.filter((addr) => addr.length <= ADDRESS_BYTES);
  const signed: Signed = {
    ...{ v: 1, clusterId: new Uint8Array(fromHex(clusterId) ?? []), ...token },
    addresses: usable.slice(0, LIMITS.invitationAddresses),
  };
  return PREFIX + toBase32(signer.seal(DOMAIN, encode(signed)));
}

/**
 * Reads what an operator pasted; blanks and line breaks inside are forgiven.
 * @throws BAD_MESSAGE: no token, cut off or altered; UNAUTHORISED: of another cluster.
 */
export function openGatheringToken(text: string, clusterId: ClusterId): GatheringToken {
  const { signer, payload } = openEnvelope(DOMAIN, unwrap(text));
  const signed = decode('join token', tokenSchema, payload, GATHERING_TEXT);
  const { v: _v, clusterId: cluster, ...token } = signed;
  if (toHex(cluster) !== clusterId) {
    throw new BzzzError('UNAUTHORISED', 'the token is of another cluster', {
      why: `it is for ${toHex(cluster)}, and this host belongs to ${clusterId}`,
      hint: 'run the command on a host of the cluster that waits',
    });
  }
  return { ...token, proposer: signer };
}

function unwrap(text: string): Uint8Array {
  const packed = text.replace(/\s+/g, '').toLowerCase();
  if (!packed.startsWith(PREFIX)) throw noToken(`it does not begin with ${PREFIX}`);
  if (packed.length > GATHERING_TEXT) throw noToken('it is too long');
  const body = packed.slice(PREFIX.length);
  try {
    const bytes = base32.baseDecode(body);
    if (toBase32(bytes) === body) return bytes;
  } catch {
    // What the library says of the letter does not help whoever pasted the text.
  }
  throw noToken('it is cut off or was altered');
}

const noToken = (why: string): BzzzError =>
  new BzzzError('BAD_MESSAGE', 'this is not a valid join token', {
    why,
    hint: 'copy the whole text that `bzzz key create` printed',
  });
