/**
 * The suites of this build. Signatures of the first two verify with standard tools (RFC 8032 and
 * BIP 340); those of the others are Schnorr signatures of RFC 9591, which none verifies.
 * @module
 */
import { BzzzError } from '../../base/errors.ts';
import type { SuiteName } from '../types.ts';
import { ed25519Suite } from './ed25519.ts';
import { ristretto255Suite } from './ristretto255.ts';
import { secp256k1TrSuite } from './secp256k1-tr.ts';
import type { Suite, Suites } from './types.ts';
import { p256Suite, secp256k1Suite } from './weierstrass.ts';

/** Every suite, by name. */
export const SUITE_TABLE: Suites = new Map<SuiteName, Suite>(
  [ed25519Suite, secp256k1TrSuite, secp256k1Suite, p256Suite, ristretto255Suite].map((suite) => [
    suite.name,
    suite,
  ]),
);

/** @throws UNSUPPORTED_SUITE naming what this build has. */
export function suiteOf(name: string, suites: Suites = SUITE_TABLE): Suite {
  const found = [...suites.values()].find((suite) => suite.name === name);
  if (found !== undefined) return found;
  throw new BzzzError('UNSUPPORTED_SUITE', `unknown suite ${JSON.stringify(name)}`, {
    why: `this build has ${[...suites.keys()].join(', ')}`,
  });
}
