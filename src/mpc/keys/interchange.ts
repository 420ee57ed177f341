/**
 * Key packages as the Zcash Foundation's FROST library keeps them, in and out: JSON with hex
 * strings, and its binary form, which is postcard (https://postcard.jamesmunns.com/wire-format):
 * fields in order, fixed arrays as they are, lengths and numbers as varints.
 *
 * ```
 * header          version 0, CRC-32 of the ciphersuite's name (big-endian)          5 bytes
 * PublicKeyPackage header, n, n x (identifier, verifying share), verifying key, Option(min signers)
 * KeyPackage       header, identifier, signing share, verifying share, verifying key, min signers
 * ```
 *
 * An identifier is the index of a party as a scalar. Form only: whether a share belongs to a key,
 * {@link checkKeyPackage} says. Source: frost-core 2, `keys.rs` and `serialization.rs`.
 * @module
 */
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { equalBytes, fromHex, toHex, utf8Bytes, varintBytes } from '../../base/bytes.ts';
import { check } from '../../base/codec.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Suite } from '../suites/types.ts';
import type { SuiteName } from '../types.ts';

/** The public half of a key, for everybody. */
export interface PublicKeyPackage {
  readonly suite: SuiteName;
  /** By party index. */
  readonly verifyingShares: ReadonlyMap<number, Uint8Array>;
  /** The group key. */
  readonly verifyingKey: Uint8Array;
  /** The threshold; files of before frost-core 2.2 do not have it. */
  readonly minSigners?: number;
}

/** What one party holds. `signingShare` is a secret; whoever has it wipes it. */
export interface KeyPackage {
  readonly suite: SuiteName;
  readonly index: number;
  readonly signingShare: Uint8Array;
  readonly verifyingShare: Uint8Array;
  readonly verifyingKey: Uint8Array;
  readonly minSigners: number;
}

interface Form {
  /** `Ciphersuite::ID`. */
  readonly name: string;
  /** Byte order of scalars. */
  readonly little: boolean;
  readonly pointBytes: number;
}

const FORMS: Readonly<Record<SuiteName, Form>> = {
  ed25519: { name: 'FROST-ED25519-SHA512-v1', little: true, pointBytes: 32 },
  'secp256k1-tr': { name: 'FROST-secp256k1-SHA256-TR-v1', little: false, pointBytes: 33 },
  secp256k1: { name: 'FROST-secp256k1-SHA256-v1', little: false, pointBytes: 33 },
  p256: { name: 'FROST-P256-SHA256-v1', little: false, pointBytes: 33 },
  ristretto255: { name: 'FROST-RISTRETTO255-SHA512-v1', little: true, pointBytes: 32 },
};
const SUITE_NAMES = Object.keys(FORMS) as SuiteName[];

const WHAT = 'key package';
const VERSION = 0;
const SCALAR_BYTES = 32;

const bad = (message: string): BzzzError =>
  new BzzzError('BAD_MESSAGE', `${WHAT}: ${message}`, {
    hint: 'a file of the Zcash Foundation FROST library, JSON or binary, is expected',
  });

// -- JSON

const hexOf = (length: number) =>
  z.string().transform((text, context) => {
    const bytes = fromHex(text);
    if (bytes?.length === length) return bytes;
    context.addIssue({ code: 'custom', message: `expected ${length} bytes in hex` });
    return z.NEVER;
  });
const header = z.strictObject({ version: z.literal(VERSION), ciphersuite: z.string() });
const minSigners = z.int().min(2).max(LIMITS.parties);
const headed = z.looseObject({ header });

/** Indented, with a line feed at the end. */
export function publicToJson(pack: PublicKeyPackage): string {
  const { suite, verifyingShares, verifyingKey } = pack;
  const shares = [...verifyingShares].map(([index, share]): [string, string] => [
    toHex(identifierOf(suite, index)),
    toHex(share),
  ]);
  return document({
    header: { version: VERSION, ciphersuite: FORMS[suite].name },
    verifying_shares: Object.fromEntries(shares),
    verifying_key: toHex(verifyingKey),
    ...(pack.minSigners === undefined ? {} : { min_signers: pack.minSigners }),
  });
}

