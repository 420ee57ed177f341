/**
 * The watchdog: reports sessions without progress, and ends sessions that this node only knows of
 * when their time is over. One timer for all, and none while there is nothing to watch (R55).
 * @module
 */
import type { Millis, SessionId } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import type { Cancel } from '../../base/ports.ts';
import { isTerminal } from '../sessions/fold.ts';
import type { SealedProposal } from '../types.ts';
import type { Live } from './live.ts';
import type { PartyDeps } from './ports.ts';

const TICK_MS = 1_000;
/** An onlooker hears of an end later than those who made it. */
const ONLOOKER_MS = 2_000;

/** Watches the sessions of one node. */
export class Watch {
  readonly #deps: PartyDeps;
  readonly #stallMs: number;
  readonly #live: () => readonly Live[];
  /** Deadlines of sessions without a machine here, by the monotonic clock. */
  readonly #deadlines = new Map<SessionId, Millis>();
  readonly #stalled = new WeakSet<Live>();
  #timer: Cancel | undefined;
  #closed = false;

  constructor(deps: PartyDeps, stallMs: number, live: () => readonly Live[]) {
    this.#deps = deps;
    this.#stallMs = stallMs;
    this.#live = live;
  }

  get timers(): number {
    return this.#timer === undefined ? 0 : 1;
  }

  /** After a start: sessions that were under way before get their time once more. */
  resume(): void {
    for (const { sealed, view } of this.#deps.sessions.list()) {
      if (!isTerminal(view.state)) this.onlook(sealed);
    }
  }

  /** A session that others run. Its life counts from now: clocks of hosts may differ. */
  onlook({ sid, proposal }: SealedProposal): void {
    const deadline = (this.#deps.clock.now() + proposal.ttlMs + ONLOOKER_MS) as Millis;
    this.#deadlines.set(sid, deadline);
    this.wake();
  }

  /** There is something to watch. */
  wake(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = this.#deps.clock.after(TICK_MS, () => {
      this.#timer = undefined;
      this.#tick();
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.();
    this.#timer = undefined;
    this.#deadlines.clear();
  }

  #tick(): void {
    const now = this.#deps.clock.now();
    const running = this.#live().filter(({ ended }) => !ended);
    for (const live of running) this.#check(live, now);
    for (const [sid, deadline] of this.#deadlines) this.#sweep(sid, deadline, now);
    if (running.length > 0 || this.#deadlines.size > 0) this.wake();
  }

  #check(live: Live, now: Millis): void {
    const idleMs = now - live.lastProgress;
    if (idleMs < this.#stallMs) {
      this.#stalled.delete(live);
    } else if (!this.#stalled.has(live)) {
      this.#stalled.add(live);
      const { emit, logger } = this.#deps;
      logger.warn({ sessionId: live.sid, idleMs }, 'a session makes no progress');
      emit('session.stalled', { sessionId: live.sid, idleMs: Math.round(idleMs) });
    }
  }

  #sweep(sid: SessionId, deadline: Millis, now: Millis): void {
    const { sessions, logger, emit } = this.#deps;
    const known = sessions.get(sid);
    const hasMachine = this.#live().some((live) => live.sid === sid);
    if (known === undefined || hasMachine || isTerminal(known.view.state)) {
      this.#deadlines.delete(sid);
    } else if (now >= deadline) {
      this.#deadlines.delete(sid);
      const said = { code: 'SESSION_EXPIRED', message: 'no end was heard of in time' };
      sessions.say(sid, 'expired', said).then(
        (opened) => {
          if (opened !== undefined) emit('session.expired', { sessionId: sid, ...said });
        },
        (thrown: unknown) => {
          const { code, message } = toBzzzError(thrown);
          logger.warn({ sessionId: sid, code }, `the end was not stored: ${message}`);
        },
      );
    }
  }
}
