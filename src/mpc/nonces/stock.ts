/**
 * A holder's pairs. The stock is the one place that knows them: they are in no message, log or
 * file, and what prints or encodes a state never meets them (N3).
 * @module
 */
import type { KeyId, PeerId } from '../../base/brands.ts';
import type { Lane, NonceLimits, TakenPair, Taking } from './types.ts';

interface Issued {
  /** Which run of the driver they were issued to. */
  readonly driverBoot: number;
  readonly keyId: KeyId;
  readonly epoch: number;
  readonly driver: PeerId;
  /** By number, in order of issue. */
  readonly pairs: Map<number, TakenPair>;
  /** The packages that spent the last of them, as their driver signed them. */
  readonly uses: Map<number, Uint8Array>;
}

/** @property wipe forgets a pair, `Suite.wipeNonces` of its key's suite. */
export interface StockDeps {
  readonly limits: NonceLimits;
  readonly wipe: (pair: TakenPair) => void;
}

const nameOf = ({ keyId, epoch }: Lane, driver: PeerId): string => `${keyId}/${epoch}/${driver}`;

/** Bounded in every direction; what makes room is wiped. */
export class NonceStock {
  readonly #deps: StockDeps;
  /** Insertion order is order of use. */
  readonly #lanes = new Map<string, Issued>();
  #seq = 0;

  constructor(deps: StockDeps) {
    this.#deps = deps;
  }

  /** Pairs held, over all lanes. */
  get size(): number {
    return [...this.#lanes.values()].reduce((sum, { pairs }) => sum + pairs.size, 0);
  }

  /**
   * Keeps a pair for one driver. A driver that was restarted knows none of its old ones.
   * @returns the pair's number.
   */
  add(lane: Lane, driver: PeerId, driverBoot: number, pair: TakenPair): number {
    const name = nameOf(lane, driver);
    const known = this.#lanes.get(name);
    if (known !== undefined && known.driverBoot !== driverBoot) this.#drop(name, known);
    const { keyId, epoch } = lane;
    const issued = this.#lanes.get(name) ?? {
      ...{ keyId, epoch, driver, driverBoot },
      pairs: new Map<number, TakenPair>(),
      uses: new Map<number, Uint8Array>(),
    };
    this.#lanes.delete(name);
    this.#lanes.set(name, issued);
    const seq = ++this.#seq;
    issued.pairs.set(seq, pair);
    this.#bound(issued);
    return seq;
  }

  /**
   * Removes and returns a pair. Whatever happens next, nobody finds it again (N1, N2).
   * @param envelope the package that it is for.
   */
  take(lane: Lane, driver: PeerId, seq: number, envelope: Uint8Array): Taking {
    const issued = this.#lanes.get(nameOf(lane, driver));
    if (issued === undefined) return { found: 'nothing' };
    const pair = issued.pairs.get(seq);
    if (pair === undefined) {
      const use = issued.uses.get(seq);
      return use === undefined ? { found: 'nothing' } : { found: 'use', package: use };
    }
    issued.pairs.delete(seq);
    issued.uses.set(seq, envelope);
    const oldest = issued.uses.keys().next();
    if (issued.uses.size > this.#deps.limits.uses && oldest.done !== true) {
      issued.uses.delete(oldest.value);
    }
    return { found: 'pair', pair };
  }

  /** Wipes what is of no use any more. */
  prune(useless: (lane: Lane, driver: PeerId) => boolean): void {
    for (const [name, issued] of this.#lanes) {
      if (useless(issued, issued.driver)) this.#drop(name, issued);
    }
  }

  /** Wipes everything. */
  clear(): void {
    this.prune(() => true);
  }

  #bound({ pairs }: Issued): void {
    const { limits, wipe } = this.#deps;
    for (const [seq, pair] of pairs) {
      if (pairs.size <= limits.stockPairs) break;
      pairs.delete(seq);
      wipe(pair);
    }
    for (const [name, oldest] of this.#lanes) {
      if (this.#lanes.size <= limits.lanes) break;
      this.#drop(name, oldest);
    }
  }

  #drop(name: string, { pairs }: Issued): void {
    this.#lanes.delete(name);
    for (const pair of pairs.values()) this.#deps.wipe(pair);
    pairs.clear();
  }
}
