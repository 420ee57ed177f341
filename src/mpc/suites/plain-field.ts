/**
 * Arithmetic modulo a prime, written straight down: for verifiers that share no code with what made
 * a signature. In variable time: public values only.
 * @module
 */

/** The representative of `a` in [0, p). */
export const mod = (a: bigint, p: bigint): bigint => {
  const rest = a % p;
  return rest < 0n ? rest + p : rest;
};

/** `base^exponent` modulo `p`, by squaring. */
export function power(base: bigint, exponent: bigint, p: bigint): bigint {
  let result = 1n;
  let square = mod(base, p);
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % p;
    square = (square * square) % p;
  }
  return result;
}

export const bigEndian = (bytes: Uint8Array): bigint =>
  BigInt(`0x${Buffer.from(bytes).toString('hex') || '0'}`);

export const littleEndian = (bytes: Uint8Array): bigint => bigEndian(bytes.toReversed());

/** An additive group. */
export interface Addition<P> {
  readonly zero: P;
  add(a: P, b: P): P;
}

/** `scalars[0] points[0] + scalars[1] points[1]`: one doubling for each bit of both together. */
export function sumOfTwo<P>(
  { zero, add }: Addition<P>,
  [p, q]: readonly [P, P],
  [m, n]: readonly [bigint, bigint],
): P {
  const both = add(p, q);
  const bits = Math.max(m.toString(2).length, n.toString(2).length);
  let sum = zero;
  for (let bit = BigInt(bits - 1); bit >= 0n; bit--) {
    sum = add(sum, sum);
    const [inM, inN] = [(m >> bit) & 1n, (n >> bit) & 1n];
    if (inM && inN) sum = add(sum, both);
    else if (inM) sum = add(sum, p);
    else if (inN) sum = add(sum, q);
  }
  return sum;
}
