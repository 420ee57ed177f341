/**
 * One encrypted share: a data key of its own, wrapped by the key-encryption key (KEK), both bound
 * by additional authenticated data to what the share is. A record that is copied to another key,
 * epoch, party, state or cluster does not open there.
 *
 * AES-256-GCM (NIST SP 800-38D) from `node:crypto`. Every data key encrypts once, so its nonce can
 * never repeat; the KEK's nonces are random 96-bit numbers, few per key.
 *
 * What JavaScript cannot promise: buffers are overwritten after use, but the runtime may have
 * copied them before, when it collected garbage or grew a heap; nothing here is constant-time
 * beyond what OpenSSL does. The KEK itself stays in a `KeyObject`, outside the JavaScript heap.
 * @module
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { ClusterId, PeerId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Random } from '../../base/ports.ts';
import type { KeyShare } from '../types.ts';

/** Version of the record; it stands in the authenticated data. */
export const SHARE_SCHEMA = 1;
/** Bytes of the KEK and of data keys. */
export const KEY_BYTES = 32;

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';

/** What a share is; each field is authenticated. */
export interface ShareHeader {
  readonly clusterId: ClusterId;
  /** `pending` shares are named by their session, `active` ones by their key. */
  readonly state: 'pending' | 'active';
  /** Hex session id or key id. */
  readonly id: string;
  readonly epoch: number;
  readonly party: PeerId;
}

const recordSchema = z.strictObject({
  v: z.literal(SHARE_SCHEMA),
  epoch: field.uint,
  wrappedKey: field.bytes(NONCE_BYTES + KEY_BYTES + TAG_BYTES),
  body: field.bytesUpTo(LIMITS.recordBytes),
});

/** Overwrites bytes with zeros. */
export const wipe = (...buffers: readonly Uint8Array[]): void => {
  for (const buffer of buffers) buffer.fill(0);
};

/** A share of its own bytes: whoever gets it wipes it. */
export const copyShare = ({ index, signingShare }: KeyShare): KeyShare => ({
  index,
  signingShare: signingShare.slice(),
});

/** Moves key bytes out of the JavaScript heap and wipes them. */
export function takeKey(bytes: Uint8Array): KeyObject {
  const key = createSecretKey(bytes);
  wipe(bytes);
  return key;
}

const aad = (purpose: 'key' | 'body', header: ShareHeader): Uint8Array =>
  encode([
    'bzzz/share',
    SHARE_SCHEMA,
    purpose,
    header.clusterId,
    header.state,
    header.id,
    header.epoch,
    header.party,
  ]);

/** @returns nonce, ciphertext and tag in one piece. */
export function seal(
  key: KeyObject,
  plaintext: Uint8Array,
  bound: Uint8Array,
  random: Random,
): Uint8Array {
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound);
  const body = [cipher.update(plaintext), cipher.final()];
  return new Uint8Array(Buffer.concat([nonce, ...body, cipher.getAuthTag()]));
}

/** @returns undefined when key, bytes or bound data are not those of {@link seal}. */
export function open(
  key: KeyObject,
  sealed: Uint8Array,
  bound: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const nonce = sealed.subarray(0, NONCE_BYTES);
  const end = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(bound);
  decipher.setAuthTag(sealed.subarray(end));
  const first = decipher.update(sealed.subarray(NONCE_BYTES, end));
  try {
    const last = decipher.final();
    const whole = new Uint8Array(first.length + last.length);
    whole.set(first);
    whole.set(last, first.length);
    return whole;
  } catch {
    // Authentication failed; which of key, bytes or header was wrong cannot be told.
    return undefined;
  } finally {
    wipe(first);
  }
}

/** Encrypts a share. The caller wipes `plaintext`. */
export function sealShare(
  kek: KeyObject,
  header: ShareHeader,
  plaintext: Uint8Array,
  random: Random,
): Uint8Array {
  const dataKeyBytes = random.bytes(KEY_BYTES);
  const wrappedKey = seal(kek, dataKeyBytes, aad('key', header), random);
  const dataKey = takeKey(dataKeyBytes);
  const body = seal(dataKey, plaintext, aad('body', header), random);
  return encode({ v: SHARE_SCHEMA, epoch: header.epoch, wrappedKey, body });
}

/** The epoch that a record claims; {@link openShare} proves it. @throws SHARE_CORRUPT. */
export const claimedEpoch = (record: Uint8Array, what: string): number =>
  decodeRecord(record, what).epoch;

/**
 * Decrypts a share. The caller wipes what it gets.
 * @throws SHARE_CORRUPT naming the share: altered, or not of this header.
 */
export function openShare(kek: KeyObject, header: ShareHeader, record: Uint8Array): Uint8Array {
  const what = `${header.state} share ${header.id}`;
  const { wrappedKey, body } = decodeRecord(record, what);
  const dataKeyBytes = open(kek, wrappedKey, aad('key', header));
  if (dataKeyBytes === undefined) return corrupt(what, 'its data key does not open');
  const plaintext = open(takeKey(dataKeyBytes), body, aad('body', header));
  return plaintext ?? corrupt(what, 'its body does not open');
}

function decodeRecord(record: Uint8Array, what: string): z.infer<typeof recordSchema> {
  try {
    return decode(what, recordSchema, record, 2 * LIMITS.recordBytes);
  } catch (cause) {
    return corrupt(what, 'it is no share record', cause);
  }
}

function corrupt(what: string, why: string, cause?: unknown): never {
  throw new BzzzError('SHARE_CORRUPT', `${what} cannot be opened`, { why, cause });
}
