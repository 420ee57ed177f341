/**
 * Sessions that have ended and still answer those who missed the end. How long they do depends on
 * how many end, not on time.
 * @module
 */
import type { SessionId } from '../../base/brands.ts';
import type { Live } from './live.ts';

/** Ended sessions that still answer, and the message bytes that they may hold together. */
const ENDED_SESSIONS = 64;
const ENDED_BYTES = 8 * 1_048_576;

const sizeOf = (live: Live): number => live.body?.message?.length ?? 0;

/** Bounded; the oldest are closed and put away. */
export class EndedSessions {
  readonly #forget: (sid: SessionId) => void;
  /** Oldest first. */
  readonly #ended = new Set<Live>();
  #bytes = 0;

  /** @param forget is told of each session that no longer answers. */
  constructor(forget: (sid: SessionId) => void) {
    this.#forget = forget;
  }

  /** A session ended, perhaps once more. One that keeps a share for a certificate stays open. */
  add(live: Live): void {
    if (live.pending || this.#ended.has(live)) return;
    this.#ended.add(live);
    this.#bytes += sizeOf(live);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= 1) return;
      if (this.#ended.size <= ENDED_SESSIONS && this.#bytes <= ENDED_BYTES) return;
      this.#ended.delete(oldest);
      this.#bytes -= sizeOf(oldest);
      oldest.close();
      this.#forget(oldest.sid);
    }
  }

  clear(): void {
    this.#ended.clear();
    this.#bytes = 0;
  }
}
