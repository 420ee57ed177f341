/**
 * A fence behind the first write that fails.
 *
 * LevelDB appends every write to a log. When the disk refuses one of them, half a record may stay
 * in the log; later writes go behind it and are acknowledged, synced and readable - and all of
 * them are gone after the next start, because reading the log ends at the torn record (measured:
 * 60 of 60 writes after a full disk had room again). An error of a compaction, on the other hand,
 * refuses every later write until the database is opened anew, however much room there is.
 *
 * So after a failure nothing is written until the database was closed and opened, which begins a
 * new log; and that is tried only when the disk takes bytes again, because what cannot be opened
 * cannot be read either. Reads go on all the time.
 * @module
 */
import { open, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { LevelDatastore } from 'datastore-level';
import { BzzzError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';
import { systemClock } from './system.ts';

/** Opening writes the old log out as a table, and begins a log and a manifest. */
const ROOM_BYTES = 16 * 1_048_576;
/** Between two attempts to open it anew. */
const RETRY_MS = 1_000;
/** Errors of the caller, not of the disk. */
const HARMLESS = /^LEVEL_(?:INVALID|ENCODING|DECODING|DATABASE_NOT_OPEN|ITERATOR|BATCH|LEGACY)/;

/** A Level database with keys `utf8` and values `view`. */
export type Database = LevelDatastore['db'];

/** What the opener of the database keeps in hand. */
export interface Fence {
  /** Resolves when nothing is being opened anew. */
  settled(): Promise<void>;
}

/**
 * Replaces `put`, `del`, `batch` and `get` of `db`, for whoever uses it.
 *
 * A `get` reads without leaving its thread: most of them find nothing, which a filter in memory
 * knows, and the way to a worker and back takes ten times as long as the answer.
 * @param path its folder.
 */
export function fence(db: Database, path: string, clock: Clock = systemClock): Fence {
  const plain = {
    put: db.put.bind(db) as (...args: unknown[]) => Promise<void>,
    del: db.del.bind(db) as (...args: unknown[]) => Promise<void>,
    batch: db.batch.bind(db) as (...args: unknown[]) => Promise<void>,
    get: db.get.bind(db) as (...args: unknown[]) => Promise<Uint8Array | undefined>,
  };
  let failure: unknown;
  /** Grows with every failure: a write that ended after one may stand behind a torn record. */
  let failures = 0;
  let triedAt = Number.NEGATIVE_INFINITY;
  let reopening: Promise<void> | undefined;

  const settled = async (): Promise<void> => {
    // Its failure belongs to the write that asked for it.
    await reopening?.catch(() => {});
  };
  const reopen = async (): Promise<void> => {
    if (reopening !== undefined) return reopening;
    if (clock.now() - triedAt < RETRY_MS) throw refused(failure);
    triedAt = clock.now();
    reopening = reopenNow(db, path, failure);
    try {
      await reopening;
      failure = undefined;
    } finally {
      reopening = undefined;
    }
  };
  const write = async (work: () => Promise<void>): Promise<void> => {
    await settled();
    if (failure !== undefined) await reopen();
    const before = failures;
    try {
      await work();
    } catch (thrown) {
      if (!HARMLESS.test(codeOf(thrown))) {
        failure = thrown;
        failures++;
        throw thrown;
      }
      // Closed under our feet to be opened anew; otherwise by its owner, and then it stays so.
      if (reopening === undefined) throw thrown;
      return write(work);
    }
    // Acknowledged by the database, but perhaps behind a torn record: once more, in a new log.
    if (before !== failures) return write(work);
  };

  db.put = ((...args: unknown[]) => write(() => plain.put(...args))) as Database['put'];
  db.del = ((...args: unknown[]) => write(() => plain.del(...args))) as Database['del'];
  db.batch = ((...args: unknown[]) =>
    args.length === 0
      ? plain.batch()
      : write(() => plain.batch(...args))) as unknown as Database['batch'];
  db.get = (async (...args: unknown[]) => {
    await settled();
    // While it opens, the asynchronous form waits.
    const [key, options] = args as Parameters<Database['getSync']>;
    return db.status === 'open' ? db.getSync(key, options) : plain.get(...args);
  }) as Database['get'];
  return { settled };
}

async function reopenNow(db: Database, path: string, failure: unknown): Promise<void> {
  await requireRoom(path, failure);
  await db.close();
  try {
    await db.open();
  } catch (cause) {
    throw new BzzzError('DISK_FAILED', 'the store could not be opened again', { cause });
  }
}

/** Bytes that can be written and synced now; free space alone says nothing of a read-only disk. */
async function requireRoom(path: string, failure: unknown): Promise<void> {
  const { bavail, bsize } = await statfs(path);
  if (bavail * bsize < ROOM_BYTES) {
    throw refused(failure, `${ROOM_BYTES} bytes are needed, ${bavail * bsize} are free`);
  }
  const probe = join(path, 'room-probe');
  try {
    const file = await open(probe, 'w', 0o600);
    try {
      await file.writeFile(new Uint8Array(65_536));
      await file.sync();
    } finally {
      await file.close();
      await unlink(probe);
    }
  } catch (thrown) {
    throw refused(failure, thrown instanceof Error ? thrown.message : String(thrown));
  }
}

const refused = (failure: unknown, why?: string): BzzzError =>
  new BzzzError('DISK_FAILED', 'the store takes no writes since one failed', {
    why: why ?? (failure instanceof Error ? failure.message : String(failure)),
    cause: failure,
  });

const codeOf = (thrown: unknown): string =>
  thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
