/**
 * The shell of the repair: watches who is there, and runs the passes that repair-core decides, one
 * after the other, in slices with a pause between. Bounded: one pass under way, a few waiting, a
 * few records at a time, each asked for before anything is written.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { pause } from '../base/pause.ts';
import type { Cancel, Clock, Logger } from '../base/ports.ts';
import type { Counters } from './counters.ts';
import type { Page } from './guard.ts';
import { Listeners } from './listeners.ts';
import {
  type RepairEffect,
  type RepairEvent,
  type RepairPace,
  type RepairPass,
  type RepairState,
  repairStart,
  repairStep,
  turnAt,
} from './repair-core.ts';

/** How repairs are ordered where a node leads. */
export interface RepairOrders {
  standing(): 'self' | 'other' | 'none';
  /** Has every node begin; called on the leader only. What fails is begun without an order. */
  order(changed: readonly PeerId[]): void;
}

/** What one pass did on this node. */
export interface RepairReport {
  /** Records whose copies were looked at. */
  readonly checked: number;
  /** Of those, how many have all copies that the present members allow. */
  readonly whole: number;
}

export interface RepairOptions extends RepairPace {
  /** Between two looks at who is there. */
  readonly tickMs: number;
  /** Between two slices of a pass. */
  readonly pauseMs: number;
}

export interface RepairerDeps {
  readonly self: PeerId;
  /** Of the roster, this node included. */
  readonly members: () => readonly PeerId[];
  /** Other members that can be reached now. */
  readonly present: () => readonly PeerId[];
  /** Wanted copies of a record now. */
  readonly copies: () => number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: Counters;
  /** Records held for others, in slices. */
  page(after: string): Promise<Page>;
  /** Records that only the journal has. */
  journalled(): Promise<readonly Uint8Array[]>;
  /** When a record came here, by the clock; undefined when that is long ago. */
  cameAt(key: Uint8Array): number | undefined;
  /** Brings the copies of one record up to date. @returns how many there are. */
  ensure(key: Uint8Array, signal: AbortSignal): Promise<number>;
}

/** Records looked after at a time: what clients ask for goes first. */
const PARALLEL = 2;
/** Another look at what could not be completed; the wait doubles. */
const RETRIES = 4;
const RETRY_MS = 2_000;
/** Passes waiting for their turn; more are dropped, and found by the republisher. */
const MAX_WAITING = 16;

const NOBODY_LEADS: RepairOrders = { standing: () => 'none', order: () => {} };

