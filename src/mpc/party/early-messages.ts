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
  readonly cancel: Cancel;
}

/** Bounded: the oldest sessions go first, further messages of a session are dropped. */
export class EarlyMessages {
  readonly #clock: Clock;
  readonly #ask: (sid: SessionId, from: PeerId) => void;
  readonly #waiting = new Map<SessionId, Waiting>();

  /** @param ask is called once per session that nobody proposed in time. */
  constructor(clock: Clock, ask: (sid: SessionId, from: PeerId) => void) {
    this.#clock = clock;
    this.#ask = ask;
  }

  get timers(): number {
    return this.#waiting.size;
  }

  add(sid: SessionId, message: EarlyMessage): void {
    const known = this.#waiting.get(sid);
    if (known !== undefined) {
      if (known.messages.length < MESSAGES) known.messages.push(message);
      return;
    }
    const cancel = this.#clock.after(GRACE_MS, () => this.#ask(sid, message.from));
    this.#waiting.set(sid, { messages: [message], cancel });
    const oldest = this.#waiting.keys().next();
    if (this.#waiting.size > SESSIONS && oldest.done !== true) this.take(oldest.value);
  }

  /** Removes and returns what waits for a session. */
  take(sid: SessionId): readonly EarlyMessage[] {
    const waiting = this.#waiting.get(sid);
    waiting?.cancel();
    this.#waiting.delete(sid);
    return waiting?.messages ?? [];
  }

  close(): void {
    for (const { cancel } of this.#waiting.values()) cancel();
    this.#waiting.clear();
  }
}
