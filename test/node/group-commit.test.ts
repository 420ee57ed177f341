/** Group commit over a database that can be held up, and that refuses some keys. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/node/fence.ts';
import { commitInGroups } from '../../src/node/group-commit.ts';

interface Change {
  readonly type: string;
  readonly key: string;
}

/** What it was given, group by group; each waits for `release`. */
class SlowDatabase {
  readonly groups: { readonly keys: string; readonly sync: boolean | undefined }[] = [];
  readonly #held: (() => void)[] = [];

  batch = async (changes: readonly Change[], options: { sync?: boolean }): Promise<void> => {
    const keys = changes.map(({ type, key }) => (type === 'put' ? key : `-${key}`)).join(' ');
    this.groups.push({ keys, sync: options.sync });
    await new Promise<void>((resolve) => this.#held.push(resolve));
    if (keys.includes('bad')) throw new Error(`refused: ${keys}`);
  };

  async release(): Promise<void> {
    this.#held.shift()?.();
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }
}

let slow: SlowDatabase;
let db: Database;
let idle: () => Promise<void>;
beforeEach(() => {
  slow = new SlowDatabase();
  db = slow as unknown as Database;
  idle = commitInGroups(db);
});
const bytes = Uint8Array.of(1);
const settledBy = async (work: Promise<unknown>): Promise<boolean> =>
  Promise.race([work.then(() => true), Promise.resolve().then(() => false)]);

describe('writes', () => {
  it('of one turn are one group, and those that come meanwhile the next', async () => {
    const first = [db.put('a', bytes), db.put('b', bytes), db.del('c')];
    await Promise.resolve();
    const second = [db.put('d', bytes), db.batch([{ type: 'del', key: 'e' }])];
    expect(slow.groups).toEqual([{ keys: 'a b -c', sync: false }]);
    await slow.release();
    await Promise.all(first);
    expect(slow.groups[1]).toEqual({ keys: 'd -e', sync: false });
    await slow.release();
    await Promise.all(second);
    await idle();
    expect(slow.groups).toHaveLength(2);
  });

  it('reach the disk before they are acknowledged when one of the group asks for it', async () => {
    const both = [db.put('a', bytes), db.put('b', bytes, { sync: true })];
    await Promise.resolve();
    expect(slow.groups).toEqual([{ keys: 'a b', sync: true }]);
    expect(await settledBy(Promise.all(both))).toBe(false);
    await slow.release();
    await Promise.all(both);
    const after = db.put('c', bytes);
    await Promise.resolve();
    expect(slow.groups[1]).toEqual({ keys: 'c', sync: false });
    await slow.release();
    await after;
  });

  it('of one key in one group: the last counts', async () => {
    const all = [db.put('a', bytes), db.del('a'), db.put('b', bytes), db.put('a', bytes)];
    await Promise.resolve();
    expect(slow.groups[0]?.keys).toBe('a b');
    await slow.release();
    await Promise.all(all);
  });

  it('have a verdict of their own when their group fails', async () => {
    const good = [db.put('a', bytes), db.put('c', bytes)];
    const bad = db.put('bad', bytes).catch((error: Error) => error.message);
    await Promise.resolve();
    for (let i = 0; i < 4; i++) await slow.release();
    await Promise.all(good);
    expect(await bad).toBe('refused: bad');
    expect(slow.groups.map(({ keys }) => keys)).toEqual(['a c bad', 'a', 'c', 'bad']);
  });

  it('are waited for by who closes the database', async () => {
    const write = db.put('a', bytes);
    const over = idle();
    expect(await settledBy(over)).toBe(false);
    await slow.release();
    await Promise.all([write, over]);
    await idle();
  });
});
