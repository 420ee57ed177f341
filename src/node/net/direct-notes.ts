/**
 * Notes from one peer: handed to their handler at once, within a rate. A peer that sends more is
 * broken or hostile; whoever beats at the shortest interval stays far below.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Clock, Logger, NoteHandler } from '../../base/ports.ts';
import type { Note } from './direct-wire.ts';

export interface NotesDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly counters: { idleNotes: number };
  readonly noteHandlers: ReadonlyMap<string, NoteHandler>;
}

/** A token bucket: a burst covers what waited while this process was stopped. */
export class DirectNotes {
  readonly #peer: PeerId;
  readonly #deps: NotesDeps;
  #tokens: number = LIMITS.noteBurst;
  #filledAt: number;

  constructor(peer: PeerId, deps: NotesDeps) {
    this.#peer = peer;
    this.#deps = deps;
    this.#filledAt = deps.clock.now();
  }

  /**
   * @returns false when there are too many.
   * @throws BAD_MESSAGE when the handler says so.
   */
  take({ topic, body }: Note): boolean {
    if (!this.#mayPass()) return false;
    const handler = this.#deps.noteHandlers.get(topic);
    if (handler === undefined) {
      this.#deps.counters.idleNotes++;
      return true;
    }
    try {
      handler(this.#peer, body);
    } catch (thrown) {
      const error = toBzzzError(thrown);
      if (error.code === 'BAD_MESSAGE') throw error;
      this.#deps.counters.idleNotes++;
      const fields = { peer: this.#peer, topic, error: error.toShape() };
      this.#deps.log.error(fields, 'the handler of a note failed');
    }
    return true;
  }

  #mayPass(): boolean {
    const now = this.#deps.clock.now();
    const refill = ((now - this.#filledAt) / 1_000) * LIMITS.notesPerSecond;
    this.#tokens = Math.min(LIMITS.noteBurst, this.#tokens + refill);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
