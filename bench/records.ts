/**
 * Writing and reading records, next to kad-dht alone in the same run: the same machine, the same
 * number of nodes, the same records, all nodes in this process. Prints one line a figure.
 *
 * `node bench/records.ts [--nodes 5,20] [--records 60]`; 50 nodes with `--nodes 50`. A node is a
 * libp2p host with its database. `died` closes every connection of 30 % of the nodes, `unplugged`
 * leaves the connections open and answers nothing; no routing table is told. With five nodes every
 * one holds every record, so reads of ours come from the own disk; with more they do not. Reads
 * that failed are in no quantile, and counted in the last line.
 */
import { parseArgs } from 'node:util';
import {
  answer,
  type BareNode,
  bareNode,
  cluster,
  content,
  mesh,
  type Node,
  RULES,
  sequence,
  stopAll,
} from '../test/dht/support.ts';
import { type Quantiles, quantiles, report, round, timed } from './stats.ts';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '5,20' },
    records: { type: 'string', default: '60' },
  },
});
const SIZES = values.nodes.split(',').map(Number);
const RECORDS = Number(values.records);
/** Of a read of either; what the library needs with unplugged peers would take minutes. */
const PATIENCE_MS = 6_000;
/** Reads with a part of the nodes gone: the library takes its whole time for many of them. */
const FEW = 6;
/** As the daemon has them. */
const SETTINGS = {
  ...{ timeoutMs: 3_000, requestMs: 1_000, graceMs: 200 },
  ...{ republishSoonMs: 3_600_000, repairAfterMs: 3_600_000 },
};

interface Subject {
  readonly nodes: readonly BareNode[];
  put(node: number, record: number): Promise<void>;
  get(node: number, record: number): Promise<void>;
}

const all = Array.from({ length: RECORDS }, (_, i) => content(`record ${i} ${'.'.repeat(200)}`));

/** The store, as daemons use it. */
async function ours(size: number): Promise<Subject> {
  const nodes: readonly Node[] = await cluster(size, SETTINGS);
  return {
    nodes,
    async put(node, record) {
      const { suffix, value } = all[record]!;
      const { ack } = await nodes[node]!.store.put('c', suffix, value);
      if (ack !== 'quorum') throw new Error(`record ${record} reached ${ack}`);
    },
    async get(node, record) {
      const found = await nodes[node]!.store.get('c', all[record]!.suffix);
      if (found === undefined) throw new Error(`record ${record} was not found`);
    },
  };
}

/** The library alone: its own put and get, its own idea of when they are done. */
async function library(size: number): Promise<Subject> {
  const nodes: BareNode[] = [];
  for (let i = 0; i < size; i++) nodes.push(await bareNode());
  await mesh(nodes);
  const key = (record: number): Uint8Array => RULES.key('n', `r${record}`);
  const signal = (): AbortSignal => AbortSignal.timeout(PATIENCE_MS);
  return {
    nodes,
    async put(node, record) {
      const value = sequence(`r${record}${'.'.repeat(200)}`, record);
      await nodes[node]!.libp2p.contentRouting.put(key(record), value, { signal: signal() });
    },
    async get(node, record) {
      await nodes[node]!.libp2p.contentRouting.get(key(record), { signal: signal() });
    },
  };
}

interface Times {
  readonly write: Quantiles;
  readonly cold: Quantiles;
  readonly warm: Quantiles;
  readonly unplugged: Quantiles;
  readonly died: Quantiles;
  readonly failed: number;
}

async function measure(subject: Subject): Promise<Times> {
  const size = subject.nodes.length;
  const away = Math.floor(size * 0.3);
  const present = size - away;
  let failed = 0;
  const series = async (count: number, work: (i: number) => Promise<void>): Promise<Quantiles> => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const ms = await timed(async () => work(i)).catch(() => undefined);
      if (ms === undefined) failed++;
      else times.push(ms);
    }
    return quantiles(times);
  };
  // The first calls of a process compile code; they are nobody's figure.
  for (let i = 0; i < 5; i++) await subject.put(i % present, i);
  const write = await series(RECORDS - 5, (i) => subject.put(i % present, i + 5));
  const cold = await series(RECORDS, (i) => subject.get((i + 1) % present, i));
  const warm = await series(RECORDS, (i) => subject.get(i % present, i));
  const few = Math.min(RECORDS, FEW);
  const restore = subject.nodes.slice(present).flatMap((node) => {
    const types = ['GET_VALUE', 'PUT_VALUE', 'FIND_NODE'] as const;
    return types.map((type) => answer(node, type, () => new Promise(() => {})));
  });
  const unplugged = await series(few, (i) => subject.get((i + 2) % present, i));
  for (const undo of restore) undo();
  await Promise.all(subject.nodes.slice(present).map((node) => node.stop()));
  const died = await series(few, (i) => subject.get((i + 3) % present, i));
  return { write, cold, warm, unplugged, died, failed };
}

for (const size of SIZES) {
  const mine = await measure(await ours(size));
  await stopAll();
  const theirs = await measure(await library(size));
  await stopAll();
  for (const figure of ['write', 'cold', 'warm', 'unplugged', 'died'] as const) {
    report(`record-${figure}`, {
      nodes: size,
      ms: mine[figure],
      kad_dht_ms: theirs[figure],
      ratio: round(mine[figure].p50 / theirs[figure].p50),
    });
  }
  report('record-failed', { nodes: size, ours: mine.failed, kad_dht: theirs.failed });
}
process.exit(0);
