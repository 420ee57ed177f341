/**
 * Signatures that were found valid are known again: whoever sums one up verifies it, seals it, and
 * verifies the sealed one. Where a verification takes as long as a share, once is enough.
 * @module
 */
import { BoundedMap } from '../../base/bounded.ts';
import { taggedHash, toHex } from '../../base/bytes.ts';
import type { Suite } from './types.ts';

/** More than are under way at a time. */
const REMEMBERED = 256;

/** `verify`, but a signature that it has found valid is not computed again. */
export function rememberValid(verify: Suite['verify']): Suite['verify'] {
  const valid = new BoundedMap<string, true>(REMEMBERED);
  return (groupKey, message, signature) => {
    const name = toHex(taggedHash('bzzz/verified/1', groupKey, message, signature));
    if (valid.get(name) === true) return true;
    const holds = verify(groupKey, message, signature);
    if (holds) valid.set(name, true);
    return holds;
  };
}
