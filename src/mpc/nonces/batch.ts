/**
 * How commitments travel ahead of the signatures: a driver asks, a holder answers with a signed
 * batch. One seal a batch; the direct stream says who asks.
 *
 * | frame | from   | body                                                             |
 * | ----- | ------ | ---------------------------------------------------------------- |
 * | ask   | driver | key, epoch, the driver's run, how many                           |
 * | batch | holder | sealed: key, epoch, driver, the holder's run, first number, pairs |
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, PeerId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { type Opened, openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Signer } from '../../base/ports.ts';
import { NONCE_LIMITS } from './types.ts';

/** Signature domain of batches of one cluster. */
export const nonceDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/mpc/nonces/1`;

const ASK_BYTES = 1_024;
const BATCH_BYTES = 32_768;

const lane = { v: z.literal(1), keyId: field.hash<KeyId>(), epoch: field.uint };
/** Of any suite. */
const point = field.bytesUpTo(64);

const askSchema = z.strictObject({
  ...lane,
  driverBoot: field.uint,
  count: z.int().min(1).max(NONCE_LIMITS.batchPairs),
});
/** A driver's wish. */
export type NonceAsk = Readonly<z.infer<typeof askSchema>>;

const batchSchema = z.strictObject({
  ...lane,
  driver: field.peerId,
  holderBoot: field.uint,
  /** Number of the first pair; the others follow without a gap. */
  first: z.int().min(1),
  pairs: z
    .array(z.strictObject({ hiding: point, binding: point }))
    .min(1)
    .max(NONCE_LIMITS.batchPairs)
    .readonly(),
});
/** A holder's answer. */
export type NonceBatch = Readonly<z.infer<typeof batchSchema>>;

/** Encodes a wish. */
export const writeAsk = (ask: Omit<NonceAsk, 'v'>): Uint8Array => encode({ v: 1, ...ask });

/** @throws BAD_MESSAGE. */
export const readAsk = (bytes: Uint8Array): NonceAsk =>
  decode('request for nonce commitments', askSchema, bytes, ASK_BYTES);

/** Signs a batch as its holder. */
export const sealBatch = (
  batch: Omit<NonceBatch, 'v'>,
  clusterId: ClusterId,
  signer: Signer,
): Uint8Array => signer.seal(nonceDomain(clusterId), encode({ v: 1, ...batch }));

/**
 * Opens a batch that `holder` made for `driver`. Its points are not checked here.
 * @throws BAD_MESSAGE: size, seal, form, another holder or driver.
 */
export function openBatch(
  envelope: Uint8Array,
  { clusterId, holder, driver }: { clusterId: ClusterId; holder: PeerId; driver: PeerId },
  open: (domain: string, envelope: Uint8Array) => Opened = openEnvelope,
): NonceBatch {
  if (envelope.length > BATCH_BYTES) {
    throw new BzzzError('BAD_MESSAGE', `nonce commitments: ${envelope.length} bytes`);
  }
  const { signer, payload } = open(nonceDomain(clusterId), envelope);
  const batch = decode('nonce commitments', batchSchema, payload, BATCH_BYTES);
  if (signer !== holder || batch.driver !== driver) {
    throw new BzzzError('BAD_MESSAGE', `nonce commitments of ${signer} for ${batch.driver}`);
  }
  return batch;
}
