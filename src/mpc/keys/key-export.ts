/**
 * A key's public half in the forms of other tools: PEM and SSH from the suite, and the public key
 * package of the Zcash Foundation's FROST library, see interchange.ts.
 * @module
 */

import type { KeyFormat, Suite } from '../suites/types.ts';
import type { KeyInfo, KeyShare } from '../types.ts';
import { type KeyPackage, type PublicKeyPackage, publicToJson } from './interchange.ts';

/** This node's key package. @param share wiped by the caller. */
export const keyPackageOf = (key: KeyInfo, { index, signingShare }: KeyShare): KeyPackage => ({
  suite: key.suite,
  index,
  signingShare,
  verifyingShare: key.verifyingShares[index - 1] ?? new Uint8Array(),
  verifyingKey: key.groupKey,
  minSigners: key.threshold,
});

export type KeyExportFormat = KeyFormat | 'zf-json';

/** @throws NOT_SUPPORTED when no standard tool reads such a key. */
export function exportKey(key: KeyInfo, format: KeyExportFormat, suite: Suite): string {
  if (format !== 'zf-json') return suite.exportKey(key.groupKey, format, key.name);
  return publicToJson(publicPackageOf(key));
}

/** The public key package of a key. */
export const publicPackageOf = (key: KeyInfo): PublicKeyPackage => ({
  suite: key.suite,
  verifyingShares: new Map(
    key.parties.map(({ index }) => [index, key.verifyingShares[index - 1] ?? new Uint8Array()]),
  ),
  verifyingKey: key.groupKey,
  minSigners: key.threshold,
});
