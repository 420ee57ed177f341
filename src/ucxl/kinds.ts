/**
 * What may stand at an address. A layer above registers its kinds (roster entry, proposal,
 * certificate, result); the resolver and the store's validators know only this shape.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Address } from './address.ts';

/** What a verified record says of itself. */
export interface RecordFacts {
  /** Who signed it. */
  readonly writer: PeerId;
  /** Media type, e.g. `application/vnd.bzzz.certificate+cbor`. */
  readonly type: string;
  /** ISO 8601 UTC, when the record carries a time. */
  readonly time?: string;
  /** ISO 8601 UTC; from then on it is an answer only to those who ask for stale ones. */
  readonly expires?: string;
}

interface AnyKind {
  readonly name: string;
  readonly maxBytes: number;
  /** Whether this kind stands at `address`. */
  matches(address: Address): boolean;
  /**
   * The check that every store can make: form, signature, binding to the address.
   * @throws BAD_MESSAGE.
   */
  verify(address: Address, bytes: Uint8Array): RecordFacts;
}

/** What never changes once it stands. */
export interface ImmutableKind extends AnyKind {
  /** `one`: self-proving, all valid copies are equal. `perAuthor`: one candidate per author. */
  readonly copies: 'one' | 'perAuthor';
}

/**
 * Where a head stands among the heads of its series: by epoch, then by seq, and by the larger CID
 * where both are equal. Never by a wall clock.
 */
export type HeadOrder = readonly [epoch: number, seq: number];

/** A mutable head: of all valid ones the highest stands, and takes the place of every lower one. */
export interface HeadKind extends AnyKind {
  readonly copies: 'newest';
  /** Of bytes that `verify` let pass. @throws BAD_MESSAGE for bytes that it would not. */
  order(bytes: Uint8Array): HeadOrder;
}

export type RecordKind = ImmutableKind | HeadKind;
