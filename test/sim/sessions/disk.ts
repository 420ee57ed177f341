/**
 * A disk as LevelDB leaves it: a synced write takes everything before it along; when the power
 * fails, an end of what came after is gone; when only the process dies, nothing is.
 */
import { BzzzError } from '../../../src/base/errors.ts';
import type { KeyValue, KeyValueOp } from '../../../src/base/ports.ts';
import type { Process } from './process.ts';

interface Undo {
  readonly key: string;
  readonly before: Uint8Array | undefined;
}

export class Disk {
  readonly #now: Map<string, Uint8Array>;
  /** What takes back the writes that are not synced, oldest first. */
  #tail: Undo[] = [];
  /** Every write fails. */
  full = false;

  constructor(contents: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.#now = new Map(contents);
  }

  /** What is there now, synced or not. */
  get contents(): ReadonlyMap<string, Uint8Array> {
    return this.#now;
  }

  /** Whether a key is there, and would be after a power failure. */
  isSynced(key: string): boolean {
    return this.#now.has(key) && !this.#tail.some((undo) => undo.key === key);
  }

  keys(prefix: string): readonly string[] {
    return [...this.#now.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  /** A file is gone: no write was made, and none brings it back. */
  lose(key: string): void {
    this.#tail = this.#tail.filter((undo) => undo.key !== key);
    this.#now.delete(key);
  }

  /** Takes back the newest `share` of what is not synced. */
  losePower(share: number): void {
    const lost = Math.ceil(this.#tail.length * share);
    for (const { key, before } of this.#tail.splice(this.#tail.length - lost).reverse()) {
      if (before === undefined) this.#now.delete(key);
      else this.#now.set(key, before);
    }
    this.#tail = [];
  }

  /** The store as one process sees it: once that has died, nothing is written or answered. */
  port(process: Process, prefix = ''): KeyValue {
    const write = async (ops: readonly KeyValueOp[], sync = false): Promise<void> => {
      await process.passes(sync ? 'sync' : 'write');
      if (this.full) throw new BzzzError('DISK_FAILED', 'no space left');
      for (const op of ops) this.#apply(prefix, op);
      if (sync) this.#tail = [];
      await process.passes(sync ? 'synced' : 'written');
    };
    return {
      get: async (key) => {
        await process.lives();
        return this.#now.get(prefix + key)?.slice();
      },
      put: (key, value, options) => write([{ type: 'put', key, value }], options?.sync),
      del: (key, options) => write([{ type: 'del', key }], options?.sync),
      batch: (ops, options) => write(ops, options?.sync),
      entries: (begin = '') => this.#entries(process, prefix, begin),
      sub: (name) => this.port(process, `${prefix}${name}!`),
    };
  }

  async *#entries(process: Process, prefix: string, begin: string) {
    await process.lives();
    for (const key of this.keys(prefix + begin)) {
      const value = this.#now.get(key);
      if (value !== undefined) yield [key.slice(prefix.length), value.slice()] as const;
    }
  }

  #apply(prefix: string, op: KeyValueOp): void {
    const key = prefix + op.key;
    this.#tail.push({ key, before: this.#now.get(key) });
    if (op.type === 'put') this.#now.set(key, op.value.slice());
    else this.#now.delete(key);
  }
}
