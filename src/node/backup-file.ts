/**
 * The backup of a node as one encrypted file: who it is, which shares it holds, and what proves
 * them. What it must never hold, it has no place for: nonces live in memory only, and votes are not
 * taken along, because a node that forgot some must not act as if it remembered all.
 *
 * ```
 * file  = DAG-CBOR {v, magic, kdf, body}
 * kdf   = argon2id, as for the shares (RFC 9106)
 * body  = AES-256-GCM of DAG-CBOR contents; v, magic and kdf are its authenticated data
 * ```
 * @module
 */
import { z } from 'zod';
import type { ClusterId } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Random } from '../base/ports.ts';
import { deriveKek, KDF, type KdfParameters } from '../mpc/keys/kdf.ts';
import { open, seal, takeKey, wipe } from '../mpc/keys/sharefile.ts';

const MAGIC = 'bzzz backup';
const VERSION = 1;

const bytes = (max: number): z.ZodType<Uint8Array> => field.bytesUpTo(max);

const row = z.tuple([z.string().max(1_024), bytes(2 * LIMITS.recordBytes)]);

const contentsSchema = z.strictObject({
  /** Wall clock of the node that made it, for people. */
  createdAtMs: field.uint,
  self: field.peerId,
  clusterId: field.hash<ClusterId>(),
  clusterName: field.text(LIMITS.nameBytes),
  /** The run that made it. */
  boot: field.uint,
  /** Protobuf of the identity key. */
  identity: bytes(128),
  genesis: bytes(LIMITS.genesisBytes),
  /** Rows of the embedded store, by namespace. */
  tables: z.array(z.strictObject({ name: z.string().max(64), rows: z.array(row) })).max(16),
  shares: z
    .array(
      z.strictObject({
        state: z.enum(['active', 'pending']),
        /** Hex key id, or session id of one that is pending. */
        id: z.string().regex(/^[0-9a-f]{64}$/),
        epoch: field.uint,
        index: z.int().min(1).max(LIMITS.parties),
        signingShare: bytes(64),
        attached: bytes(LIMITS.recordBytes),
      }),
    )
    .max(2 * LIMITS.keys),
});

/** Everything in a backup. It holds secrets: its owner calls {@link wipeContents}. */
export type BackupContents = Readonly<z.infer<typeof contentsSchema>>;

const fileSchema = z.strictObject({
  v: z.literal(VERSION),
  magic: z.literal(MAGIC),
  kdf: z.strictObject({
    name: z.literal('argon2id'),
    salt: field.bytes(16),
    // An altered file must not make the reader work for hours.
    memoryKiB: z.int().min(KDF.memoryKiB).max(1_048_576),
    passes: z.int().min(KDF.passes).max(16),
  }),
  body: field.bytesUpTo(LIMITS.backupBytes),
});

const bound = ({ name, salt, memoryKiB, passes }: KdfParameters): Uint8Array =>
  encode([MAGIC, VERSION, name, salt, memoryKiB, passes]);

const WEAK_BYTES = 8;

/**
 * Encrypts a backup under a passphrase, which the caller wipes; about half a second.
 * @throws BAD_REQUEST for a passphrase under 8 bytes; TOO_LARGE.
 */
export async function sealBackup(
  contents: BackupContents,
  passphrase: Uint8Array,
  random: Random,
): Promise<Uint8Array> {
  if (passphrase.length < WEAK_BYTES) {
    throw new BzzzError('BAD_REQUEST', `a passphrase of ${passphrase.length} bytes`, {
      why: 'whoever has the file may try as many as they like',
      hint: `use ${WEAK_BYTES} bytes at least; better five random words`,
    });
  }
  const kdf: KdfParameters = { ...KDF, salt: new Uint8Array(random.bytes(16)) };
  const plain = encode(contents);
  try {
    if (plain.length > LIMITS.backupBytes - 64) {
      throw new BzzzError('TOO_LARGE', `a backup of ${plain.length} bytes`);
    }
    const key = takeKey(await deriveKek(passphrase, kdf));
    return encode({ v: VERSION, magic: MAGIC, kdf, body: seal(key, plain, bound(kdf), random) });
  } finally {
    wipe(plain);
  }
}

/**
 * Opens a backup.
 * @throws BAD_MESSAGE: no backup, or of a version that is not known; WRONG_PASSPHRASE, also for a
 * file that was altered: the two cannot be told apart.
 */
export async function openBackup(
  bytes: Uint8Array,
  passphrase: Uint8Array,
): Promise<BackupContents> {
  const { kdf, body } = decode('backup', fileSchema, bytes, LIMITS.backupBytes + 1_024);
  const plain = open(takeKey(await deriveKek(passphrase, kdf)), body, bound(kdf));
  if (plain === undefined) {
    throw new BzzzError('WRONG_PASSPHRASE', 'the passphrase does not open this backup', {
      why: 'or the file was altered',
    });
  }
  try {
    return decode('backup contents', contentsSchema, plain, LIMITS.backupBytes);
  } finally {
    wipe(plain);
  }
}

/** Overwrites the secrets of a backup. */
export const wipeContents = ({ identity, shares }: BackupContents): void =>
  wipe(identity, ...shares.map(({ signingShare }) => signingShare));

/** Who a backup is of, for people. */
export interface BackupSummary {
  readonly peerId: string;
  readonly cluster: string;
  readonly createdAt: string;
  /** Shares of keys in it. */
  readonly shares: number;
}

/** @see BackupSummary */
export const summaryOf = (contents: BackupContents): BackupSummary => ({
  peerId: contents.self,
  cluster: contents.clusterName,
  createdAt: new Date(contents.createdAtMs).toISOString(),
  shares: contents.shares.length,
});
