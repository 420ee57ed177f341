/**
 * What one ciphersuite brings to `frost.ts`, and how library code is called.
 * @module
 */
import type { FROST, FROSTPoint } from '@noble/curves/abstract/frost.js';
import { assert, toBzzzError } from '../../base/errors.ts';
import type { Random } from '../../base/ports.ts';
import type { SuiteName } from '../types.ts';
import type { Group } from './group.ts';
import type { KeyFormat } from './types.ts';

/** What one ciphersuite brings. */
export interface Ciphersuite<P extends FROSTPoint<P>> {
  readonly name: SuiteName;
  readonly group: Group<P>;
  readonly frost: FROST;
  /** The challenge of RFC 9591 §4.6 for a group commitment and a normalised group key. */
  challenge(nonce: P, groupKey: P, message: Uint8Array): bigint;
  /** What a suite does to the summed commitments: the Taproot tweak, or nothing. */
  adjustOutcome(commitments: readonly P[]): readonly P[];
  encodeSignature(nonce: P, response: Uint8Array): Uint8Array;
  verify(groupKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  publicKeyBytes(groupKey: Uint8Array): Uint8Array;
  exportKey(groupKey: Uint8Array, format: KeyFormat, comment: string): string;
}

/** The library's random source: `random`, 32 bytes unless told otherwise. */
export const rng =
  (random: Random) =>
  (length = 32): Uint8Array<ArrayBuffer> =>
    new Uint8Array(random.bytes(length));

/** The library's types want an `ArrayBuffer` below; every buffer of this project has one. */
export function viewOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  assert(bytes.buffer instanceof ArrayBuffer, 'bytes in an ArrayBuffer');
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Runs library code; what it throws is a fault of ours, the input having been checked. */
export function internal<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw toBzzzError(cause);
  }
}
