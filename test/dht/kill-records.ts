/** Records that show damage: the first 32 bytes are the hash of the rest. */
import { compareBytes, equalBytes, sha256, utf8Bytes } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { createRules } from '../../src/dht/rules.ts';
import type { Namespace } from '../../src/dht/store.ts';

/** The larger one of two stands. */
const PROVEN: Namespace = {
  name: 'p',
  maxBytes: 131_072,
  validate(_suffix, value) {
    if (value.length < 32 || !equalBytes(sha256(value.subarray(32)), value.subarray(0, 32))) {
      throw new BzzzError('BAD_MESSAGE', 'not what was written');
    }
  },
  merge: (_suffix, a, b) => (compareBytes(a.subarray(32), b.subarray(32)) >= 0 ? a : b),
};
export const KILL_RULES = createRules([PROVEN]);

/** Up to 20 KB that depend on nothing but the name and the version. */
export function proven(suffix: string, version: number): Uint8Array {
  const text = `${String(version).padStart(6, '0')} ${suffix} `;
  const body = utf8Bytes(text.repeat(1 + ((version * 7_919 + suffix.length * 31) % 700)));
  const value = new Uint8Array(32 + body.length);
  value.set(sha256(body));
  value.set(body, 32);
  return value;
}
export const versionOf = (value: Uint8Array): number =>
  Number(Buffer.from(value.subarray(32, 38)).toString());
