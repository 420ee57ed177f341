/**
 * What the machine was asked for and has not answered: each gets exactly one `done` or `refused`.
 * @module
 */
import type { Epoch } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';
import type { ElectionInput } from './types.ts';

type Ask = Extract<ElectionInput, { type: 'propose' | 'transfer' | 'step-down' }>;
/** An input without its id, which is chosen here. */
export type Wanted<T = Ask> = T extends Ask ? Omit<T, 'id'> : never;

interface Open {
  readonly resolve: (epoch: Epoch) => void;
  readonly reject: (error: BzzzError) => void;
}

/** Ids are numbers of one run. */
export class Asks {
  readonly #clock: Clock;
  readonly #feed: (input: ElectionInput) => boolean;
  readonly #open = new Map<string, Open>();
  #nextId = 1;

  constructor(clock: Clock, feed: (input: ElectionInput) => boolean) {
    this.#clock = clock;
    this.#feed = feed;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * @throws what the machine refuses with; BUSY: too many inputs wait. TIMEOUT after `waitMs`: what
   * was asked for may still come about.
   */
  async ask(wanted: Wanted, waitMs: number): Promise<Epoch> {
    const id = String(this.#nextId++);
    const answer = new Promise<Epoch>((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
    });
    const cancel = this.#clock.after(waitMs, () => {
      this.#feed({ type: 'abandon', id });
      this.refused(id, new BzzzError('TIMEOUT', `the voters did not agree in ${waitMs} ms`));
    });
    if (!this.#feed({ ...wanted, id } as Ask)) {
      this.refused(id, new BzzzError('BUSY', 'too many changes wait already'));
    }
    try {
      return await answer;
    } finally {
      cancel();
    }
  }

  done(id: string, epoch: Epoch): void {
    const open = this.#open.get(id);
    this.#open.delete(id);
    open?.resolve(epoch);
  }

  refused(id: string, error: BzzzError): void {
    const open = this.#open.get(id);
    this.#open.delete(id);
    open?.reject(error);
  }

  /** Nobody answers any more. */
  end(error: BzzzError): void {
    for (const id of [...this.#open.keys()]) this.refused(id, error);
  }
}
