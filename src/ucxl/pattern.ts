/**
 * Which series a pattern names. `any` stands for every name, `*` for exactly one path segment, `**`
 * for any number of them, none included. A pattern without a path names series without a path.
 * @module
 */
import { type Address, ANY, NAME_PARTS, type PatternAddress } from './address.ts';

const ONE = '*';
const SOME = '**';

/** The temporal of the pattern plays no part: it says which version of each match is meant. */
export function matchesPattern(pattern: PatternAddress, address: Address): boolean {
  return (
    NAME_PARTS.every((part) => pattern[part] === ANY || pattern[part] === address[part]) &&
    matchesGlob(splitPath(pattern.path), splitPath(address.path))
  );
}

const splitPath = (path: string): readonly string[] => (path === '' ? [] : path.split('/'));

/**
 * Greedy, going back to the last `**` only: an earlier one can never do better. Time is the product
 * of the two lengths at worst, so a hostile pattern costs no more than its bytes.
 */
function matchesGlob(glob: readonly string[], path: readonly string[]): boolean {
  let g = 0;
  let p = 0;
  let retry: { readonly glob: number; path: number } | undefined;
  while (p < path.length) {
    if (glob[g] === SOME) {
      retry = { glob: g + 1, path: p };
      g++;
    } else if (glob[g] === ONE || (g < glob.length && glob[g] === path[p])) {
      g++;
      p++;
    } else if (retry !== undefined) {
      retry.path++;
      g = retry.glob;
      p = retry.path;
    } else {
      return false;
    }
  }
  return glob.slice(g).every((segment) => segment === SOME);
}
