/** What a daemon holds: in memory after its garbage was collected, and on its disk. */
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../../src/node/store.ts';
import { projectRoot, type TestNode, until } from '../cluster.ts';

/** In MiB. `heap` is what is alive of JavaScript, `buffers` what lies beside it. */
export interface Memory {
  readonly rss: number;
  readonly heap: number;
  readonly buffers: number;
}

/** The environment of daemons whose memory is looked at. */
export const GAUGED = {
  NODE_OPTIONS: `--import ${join(projectRoot, 'test/support/heap-probe.mjs')}`,
} as const;

const MIB = 1_048_576;
const mib = (bytes: number): number => Math.round((bytes / MIB) * 100) / 100;

/** @param node runs with {@link GAUGED}. */
export async function memoryOf(node: TestNode): Promise<Memory> {
  const file = join(node.home, 'heap');
  rmSync(file, { force: true });
  process.kill(node.pid, 'SIGUSR2');
  const read = () => JSON.parse(readFileSync(file, 'utf8')) as NodeJS.MemoryUsage;
  const { rss, heapUsed, external } = await until(`${node.name} tells its memory`, read, 30_000);
  return { rss: mib(rss), heap: mib(heapUsed), buffers: mib(external) };
}

/** Everything in a data directory, in MiB. */
export function diskOf({ dataDir }: TestNode): number {
  const names = readdirSync(dataDir, { recursive: true, encoding: 'utf8' });
  // The database deletes files while it runs.
  const size = (name: string): number =>
    statSync(join(dataDir, name), { throwIfNoEntry: false })?.size ?? 0;
  return mib(names.reduce((sum, name) => sum + size(name), 0));
}

/** Rows in the store of a daemon that has ended, by owner and kind: `sessions!e`. */
export async function rowsOf({ dataDir }: TestNode): Promise<Readonly<Record<string, number>>> {
  const store = await openStore(join(dataDir, 'db'));
  const rows: Record<string, number> = {};
  for await (const [key] of store.root.entries()) {
    const kind = /^(?:[^!]*!)*[^/!]*(?=\/)|^(?:[^!]*!)*/.exec(key)?.[0] ?? '';
    rows[kind] = (rows[kind] ?? 0) + 1;
  }
  await store.close();
  return rows;
}
