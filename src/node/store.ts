/**
 * The embedded store: one Level database, a sublevel for each owner.
 * @module
 */
import { LevelDatastore } from 'datastore-level';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { KeyValue, KeyValueOp, WriteOptions } from '../base/ports.ts';
import { type Database, fence } from './fence.ts';
import { commitInGroups } from './group-commit.ts';

export interface Store {
  readonly db: Database;
  readonly root: KeyValue;
  close(): Promise<void>;
}

/** @throws STORE_LOCKED when another process has it open; DISK_FAILED otherwise. */
export async function openStore(path: string): Promise<Store> {
  // The datastore of the records makes the database that all owners share.
  const { db } = new LevelDatastore(path);
  try {
    await db.open();
  } catch (thrown) {
    const cause = thrown instanceof Error ? thrown.cause : undefined;
    if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') {
      throw new BzzzError('STORE_LOCKED', `${path} is in use by another process`, { cause });
    }
    throw toBzzzError(cause ?? thrown, 'DISK_FAILED');
  }
  const { settled } = fence(db, path);
  const written = commitInGroups(db);
  return {
    db,
    root: keyValueOf(db, settled, ''),
    async close() {
      await written();
      await settled();
      await db.close();
    },
  };
}

/** Key layout: `owner!owner!key`; `!` (0x21) sorts before every character that keys use. */
function keyValueOf(db: Database, settled: () => Promise<void>, prefix: string): KeyValue {
  const guard = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (thrown) {
      throw toBzzzError(thrown, 'DISK_FAILED');
    }
  };
  return {
    get: (key) => guard(db.get(prefix + key)),
    put: (key, value, options: WriteOptions = {}) => guard(db.put(prefix + key, value, options)),
    del: (key, options: WriteOptions = {}) => guard(db.del(prefix + key, options)),
    batch: (ops, options: WriteOptions = {}) =>
      guard(
        db.batch(
          ops.map((op: KeyValueOp) => ({ ...op, key: prefix + op.key })),
          options,
        ),
      ),
    async *entries(begin = '') {
      await settled();
      const from = prefix + begin;
      for await (const [key, value] of db.iterator({ gte: from, lt: `${from}\uffff` })) {
        yield [key.slice(prefix.length), value] as const;
      }
    },
    sub: (name) => keyValueOf(db, settled, `${prefix}${name}!`),
  };
}
