/**
 * Where in the store an address is kept, and how what comes back is checked.
 * @module
 */
import { BzzzError } from '../base/errors.ts';
import { type Address, type ConcreteAddress, format, series, seriesId } from './address.ts';
import type { RecordKind } from './kinds.ts';
import { NAMESPACES } from './namespaces.ts';
import {
  type Copy,
  encodeCopy,
  openCandidates,
  openContent,
  openHead,
  openOne,
  type RecordRules,
  requireKind,
  verifyBody,
} from './records.ts';

export interface Place {
  readonly namespace: string;
  readonly suffix: string;
  /**
   * `never`: the same everywhere, for ever. `grows`: a candidate set may get more candidates.
   * `replaced`: a head gives way to a newer one at any moment.
   */
  readonly changes: 'never' | 'grows' | 'replaced';
  /** Valid copies by rising CID. @throws BAD_MESSAGE. */
  open(value: Uint8Array): readonly Copy[];
}

/** One text for one place. */
export const placeKey = (place: Place): string => `${place.namespace}/${place.suffix}`;

/** @param kind the one that stands at `address`. */
export function recordPlace(rules: RecordRules, kind: RecordKind, address: Address): Place {
  const suffix = seriesId(series(address));
  const at = { namespace: NAMESPACES[kind.copies], suffix };
  switch (kind.copies) {
    case 'one':
      return { ...at, changes: 'never', open: (value) => [openOne(rules, suffix, value)] };
    case 'perAuthor':
      return { ...at, changes: 'grows', open: (value) => openCandidates(rules, suffix, value) };
    case 'newest':
      return { ...at, changes: 'replaced', open: (value) => [openHead(rules, suffix, value)] };
  }
}

/** A record that was verified, where it is kept and in what form. */
export interface Placed {
  readonly kind: RecordKind;
  readonly copy: Copy;
  readonly place: Place;
  readonly value: Uint8Array;
}

/** @throws NOT_FOUND where no kind stands; BAD_MESSAGE for a record that its kind refuses. */
export function placeRecord(rules: RecordRules, address: Address, body: Uint8Array): Placed {
  const kind = requireKind(rules, address);
  const copy = verifyBody(kind, address, body);
  const value = encodeCopy(rules, kind, address, copy);
  return { kind, copy, value, place: recordPlace(rules, kind, address) };
}

/** @param cid text of a content CID. */
export const contentPlace = (cid: string): Place => ({
  namespace: NAMESPACES.content,
  suffix: cid,
  changes: 'never',
  open: (value) => [openContent(cid, value)],
});

/** Where no kind stands only a pin says what is meant. @throws NOT_FOUND without one. */
export function pinnedPlace(address: ConcreteAddress): Place {
  if (address.temporal.form === 'pin') return contentPlace(address.temporal.cid);
  throw new BzzzError('NOT_FOUND', `no record stands at ${format(address)}`, {
    why: "an operator's mutable heads and their versions are not part of this version of bzzz",
    hint: 'ask for the pinned address (*=CID) that `bzzz put` printed',
  });
}
