/**
 * What all signers of one package compute alike: binding factors, group commitment, challenge. RFC
 * 9591 §4.4 to §4.6. The group commitment is most of the cost of a share, and the one who sums the
 * shares up needs it again, so the last ones are remembered. Everything here is public.
 * @module
 */
import { mulAddUnsafe } from '@noble/curves/abstract/curve.js';
import type { FROSTPoint } from '@noble/curves/abstract/frost.js';
import { BoundedMap } from '../../base/bounded.ts';
import { utf8Bytes } from '../../base/bytes.ts';
import { checkElement, decodePoint, type Group } from './group.ts';
import type { NonceCommitment } from './types.ts';

/** The public terms of one package. */
export interface Terms<P> {
  /** The group commitment R. */
  readonly nonce: P;
  /** By index. */
  readonly factors: ReadonlyMap<number, bigint>;
  readonly challenge: bigint;
  /** The group key as it enters hashes. */
  readonly groupKey: P;
}

/** Packages whose terms are remembered: more than are under way at a time. */
const REMEMBERED = 64;

/** @param challenge of a suite: RFC 9591 §4.6, or what takes its place. */
export function termsOf<P extends FROSTPoint<P>>(
  group: Group<P>,
  challenge: (nonce: P, groupKey: P, message: Uint8Array) => bigint,
) {
  const known = new BoundedMap<string, Terms<P>>(REMEMBERED);
  /** @throws BAD_MESSAGE: a commitment is no valid point. */
  return (
    key: { readonly groupKey: Uint8Array },
    commitments: readonly NonceCommitment[],
    message: Uint8Array,
  ): Terms<P> => {
    const rows = commitments.toSorted((a, b) => a.index - b.index);
    const prefix = rhoPrefix(group, key.groupKey, rows, message);
    const name = prefix.toString('latin1');
    const before = known.get(name);
    if (before !== undefined) return before;
    const factors = new Map(rows.map(({ index }) => [index, bindingFactor(group, prefix, index)]));
    const nonce = groupCommitment(group, rows, [...factors.values()]);
    const groupKey = group.normalise(decodePoint(group, 'group key', key.groupKey));
    const terms = { nonce, factors, groupKey, challenge: challenge(nonce, groupKey, message) };
    known.set(name, terms);
    return terms;
  };
}

/** RFC 9591 §4.5. @throws BAD_MESSAGE. */
function groupCommitment<P extends FROSTPoint<P>>(
  group: Group<P>,
  rows: readonly NonceCommitment[],
  factors: readonly bigint[],
): P {
  const { Point, encoded } = group;
  if (encoded !== undefined) {
    for (const { hiding, binding } of rows) {
      checkElement(group, 'hiding commitment', hiding);
      checkElement(group, 'binding commitment', binding);
    }
    const products = rows.map(({ binding }, i) => ({
      point: binding,
      scalar: Point.Fn.toBytes(factors[i] ?? 0n),
    }));
    const hidings = rows.map(({ hiding }) => hiding);
    return encoded.decode(encoded.combine(hidings, products));
  }
  const hidings = rows.map(({ hiding }) => decodePoint(group, 'hiding commitment', hiding));
  const bindings = rows.map(({ binding }) => decodePoint(group, 'binding commitment', binding));
  return hidings
    .reduce((sum, point) => sum.add(point), Point.ZERO)
    .add(mulAddUnsafe(Point, bindings, [...factors]));
}

/** RFC 9591 §4.4: group key, message and the whole commitment list enter every factor. */
function rhoPrefix<P extends FROSTPoint<P>>(
  group: Group<P>,
  groupKey: Uint8Array,
  rows: readonly NonceCommitment[],
  message: Uint8Array,
): Buffer {
  const { Fn } = group.Point;
  const tagged = (tag: string, bytes: Uint8Array): Uint8Array =>
    group.hash(Buffer.concat([utf8Bytes(group.context + tag), bytes]));
  const list = rows.flatMap(({ index, hiding, binding }) => [
    ...[Fn.toBytes(BigInt(index)), hiding, binding],
  ]);
  return Buffer.concat([
    group.normalise(decodePoint(group, 'group key', groupKey)).toBytes(),
    tagged('msg', message),
    tagged('com', Buffer.concat(list)),
  ]);
}

function bindingFactor<P extends FROSTPoint<P>>(
  group: Group<P>,
  prefix: Uint8Array,
  index: number,
): bigint {
  const id = group.Point.Fn.toBytes(BigInt(index));
  return group.hashToScalar(`${group.context}rho`, Buffer.concat([prefix, id]));
}

/** The challenge of RFC 9591 §4.6, H2 over (R, group key, message). */
export const rfcChallenge =
  <P extends FROSTPoint<P>>(group: Group<P>, tag = `${group.context}chal`) =>
  (nonce: P, groupKey: P, message: Uint8Array): bigint =>
    group.hashToScalar(tag, Buffer.concat([nonce.toBytes(), groupKey.toBytes(), message]));
