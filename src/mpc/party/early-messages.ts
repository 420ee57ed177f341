/**
 * Messages of sessions whose proposal has not come yet. They wait a moment for it; then the sender
 * is asked for it, because its proposer may have died before it told everybody.
 * @module
 */
import type { PeerId, SessionId } from '../../base/brands.ts';
import type { Cancel, Clock } from '../../base/ports.ts';

/** The proposal is normally on its way on the same stream. */
const GRACE_MS = 150;
const SESSIONS = 128;
const MESSAGES = 64;

export interface EarlyMessage {
  readonly from: PeerId;
  readonly envelope: Uint8Array;
}

interface Waiting {
  readonly messages: EarlyMessage[];
  /** For each sender: it is asked when this runs out. */
  readonly senders: Map<PeerId, Cancel>;
}

/** Bounded: the oldest sessions go first, further messages of a session are dropped. */
export class EarlyMessages {
  readonly #clock: Clock;
  readonly #ask: (sid: SessionId, from: PeerId) => void;
  readonly #waiting = new Map<SessionId, Waiting>();

  /**
   * @param ask is called for each sender of a session that nobody proposed in time: one of them may
   * have died since.
   */
  constructor(clock: Clock, ask: (sid: SessionId, from: PeerId) => void) {
    this.#clock = clock;
    this.#ask = ask;
  }

  get timers(): number {
    return [...this.#waiting.values()].reduce((sum, { senders }) => sum + senders.size, 0);
  }

  add(sid: SessionId, message: EarlyMessage): void {
    const known = this.#waiting.get(sid);
    const waiting = known ?? { messages: [], senders: new Map<PeerId, Cancel>() };
    this.#waiting.set(sid, waiting);
    if (waiting.messages.length < MESSAGES) waiting.messages.push(message);
    const { from } = message;
    if (!waiting.senders.has(from)) {
      waiting.senders.set(
        from,
        this.#clock.after(GRACE_MS, () => this.#ask(sid, from)),
      );
    }
    const oldest = this.#waiting.keys().next();
    if (this.#waiting.size > SESSIONS && oldest.done !== true) this.take(oldest.value);
  }

  /** Removes and returns what waits for a session. */
  take(sid: SessionId): readonly EarlyMessage[] {
    const waiting = this.#waiting.get(sid);
    for (const cancel of waiting?.senders.values() ?? []) cancel();
    this.#waiting.delete(sid);
    return waiting?.messages ?? [];
  }

  /** A sender did not help. Without another one to ask, what came is dropped. */
  forget(sid: SessionId, from: PeerId): void {
    const waiting = this.#waiting.get(sid);
    waiting?.senders.get(from)?.();
    waiting?.senders.delete(from);
    if (waiting?.senders.size === 0) this.#waiting.delete(sid);
  }

  close(): void {
    for (const sid of this.#waiting.keys()) this.take(sid);
  }
}
