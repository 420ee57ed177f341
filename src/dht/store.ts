/**
 * The record store: bytes under `/<namespace>/<suffix>`, replicated over the members.
 *
 * It knows no address and no record format: a {@link Namespace} says what may stand under a key and
 * which of two values wins.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Cancel } from '../base/ports.ts';

/** Rules for the keys `/ucxl/<name>/<suffix>`. Both functions are pure. */
export interface Namespace {
  /** One letter or word: `i`, `c`, `m`, `h`. */
  readonly name: string;
  readonly maxBytes: number;
  /**
   * Checks size, form, key binding and signature.
   * @throws BAD_MESSAGE unless `value` may stand under `suffix`.
   */
  validate(suffix: string, value: Uint8Array): void;
  /**
   * The value that stands after both were seen; commutative, associative, idempotent. Both are
   * valid. The result may be a union of the two.
   */
  merge(suffix: string, a: Uint8Array, b: Uint8Array): Uint8Array;
  /**
   * Who wrote a value that `validate` just let pass, as far as it says so: they are charged for
   * its room. Absent or empty where nobody is named.
   */
  writers?(suffix: string, value: Uint8Array): readonly PeerId[];
}

export type Acknowledgement = 'local' | 'one' | 'quorum';

export interface PutOptions {
  /** Fail with NO_QUORUM below this level; without it the put succeeds with what it reached. */
  readonly require?: Acknowledgement;
  readonly timeoutMs?: number;
  /** Journal only; copies are made behind the answer. For a record that another writes as well. */
  readonly background?: boolean;
  /** Most holders have it already: they are asked before anything is sent. */
  readonly shared?: boolean;
}

export interface PutOutcome {
  readonly ack: Acknowledgement;
  /** Members whose copy was read back. */
  readonly holders: readonly PeerId[];
  /** Copies still missing of min(5, members); replication goes on. */
  readonly pending: number;
}

export interface Found {
  readonly value: Uint8Array;
  readonly source: 'local' | 'dht';
  /** Members whose copy was seen during this read. */
  readonly holders: readonly PeerId[];
  /**
   * Only of a read that merges: whether a majority of the members that should hold the record
   * answered. When false, a newer value may stand where nobody could be asked.
   */
  readonly majority?: boolean;
}

export interface GetOptions {
  readonly timeoutMs?: number;
  /**
   * Ask the network also when a local copy exists, and merge what several holders have; stale
   * holders are repaired behind the answer. Without it the first valid copy is the answer.
   */
  readonly merge?: boolean;
  /** Do not ask the network: only what this node stores. */
  readonly localOnly?: boolean;
}

/** HealthStatus, with the documented field names. */
export interface HealthStatus {
  readonly component: string;
  readonly backend: 'mock' | 'real' | 'hybrid';
  readonly status: 'healthy' | 'degraded' | 'failed';
  /** ISO 8601 UTC. */
  readonly last_check: string;
  readonly error_count: number;
  readonly latency_ms: number;
  readonly reason?: string;
}

export interface ProviderOptions {
  readonly timeoutMs?: number;
}

/** A record of which this node has a new value, written here or by a peer. */
export interface Stored {
  readonly namespace: string;
  readonly suffix: string;
}

/**
 * The same for every backend but for `ack` and `holders`: the local one reaches `local` and this
 * node. After `close` every call but `subscribe` fails with DRAINING.
 */
export interface RecordStore {
  /** Journals locally (synced), then replicates and reads back. @throws BAD_MESSAGE, NO_QUORUM. */
  put(
    namespace: string,
    suffix: string,
    value: Uint8Array,
    options?: PutOptions,
  ): Promise<PutOutcome>;
  /** The first valid copy, local before remote. undefined when nobody who answered has one. */
  get(namespace: string, suffix: string, options?: GetOptions): Promise<Found | undefined>;
  /**
   * Says that this node has the content `cid`.
   * @throws BAD_MESSAGE unless `cid` is a CID over SHA-256: Kademlia loses every other.
   */
  provide(cid: string, options?: ProviderOptions): Promise<void>;
  /**
   * Members that said they have `cid`, each once, as they are found; nothing proves that they do.
   * Ends with the time; nobody found is no error. @throws BAD_MESSAGE as `provide`.
   */
  findProviders(cid: string, options?: ProviderOptions): AsyncIterable<PeerId>;
  /**
   * Calls back after a new value of a record stands on this node's disk, at least once for each.
   * The listener must be quick and not throw.
   */
  subscribe(listener: (stored: Stored) => void): Cancel;
  /** Writes, reads and drops a value in the `probe` namespace. */
  probe(): Promise<HealthStatus>;
  /** Ends calls under way and background work. The database stays its opener's to close. */
  close(): Promise<void>;
}
