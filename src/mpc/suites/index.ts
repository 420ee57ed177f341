/**
 * The suites of this build. Each output verifies with standard tools: RFC 8032 and BIP 340.
 * @module
 */
import { BzzzError } from '../../base/errors.ts';
import type { SuiteName } from '../types.ts';
import { ed25519Suite } from './ed25519.ts';
import { secp256k1TrSuite } from './secp256k1-tr.ts';
import type { Suite, Suites } from './types.ts';

/** Every suite, by name. */
export const SUITE_TABLE: Suites = new Map<SuiteName, Suite>(
  [ed25519Suite, secp256k1TrSuite].map((suite) => [suite.name, suite]),
);

/** @throws UNSUPPORTED_SUITE naming what this build has. */
export function suiteOf(name: string, suites: Suites = SUITE_TABLE): Suite {
  const found = [...suites.values()].find((suite) => suite.name === name);
  if (found !== undefined) return found;
  throw new BzzzError('UNSUPPORTED_SUITE', `unknown suite ${JSON.stringify(name)}`, {
    why: `this build has ${[...suites.keys()].join(', ')}`,
  });
}
