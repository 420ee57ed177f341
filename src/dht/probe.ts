/**
 * The namespace of the health check: one tiny key per node, dead after a minute.
 *
 * A value is an 8-byte big-endian number and 16 random bytes; the larger one stands. Nobody reads
 * it for its contents, so it carries no signature: whoever overwrites it proves the same as its
 * owner, that a value can be written and read back.
 * @module
 */
import { compareBytes } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { Namespace } from './store.ts';

/** Life of a probe value at its holders. */
export const PROBE_LIFE_MS = 60_000;
const PROBE_BYTES = 24;
const OWNER = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/;

/** `/probe/<peer id>`. */
export const PROBE: Namespace = {
  name: 'probe',
  maxBytes: PROBE_BYTES,
  validate(suffix, value) {
    if (!OWNER.test(suffix)) throw new BzzzError('BAD_MESSAGE', 'probe key: not a peer id');
    if (value.length !== PROBE_BYTES) throw new BzzzError('BAD_MESSAGE', 'probe value: length');
  },
  merge: (_suffix, a, b) => (compareBytes(a, b) >= 0 ? a : b),
};

/** A fresh value; `wallMs` makes it larger than the one before on a clock that goes forward. */
export function probeValue(wallMs: number, random: Uint8Array): Uint8Array {
  const value = new Uint8Array(PROBE_BYTES);
  new DataView(value.buffer).setBigUint64(0, BigInt(Math.max(0, Math.trunc(wallMs))));
  value.set(random.subarray(0, PROBE_BYTES - 8), 8);
  return value;
}
