/** Many small records in a cluster of real daemons, and what is left of them after deaths. */
import { join } from 'node:path';
import { Subject } from '../../bench/records-subject.ts';
import { quantiles } from '../../bench/stats.ts';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { datastoreKey } from '../../src/dht/rules.ts';
import { openStore } from '../../src/node/store.ts';
import { type Cluster, run, type TestNode, until } from './cluster.ts';

/** A record that was put: where it resolves, and the hash that names it. */
export interface Kept {
  readonly address: string;
  readonly pin: string;
}

/** Spread over the nodes, a few at a time. */
export async function each<T, R>(
  all: readonly T[],
  parallel: number,
  work: (one: T, i: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = all.entries();
  const worker = async (): Promise<void> => {
    for (const [i, one] of queue) results[i] = await work(one, i);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return results;
}

/** Puts `count` records through the control sockets of `writers` in turn, each to a quorum. */
async function putMany(writers: readonly TestNode[], count: number): Promise<Kept[]> {
  const numbers = Array.from({ length: count }, (_, i) => i);
  return each(numbers, 4, async (i) => {
    const node = writers[i % writers.length]!;
    const bytes = Buffer.from(`record ${i} of ${node.name}`).toString('hex');
    const address = `ucxl://self:test@lab:records/${i}`;
    const body = { address, bytes, encoding: 'hex', ack: 'quorum' };
    // On a machine that is busy with other things a put may take longer than its time.
    return until(`${address} at a quorum`, () => node.post<Kept>('/v1/records/put', body, 60_000));
  });
}

/** Reads each record at `node`. @returns ms of each. @throws when one does not resolve. */
async function readAll(node: TestNode, records: readonly Kept[]): Promise<number[]> {
  return each(records, 4, async ({ address, pin }) => {
    const started = performance.now();
    const query = new URLSearchParams({ address });
    const found = await node.get<{ pin: string }>(`/v1/records/resolve?${query}`);
    if (found.pin !== pin) throw new Error(`${node.name}: ${address} is ${found.pin}`);
    return performance.now() - started;
  });
}

export const p95 = (values: readonly number[]): number => quantiles(values).p95;

interface RepairJob {
  readonly kind: string;
  readonly subject: string;
  readonly state: string;
  readonly createdAt: string;
  readonly result: string | null;
}

/**
 * Waits until the leader's repair jobs have dealt with all that came or went.
 * @param from wall clock, ms: of jobs that were made before, none counts.
 * @returns their results.
 */
async function repaired(
  alive: readonly TestNode[],
  changed: readonly TestNode[],
  from = 0,
  timeoutMs = 180_000,
): Promise<readonly string[]> {
  const seen = new Map<string, readonly RepairJob[]>();
  return until(
    () => `the repair of what lost holders, ${JSON.stringify([...seen])}`,
    async () => {
      for (const node of alive) {
        const jobs = await node.get<readonly RepairJob[]>('/v1/jobs');
        seen.set(node.name, jobs);
        const done = jobs.filter(({ subject, state, createdAt }) => {
          const isNew = Date.parse(createdAt) >= from;
          return subject.startsWith('holders:') && state === 'done' && isNew;
        });
        if (changed.every(({ peerId }) => done.some(({ subject }) => subject.includes(peerId)))) {
          return done.map(({ result }) => result ?? '');
        }
      }
      return undefined;
    },
    timeoutMs,
    500,
  );
}

async function metricsOf(node: TestNode): Promise<string> {
  const { stdout } = await run('curl', [
    ...['-s', '--unix-socket', node.socketPath, 'http://localhost/metrics'],
  ]);
  return stdout;
}

/** How often the records of a node were looked after, as its metrics say. */
async function looks(node: TestNode): Promise<number> {
  const text = await metricsOf(node);
  const counts = [...text.matchAll(/event="repair(?:ed|Failed|Pass)"\} (\d+)/g)];
  if (counts.length !== 3) throw new Error(`no figures of repairs at ${node.name}`);
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/**
 * Waits until no writer has a record with copies outstanding: a quorum acknowledges a put, and the
 * copies that survive any four deaths are made behind the answer.
 */
async function replicated(writers: readonly TestNode[]): Promise<void> {
  await until(
    'every copy of every record',
    async () => {
      const pending = await Promise.all(
        writers.map(async (node) => {
          const [, count] = /^bzzz_records_pending (\d+)$/m.exec(await metricsOf(node)) ?? [];
          if (count === undefined) throw new Error(`no figure of pending records at ${node.name}`);
          return Number(count);
        }),
      );
      return pending.every((count) => count === 0);
    },
    120_000,
    500,
  );
}

/**
 * Waits until nobody has repaired anything for longer than ranks are apart.
 * @returns the instant of the last repair, by `performance.now()`.
 */
async function atRest(nodes: readonly TestNode[], quietMs = 25_000): Promise<number> {
  let [before, since] = [-1, performance.now()];
  await until(
    'no more repairs',
    async () => {
      const all = await Promise.all(nodes.map(looks));
      const total = all.reduce((sum, n) => sum + n, 0);
      if (total !== before) [before, since] = [total, performance.now()];
      return performance.now() - since > quietMs;
    },
    240_000,
    1_000,
  );
  return since;
}

/** How many of `nodes`, none of them running, have each record in their store for others. */
async function copiesOnDisk(
  nodes: readonly TestNode[],
  records: readonly Kept[],
): Promise<readonly number[]> {
  const held = await Promise.all(
    nodes.map(async (node) => {
      const store = await openStore(join(node.dataDir, 'db'));
      const keys = new Set<string>();
      for await (const key of store.db.keys()) keys.add(key);
      await store.close();
      return keys;
    }),
  );
  return records.map(({ pin }) => {
    const key = datastoreKey('/dht', utf8Bytes(`/ucxl/m/${pin}`));
    return held.filter((keys) => keys.has(key)).length;
  });
}

/** Timers that nine daemons on few cores keep; no fallback hides what the network does. */
export const UNHURRIED = {
  BZZZ_DHT_BACKEND: 'dht',
  BZZZ_HEARTBEAT_INTERVAL: '500ms',
  BZZZ_ELECTION_TIMEOUT: '5s',
} as const;

/** Observers, admitted and connected to all. */
export async function addObservers(cluster: Cluster, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => cluster.add('observer')));
  await until(
    'everybody connected',
    async () => {
      const views = await Promise.all(
        cluster.nodes.map((node) => node.get<{ connected: boolean }[]>('/v1/peers')),
      );
      const others = cluster.nodes.length - 1;
      return views.every((view) => view.filter(({ connected }) => connected).length >= others);
    },
    120_000,
    500,
  );
}

