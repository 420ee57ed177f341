/**
 * The store's namespaces: of immutable records `i` self-proving, `c` one candidate an author, `m`
 * content; of mutable ones `h`, heads.
 *
 * `merge` forms a semilattice (commutative, associative, idempotent), so copies that met in any
 * order on any store end up equal. It may trust its inputs: the store validates before it merges.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { compareBytes, compareText, equalBytes } from '../base/bytes.ts';
import { contentCid } from '../base/codec.ts';
import { LIMITS } from '../base/limits.ts';
import type { Namespace } from '../dht/store.ts';
import {
  type Candidate,
  type Copy,
  decodeCandidates,
  decodeOne,
  encodeCandidates,
  openCandidates,
  openContent,
  openHead,
  openOne,
  orderOfHead,
  type RecordRules,
  STORED_BYTES,
} from './records.ts';

/** Names of the namespaces, `/ucxl/<name>/<suffix>`. */
export const NAMESPACES = { one: 'i', perAuthor: 'c', content: 'm', newest: 'h' } as const;

/** The namespaces of this layer. The store adds its own `probe`. */
export function recordNamespaces(rules: RecordRules): readonly Namespace[] {
  // A signature is checked once: who wrote a value is remembered as long as its bytes live.
  const known = new WeakMap<Uint8Array, readonly PeerId[]>();
  const note = (value: Uint8Array, copies: readonly Copy[]): void => {
    known.set(
      value,
      copies.flatMap(({ writer }) => writer ?? []),
    );
  };
  const writers = (_suffix: string, value: Uint8Array) => known.get(value) ?? [];
  return [
    {
      name: NAMESPACES.one,
      maxBytes: STORED_BYTES.one,
      validate: (suffix, value) => note(value, [openOne(rules, suffix, value)]),
      merge: (_suffix, a, b) => mergeOne(a, b),
      writers,
    },
    {
      name: NAMESPACES.perAuthor,
      maxBytes: STORED_BYTES.perAuthor,
      validate: (suffix, value) => note(value, openCandidates(rules, suffix, value)),
      merge: (_suffix, a, b) => mergeCandidates(a, b),
      writers,
    },
    {
      name: NAMESPACES.content,
      maxBytes: LIMITS.contentBytes,
      validate: (suffix, value) => void openContent(suffix, value),
      // Two valid contents of one CID are equal.
      merge: (_suffix, a) => a,
    },
    {
      name: NAMESPACES.newest,
      maxBytes: STORED_BYTES.newest,
      validate: (suffix, value) => note(value, [openHead(rules, suffix, value)]),
      merge: (suffix, a, b) => mergeHeads(rules, suffix, a, b),
      writers,
    },
  ];
}

/** Two proofs of one fact may differ in their bytes; the body with the smaller CID stands. */
function mergeOne(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (equalBytes(a, b)) return a;
  return compareBodies(decodeOne(a).body, decodeOne(b).body) <= 0 ? a : b;
}

/**
 * Union; of two candidates of one author the smaller CID stands. Over the limit the authors that
 * sort first stay: the choice depends on nothing but the set, so every order of merging makes it.
 */
function mergeCandidates(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (equalBytes(a, b)) return a;
  const left = decodeCandidates(a);
  const byAuthor = new Map<string, Candidate>();
  for (const candidate of [...left.candidates, ...decodeCandidates(b).candidates]) {
    const known = byAuthor.get(candidate.author);
    if (known === undefined || compareBodies(candidate.body, known.body) < 0) {
      byAuthor.set(candidate.author, candidate);
    }
  }
  const sorted = [...byAuthor.values()].sort((x, y) => compareText(x.author, y.author));
  return encodeCandidates(left.series, sorted.slice(0, LIMITS.candidates));
}

/** The order of heads: higher epoch, higher seq, larger CID (docs/addresses.md). */
function mergeHeads(rules: RecordRules, suffix: string, a: Uint8Array, b: Uint8Array): Uint8Array {
  if (equalBytes(a, b)) return a;
  const left = orderOfHead(rules, suffix, a);
  const right = orderOfHead(rules, suffix, b);
  const [epoch, seq] = [left.order[0] - right.order[0], left.order[1] - right.order[1]];
  return (epoch || seq || compareBodies(left.body, right.body)) >= 0 ? a : b;
}

const compareBodies = (a: Uint8Array, b: Uint8Array): number =>
  compareBytes(contentCid(a).bytes, contentCid(b).bytes);
