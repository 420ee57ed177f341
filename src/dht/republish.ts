/**
 * The shell of the republisher: runs what republish-core decides.
 * @module
 */
import type { Cancel, Clock, Logger, Random } from '../base/ports.ts';
import {
  REPUBLISH_START,
  type RepublishEvent,
  type RepublishPace,
  type RepublishState,
  republishStep,
} from './republish-core.ts';

export interface RepublisherDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /**
   * Brings the copies of one slice of the records up to date.
   * @returns where the next slice begins; undefined after the last.
   */
  slice(from: string, signal: AbortSignal): Promise<string | undefined>;
}

/** Republishes between `start` and `stop`. */
export class Republisher {
  readonly #pace: RepublishPace;
  readonly #deps: RepublisherDeps;
  #state: RepublishState = REPUBLISH_START;
  #cancel: Cancel | undefined;
  #stop = new AbortController();
  #slicing: Promise<void> = Promise.resolve();

  constructor(pace: RepublishPace, deps: RepublisherDeps) {
    this.#pace = pace;
    this.#deps = deps;
  }

  start(): void {
    this.#stop = new AbortController();
    this.#state = REPUBLISH_START;
    this.#feed({ type: 'start' });
  }

  /** Members were added. */
  grown(): void {
    this.#feed({ type: 'grown' });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#cancel?.();
    await this.#slicing;
  }

  #feed(event: RepublishEvent): void {
    if (this.#stop.signal.aborted) return;
    const chance = chanceOf(this.#deps.random);
    const { state, effects } = republishStep(this.#pace, this.#state, event, chance);
    this.#state = state;
    for (const effect of effects) {
      if (effect.type === 'slice') this.#slicing = this.#slice(effect.from);
      else {
        this.#cancel?.();
        this.#cancel = this.#deps.clock.after(effect.ms, () => this.#feed({ type: 'timer' }));
      }
    }
  }

  async #slice(from: string): Promise<void> {
    let next: string | undefined;
    try {
      next = await this.#deps.slice(from, this.#stop.signal);
    } catch (err) {
      // The pass ends here; the next one begins anew after the interval.
      this.#deps.log.warn({ err }, 'republishing stopped early');
    }
    this.#feed({ type: 'sliced', next });
  }
}

/** A number 0..1 (both ends rare) from 16 random bits. */
export function chanceOf(random: Random): number {
  const [high = 0, low = 0] = random.bytes(2);
  return (high * 256 + low) / 65_535;
}
