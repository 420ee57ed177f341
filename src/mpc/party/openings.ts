/**
 * What this node says of the beginning of its signing sessions. Most end within milliseconds, and
 * every event costs each node a signature or its check and a write: of a session that completes in
 * a moment its proposer tells the end alone, which implies the rest, and the others tell nothing.
 * @module
 */
import type { SessionId } from '../../base/brands.ts';
import type { Cancel, Clock } from '../../base/ports.ts';
import type { SealedProposal, SignProposal } from '../types.ts';
import type { Paces } from './paces.ts';

/** A session that takes longer, and longer than others of its key, is told of while it runs. */
const MOMENT_MS = 250;

/** Beginnings that are not told yet. */
export class Openings {
  readonly #clock: Clock;
  readonly #paces: Paces;
  readonly #waiting = new Map<SessionId, Cancel>();

  constructor(clock: Clock, paces: Paces) {
    this.#clock = clock;
    this.#paces = paces;
  }

  get timers(): number {
    return this.#waiting.size;
  }

  /** Calls `tell` after a moment, unless the session has ended. */
  add({ sid, proposal }: SealedProposal<SignProposal>, tell: () => void): void {
    const cancel = this.#clock.after(this.#paces.longMs(proposal.keyId, MOMENT_MS), () => {
      this.#waiting.delete(sid);
      tell();
    });
    this.#waiting.set(sid, cancel);
  }

  /** The session ended. @returns whether its beginning was never told. */
  end(sid: SessionId): boolean {
    this.#waiting.get(sid)?.();
    return this.#waiting.delete(sid);
  }

  close(): void {
    for (const cancel of this.#waiting.values()) cancel();
    this.#waiting.clear();
  }
}
