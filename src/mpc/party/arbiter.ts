/**
 * The arbiter of sessions of one request (signing/arbiter.ts) on a real clock.
 * @module
 */
import type { RequestId, SessionId } from '../../base/brands.ts';
import type { Cancel, Clock } from '../../base/ports.ts';
import { type ArbiterInput, NO_SESSIONS, stepArbiter } from '../signing/arbiter.ts';
import type { SealedProposal, SignProposal } from '../types.ts';

/** Who goes first, for all requests of this node. */
export class Arbitration {
  readonly #clock: Clock;
  readonly #rule: (sid: SessionId, by: SessionId | undefined) => void;
  readonly #rechecks = new Map<RequestId, Cancel>();
  #state = NO_SESSIONS;

  /** @param rule tells a session to stand back for `by`, or to go on. */
  constructor(clock: Clock, rule: (sid: SessionId, by: SessionId | undefined) => void) {
    this.#clock = clock;
    this.#rule = rule;
  }

  get timers(): number {
    return this.#rechecks.size;
  }

  /** Something happened to a session; one that asked for a fresh signature takes no part. */
  step(type: ArbiterInput['type'], sealed: SealedProposal<SignProposal>): void {
    const { fresh, requestId } = sealed.proposal;
    if (fresh) return;
    const input = { type, requestId, sid: sealed.sid, now: this.#clock.now() };
    const { state, recheckMs, rulings } = stepArbiter(this.#state, input);
    this.#state = state;
    this.#rechecks.get(requestId)?.();
    this.#rechecks.delete(requestId);
    if (recheckMs !== undefined) {
      const tick = (): void => this.step('tick', sealed);
      this.#rechecks.set(requestId, this.#clock.after(recheckMs, tick));
    }
    for (const { sid, by } of rulings) this.#rule(sid, by);
  }

  close(): void {
    for (const cancel of this.#rechecks.values()) cancel();
    this.#rechecks.clear();
  }
}
