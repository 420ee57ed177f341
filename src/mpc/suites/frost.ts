/**
 * A ciphersuite over the library's FROST, behind the port of `types.ts`.
 *
 * JavaScript cannot promise that freed bytes are overwritten; what can be zeroed is.
 * @module
 */
import type { FROSTPoint } from '@noble/curves/abstract/frost.js';
import type { Ciphersuite } from './ciphersuite.ts';
import { keyGeneration } from './dkg.ts';
import { interpolating } from './interpolating.ts';
import { repairing } from './repairing.ts';
import { resharing } from './resharing.ts';
import { signing } from './signing.ts';
import type { Suite } from './types.ts';
import { rememberValid } from './verified.ts';

/** Builds the port's suite from its parts. */
export function createSuite<P extends FROSTPoint<P>>(given: Ciphersuite<P>): Suite {
  const parts = { ...given, verify: rememberValid(given.verify) };
  const { name, group, verify, publicKeyBytes, exportKey } = parts;
  return {
    name,
    pointBytes: group.pointBytes,
    ...keyGeneration(parts),
    ...signing(parts),
    ...resharing(parts),
    ...repairing(parts),
    ...interpolating(parts),
    verify,
    publicKeyBytes,
    exportKey,
  };
}
