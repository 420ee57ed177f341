/**
 * The shell of the breaker: probes the network, hears how its calls fare, and gives each call a
 * way out - its own deadline, or the moment the breaker opens.
 * @module
 */
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock, Logger } from '../base/ports.ts';
import {
  BREAKER_START,
  type BreakerEvent,
  type BreakerPace,
  type BreakerState,
  breakerStep,
} from './breaker.ts';
import type { NetworkStore } from './hybrid-types.ts';

export interface WatchDeps {
  readonly network: NetworkStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** The breaker opened: calls under way are about to be freed. */
  opened(reason: string): void;
  /** It closed. @param ms since the probe that succeeded began. */
  closed(ms: number, downMs: number): void;
}

/** What a call to the network came to: an answer, or the reason to do without. */
export type Reached<T> =
  | { readonly kind: 'answer'; readonly value: T }
  | { readonly kind: 'fallback'; readonly reason: string };

/** What the network store has beyond its own time to answer with less than was asked. */
const MARGIN_MS = 250;
/** What a call under way gets when the breaker opens: the answer that opened it is just coming. */
const FREED_MS = 20;
/** Errors that say something about the network and nothing about the call. */
export const TROUBLE: ReadonlySet<string> = new Set(['TIMEOUT', 'PEER_UNREACHABLE', 'INTERNAL']);

/** Runs between `start` and `stop`; outside of that the breaker stays as it is. */
export class NetworkWatch {
  #pace: BreakerPace & { readonly probeMs: number };
  readonly #deps: WatchDeps;
  #state: BreakerState = BREAKER_START;
  /** Aborts when the breaker opens; a new one for each time that it is closed. */
  #opening = new AbortController();
  #reason = '';
  #openedAt = 0;
  #probeBegan = 0;
  #cancel: Cancel | undefined;
  #unsubscribe: Cancel | undefined;
  #probes = 0;
  /** Whether the last event of the network, of any call, was good. */
  #lastOk: boolean | undefined;

  /** @param pace.probeMs deadline of one probe. */
  constructor(pace: BreakerPace & { readonly probeMs: number }, deps: WatchDeps) {
    this.#pace = pace;
    this.#deps = deps;
  }

  /** Holds from the next step on; a timer that runs ends as it was set. */
  configure(pace: BreakerPace): void {
    this.#pace = { ...this.#pace, ...pace };
  }

  get isOpen(): boolean {
    return this.#state.at !== 'closed';
  }

  /** Why it opened the last time. */
  get reason(): string {
    return this.#reason;
  }

