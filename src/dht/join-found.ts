/**
 * Two answers to one read.
 * @module
 */
import { equalBytes } from '../base/bytes.ts';
import type { Rules } from './rules.ts';
import type { Found } from './store.ts';

/** One answer of two: all that both know, and everybody whose copy was seen. */
export function joinFound(
  rules: Rules,
  key: Uint8Array,
  own: Found | undefined,
  found: Found | undefined,
): Found | undefined {
  if (own === undefined || found === undefined) return found ?? own;
  const value = rules.join(rules.of(key), own.value, found.value);
  const source = equalBytes(value, own.value) ? 'local' : 'dht';
  return { ...found, value, source, holders: [...new Set([...own.holders, ...found.holders])] };
}
