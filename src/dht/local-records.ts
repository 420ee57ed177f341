/**
 * The `local` backend: the embedded store and nothing else. A put reaches `local`, a get sees what
 * this node wrote and what it holds for others; peers go on being served from the latter.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock } from '../base/ports.ts';
import { OwnCopies, type OwnCopiesDeps } from './own-copies.ts';
import { providableCid } from './providable.ts';
import { requireAck } from './required.ts';
import type {
  Found,
  GetOptions,
  HealthStatus,
  ProviderOptions,
  PutOptions,
  PutOutcome,
  RecordStore,
  Stored,
} from './store.ts';

export interface LocalDeps extends OwnCopiesDeps {
  readonly self: PeerId;
  readonly clock: Clock;
}

/** Contents that this node said it has; the one said longest ago goes first. */
const MAX_PROVIDED = 4_096;

/** Records on this node's disk only. */
export class LocalRecords implements RecordStore {
  readonly #deps: LocalDeps;
  readonly #own: OwnCopies;
  /** By the hash's text, as Kademlia does: two CIDs of one content are one. */
  readonly #provided = new Set<string>();
  #errors = 0;
  #closed = false;

  constructor(deps: LocalDeps) {
    this.#deps = deps;
    this.#own = new OwnCopies(deps);
  }

  /** @throws BAD_MESSAGE, DISK_FAILED, BUSY, NO_QUORUM (`require` above `local`), DRAINING. */
  async put(
    namespace: string,
    suffix: string,
    value: Uint8Array,
    options: PutOptions = {},
  ): Promise<PutOutcome> {
    this.#requireOpen();
    const { rules, self, journal } = this.#deps;
    await journal.write(rules.key(namespace, suffix), value);
    const outcome: PutOutcome = { ack: 'local', holders: [self], pending: 0 };
    const why = 'the local backend does not replicate';
    return requireAck(`${namespace}/${suffix}`, outcome, options.require, why);
  }

  /** @throws BAD_MESSAGE (the key), DISK_FAILED, DRAINING. */
  async get(
    namespace: string,
    suffix: string,
    options: GetOptions = {},
  ): Promise<Found | undefined> {
    this.#requireOpen();
    const value = await this.#own.read(this.#deps.rules.key(namespace, suffix));
    if (value === undefined) return undefined;
    const found: Found = { value, source: 'local', holders: [this.#deps.self] };
    // Nobody else was asked, so a newer one may stand elsewhere.
    const merges = options.merge === true && options.localOnly !== true;
    return merges ? { ...found, majority: false } : found;
  }

  async provide(cid: string, _options?: ProviderOptions): Promise<void> {
    this.#requireOpen();
    const name = nameOfContent(cid);
    this.#provided.delete(name);
    this.#provided.add(name);
    const [oldest] = this.#provided;
    if (this.#provided.size > MAX_PROVIDED && oldest !== undefined) this.#provided.delete(oldest);
  }

  async *findProviders(cid: string, _options?: ProviderOptions): AsyncGenerator<PeerId> {
    this.#requireOpen();
    if (this.#provided.has(nameOfContent(cid))) yield this.#deps.self;
  }

  subscribe(listener: (stored: Stored) => void): Cancel {
    return this.#own.subscribe(listener);
  }

  /** `failed` when the disk is. */
  async probe(): Promise<HealthStatus> {
    this.#requireOpen();
    const { clock, journal } = this.#deps;
    const started = clock.now();
    let reason: string | undefined;
    try {
      await journal.checkDisk();
    } catch (thrown) {
      this.#errors++;
      reason = toBzzzError(thrown).message;
    }
    return {
      component: 'dht',
      backend: 'mock',
      status: reason === undefined ? 'healthy' : 'failed',
      last_check: new Date(clock.wallMs()).toISOString(),
      error_count: this.#errors,
      latency_ms: Math.round((clock.now() - started) * 10) / 10,
      ...(reason === undefined ? {} : { reason }),
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #requireOpen(): void {
    if (this.#closed) throw closedError();
  }
}

/** What every backend says after `close`. */
export const closedError = (): BzzzError =>
  new BzzzError('DRAINING', 'the record store is closed', {
    why: 'this node is stopping, or another backend took its place',
  });

const nameOfContent = (cid: string): string => providableCid(cid).multihash.bytes.join(',');
