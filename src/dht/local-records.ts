/**
 * The `local` backend: the embedded store and nothing else. A put reaches `local` (on a node alone
 * that is a quorum), a get sees what this node wrote and what it holds for others; peers go on
 * being served from the latter.
 * @module
 */
import { BoundedMap } from '../base/bounded.ts';
import type { PeerId } from '../base/brands.ts';
import { toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock } from '../base/ports.ts';
import { healthStatus } from './health.ts';
import { OwnCopies, type OwnCopiesDeps } from './own-copies.ts';
import { providableCid } from './providable.ts';
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
import { closedError, requireAck } from './store-errors.ts';

export interface LocalDeps extends OwnCopiesDeps {
  readonly self: PeerId;
  /** The roster's members. */
  readonly members: () => readonly PeerId[];
  readonly clock: Clock;
}

/** Contents that this node said it has; the one said longest ago goes first. */
const MAX_PROVIDED = 4_096;

/** Records on this node's disk only. */
export class LocalRecords implements RecordStore {
  readonly #deps: LocalDeps;
  readonly #own: OwnCopies;
  /** By the hash's text, as Kademlia does: two CIDs of one content are one. */
  readonly #provided = new BoundedMap<string, true>(MAX_PROVIDED);
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
    const ack = this.#alone() ? 'quorum' : 'local';
    const outcome: PutOutcome = { ack, holders: [self], pending: 0 };
    const why = 'the local backend does not replicate';
    return requireAck(`record ${namespace}/${suffix}`, outcome, options.require, why);
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
    // Nobody else was asked, so a newer one may stand elsewhere, if there is anybody else.
    const merges = options.merge === true && options.localOnly !== true;
    return merges ? { ...found, majority: this.#alone() } : found;
  }

  async provide(cid: string, _options?: ProviderOptions): Promise<void> {
    this.#requireOpen();
    this.#provided.set(nameOfContent(cid), true);
  }

  async *findProviders(cid: string, _options?: ProviderOptions): AsyncGenerator<PeerId> {
    this.#requireOpen();
    if (this.#provided.get(nameOfContent(cid)) === true) yield this.#deps.self;
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
    return healthStatus({
      ...{ component: 'dht', backend: 'mock', reason },
      status: reason === undefined ? 'healthy' : 'failed',
      wallMs: clock.wallMs(),
      ms: clock.now() - started,
      errors: this.#errors,
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** A cluster of one is its own majority, as it is on the network's backend. */
  #alone(): boolean {
    const { members, self } = this.#deps;
    return members().every((member) => member === self);
  }

  #requireOpen(): void {
    if (this.#closed) throw closedError();
  }
}

const nameOfContent = (cid: string): string => providableCid(cid).multihash.bytes.join(',');
