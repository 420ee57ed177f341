/** The fence against a database that behaves as LevelDB does after a failed write. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { type Database, fence } from '../../src/node/fence.ts';
import { type TestClock, testClock } from '../support/world.ts';

const folder = mkdtempSync(join(tmpdir(), 'bzzz-fence-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What stands behind a torn record is readable until it is opened anew, and gone then. */
class TornDatabase {
  readonly log: string[] = [];
  opened = 1;
  closed = false;
  /** What the next writes come to, in order; then all are well. */
  readonly fates: (() => Promise<void>)[] = [];
  #torn = Number.POSITIVE_INFINITY;

  async put(key: string): Promise<void> {
    if (this.closed) throw Object.assign(new Error('closed'), { code: 'LEVEL_DATABASE_NOT_OPEN' });
    try {
      await this.fates.shift()?.();
    } catch (thrown) {
      this.#torn = Math.min(this.#torn, this.log.length);
      throw thrown;
    }
    this.log.push(key);
  }
  del = async (): Promise<void> => {};
  batch = async (): Promise<void> => {};
  get = async (key: string) => (this.log.includes(key) ? Uint8Array.of(1) : undefined);
  async close(): Promise<void> {
    this.closed = true;
  }
  async open(): Promise<void> {
    this.log.splice(this.#torn);
    this.#torn = Number.POSITIVE_INFINITY;
    this.closed = false;
    this.opened++;
  }
}
const full = () =>
  Promise.reject(Object.assign(new Error('no space left'), { code: 'LEVEL_IO_ERROR' }));

let raw: TornDatabase;
let db: Database;
let clock: TestClock;
beforeEach(() => {
  raw = new TornDatabase();
  db = raw as unknown as Database;
  clock = testClock();
  fence(db, folder, clock);
});
const put = (key: string) => db.put(key, Uint8Array.of(1));

describe('behind a failed write', () => {
  it('the next one goes into a new log', async () => {
    await put('a');
    raw.fates.push(full);
    await expect(put('b')).rejects.toMatchObject({ code: 'LEVEL_IO_ERROR' });
    await put('c');
    expect(raw.opened).toBe(2);
    await raw.open();
    expect(raw.log).toEqual(['a', 'c']);
  });

  it('one that was under way is written once more: it may stand behind the torn record', async () => {
    let release = (): void => {};
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    raw.fates.push(() => slow, full);
    const first = put('slow');
    await expect(put('torn')).rejects.toMatchObject({ code: 'LEVEL_IO_ERROR' });
    release();
    await first;
    await raw.open();
    expect(raw.log).toEqual(['slow']);
  });

  it('many at once open it anew once, and none is lost', async () => {
    raw.fates.push(full);
    await expect(put('b')).rejects.toThrow('no space left');
    await Promise.all(['c', 'd', 'e', 'f'].map(put));
    expect(raw.opened).toBe(2);
    await raw.open();
    expect([...raw.log].sort()).toEqual(['c', 'd', 'e', 'f']);
  });

  it('opening is not tried more than once a second, nor where no room is', async () => {
    raw.fates.push(full, full);
    await expect(put('b')).rejects.toThrow('no space left');
    await expect(put('c')).rejects.toThrow('no space left');
    expect(raw.opened).toBe(2);
    const soon = put('d');
    await expect(soon).rejects.toMatchObject({ code: 'DISK_FAILED', why: 'no space left' });
    clock.advance(1_000);
    await put('e');
    expect(raw.opened).toBe(3);
    const nowhere = new TornDatabase();
    const other = nowhere as unknown as Database;
    fence(other, '/proc', clock);
    nowhere.fates.push(full);
    await expect(other.put('a', Uint8Array.of(1))).rejects.toThrow('no space left');
    await expect(other.put('b', Uint8Array.of(1))).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(nowhere.opened).toBe(1);
    // What was there can be read all the same.
    expect(await other.get('a')).toBeUndefined();
  });

  it('an error of the caller changes nothing', async () => {
    raw.closed = true;
    await expect(put('a')).rejects.toMatchObject({ code: 'LEVEL_DATABASE_NOT_OPEN' });
    raw.closed = false;
    await put('b');
    expect(raw.opened).toBe(1);
  });
});
