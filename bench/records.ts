/**
 * Writing and reading records, next to kad-dht alone: the same machine, as many nodes, the same
 * records, both clusters up at the same time and asked in turn. Prints one line a figure.
 *
 * `node bench/records.ts [--nodes 5,20,50] [--records 60] [--away 0.3]`. A node is a libp2p host
 * with its database; up to 13 share a process. With a part of them `away`, `unplugged` leaves the
 * connections open and answers nothing, `died` closes every connection; no routing table is told.
 * With five nodes every one holds every record, so cold reads of the store come from the own disk;
 * with more they do not. Reads that failed are in no quantile: `n` of `asked` went well.
 */
import { parseArgs } from 'node:util';
import { Subject } from './records-subject.ts';
import { quantiles, report, round } from './stats.ts';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '5,20' },
    records: { type: 'string', default: '60' },
    away: { type: 'string', default: '0.3' },
  },
});
const RECORDS = Number(values.records);
/** Reads by the library with a part of the nodes unplugged take its whole time, 6 s, for many. */
const FEW = Math.min(RECORDS, 10);
/** The first calls of a process compile code; they are nobody's figure. */
const WARM_UP = 10;

type Call = (subject: Subject, i: number) => Promise<number>;

/** The store and the library, asked in turn; who goes first changes with each call. */
async function compare(figure: string, pair: readonly Subject[], count: number, call: Call) {
  const times = pair.map((): number[] => []);
  for (let i = 0; i < count; i++) {
    const order = i % 2 === 0 ? [0, 1] : [1, 0];
    for (const which of order) {
      const ms = await call(pair[which]!, i).catch(() => undefined);
      if (ms !== undefined) times[which]!.push(ms);
    }
  }
  const [ours, theirs] = times.map((list) => quantiles(list));
  report(`record-${figure}`, {
    ...{ nodes: pair[0]!.size, asked: count },
    ...{ ms: ours, kad_dht_ms: theirs },
    ...{ ratio: round(ours!.p50 / theirs!.p50), ratio_p95: round(ours!.p95 / theirs!.p95) },
  });
}

for (const size of values.nodes.split(',').map(Number)) {
  const pair = [await Subject.start('store', size), await Subject.start('library', size)];
  const present = size - Math.floor(size * Number(values.away));
  const away = Array.from({ length: size - present }, (_, i) => present + i);
  const every = (work: (subject: Subject) => Promise<void>) => Promise.all(pair.map(work));

  for (let i = 0; i < WARM_UP; i++) await every(async (s) => void (await s.put(i % size, i)));
  await compare('write', pair, RECORDS, (s, i) => s.put(i % present, i + WARM_UP));
  await compare('cold', pair, RECORDS, (s, i) => s.get((i + 1) % present, i + WARM_UP));
  await compare('warm', pair, RECORDS, (s, i) => s.get(i % present, i + WARM_UP));
  await every((s) => s.unplug(away));
  await compare('unplugged', pair, FEW, (s, i) => s.get((i + 2) % present, i + WARM_UP));
  await every((s) => s.plug(away));
  await every((s) => s.die(away));
  await compare('died', pair, FEW, (s, i) => s.get((i + 3) % present, i + WARM_UP));
  await every((s) => s.stop());
}
