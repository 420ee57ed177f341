/** The contract, for each backend: on a cluster of three, and on a node alone. */
import { afterAll } from 'vitest';
import { HybridStore } from '../../src/dht/hybrid.ts';
import { LocalRecords } from '../../src/dht/local-records.ts';
import { needOf } from '../../src/dht/quorum.ts';
import { systemRandom } from '../../src/node/system.ts';
import { steadyClock } from '../support/steady-clock.ts';
import { quietLogger } from '../support/world.ts';
import { type Bench, contract } from './contract.ts';
import { cluster, type Node, RULES, stopAll } from './support.ts';

afterAll(stopAll);

const shared = { rules: RULES, clock: steadyClock, random: systemRandom, log: quietLogger };
const localOf = ({ id: self, journal, guard, counters }: Node, all: readonly Node[]) =>
  new LocalRecords({
    ...{ ...shared, self, journal, guard, counters },
    members: () => all.map(({ id }) => id),
  });

const BACKENDS: Record<string, (node: Node, all: readonly Node[]) => Omit<Bench, 'stop'>> = {
  local: (node, all) => ({
    ...{ store: localOf(node, all), self: node.id, backend: 'mock' },
    ...{ ack: all.length === 1 ? 'quorum' : 'local', holders: [node.id] },
  }),
  dht: (node, all) => ({
    ...{ store: node.store, self: node.id, backend: 'real' },
    ...{ ack: 'quorum', holders: all.map(({ id }) => id) },
  }),
  hybrid: (node, all) => ({
    ...{ self: node.id, backend: 'hybrid', ack: 'quorum', holders: all.map(({ id }) => id) },
    store: new HybridStore(
      { timeoutMs: 20_000, probeMs: 20_000 },
      {
        ...shared,
        ...{ self: node.id, local: localOf(node, all), network: node.store, journal: node.journal },
        need: () => needOf(5, all.length),
        disk: node.level.root.sub('hybrid'),
      },
    ),
  }),
};

for (const [name, backend] of Object.entries(BACKENDS)) {
  for (const size of [3, 1]) {
    contract(`the ${name} backend, ${size === 1 ? 'alone' : `one of ${size}`}`, async () => {
      const all = await cluster(size, { republishSoonMs: 600_000 });
      const [node] = all;
      const bench = backend(node!, all);
      if (bench.store instanceof HybridStore) await bench.store.start();
      else await node!.store.start();
      return {
        ...bench,
        async stop() {
          for (const one of all) await one.stop();
        },
      };
    });
  }
}
