/**
 * Branded primitives: a value of one kind cannot be passed where another is meant.
 * @module
 */

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** A libp2p peer id in its base58 text form. It is also the party id. */
export type PeerId = Brand<string, 'PeerId'>;
/** Lower-case hex of a 32-byte hash: cluster id. */
export type ClusterId = Brand<string, 'ClusterId'>;
/** Lower-case hex of SHA-256 over the proposal. */
export type SessionId = Brand<string, 'SessionId'>;
/** Lower-case hex of SHA-256(sid, group key). */
export type KeyId = Brand<string, 'KeyId'>;
/** Lower-case hex of SHA-256(tag, clusterId, keyId, purpose, SHA-256(message)). */
export type RequestId = Brand<string, 'RequestId'>;
/** Position of an entry in the roster chain; the genesis is epoch 0. */
export type Epoch = Brand<number, 'Epoch'>;
/** Election term; 0 before the first election. */
export type Term = Brand<number, 'Term'>;
/** A duration or a monotonic instant, in milliseconds. */
export type Millis = Brand<number, 'Millis'>;

export const millis = (n: number): Millis => n as Millis;
