/** A disk that is full, or read-only: refused clearly, nothing lost, and well again (P5). */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmdirSync, statfsSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { Counters } from '../../src/dht/counters.ts';
import { Journal } from '../../src/dht/journal.ts';
import { LocalRecords } from '../../src/dht/local-records.ts';
import { openStore, type Store } from '../../src/node/store.ts';
import { systemRandom } from '../../src/node/system.ts';
import { contentKey, NOTHING_HELD, RULES } from '../dht/support.ts';
import { steadyClock } from '../support/steady-clock.ts';
import { quietLogger } from '../support/world.ts';

/** A file system of 64 MiB of one's own; the reason why not, where that is not allowed. */
function mount(folder: string): string | undefined {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', folder], { stdio: 'pipe' });
    return undefined;
  } catch (thrown) {
    return `no file system can be mounted here: ${String(thrown).split('\n')[0]}`;
  }
}
const scout = mkdtempSync(join(tmpdir(), 'bzzz-full-'));
const reason = mount(scout);
if (reason === undefined) execFileSync('umount', [scout]);
else console.log(`skipped: ${reason}`);
rmdirSync(scout);

describe.skipIf(reason !== undefined)('a disk without room', () => {
  let folder: string;
  let store: Store;
  const ballast = () => join(folder, 'ballast');
  const fill = (leave: number): void => {
    const { bavail, bsize } = statfsSync(folder);
    writeFileSync(ballast(), Buffer.alloc(Math.max(0, bavail * bsize - leave)));
  };
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'bzzz-full-'));
    mount(folder);
    store = await openStore(join(folder, 'db'));
  });
  afterEach(async () => {
    await store.close();
    execFileSync('umount', [folder]);
    rmdirSync(folder);
  });

  const recordsOn = ({ root }: Store): LocalRecords => {
    const shared = { rules: RULES, random: systemRandom, log: quietLogger };
    const counters = new Counters();
    const journal = new Journal({ ...shared, counters, disk: root.sub('journal') });
    const self = 'self' as PeerId;
    const members = (): readonly PeerId[] => [self, 'other' as PeerId];
    const deps = { ...shared, self, members, journal, counters, clock: steadyClock };
    return new LocalRecords({ ...deps, guard: NOTHING_HELD });
  };
  /** `count` records of up to 20 KB by eight writers at once. @returns how many were refused. */
  async function write(
    records: LocalRecords,
    acknowledged: Map<string, Uint8Array>,
    count: number,
  ): Promise<number> {
    let refused = 0;
    let left = count;
    const writer = async (): Promise<void> => {
      while (left-- > 0) {
        const value = new Uint8Array(randomBytes(100 + Math.floor(Math.random() * 20_000)));
        const suffix = contentKey(value);
        try {
          await records.put('c', suffix, value);
          acknowledged.set(suffix, value);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'DISK_FAILED' });
          refused++;
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, writer));
    return refused;
  }
  async function readAll(
    records: LocalRecords,
    acknowledged: ReadonlyMap<string, Uint8Array>,
  ): Promise<void> {
    for (const [suffix, value] of acknowledged) {
      expect((await records.get('c', suffix))?.value).toEqual(value);
    }
  }

  it.each([0, 5_000, 65_536])(
    'with %i bytes left refuses writes, keeps the reads, and takes writes again with room',
    async (leave) => {
      const acknowledged = new Map<string, Uint8Array>();
      let records = recordsOn(store);
      expect(await write(records, acknowledged, 60)).toBe(0);
      fill(leave);
      expect(await write(records, acknowledged, 200)).toBeGreaterThan(100);
      expect(await records.probe()).toMatchObject({ status: 'failed', error_count: 1 });
      await readAll(records, acknowledged);
      unlinkSync(ballast());
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      expect(await write(records, acknowledged, 100)).toBe(0);
      expect(await records.probe()).toMatchObject({ status: 'healthy' });
      // The bare database acknowledges them as well, and has none of them after this.
      await store.close();
      store = await openStore(join(folder, 'db'));
      records = recordsOn(store);
      await readAll(records, acknowledged);
      expect(acknowledged.size).toBeGreaterThanOrEqual(160);
    },
  );

  it('filled by the store itself is well again after something else made room', async () => {
    const acknowledged = new Map<string, Uint8Array>();
    const records = recordsOn(store);
    fill(12 * 1_048_576);
    let refused = 0;
    for (let i = 0; i < 30 && refused === 0; i++) refused = await write(records, acknowledged, 100);
    expect(refused).toBeGreaterThan(0);
    unlinkSync(ballast());
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await write(records, acknowledged, 20)).toBe(0);
    await readAll(records, acknowledged);
  });

  it('that is read-only is refused at the start, and says so', async () => {
    const other = join(folder, 'other');
    mkdirSync(other);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', other]);
    try {
      await expect(openStore(join(other, 'db'))).rejects.toMatchObject({ code: 'DISK_FAILED' });
    } finally {
      execFileSync('umount', [other]);
    }
  });
});
