/**
 * Brings the leader's state to the voters. A change counts when a majority of the present voters
 * has it on the disk; the others follow as soon as they can.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { pause } from '../../base/pause.ts';
import type { Clock, Logger } from '../../base/ports.ts';
import { majority } from '../../roster/entry.ts';
import type { Call } from './calls.ts';
import type { Snapshot } from './snapshot.ts';
import { CHUNKS_PER_FRAME, TOPICS, wire } from './wire.ts';

export interface ReplicatorDeps {
  readonly voters: () => readonly PeerId[];
  readonly call: Call;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between attempts to reach a voter, in ms. */
  readonly retryMs: number;
  /** Ends everything: the term is over. */
  readonly signal: AbortSignal;
}

interface Waiter {
  readonly version: number;
  readonly resolve: () => void;
  readonly reject: (error: BzzzError) => void;
}

/** What one voter is known to have. */
interface Lane {
  version: number;
  chunks: ReadonlySet<string>;
  busy: boolean;
}

/** Answers to one snapshot after which a voter counts as unable to take it. */
const ROUNDS = 1_024;

/** One for each term of a leader. */
export class Replicator {
  readonly #deps: ReplicatorDeps;
  readonly #lanes = new Map<PeerId, Lane>();
  #waiters: Waiter[] = [];
  #latest: Snapshot | undefined;
  #failure: BzzzError | undefined;

  constructor(deps: ReplicatorDeps) {
    this.#deps = deps;
    deps.signal.addEventListener('abort', () => this.#fail(lost()), { once: true });
    if (deps.signal.aborted) this.#failure = lost();
  }

  /**
   * Resolves when a majority holds this state or a newer one of this term.
   * @throws STALE_TERM: a voter knows a newer leader. LEADERSHIP_LOST: the term ended.
   */
  commit(snapshot: Snapshot): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#latest = snapshot;
    const version = snapshot.signed.manifest.stateVersion;
    const held = new Promise<void>((resolve, reject) => {
      this.#waiters.push({ version, resolve, reject });
    });
    this.poke();
    return held;
  }

  /** Sends what is missing to everybody who is a voter now; for after a change of the voters. */
  poke(): void {
    for (const peer of this.#deps.voters()) void this.#pump(peer);
    this.#settle();
  }

  /** Whether a majority of the present voters has the newest state. */
  get settled(): boolean {
    return this.#latest !== undefined && this.#heldBy(versionOf(this.#latest));
  }

  #heldBy(version: number): boolean {
    const voters = this.#deps.voters();
    const have = voters.filter((peer) => (this.#lanes.get(peer)?.version ?? -1) >= version);
    return have.length >= majority(voters.length);
  }

  #settle(): void {
    const waiting = this.#waiters;
    this.#waiters = waiting.filter((waiter) => !this.#heldBy(waiter.version));
    for (const waiter of waiting) if (!this.#waiters.includes(waiter)) waiter.resolve();
  }

  #fail(error: BzzzError): void {
    this.#failure ??= error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#failure);
  }

  #lane(peer: PeerId): Lane {
    const known = this.#lanes.get(peer);
    if (known !== undefined) return known;
    const lane: Lane = { version: -1, chunks: new Set(), busy: false };
    this.#lanes.set(peer, lane);
    return lane;
  }

  /** Until the voter has the newest state; one at a time for each voter. */
  async #pump(peer: PeerId): Promise<void> {
    const lane = this.#lane(peer);
    if (lane.busy) return;
    lane.busy = true;
    const { signal, clock, retryMs, voters, logger } = this.#deps;
    while (!signal.aborted && this.#failure === undefined && voters().includes(peer)) {
      const snapshot = this.#latest;
      if (snapshot === undefined || lane.version >= versionOf(snapshot)) break;
      try {
        await this.#push(peer, lane, snapshot);
        this.#settle();
      } catch (thrown) {
        const error = toBzzzError(thrown);
        if (error.code === 'STALE_TERM') {
          this.#fail(error);
          break;
        }
        logger.debug({ peer, err: error }, 'a voter did not take the jobs');
        await pause(clock, retryMs, signal);
      }
    }
    lane.busy = false;
  }

  async #push(peer: PeerId, lane: Lane, { signed, chunks }: Snapshot): Promise<void> {
    const { manifest, bytes } = signed;
    let missing = manifest.chunks.map(toHex).filter((name) => !lane.chunks.has(name));
    for (let round = 0; round < ROUNDS; round++) {
      const bodies = missing.slice(0, CHUNKS_PER_FRAME).flatMap((name) => chunks.get(name) ?? []);
      const body = wire.store.encode({
        ...{ v: 1, term: manifest.term, manifest: bytes, chunks: bodies },
      });
      const answer = wire.missing.decode(await this.#deps.call(peer, TOPICS.store, body));
      missing = answer.missing.map(toHex);
      if (missing.length === 0) {
        lane.version = manifest.stateVersion;
        lane.chunks = new Set(manifest.chunks.map(toHex));
        return;
      }
    }
    throw new BzzzError('BAD_MESSAGE', `${peer} does not take chunks of the jobs`);
  }
}

const versionOf = ({ signed }: Snapshot): number => signed.manifest.stateVersion;

const lost = (): BzzzError =>
  new BzzzError('LEADERSHIP_LOST', 'this node leads no more', {
    hint: 'the job may have been taken; submit it again under the same id',
  });
