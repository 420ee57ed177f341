/**
 * The arbiter of sessions of one request (signing/arbiter.ts) on a real clock.
 * @module
 */
import type { PeerId, RequestId, SessionId } from '../../base/brands.ts';
import type { Cancel, Clock } from '../../base/ports.ts';
import { type ArbiterEvent, NO_SESSIONS, type Ruling, stepArbiter } from '../signing/arbiter.ts';
import type { SealedProposal, SignProposal } from '../types.ts';

/** Who goes first, for all requests of this node. */
export class Arbitration {
  readonly #clock: Clock;
  readonly #rule: (ruling: Ruling) => void;
  readonly #rechecks = new Map<RequestId, Cancel>();
  #state = NO_SESSIONS;

  /** @param rule tells a session to stand back, or to go on. */
  constructor(clock: Clock, rule: (ruling: Ruling) => void) {
    this.#clock = clock;
    this.#rule = rule;
  }

  get timers(): number {
    return this.#rechecks.size;
  }

  /** Something happened to a session; one that asked for a fresh signature takes no part. */
  step(event: ArbiterEvent, { sid, proposal }: SealedProposal<SignProposal>): void {
    if (!proposal.fresh) this.#step(event, proposal.requestId, sid);
  }

  /** A peer cannot be reached: shares that it got as a driver bind nobody. */
  gone(driver: PeerId): void {
    for (const [requestId, [first]] of this.#state) {
      if (first !== undefined) this.#step({ type: 'gone', driver }, requestId, first.sid);
    }
  }

  close(): void {
    for (const cancel of this.#rechecks.values()) cancel();
    this.#rechecks.clear();
  }

  #step(event: ArbiterEvent, requestId: RequestId, sid: SessionId): void {
    const now = this.#clock.now();
    const { state, recheckMs, rulings } = stepArbiter(this.#state, {
      ...event,
      requestId,
      sid,
      now,
    });
    this.#state = state;
    this.#rechecks.get(requestId)?.();
    this.#rechecks.delete(requestId);
    if (recheckMs !== undefined) {
      const tick = (): void => this.#step({ type: 'tick' }, requestId, sid);
      this.#rechecks.set(requestId, this.#clock.after(recheckMs, tick));
    }
    for (const ruling of rulings) this.#rule(ruling);
  }
}