/** Works between `start` and `stop`. */
export class Repairer {
  readonly #options: RepairOptions;
  readonly #deps: RepairerDeps;
  readonly #begun: Listeners<ReadonlySet<PeerId>>;
  #orders = NOBODY_LEADS;
  #state: RepairState = repairStart([]);
  #stop = new AbortController();
  #cancel: Cancel | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: RepairOptions, deps: RepairerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#begun = new Listeners(deps.log);
  }

  /** Where there is a leader it decides; until this is called nobody leads. */
  useOrders(orders: RepairOrders): void {
    this.#orders = orders;
  }

  /**
   * Calls back when this node begins to repair what a change of holders left behind, ordered or
   * not: for what is no record and has holders all the same. Once a change, not at later ranks.
   */
  onBegun(listener: (changed: ReadonlySet<PeerId>) => void): Cancel {
    return this.#begun.add(listener);
  }

  start(): void {
    this.#stop = new AbortController();
    const { self, members } = this.#deps;
    this.#state = repairStart(members().filter((peer) => peer !== self));
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#cancel?.();
    await this.#tail;
  }

  /**
   * The leader's order. Changes that this node does not see itself are left out.
   * @returns what the pass did here; nothing when there was none to do.
   */
  async ordered(changed: readonly PeerId[]): Promise<RepairReport> {
    const reports = this.#feed({ type: 'ordered', now: this.#deps.clock.now(), changed });
    const [report = { checked: 0, whole: 0 }] = await Promise.all(reports);
    return report;
  }

  #arm(): void {
    const { clock, self } = this.#deps;
    this.#cancel = clock.after(this.#options.tickMs, () => {
      if (this.#stop.signal.aborted) return;
      const present = new Set(this.#deps.present().filter((peer) => peer !== self));
      const leader = this.#orders.standing();
      this.#feed({ type: 'tick', now: clock.now(), present, leader });
      this.#arm();
    });
  }

  /** @returns the passes that follow from it. They never reject. */
  #feed(event: RepairEvent): readonly Promise<RepairReport>[] {
    const { state, effects } = repairStep(this.#options, this.#state, event);
    this.#state = state;
    return effects.flatMap((effect) => this.#run(effect));
  }

  #run(effect: RepairEffect): readonly Promise<RepairReport>[] {
    const { log, counters } = this.#deps;
    if (effect.type === 'order') {
      log.info({ changed: effect.changed }, 'ordering a repair of the copies of records');
      this.#orders.order(effect.changed);
      return [];
    }
    if (effect.pass.rank === 0) this.#begun.emit(effect.pass.changed);
    if (this.#waiting >= MAX_WAITING) {
      counters.add('repairDropped');
      return [];
    }
    this.#waiting++;
    const { signal } = this.#stop;
    const running = this.#tail.then(() => this.#pass(effect.pass, signal));
    const ended = running.catch((err: unknown) => {
      log.warn({ err }, 'a repair of copies ended early');
      return { checked: 0, whole: 0 };
    });
    this.#tail = ended.then(() => this.#waiting--);
    return [ended];
  }

  async #pass(pass: RepairPass, signal: AbortSignal): Promise<RepairReport> {
    const { clock, log, counters, page, journalled } = this.#deps;
    let checked = 0;
    let failed: readonly Uint8Array[] = [];
    const add = async (keys: readonly Uint8Array[]): Promise<number> => {
      const mine = this.#mine(keys, pass);
      checked += mine.length;
      failed = [...failed, ...(await this.#look(mine, signal))];
      return mine.length;
    };
    counters.add('repairPass');
    await add(await journalled());
    for (let from: string | undefined = ''; from !== undefined && !signal.aborted; ) {
      const { keys, next }: Page = await page(from);
      from = next;
      const looked = await add(keys);
      if (next !== undefined && looked > 0) await pause(clock, this.#options.pauseMs, signal);
    }
    // Peers that are there and do not answer in time have much to do, after deaths most of all.
    for (let n = 0; n < RETRIES && failed.length > 0 && !signal.aborted; n++) {
      await pause(clock, RETRY_MS * 2 ** n, signal);
      failed = await this.#look(failed, signal);
    }
    const report: RepairReport = { checked, whole: checked - failed.length };
    if (checked > 0) {
      const { rank, changed } = pass;
      log.info({ rank, changed: [...changed], ...report }, 'repaired the copies of records');
    }
    return report;
  }

  /** Those of `keys` that stood before, and whose turn it is. */
  #mine(keys: readonly Uint8Array[], pass: RepairPass): readonly Uint8Array[] {
    const { self, present, copies, cameAt } = this.#deps;
    const around = { self, present: new Set(present()), copies: copies() };
    return keys.filter((key) => {
      const stood = (cameAt(key) ?? pass.since) <= pass.since;
      return stood && turnAt(key, pass, around) === pass.rank;
    });
  }

  /** @returns the keys whose copies are fewer than the present members allow. */
  async #look(keys: readonly Uint8Array[], signal: AbortSignal): Promise<readonly Uint8Array[]> {
    const { present, copies, counters, ensure } = this.#deps;
    const failed: Uint8Array[] = [];
    const queue = keys.values();
    const work = async (): Promise<void> => {
      for (const key of queue) {
        const wanted = Math.min(copies(), present().length + 1);
        const whole = !signal.aborted && (await ensure(key, signal)) >= wanted;
        counters.add(whole ? 'repaired' : 'repairFailed');
        if (!whole) failed.push(key);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    return failed;
  }
}
