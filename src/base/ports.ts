/**
 * What a component may know of the world. Shells pass the real ones, tests and the simulator pass
 * their own; a pure core sees none of them.
 * @module
 */
import type { Millis, PeerId } from './brands.ts';

/** Stops a timer; harmless when it has fired. */
export type Cancel = () => void;

/** Time. Safety never rests on it. */
export interface Clock {
  /** Wall clock in ms since 1970; for display and records only. */
  wallMs(): number;
  /** Monotonic instant in ms; for every age and deadline. */
  now(): Millis;
  /** Calls `fn` once after `ms`. The timer does not keep the process alive. */
  after(ms: number, fn: () => void): Cancel;
}

/** Cryptographically secure randomness (a seeded generator in the simulator). */
export interface Random {
  bytes(length: number): Uint8Array;
}

/** Options of a write: `sync` returns only after the bytes are on the disk. */
export interface WriteOptions {
  readonly sync?: boolean;
}

export type KeyValueOp =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string };

/** A namespace of the embedded store. Keys are text without `!`, values bytes. */
export interface KeyValue {
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, value: Uint8Array, options?: WriteOptions): Promise<void>;
  del(key: string, options?: WriteOptions): Promise<void>;
  /** All or nothing. */
  batch(ops: readonly KeyValueOp[], options?: WriteOptions): Promise<void>;
  /** Pairs in key order, of all keys that begin with `prefix`. */
  entries(prefix?: string): AsyncIterable<readonly [string, Uint8Array]>;
  /** A namespace below this one. */
  sub(name: string): KeyValue;
}

/**
 * Signs and opens envelopes with the node's identity key. Synchronous, so that a pure machine may
 * hold one as an injected function.
 */
export interface Signer {
  readonly peerId: PeerId;
  /** @returns a libp2p signed envelope (RFC 0002) around `payload`, bound to `domain`. */
  seal(domain: string, payload: Uint8Array): Uint8Array;
}

/** Answers a direct message; the returned bytes travel back to a `request`. */
export type DirectHandler = (from: PeerId, body: Uint8Array) => Promise<Uint8Array | undefined>;

/**
 * Takes a note. Runs at once, before anything that arrived after it; must be quick and not throw,
 * but for BAD_MESSAGE, which resets the stream as other garbage does.
 */
export type NoteHandler = (from: PeerId, body: Uint8Array) => void;

/**
 * Messages between two members over one long-lived stream: acknowledged, sent again after a
 * reconnect, delivered once, bounded. Notes travel on the same stream and are none of that.
 */
export interface Direct {
  /**
   * Resolves when the peer acknowledged receipt.
   * @throws PEER_UNREACHABLE after `ttlMs` (default `LIMITS.directTtlMs`).
   */
  send(to: PeerId, topic: string, body: Uint8Array, ttlMs?: number): Promise<void>;
  /** @throws PEER_UNREACHABLE, TIMEOUT, or the error that the peer's handler threw. */
  request(to: PeerId, topic: string, body: Uint8Array, timeoutMs?: number): Promise<Uint8Array>;
  /** One handler a topic. */
  handle(topic: string, handler: DirectHandler): void;
  /**
   * Fire and forget, for what is worthless when it is late (heartbeats, votes): written to the
   * stream that is open now or dropped; never queued, never sent again, at most
   * `LIMITS.noteBytes`. May arrive before a message that was sent earlier.
   * @returns false when it was dropped.
   */
  note(to: PeerId, topic: string, body: Uint8Array): boolean;
  /** One handler a topic; notes of other topics are ignored. */
  onNote(topic: string, handler: NoteHandler): void;
  /** Members with an open stream now. */
  connected(): readonly PeerId[];
  /**
   * Calls back when the stream to a member comes up, and as soon as the last one is lost: a killed
   * peer's kernel closes its sockets at once, and nothing here waits.
   */
  onPeer(listener: (peer: PeerId, live: boolean) => void): Cancel;
}

/** Hints to everyone; may be lost, reordered, repeated. Never the only copy of anything. */
export interface Gossip {
  publish(topic: string, body: Uint8Array): Promise<void>;
  /** `accept` decides whether the message travels on; it must be cheap. */
  subscribe(
    topic: string,
    accept: (from: PeerId, body: Uint8Array) => boolean,
    handler: (from: PeerId, body: Uint8Array) => void,
  ): void;
}

/** Log levels: error = an operator must act; warn = degraded; info = life cycle; debug = detail. */
export interface Logger {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** Something the daemon starts and stops, in order. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}
