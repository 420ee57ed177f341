/**
 * Results that are not at their addresses yet, on this node's disk: a signature that a client was
 * given survives the death of the process that gave it (P2). Rows are written unsynced: they are
 * with the operating system when the client has its answer, and other holders have the result too.
 * Readers find a held result as if it were stored, so an answer resolves as soon as it is given.
 *
 * | key     | value                      |
 * | ------- | -------------------------- |
 * | address | DAG-CBOR {v, role, record} |
 * @module
 */
import { z } from 'zod';
import { decode, encode, field } from '../../base/codec.ts';
import { toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { KeyValue, Logger } from '../../base/ports.ts';
import { seriesId } from '../../ucxl/address.ts';

const rowSchema = z.strictObject({
  v: z.literal(1),
  /** Who this node is to the result: its author publishes it, a witness if the author cannot. */
  role: z.enum(['author', 'witness']),
  record: field.bytesUpTo(LIMITS.recordBytes),
});

/** A result on its way. */
export interface HeldResult {
  readonly address: string;
  readonly role: 'author' | 'witness';
  readonly record: Uint8Array;
}

export interface OutboxDeps {
  /** A namespace of its own. */
  readonly kv: KeyValue;
  readonly logger: Logger;
}

/** The results of one node that are on their way. */
export class Outbox {
  readonly #deps: OutboxDeps;
  /** What is held now, by the place of its address in the record store. */
  readonly #held = new Map<string, HeldResult>();
  readonly #writing = new Map<string, Promise<void>>();
  #left: readonly HeldResult[] = [];

  private constructor(deps: OutboxDeps) {
    this.#deps = deps;
  }

  /** Reads what the last run left. A row that cannot be read is dropped, with a line in the log. */
  static async open(deps: OutboxDeps): Promise<Outbox> {
    const outbox = new Outbox(deps);
    const left: HeldResult[] = [];
    for await (const [address, value] of deps.kv.entries()) {
      try {
        const { role, record } = decode('held result', rowSchema, value, 2 * LIMITS.recordBytes);
        const held = { address, role, record: new Uint8Array(record) };
        outbox.#held.set(seriesId(address), held);
        left.push(held);
      } catch (thrown) {
        deps.logger.error({ address, error: toBzzzError(thrown).message }, 'a result was damaged');
        await deps.kv.del(address);
      }
    }
    outbox.#left = left;
    return outbox;
  }

  /** What the last run left; empty the second time. */
  takeLeft(): readonly HeldResult[] {
    const left = this.#left;
    this.#left = [];
    return left;
  }

  /** The result that is held for a place of the record store, `seriesId` of its address. */
  at(place: string): HeldResult | undefined {
    return this.#held.get(place);
  }

  /** Writes a result down. A failure is logged: other holders have it too. */
  hold(result: HeldResult): void {
    const { address, role, record } = result;
    this.#held.set(seriesId(address), result);
    this.#write(address, () => this.#deps.kv.put(address, encode({ v: 1, role, record })));
  }

  /** The result is where it belongs. */
  drop(address: string): void {
    this.#held.delete(seriesId(address));
    this.#write(address, () => this.#deps.kv.del(address));
  }

  /** Resolves when what was to be written of an address is. */
  async written(address: string): Promise<void> {
    await this.#writing.get(address);
  }

  #write(address: string, work: () => Promise<void>): void {
    const before = this.#writing.get(address) ?? Promise.resolve();
    const done: Promise<void> = before
      .then(work)
      .catch((thrown: unknown) => {
        const { code, message } = toBzzzError(thrown, 'DISK_FAILED');
        this.#deps.logger.error({ address, code }, `a result was not held: ${message}`);
      })
      .finally(() => {
        if (this.#writing.get(address) === done) this.#writing.delete(address);
      });
    this.#writing.set(address, done);
  }
}