/** @throws BAD_MESSAGE, naming the field; UNSUPPORTED_SUITE. */
export function publicFromJson(text: string): PublicKeyPackage {
  const raw = parsed(text);
  const suite = suiteNamed(check(WHAT, headed, raw).header.ciphersuite);
  const point = hexOf(FORMS[suite].pointBytes);
  const schema = z.strictObject({
    header,
    verifying_shares: z.record(z.string(), point),
    verifying_key: point,
    min_signers: minSigners.exactOptional(),
  });
  const { verifying_shares, verifying_key, min_signers } = check(WHAT, schema, raw);
  const shares = Object.entries(verifying_shares).map(([identifier, share]) => {
    const bytes = check(`${WHAT}: identifier`, hexOf(SCALAR_BYTES), identifier);
    return [indexOf(suite, bytes), share] as const;
  });
  return publicPackage(suite, shares, verifying_key, min_signers);
}

/** As `publicToJson`; the text holds the secret. */
export function keyToJson(pack: KeyPackage): string {
  const { suite, index, signingShare, verifyingShare, verifyingKey } = pack;
  return document({
    header: { version: VERSION, ciphersuite: FORMS[suite].name },
    identifier: toHex(identifierOf(suite, index)),
    signing_share: toHex(signingShare),
    verifying_share: toHex(verifyingShare),
    verifying_key: toHex(verifyingKey),
    min_signers: pack.minSigners,
  });
}

/** @throws BAD_MESSAGE, naming the field; UNSUPPORTED_SUITE. */
export function keyFromJson(text: string): KeyPackage {
  const raw = parsed(text);
  const suite = suiteNamed(check(WHAT, headed, raw).header.ciphersuite);
  const point = hexOf(FORMS[suite].pointBytes);
  const scalar = hexOf(SCALAR_BYTES);
  const schema = z.strictObject({
    ...{ header, identifier: scalar, signing_share: scalar },
    ...{ verifying_share: point, verifying_key: point, min_signers: minSigners },
  });
  const pack = check(WHAT, schema, raw);
  return {
    suite,
    index: indexOf(suite, pack.identifier),
    signingShare: pack.signing_share,
    verifyingShare: pack.verifying_share,
    verifyingKey: pack.verifying_key,
    minSigners: pack.min_signers,
  };
}

const document = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw bad('neither JSON nor the binary form');
  }
}

function suiteNamed(name: string): SuiteName {
  const found = SUITE_NAMES.find((suite) => FORMS[suite].name === name);
  if (found !== undefined) return found;
  throw new BzzzError('UNSUPPORTED_SUITE', `key package: ciphersuite ${JSON.stringify(name)}`);
}

// -- binary

/** The binary form. */
export function publicToBytes(pack: PublicKeyPackage): Uint8Array {
  const { suite, verifyingShares, verifyingKey, minSigners: least } = pack;
  const rows = [...verifyingShares]
    .map(([index, share]) => ({ identifier: identifierOf(suite, index), share }))
    // A map is written in the order of its scalars.
    .sort((a, b) => indexOf(suite, a.identifier) - indexOf(suite, b.identifier));
  return joined([
    headerOf(suite),
    varintBytes(rows.length),
    ...rows.flatMap(({ identifier, share }) => [identifier, share]),
    verifyingKey,
    ...(least === undefined ? [] : [Uint8Array.of(1), varintBytes(least)]),
  ]);
}

/** @throws BAD_MESSAGE; UNSUPPORTED_SUITE. */
export function publicFromBytes(bytes: Uint8Array): PublicKeyPackage {
  const reader = new Reader(bytes);
  const suite = reader.header();
  const { pointBytes } = FORMS[suite];
  const count = reader.number('number of shares', LIMITS.parties);
  const shares = Array.from({ length: count }, () => {
    const index = indexOf(suite, reader.take(SCALAR_BYTES, 'identifier'));
    return [index, reader.take(pointBytes, 'verifying share')] as const;
  });
  const key = reader.take(pointBytes, 'verifying key');
  const least = reader.isAtEnd ? undefined : reader.optional('minimum of signers', LIMITS.parties);
  reader.end();
  return publicPackage(suite, shares, key, least);
}

