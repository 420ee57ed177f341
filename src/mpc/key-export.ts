/**
 * A key's public half in the forms of other tools: PEM and SSH from the suite, and the public key
 * package of the Zcash Foundation's FROST library
 * (https://docs.rs/frost-core/latest/frost_core/keys/struct.PublicKeyPackage.html).
 * @module
 */
import { toHex } from '../base/bytes.ts';
import type { KeyFormat, Suite } from './suites/types.ts';
import type { KeyInfo, SuiteName } from './types.ts';

export type KeyExportFormat = KeyFormat | 'zf-json';

/** Names of the ciphersuites in that library, and its byte order of identifiers. */
const ZF: Readonly<Record<SuiteName, { readonly name: string; readonly little: boolean }>> = {
  ed25519: { name: 'FROST-ED25519-SHA512-v1', little: true },
  'secp256k1-tr': { name: 'FROST-secp256k1-SHA256-TR-v1', little: false },
  secp256k1: { name: 'FROST-secp256k1-SHA256-v1', little: false },
  p256: { name: 'FROST-P256-SHA256-v1', little: false },
  ristretto255: { name: 'FROST-RISTRETTO255-SHA512-v1', little: true },
};

/** @throws NOT_SUPPORTED when no standard tool reads such a key. */
export function exportKey(key: KeyInfo, format: KeyExportFormat, suite: Suite): string {
  return format === 'zf-json' ? zfJson(key) : suite.exportKey(key.groupKey, format, key.name);
}

/** A party's identifier is its index, as a 32-byte scalar in hex. */
function identifier(index: number, little: boolean): string {
  const bytes = new Uint8Array(32);
  bytes[little ? 0 : 31] = index;
  return toHex(bytes);
}

function zfJson({ suite, parties, verifyingShares, groupKey, threshold }: KeyInfo): string {
  const { name, little } = ZF[suite];
  const shares = parties.map(({ index }): [string, string] => [
    identifier(index, little),
    toHex(verifyingShares[index - 1] ?? new Uint8Array()),
  ]);
  const document = {
    header: { version: 0, ciphersuite: name },
    verifying_shares: Object.fromEntries(shares),
    verifying_key: toHex(groupKey),
    min_signers: threshold,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
