/**
 * Whether the sources of discovery that live on the network (mDNS, announcements, the DHT) work.
 * Pure: the caller sweeps and tells.
 *
 * They work while nobody is missing, or while any of them still says something. After `threshold`
 * sweeps in a row that found members missing and heard nothing, they count as failed; the first
 * word from any of them, or a complete cluster, ends that.
 * @module
 */

/** What one sweep found. */
export interface Swept {
  /** Members that are not connected. */
  readonly missing: number;
  /** Whether the DHT answered at least one question. */
  readonly answered: boolean;
  readonly ms: number;
  /** Since 1970. */
  readonly wallMs: number;
}

export type LiveChange = 'failed' | 'recovered' | undefined;

/** See the top of this file. */
export class LiveSources {
  readonly #threshold: () => number;
  #heard = false;
  #row = 0;
  #failed = false;
  #errors = 0;
  #failures = 0;
  #recoveries = 0;
  #last: Swept | undefined;

  /** @param threshold sweeps in a row, at least 1; may change at any time. */
  constructor(threshold: () => number) {
    this.#threshold = threshold;
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** The last sweep; undefined before the first. */
  get last(): Swept | undefined {
    return this.#last;
  }

  /** Sweeps that found members missing and heard nothing. */
  get errors(): number {
    return this.#errors;
  }

  get failures(): number {
    return this.#failures;
  }

  get recoveries(): number {
    return this.#recoveries;
  }

  /** A live source named a peer. */
  sighted(): LiveChange {
    this.#heard = true;
    this.#row = 0;
    return this.#recover();
  }

  /** @returns whether it changed, and how. */
  swept(sweep: Swept): LiveChange {
    const ok = sweep.missing === 0 || sweep.answered || this.#heard;
    this.#last = sweep;
    this.#heard = false;
    if (ok) {
      this.#row = 0;
      return this.#recover();
    }
    this.#errors++;
    this.#row++;
    if (this.#failed || this.#row < this.#threshold()) return undefined;
    this.#failed = true;
    this.#failures++;
    return 'failed';
  }

  #recover(): LiveChange {
    if (!this.#failed) return undefined;
    this.#failed = false;
    this.#recoveries++;
    return 'recovered';
  }
}