  start(): void {
    this.#unsubscribe = this.#deps.network.onNetwork(({ ok, reason }) => {
      this.#lastOk = ok;
      this.#feed({ type: ok ? 'ok' : 'failed' }, reason ?? 'too few members answered');
    });
    this.#feed({ type: 'start' }, '');
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#cancel?.();
    // The result of a probe under way is nobody's any more.
    this.#probes++;
  }

  /**
   * Does `work` on the network, unless the breaker is open; no longer than `timeoutMs` and a
   * margin, nor longer than the breaker stays closed. Work given up is told by its signal; what
   * it comes to is not heard.
   * @throws what `work` throws, if that says more than that the network is in trouble.
   */
  async reach<T>(timeoutMs: number, work: (given: AbortSignal) => Promise<T>): Promise<Reached<T>> {
    if (this.isOpen) return { kind: 'fallback', reason: this.#reason };
    const opening = this.#opening.signal;
    const limit = timeoutMs + MARGIN_MS;
    const over = new AbortController();
    let stop: Cancel = () => {};
    const given = new Promise<Reached<T>>((resolve) => {
      const { clock } = this.#deps;
      const overdue = clock.after(limit, () => {
        const reason = `no answer within ${limit} ms`;
        this.#feed({ type: 'failed' }, reason);
        resolve({ kind: 'fallback', reason });
      });
      let freed: Cancel = () => {};
      const free = (): void => {
        over.abort();
        freed = clock.after(FREED_MS, () => resolve({ kind: 'fallback', reason: this.#reason }));
      };
      opening.addEventListener('abort', free, { once: true });
      stop = () => {
        overdue();
        freed();
        opening.removeEventListener('abort', free);
      };
    });
    const answered = this.#answer(work, over.signal);
    // Given up, its failure is nobody's: the network store told `onNetwork` of it.
    answered.catch(() => {});
    try {
      return await Promise.race([answered, given]);
    } finally {
      stop();
      over.abort();
    }
  }

  /** One probe now, whose result the breaker hears as well. @returns whether it succeeded. */
  async check(): Promise<boolean> {
    const ok = await this.#probe();
    // A breaker that is open hears only the probes that it asked for.
    if (!this.isOpen) this.#feed({ type: 'probed', ok }, 'a probe failed');
    return ok;
  }

  async #answer<T>(
    work: (given: AbortSignal) => Promise<T>,
    given: AbortSignal,
  ): Promise<Reached<T>> {
    try {
      return { kind: 'answer', value: await work(given) };
    } catch (thrown) {
      const { code, message } = toBzzzError(thrown);
      // Closed under our feet by a stop: that is no fault of the network.
      const stopped = code === 'DRAINING';
      if (!stopped && !TROUBLE.has(code)) throw thrown;
      // Work that was given up tells nothing new.
      if (!stopped && !given.aborted) {
        this.#deps.log.warn({ err: thrown }, 'a call to the network failed');
        this.#feed({ type: 'failed' }, message);
      }
      return { kind: 'fallback', reason: message };
    }
  }

  #feed(event: BreakerEvent, reason: string): void {
    if (event.type === 'failed' || (event.type === 'probed' && !event.ok)) {
      if (!this.isOpen) this.#reason = reason;
    }
    const { state, effects } = breakerStep(this.#pace, this.#state, event);
    this.#state = state;
    for (const effect of effects) {
      if (effect.type === 'timer') this.#arm(effect.ms);
      else if (effect.type === 'probe') void this.#probeForBreaker();
      else if (effect.type === 'opened') this.#open();
      else this.#close();
    }
  }

  #arm(ms: number): void {
    this.#cancel?.();
    this.#cancel = this.#deps.clock.after(ms, () => this.#feed({ type: 'timer' }, ''));
  }

  #open(): void {
    this.#openedAt = this.#deps.clock.now();
    const freed = this.#opening;
    this.#opening = new AbortController();
    this.#deps.opened(this.#reason);
    freed.abort();
  }

  #close(): void {
    const now = this.#deps.clock.now();
    this.#deps.closed(now - this.#probeBegan, now - this.#openedAt);
  }

  async #probeForBreaker(): Promise<void> {
    const mine = ++this.#probes;
    this.#probeBegan = this.#deps.clock.now();
    const ok = await this.#probe();
    // Only the newest probe counts: an older one is about a time that has passed.
    if (mine === this.#probes) this.#feed({ type: 'probed', ok }, 'a probe failed');
  }

  /**
   * Whether the network answers. A node whose own disk is full probes as degraded although the
   * others answer well; then the event of the network itself decides.
   */
  async #probe(): Promise<boolean> {
    const { network, clock, log } = this.#deps;
    this.#lastOk = undefined;
    let cancel: Cancel = () => {};
    const late = new Promise<never>((_resolve, reject) => {
      cancel = clock.after(this.#pace.probeMs, () =>
        reject(new BzzzError('TIMEOUT', `no probe within ${this.#pace.probeMs} ms`)),
      );
    });
    const probing = network.probe();
    probing.catch(() => {});
    try {
      const { status } = await Promise.race([probing, late]);
      return status === 'healthy' || this.#lastOk === true;
    } catch (err) {
      log.debug({ err }, 'the network was probed in vain');
      return false;
    } finally {
      cancel();
    }
  }
}
