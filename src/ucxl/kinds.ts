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
}

export interface RecordKind {
  readonly name: string;
  /** `one`: self-proving, all valid copies are equal. `perAuthor`: one candidate per author. */
  readonly copies: 'one' | 'perAuthor';
  readonly maxBytes: number;
  /** Whether this kind stands at `address`. */
  matches(address: Address): boolean;
  /**
   * The check that every store can make: form, signature, binding to the address.
   * @throws BAD_MESSAGE.
   */
  verify(address: Address, bytes: Uint8Array): RecordFacts;
}
