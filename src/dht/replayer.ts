/**
 * Tells the network what it missed, as soon as the breaker is closed: in the order of the queue,
 * one put of a key at a time, each with all that the journal has of it by then. So a key's values
 * reach the network in the order in which they were written, and a replay may be repeated.
 *
 * What the rules refuse becomes a dead letter at once; what the holders do not keep, although a
 * probe shows that they answer, after `MAX_ATTEMPTS` attempts.
 * @module
 */
import { type BzzzError, toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock, Logger, Random } from '../base/ports.ts';
import type { DeadLetters } from './dead-letters.ts';
import { type HybridEvent, idOf, type NetworkStore, type Subject } from './hybrid-types.ts';
import type { NetworkWatch } from './network-watch.ts';
import type { ReplayQueue, Waiting } from './replay-queue.ts';
import { chanceOf } from './republish.ts';
import type { RecordStore } from './store.ts';
import { closedError } from './store-errors.ts';

export interface ReplayerDeps {
  readonly queue: ReplayQueue;
  readonly letters: DeadLetters;
  readonly watch: NetworkWatch;
  readonly local: Pick<RecordStore, 'get'>;
  readonly network: NetworkStore;
  /** Names of all journalled records, ascending. */
  readonly journalled: () => Promise<readonly string[]>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly emit: (event: HybridEvent) => void;
}

const PARALLEL = 8;
/** Attempts while the network was healthy. With the waits between them about two minutes. */
export const MAX_ATTEMPTS = 8;
const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 60_000;
/** Codes that no second attempt changes. */
const REFUSALS: ReadonlySet<string> = new Set([
  'BAD_MESSAGE',
  'TOO_LARGE',
  'REFUSED_BY_POLICY',
  'CONFLICT',
  'NOT_FOUND',
]);

/** Works between `start` and `stop`. */
export class Replayer {
  readonly #timeoutMs: number;
  readonly #deps: ReplayerDeps;
  readonly #busy = new Map<string, Promise<void>>();
  #running = false;
  #round: Promise<void> | undefined;
  #again = false;
  #cancel: Cancel | undefined;
  #began: number | undefined;

  /** @param timeoutMs of one put. */
  constructor(timeoutMs: number, deps: ReplayerDeps) {
    this.#timeoutMs = timeoutMs;
    this.#deps = deps;
  }

  start(): void {
    this.#running = true;
    this.wake();
  }

