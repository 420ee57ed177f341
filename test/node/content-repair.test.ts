/** Large content of a node follows the repair of its records, over real nodes. */
import { expect, it } from 'vitest';
import { Content } from '../../src/node/content.ts';
import { systemRandom } from '../../src/node/system.ts';
import { MIB, noise, PROTOCOL } from '../dht/blocks-support.ts';
import { cluster, inside, type Node } from '../dht/support.ts';
import { steadyClock } from '../support/steady-clock.ts';
import { quietLogger } from '../support/world.ts';

/** Records are looked after soon; contents only when something says so. */
const PACE = { repairAfterMs: 400, repairRankMs: 600_000, republishSoonMs: 600_000 };
const QUIET = { republishMs: 3_600_000, retryMs: 3_600_000, graceMs: 20_000 };

async function contentOf(node: Node, members: readonly Node[]): Promise<Content> {
  const content = new Content(
    { ...QUIET, republishSoonMs: 100 },
    {
      ...{ self: node.id, clock: steadyClock, random: systemRandom, log: quietLogger },
      ...{ providers: node.store.providers, repairer: node.store.repairer, protocol: PROTOCOL },
      members: () => members.map(({ id }) => id),
      streams: { host: node.libp2p, gate: { guard: (handler) => handler } },
      disk: node.level.root.sub('blocks'),
    },
  );
  await content.start();
  return content;
}

it('is brought to others when holders die, without a leader', async () => {
  const nodes = await cluster(7, PACE);
  const contents = new Map<Node, Content>();
  for (const node of nodes) contents.set(node, await contentOf(node, nodes));
  const blocksOf = (node: Node) => contents.get(node)!.blocks;
  const writer = nodes[0]!;
  const { root } = await blocksOf(writer).add([noise('leaderless', MIB)]);
  expect(await blocksOf(writer).ensure(root)).toMatchObject({ ack: 'quorum', pending: 0 });
  // The pass that follows a start is over: what comes from here on follows from the deaths.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  for (const { libp2p, dht, store } of nodes) {
    libp2p.addEventListener('peer:disconnect', ({ detail }) => {
      void inside(dht).routingTable.remove(detail);
    });
    await store.start();
  }
  const holds = (node: Node): boolean => blocksOf(node).has(root);
  const dead = nodes.filter((node) => node !== writer && holds(node)).slice(0, 2);
  const alive = nodes.filter((node) => !dead.includes(node));
  expect(alive.every(holds)).toBe(false);
  const stop = async (node: Node): Promise<void> => {
    await contents.get(node)?.stop();
    await node.stop();
  };
  await Promise.all(dead.map(stop));
  await expect.poll(() => alive.every(holds), { timeout: 60_000 }).toBe(true);
  await Promise.all(alive.map(stop));
});