/** The binary form, with the secret. */
export function keyToBytes(pack: KeyPackage): Uint8Array {
  const { suite, index, signingShare, verifyingShare, verifyingKey } = pack;
  const identifier = identifierOf(suite, index);
  const parts = [headerOf(suite), identifier, signingShare, verifyingShare, verifyingKey];
  return joined([...parts, varintBytes(pack.minSigners)]);
}

/** @throws BAD_MESSAGE; UNSUPPORTED_SUITE. */
export function keyFromBytes(bytes: Uint8Array): KeyPackage {
  const reader = new Reader(bytes);
  const suite = reader.header();
  const { pointBytes } = FORMS[suite];
  const pack: KeyPackage = {
    suite,
    index: indexOf(suite, reader.take(SCALAR_BYTES, 'identifier')),
    signingShare: reader.take(SCALAR_BYTES, 'signing share'),
    verifyingShare: reader.take(pointBytes, 'verifying share'),
    verifyingKey: reader.take(pointBytes, 'verifying key'),
    minSigners: reader.number('minimum of signers', LIMITS.parties),
  };
  reader.end();
  return pack;
}

const joined = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

function headerOf(suite: SuiteName): Uint8Array {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(VERSION);
  bytes.writeUInt32BE(crc32(utf8Bytes(FORMS[suite].name)), 1);
  return bytes;
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  header(): SuiteName {
    const found = this.take(5, 'header');
    const suite = SUITE_NAMES.find((name) => equalBytes(headerOf(name), found));
    if (suite !== undefined) return suite;
    if (found[0] !== VERSION) throw bad(`version ${found[0]}, only ${VERSION} is known`);
    const id = toHex(found.subarray(1));
    throw new BzzzError('UNSUPPORTED_SUITE', `key package: ciphersuite with the id ${id}`);
  }

  take(length: number, what: string): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw bad(`it ends within the ${what}`);
    const part = this.#bytes.slice(this.#at, end);
    this.#at = end;
    return part;
  }

  number(what: string, atMost: number): number {
    let value = 0;
    for (let shift = 0; shift <= 14; shift += 7) {
      const [byte = 0] = this.take(1, what);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value > atMost || (byte === 0 && shift > 0)) break;
        return value;
      }
    }
    throw bad(`the ${what} is over ${atMost} or malformed`);
  }

  optional(what: string, atMost: number): number | undefined {
    const isThere = this.number(what, 1) === 1;
    return isThere ? this.number(what, atMost) : undefined;
  }

  end(): void {
    if (!this.isAtEnd) throw bad(`${this.#bytes.length - this.#at} bytes too many`);
  }
}

// -- identifiers and checks

function identifierOf(suite: SuiteName, index: number): Uint8Array {
  const bytes = new Uint8Array(SCALAR_BYTES);
  bytes[FORMS[suite].little ? 0 : SCALAR_BYTES - 1] = index;
  return bytes;
}

/** Indices of ours are 1..255; other libraries may use any scalar. */
function indexOf(suite: SuiteName, identifier: Uint8Array): number {
  const [index = 0, ...rest] = FORMS[suite].little ? identifier : identifier.toReversed();
  if (index > 0 && rest.every((byte) => byte === 0)) return index;
  throw bad(`identifier ${toHex(identifier)} is no party index from 1 to 255`);
}

function publicPackage(
  suite: SuiteName,
  shares: readonly (readonly [number, Uint8Array])[],
  verifyingKey: Uint8Array,
  least: number | undefined,
): PublicKeyPackage {
  const verifyingShares = new Map(shares);
  if (verifyingShares.size !== shares.length) throw bad('an identifier stands there twice');
  const pack = { suite, verifyingShares, verifyingKey };
  return least === undefined ? pack : { ...pack, minSigners: least };
}

/**
 * Whether the signing share is the one of the verifying share.
 * @throws SHARE_CORRUPT.
 */
export function checkKeyPackage(pack: KeyPackage, suite: Suite): void {
  const share = { index: pack.index, signingShare: pack.signingShare };
  if (equalBytes(suite.verifyingShareOf(share), pack.verifyingShare)) return;
  throw new BzzzError('SHARE_CORRUPT', 'key package: the share does not fit its verifying share');
}
