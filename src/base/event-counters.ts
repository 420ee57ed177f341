/**
 * Counts of events. The names become metric labels, so each owner has a closed list of them.
 * @module
 */

/** Monotonic counters, all from 0. */
export class EventCounters<Name extends string> {
  readonly #values: Map<Name, number>;

  /** @param names all there are. */
  constructor(names: readonly Name[]) {
    this.#values = new Map(names.map((name) => [name, 0]));
  }

  add(name: Name, n = 1): void {
    this.#values.set(name, this.get(name) + n);
  }

  get(name: Name): number {
    return this.#values.get(name) ?? 0;
  }

  /** Every counter, also those at 0; for metrics. */
  snapshot(): ReadonlyMap<Name, number> {
    return new Map(this.#values);
  }
}
