/**
 * Retirement: the signed word of somebody who may use a key, or has made it, that nobody shall use
 * it again. It names the certificate that it follows, cannot be taken back, and every holder that
 * hears of it refuses from then on. Shares stay until their own operators wipe them.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, PeerId } from '../../base/brands.ts';
import { equalBytes } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Signer } from '../../base/ports.ts';
import type { KeyInfo } from '../types.ts';

/** Bytes of a sealed statement. */
export const RETIREMENT_BYTES = 2_048;

const schema = z.strictObject({
  v: z.literal(1),
  keyId: field.hash<KeyId>(),
  keyEpoch: field.uint,
  /** Hash of the certificate of that epoch. */
  previous: field.bytes(32),
  /** The author's wall clock, for display only. */
  timeMs: field.uint,
});

/** A statement whose seal and author hold. */
export interface Retirement {
  readonly by: PeerId;
  readonly timeMs: number;
  readonly envelope: Uint8Array;
}

/** What of a known key a statement is held against. */
export interface RetirableKey {
  readonly key: KeyInfo;
  readonly hash: Uint8Array;
  readonly history: readonly KeyInfo[];
  /** Who proposed the key generation. */
  readonly creator: PeerId;
}

/** Signature domain of retirements in one cluster. */
export const retirementDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/key/retire/1`;

/** The key that a statement claims to be about; {@link openRetirement} proves it. */
export const claimedKey = (envelope: Uint8Array, clusterId: ClusterId): KeyId =>
  read(envelope, clusterId).payload.keyId;

/** Who may retire a key: its requesters, of any epoch, and its creator. */
export const mayRetire = ({ key, history, creator }: RetirableKey, peer: PeerId): boolean =>
  peer === creator || [key, ...history].some(({ requesters }) => requesters.includes(peer));

/** @throws REFUSED_BY_POLICY for somebody who may not. */
export function sealRetirement(
  known: RetirableKey,
  timeMs: number,
  clusterId: ClusterId,
  signer: Signer,
): Uint8Array {
  const { keyId, name, epoch } = known.key;
  if (!mayRetire(known, signer.peerId)) {
    throw new BzzzError('REFUSED_BY_POLICY', `${signer.peerId} may not retire key ${name}`, {
      hint: 'ask from a requester of the key, or from the host that made it',
      details: { rule: 'requester' },
    });
  }
  const said = { v: 1, keyId, keyEpoch: epoch, previous: known.hash, timeMs };
  return signer.seal(retirementDomain(clusterId), encode(said));
}

/** @throws BAD_MESSAGE: seal, form, another key or certificate, or an author who may not. */
export function openRetirement(
  envelope: Uint8Array,
  known: RetirableKey,
  clusterId: ClusterId,
): Retirement {
  const { signer, payload } = read(envelope, clusterId);
  const { keyId, epoch } = known.key;
  const fits =
    payload.keyId === keyId &&
    (payload.keyEpoch !== epoch || equalBytes(payload.previous, known.hash)) &&
    mayRetire(known, signer);
  if (!fits) throw new BzzzError('BAD_MESSAGE', `retirement of key ${keyId} by ${signer}`);
  return { by: signer, timeMs: payload.timeMs, envelope: new Uint8Array(envelope) };
}

function read(envelope: Uint8Array, clusterId: ClusterId) {
  if (envelope.length > RETIREMENT_BYTES) {
    throw new BzzzError('BAD_MESSAGE', `retirement: ${envelope.length} bytes`);
  }
  const { signer, payload } = openEnvelope(retirementDomain(clusterId), envelope);
  return { signer, payload: decode('retirement', schema, payload, RETIREMENT_BYTES) };
}

/** @throws REFUSED_BY_POLICY for a key that was retired. */
export function checkInUse({
  key,
  retirement,
}: {
  readonly key: KeyInfo;
  readonly retirement: Retirement | undefined;
}): void {
  if (retirement === undefined) return;
  throw new BzzzError('REFUSED_BY_POLICY', `key ${key.name} was retired by ${retirement.by}`, {
    why: `on ${new Date(retirement.timeMs).toISOString()}; this cannot be taken back`,
    hint: 'make a new key',
    details: { rule: 'retired', by: retirement.by },
  });
}
