/** Copies come back after holders died, without a storm, over real nodes. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cluster, content, inside, type Node, onDisk, RULES, stopAll, until } from './support.ts';

const PACE = { repairAfterMs: 400, repairRankMs: 2_000, republishSoonMs: 600_000 };
/** All nodes share the cores with each other, and perhaps with more. */
const PATIENCE_MS = 60_000;
const RECORDS = Array.from({ length: 40 }, (_, i) => content(`repair ${i}`));
const KEYS = RECORDS.map(({ suffix }) => RULES.key('c', suffix));

interface Counts {
  readonly GET_VALUE: number;
  readonly PUT_VALUE: number;
}
/** Requests that a node answers from here on, by kind. */
function counted(node: Node): Counts {
  const { handlers } = inside(node.dht).rpc;
  const counts = { GET_VALUE: 0, PUT_VALUE: 0 };
  for (const type of ['GET_VALUE', 'PUT_VALUE'] as const) {
    const honest = handlers[type]!;
    handlers[type] = {
      handle: (peer, message) => {
        counts[type]++;
        return honest.handle(peer, message);
      },
    };
  }
  return counts;
}

/** As the peering does it: who does not answer leaves the table. */
function evicting(nodes: readonly Node[]): void {
  for (const { libp2p, dht } of nodes) {
    libp2p.addEventListener('peer:disconnect', ({ detail }) => {
      void inside(dht).routingTable.remove(detail);
    });
  }
}

/** Copies of each record on the disks of `nodes`. */
const replication = (nodes: readonly Node[]): Promise<readonly number[]> =>
  Promise.all(
    KEYS.map(async (key) => {
      const held = await Promise.all(nodes.map((node) => onDisk(node, key)));
      return held.filter((value) => value !== undefined).length;
    }),
  );

async function scene(): Promise<readonly Node[]> {
  const nodes = await cluster(9, PACE);
  evicting(nodes);
  for (const [i, { suffix, value }] of RECORDS.entries()) {
    const { ack } = await nodes[i % 9]!.store.put('c', suffix, value, { require: 'quorum' });
    expect(ack).toBe('quorum');
  }
  await until(async () => Math.min(...(await replication(nodes))) === 5, PATIENCE_MS);
  return nodes;
}
const end = (nodes: readonly Node[]) => Promise.all(nodes.map((node) => node.stop()));

/** Waits until nobody has asked anybody for longer than ranks are apart. */
async function atRest(total: () => number): Promise<void> {
  let [before, since] = [total(), performance.now()];
  await until(() => {
    if (total() !== before) [before, since] = [total(), performance.now()];
    return performance.now() - since > PACE.repairRankMs + 1_000;
  }, PATIENCE_MS);
}
const sum = (counts: readonly Counts[]) => ({
  writes: () => counts.reduce((total, { PUT_VALUE }) => total + PUT_VALUE, 0),
  all: () => counts.reduce((total, { GET_VALUE, PUT_VALUE }) => total + GET_VALUE + PUT_VALUE, 0),
});

afterAll(stopAll);

describe('when four of nine die at once', () => {
  let nodes: readonly Node[];
  let alive: readonly Node[];
  beforeAll(async () => {
    nodes = await scene();
    alive = nodes.slice(4);
  }, PATIENCE_MS);

  it('every record still reads at every survivor, before any repair', async () => {
    await end(nodes.slice(0, 4));
    for (const node of alive) {
      for (const { suffix, value } of RECORDS) {
        expect((await node.store.get('c', suffix))?.value).toEqual(value);
      }
    }
    // Nothing repairs yet: the background work has not begun.
    expect(Math.min(...(await replication(alive)))).toBeLessThan(4);
  });

  it('repair brings all copies back to five, each missing one written once', async () => {
    const missing = (await replication(alive)).reduce((total, n) => total + 5 - n, 0);
    expect(missing).toBeGreaterThan(40);
    const { writes, all } = sum(alive.map(counted));
    for (const node of alive) await node.store.start();
    await until(async () => Math.min(...(await replication(alive))) === 5, PATIENCE_MS);
    await atRest(all);
    // A node keeps its own missing copy without a message.
    expect(writes()).toBeLessThanOrEqual(missing * 1.2);
    // Three ranks look at each record: four others to ask, and what is missing to write and ask.
    expect(all()).toBeLessThanOrEqual(RECORDS.length * 3 * 4 + missing * 2.4);
    for (const { store } of alive) expect(store.backlog).toBe(0);
    await end(alive);
  });
});

describe('when five of nine die at once', () => {
  it('the four left have everything that was left, and come to rest', async () => {
    const nodes = await scene();
    const alive = nodes.slice(5);
    for (const node of nodes) await node.store.start();
    const { all } = sum(alive.map(counted));
    await end(nodes.slice(0, 5));
    const left = (await replication(alive)).filter((n) => n > 0).length;
    expect(left).toBe(RECORDS.length);
    await until(async () => Math.min(...(await replication(alive))) === 4, PATIENCE_MS);
    await atRest(all);
    // As above, with three others, for each of the moments at which a death was noticed.
    expect(all()).toBeLessThan(RECORDS.length * 3 * 9);
    await end(alive);
  });
});