  /** Ends after the puts under way. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#cancel?.();
    await this.#round;
  }

  /** Something was queued, or the breaker closed. */
  wake(): void {
    if (!this.#running || this.#deps.watch.isOpen) return;
    if (this.#round !== undefined) {
      this.#again = true;
      return;
    }
    this.#cancel?.();
    this.#round = this.#work().finally(() => {
      this.#round = undefined;
      const again = this.#again;
      this.#again = false;
      if (again) this.wake();
    });
  }

  /** The replay of a subject that is under way, if one is. Never rejects. */
  underWay(subject: Subject): Promise<void> | undefined {
    return this.#busy.get(idOf(subject));
  }

  async #work(): Promise<void> {
    const { queue, watch, clock, log } = this.#deps;
    while (this.#running && !watch.isOpen) {
      try {
        if (queue.overflow !== undefined && queue.hasMuchRoom) await this.#sweep();
      } catch (err) {
        log.warn({ err }, 'the journal could not be looked through for records to replay');
        this.#arm(clock.now() + MAX_WAIT_MS);
        return;
      }
      const batch = queue.due(clock.now(), PARALLEL);
      if (batch.length === 0) break;
      this.#began ??= clock.now();
      await Promise.all(batch.map((entry) => this.#one(entry)));
    }
    if (!this.#running || watch.isOpen) return;
    const next = queue.nextAt();
    if (next !== undefined) this.#arm(next);
    else this.#done();
  }

  #arm(at: number): void {
    const { clock } = this.#deps;
    this.#cancel = clock.after(Math.max(1, at - clock.now()), () => this.wake());
  }

  #done(): void {
    if (this.#began === undefined) return;
    const ms = this.#deps.clock.now() - this.#began;
    this.#began = undefined;
    this.#deps.emit({ type: 'replayed', ms });
  }

  async #one(entry: Waiting): Promise<void> {
    const { queue, clock, log } = this.#deps;
    const run = this.#offer(entry).catch(async (thrown: unknown) => {
      const error = toBzzzError(thrown);
      if (REFUSALS.has(error.code)) return this.#bury(entry, error);
      log.warn({ err: error, record: entry.name }, 'a record could not be replayed');
      await queue.postpone(entry, clock.now() + FIRST_WAIT_MS, false);
    });
    const settled = run.catch((err: unknown) => {
      // The disk refused the note; the entry stays in line and is tried again later.
      log.warn({ err, record: entry.name }, 'the replay queue could not be written');
    });
    this.#busy.set(idOf(entry), settled);
    await settled;
    this.#busy.delete(idOf(entry));
  }

  /** @throws what ends the entry, or keeps it for later. */
  async #offer(entry: Waiting): Promise<void> {
    const { queue, watch } = this.#deps;
    const reached = await watch.reach(this.#timeoutMs, (given) => this.#send(entry, given));
    if (reached.kind === 'answer' && reached.value) {
      await queue.settle(entry, entry.mark);
      return;
    }
    if (watch.isOpen) return;
    await this.#fellShort(entry);
  }

  /** @returns whether the network has it now. */
  async #send({ kind, name }: Waiting, given: AbortSignal): Promise<boolean> {
    const { local, network } = this.#deps;
    const timeoutMs = this.#timeoutMs;
    if (kind === 'provide') {
      await network.provide(name, { timeoutMs });
      return true;
    }
    const { namespace, suffix } = partsOf(name);
    const own = await local.get(namespace, suffix);
    // Its copy was damaged, and that was counted; the members may have others.
    if (own === undefined) return true;
    // Fallen back meanwhile: nothing new is begun.
    if (given.aborted) throw closedError();
    const { ack } = await network.put(namespace, suffix, own.value, { timeoutMs });
    return ack === 'quorum';
  }

  /** Whose fault it is tells a probe: only with a healthy network it counts against the record. */
  async #fellShort(entry: Waiting): Promise<void> {
    const { queue, watch, clock, random } = this.#deps;
    const healthy = await watch.check();
    if (healthy && entry.attempts + 1 >= MAX_ATTEMPTS) {
      const error = {
        code: 'NO_QUORUM' as const,
        message: 'the members answer, and do not keep it',
      };
      return this.#bury({ ...entry, attempts: entry.attempts + 1 }, error);
    }
    const wait = healthy ? Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** entry.attempts) : 0;
    const spread = 0.5 + chanceOf(random) / 2;
    await queue.postpone(entry, clock.now() + Math.max(FIRST_WAIT_MS, wait * spread), healthy);
  }

  /** The letter first: a crash in between leaves both, and nothing is forgotten. */
  async #bury(entry: Waiting, error: Pick<BzzzError, 'code' | 'message'>): Promise<void> {
    const { letters, queue, clock, emit } = this.#deps;
    const { kind, name, attempts } = entry;
    const { code, message: reason } = error;
    const wallMs = Math.max(0, Math.trunc(clock.wallMs()));
    const letter = await letters.add({ kind, name, attempts, code, reason, wallMs });
    await queue.settle(entry, entry.mark);
    emit({ type: 'dead_letter', letter });
  }

  /** Brings into line what the journal has and the queue had no place for. */
  async #sweep(): Promise<void> {
    const { queue, journalled } = this.#deps;
    const overflow = queue.overflow;
    if (overflow === undefined) return;
    let last = overflow.after;
    for (const name of await journalled()) {
      if (name <= overflow.after) continue;
      if (!queue.hasRoom) return queue.sweptTo(last, overflow.mark);
      await queue.add({ kind: 'put', name }, false);
      last = name;
    }
    await queue.sweptTo(undefined, overflow.mark);
  }
}

/** `<namespace>/<suffix>`: a suffix has no slash. */
export function partsOf(name: string): { readonly namespace: string; readonly suffix: string } {
  const slash = name.indexOf('/');
  return { namespace: name.slice(0, slash), suffix: name.slice(slash + 1) };
}
