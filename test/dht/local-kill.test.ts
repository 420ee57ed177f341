/** What SIGKILL at any instant leaves of the journal and of the queue (A7, P2, P5). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Counters } from '../../src/dht/counters.ts';
import { Journal } from '../../src/dht/journal.ts';
import { ReplayQueue } from '../../src/dht/replay-queue.ts';
import { openStore } from '../../src/node/store.ts';
import { systemRandom } from '../../src/node/system.ts';
import { quietLogger } from '../support/world.ts';
import { KILL_RULES, proven, versionOf } from './kill-records.ts';

const ROUNDS = 12;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bzzz-kill-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Starts a writer and kills it `ms` after its first write can have begun. */
async function killed(backend: 'local' | 'hybrid', round: number, ms: number): Promise<void> {
  const program = join(import.meta.dirname, 'kill-child.ts');
  const child: ChildProcess = spawn(
    process.execPath,
    ['--no-warnings', program, folder, backend, String(round)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'exit');
  try {
    await Promise.race([
      once(child.stdout!, 'data'),
      ended.then(([code]) => Promise.reject(new Error(`the writer ended with ${code}`))),
    ]);
    await new Promise((resolve) => setTimeout(resolve, ms));
  } finally {
    child.kill('SIGKILL');
    expect((await ended)[1]).toBe('SIGKILL');
  }
}

/** Highest acknowledged version of each key. */
function acknowledged(): ReadonlyMap<string, number> {
  const file = join(folder, 'acknowledged');
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const highest = new Map<string, number>();
  // After the last end of a line stands nothing, or what was cut.
  for (const line of text.split('\n').slice(0, -1)) {
    const [suffix = '', version] = line.split(' ');
    highest.set(suffix, Math.max(Number(version), highest.get(suffix) ?? 0));
  }
  return highest;
}

async function check(backend: 'local' | 'hybrid'): Promise<number> {
  const store = await openStore(join(folder, 'db'));
  try {
    const counters = new Counters();
    const shared = { rules: KILL_RULES, random: systemRandom, log: quietLogger, counters };
    const journal = new Journal({ ...shared, disk: store.root.sub('journal') });
    const queue = new ReplayQueue(store.root.sub('hybrid').sub('queue'), 1_000_000);
    if (backend === 'hybrid') await queue.open();
    const wanted = acknowledged();
    for (const [suffix, version] of wanted) {
      const value = await journal.read(KILL_RULES.key('p', suffix));
      expect(value, suffix).toBeDefined();
      const stands = versionOf(value!);
      expect(stands, suffix).toBeGreaterThanOrEqual(version);
      expect(value, suffix).toEqual(proven(suffix, stands));
      if (backend === 'hybrid') {
        expect(queue.markOf({ kind: 'put', name: `p/${suffix}` }), suffix).toBeDefined();
      }
    }
    // Also what was not acknowledged is whole or not there.
    for (const key of await journal.keys()) expect(await journal.read(key)).toBeDefined();
    expect(counters.get('localCorrupt')).toBe(0);
    await journal.checkDisk();
    return wanted.size;
  } finally {
    await store.close();
  }
}

it.each(['local', 'hybrid'] as const)(
  `%s: everything acknowledged reads back after each of ${ROUNDS} kills, and nothing is damaged`,
  async (backend) => {
    let before = 0;
    let most = 0;
    for (let round = 0; round < ROUNDS; round++) {
      await killed(backend, round, (round * 53) % 211);
      const kept = await check(backend);
      expect(kept).toBeGreaterThanOrEqual(before);
      most = Math.max(most, kept - before);
      before = kept;
    }
    console.log(`${backend}: ${before} acknowledged records over ${ROUNDS} kills`);
    // Else the kills came before any write, and show nothing.
    expect(most).toBeGreaterThan(10);
  },
);
