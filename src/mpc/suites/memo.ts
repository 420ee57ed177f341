/**
 * Decoding a point and proving that it lies in the prime-order subgroup is most of the cost of a
 * FROST share, and the library does it again for every use of the same bytes. This remembers
 * points that passed, by their bytes, in a bounded table.
 * @module
 */
import { BoundedMap } from '../../base/bounded.ts';

/** What the table needs of a point; both curves of the library have it. */
export interface MemoPoint {
  isTorsionFree(): boolean;
  toBytes(compressed?: boolean): Uint8Array;
}

/**
 * Enough for the shares of a few dozen keys and the commitments in flight. Only public points are
 * ever decoded, so the table holds no secret.
 */
export const MEMO_POINTS = 2_048;

/**
 * Wraps `decode` with a least-recently-used table. A point that comes back answers
 * `isTorsionFree()` and `toBytes()` from memory; everything else is the library's own point.
 * What `decode` refuses is not remembered.
 * @param isTorsionFree the library's own question to the point, or a faster one.
 */
export function memoiseDecoding<P extends MemoPoint>(
  decode: (bytes: Uint8Array) => P,
  isTorsionFree: (point: P, bytes: Uint8Array) => boolean = (point) => point.isTorsionFree(),
  limit: number = MEMO_POINTS,
): (bytes: Uint8Array) => P {
  const known = new BoundedMap<string, P>(limit);
  const remembering = (bytes: Uint8Array): P => {
    const decoded = decode(bytes);
    return withAnswers(decoded, isTorsionFree(decoded, bytes));
  };
  return (bytes) => {
    const name = Buffer.from(bytes).toString('latin1');
    const point = known.get(name) ?? remembering(bytes);
    // Set anew also when it was there: what is used stays.
    known.set(name, point);
    return point;
  };
}

/** The library freezes its points, so the answers stand on an object that inherits from one. */
function withAnswers<P extends MemoPoint>(point: P, torsionFree: boolean): P {
  const encoded = point.toBytes();
  const long = (): Uint8Array => point.toBytes(false);
  return Object.create(point, {
    isTorsionFree: { value: () => torsionFree },
    toBytes: {
      value: (compressed = true) => (compressed ? new Uint8Array(encoded) : long()),
    },
  });
}
