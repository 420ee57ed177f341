/**
 * The record store that the node uses: one of three backends for each call, as its switch says.
 *
 * A call asks the switch once, before anything else, and ends on the backend that it began on: the
 * backends all stay open, and stand on one journal, so a switch fails no call and loses no write.
 * What was written while the network was not in use becomes known there by a republishing pass
 * that follows the switch, and once more when the last local write that was under way then ends.
 * @module
 */
import type { BackendMeter } from '../base/backend-meter.ts';
import type { PeerId } from '../base/brands.ts';
import { type ErrorCode, toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock } from '../base/ports.ts';
import { type Backend, mainBackend, type Switch, type SwitchState } from '../base/switch.ts';
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

export interface SwitchedDeps {
  /** All on one disk and one journal. */
  readonly backends: Readonly<Record<Backend, RecordStore>>;
  readonly choice: Switch;
  /** Of the calls on `mock` and `real`; `hybrid` counts its own. */
  readonly meter: BackendMeter;
  readonly clock: Clock;
  /**
   * Whether any call uses the network, or may from now on. Called with each change, and again with
   * `true` when there is news for the network that was written without it.
   */
  readonly network: (inUse: boolean) => void;
}

/** The caller's mistakes, and the end of the node: no backend can help them. */
const NO_FAULT: ReadonlySet<ErrorCode> = new Set(['BAD_MESSAGE', 'DRAINING', 'TOO_LARGE']);

/** See the top of this file. */
export class SwitchedStore implements RecordStore {
  readonly #deps: SwitchedDeps;
  /** Calls under way on the network's backends, and writes under way on the local one. */
  #networkCalls = 0;
  #localWrites = 0;
  /** Of these, the ones begun before generation `#lateBefore`, which brought the network. */
  #lateWrites = 0;
  #lateBefore = 0;
  #inUse: boolean;
  readonly #unsubscribe: Cancel;

  constructor(deps: SwitchedDeps) {
    this.#deps = deps;
    this.#inUse = wantsNetwork(deps.choice.state);
    this.#unsubscribe = deps.choice.onChange(({ before, after }) => this.#switched(before, after));
  }

  /** Whether a call may be on the network now: chosen, or under way since it was. */
  get usesNetwork(): boolean {
    return this.#inUse;
  }

  /** @throws what the backend of this record throws. */
  put(
    namespace: string,
    suffix: string,
    value: Uint8Array,
    options?: PutOptions,
  ): Promise<PutOutcome> {
    const key = `${namespace}/${suffix}`;
    return this.#call(key, true, (store) => store.put(namespace, suffix, value, options));
  }

  get(namespace: string, suffix: string, options?: GetOptions): Promise<Found | undefined> {
    const key = `${namespace}/${suffix}`;
    return this.#call(key, false, (store) => store.get(namespace, suffix, options));
  }

  provide(cid: string, options?: ProviderOptions): Promise<void> {
    return this.#call(cid, true, (store) => store.provide(cid, options));
  }

  async *findProviders(cid: string, options?: ProviderOptions): AsyncGenerator<PeerId> {
    const end = this.#begin(this.#deps.choice.backendFor(cid), false);
    try {
      yield* this.#deps.backends[end.backend].findProviders(cid, options);
      end.done(true);
    } catch (thrown) {
      end.done(isNoFault(thrown));
      throw thrown;
    } finally {
      // A reader that had enough is no fault.
      end.done(true);
    }
  }

  subscribe(listener: (stored: Stored) => void): Cancel {
    // One disk under all of them: whichever is asked tells all.
    return this.#deps.backends.mock.subscribe(listener);
  }

  /** Of the backend that is chosen, in its words. */
  async probe(): Promise<HealthStatus> {
    const backend = mainBackend(this.#deps.choice.state);
    const end = this.#begin(backend, false);
    try {
      const health = await this.#deps.backends[backend].probe();
      end.done(health.status !== 'failed');
      return { ...health, backend };
    } catch (thrown) {
      end.done(isNoFault(thrown));
      throw thrown;
    }
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    const { hybrid, real, mock } = this.#deps.backends;
    await hybrid.close();
    await real.close();
    await mock.close();
  }

  async #call<T>(key: string, writes: boolean, work: (store: RecordStore) => Promise<T>) {
    const end = this.#begin(this.#deps.choice.backendFor(key), writes);
    try {
      const result = await work(this.#deps.backends[end.backend]);
      end.done(true);
      return result;
    } catch (thrown) {
      end.done(isNoFault(thrown));
      throw thrown;
    }
  }

  /** Counts a call; its `done` may be called more than once and counts the first time. */
  #begin(backend: Backend, writes: boolean) {
    const { clock, meter, choice } = this.#deps;
    const local = backend === 'mock';
    const { generation } = choice.state;
    const started = clock.now();
    let open = true;
    if (!local) this.#networkCalls++;
    else if (writes) this.#localWrites++;
    const done = (ok: boolean): void => {
      if (!open) return;
      open = false;
      if (backend !== 'hybrid') meter.add(backend, clock.now() - started, ok);
      if (!local) this.#networkCalls--;
      else if (writes) this.#writeEnded(generation);
      this.#settle();
    };
    return { backend, done };
  }

  #switched(before: SwitchState, after: SwitchState): void {
    this.#settle();
    if (!movesToNetwork(before, after)) return;
    this.#lateWrites = this.#localWrites;
    this.#lateBefore = after.generation;
    this.#deps.network(true);
  }

  #writeEnded(generation: number): void {
    this.#localWrites--;
    if (generation >= this.#lateBefore || this.#lateWrites === 0) return;
    this.#lateWrites--;
    if (this.#lateWrites === 0 && wantsNetwork(this.#deps.choice.state)) this.#deps.network(true);
  }

  #settle(): void {
    const inUse = wantsNetwork(this.#deps.choice.state) || this.#networkCalls > 0;
    if (inUse === this.#inUse) return;
    this.#inUse = inUse;
    // A switch to the network tells of itself.
    if (!inUse) this.#deps.network(false);
  }
}

const wantsNetwork = (state: SwitchState): boolean => mainBackend(state) !== 'mock';

/** Whether some key was local before that is not now. */
const movesToNetwork = (before: SwitchState, after: SwitchState): boolean =>
  wantsNetwork(after) && (!wantsNetwork(before) || after.chosen.percent > before.chosen.percent);

const isNoFault = (thrown: unknown): boolean => NO_FAULT.has(toBzzzError(thrown).code);