/** What reads of kad-dht alone took, in ms, and how many found nothing in 6 s. */
export interface LibraryReads {
  readonly p95_before: number;
  readonly p95_after: number;
  readonly failed: number;
}

/** The reference: kad-dht alone on as many nodes, before and after those of `away` are gone. */
async function libraryReads(
  size: number,
  away: readonly number[],
  how: 'die' | 'unplug',
): Promise<LibraryReads> {
  const library = await Subject.start('library', size);
  try {
    const readers = Array.from({ length: size }, (_, i) => i).filter((i) => !away.includes(i));
    const numbers = Array.from({ length: 30 }, (_, i) => i);
    for (const i of numbers) await library.put(i % size, i);
    let failed = 0;
    const readSome = async (some: readonly number[]): Promise<number> => {
      const times: number[] = [];
      for (const i of some) {
        const reader = readers[i % readers.length]!;
        const ms = await library.get(reader, i).catch(() => undefined);
        if (ms === undefined) failed++;
        else times.push(ms);
      }
      return p95(times);
    };
    const before = await readSome(numbers);
    await library[how](away);
    // Each read of these may take its whole time.
    const after = await readSome(numbers.slice(0, 10));
    return { p95_before: before, p95_after: after, failed };
  } finally {
    await library.stop();
  }
}

/** Nine members, of which four are lost at once: what the tests of it differ in. */
interface Loss {
  readonly name: string;
  readonly records: number;
  /** Takes the four away. */
  readonly lose: (nodes: readonly TestNode[]) => Promise<unknown>;
  /** How the library alone loses as many. */
  readonly library: 'die' | 'unplug';
}

/**
 * Puts records at nine members, the first five of which vote, and loses four: the voters that are
 * left are a majority, and a writer is among the lost. Tells the figures; all daemons are dead then.
 * @returns ms of each read at each of the others, and how many of them have each record.
 */
export async function loseFour(
  cluster: Cluster,
  { name, records: count, lose, library: way }: Loss,
): Promise<{ readonly after: readonly number[]; readonly copies: readonly number[] }> {
  const [n1, n2, n3, n4, n5, n6, n7, n8, n9] = cluster.nodes;
  // A member counts as a holder when it has been there for a while.
  await repaired(cluster.nodes, [n6!, n7!, n8!, n9!]);
  const records = await putMany([n1!, n4!, n7!], count);
  await replicated([n1!, n4!, n7!]);
  const before = await readAll(n6!, records.slice(0, 200));
  const [lost, left] = [
    [n2!, n4!, n8!, n9!],
    [n1!, n3!, n5!, n6!, n7!],
  ];
  const [since, from] = [performance.now(), Date.now()];
  await lose(lost);
  const after: number[] = [];
  for (const node of left) after.push(...(await readAll(node, records)));

  const results = await repaired(left, lost, from);
  const restMs = await atRest(left);
  const repairedMs = Math.round(restMs - since);
  const running = cluster.nodes.filter((node) => node.running);
  await Promise.all(running.map((node) => node.kill('SIGKILL')));
  const copies = await copiesOnDisk(left, records);
  const alone = await libraryReads(9, [1, 3, 7, 8], way);
  console.log(
    JSON.stringify({
      ...{ test: name, records: count, results, repaired_ms: repairedMs },
      ...{ whole: copies.filter((n) => n === 5).length },
      ...{ read_p95_before: p95(before), read_p95_after: p95(after), library: alone },
    }),
  );
  return { after, copies };
}
