/** Large contents between real libp2p nodes: placed, fetched, resumed, repaired. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { decodeBlockList } from '../../src/dht/blocks/list.ts';
import { ranked } from '../../src/dht/blocks/placement.ts';
import {
  type BlockNode,
  blockCluster,
  digest,
  drain,
  inParts,
  MIB,
  noise,
  sentBytes,
} from './blocks-support.ts';
import { stopAll } from './support.ts';

const holdersOf = (nodes: readonly BlockNode[], root: string): readonly BlockNode[] =>
  nodes.filter(({ blocks }) => blocks.has(root));

let seven: readonly BlockNode[];

beforeAll(async () => {
  seven = await blockCluster(7);
});
afterAll(async () => {
  await Promise.all(seven.map((node) => node.stop()));
  await stopAll();
});

describe('a content', () => {
  it.each([
    ['1 MiB', MIB],
    ['20 MiB', 20 * MIB],
    ['one byte over a piece', LIMITS.chunkBytes + 1],
  ])('of %s is held by five, and read by a sixth', async (name, size) => {
    const bytes = noise(name, size);
    const writer = seven[0]!;
    const { root, list, size: stored } = await writer.blocks.add(inParts(bytes));
    expect(stored).toBe(size);
    const outcome = await writer.blocks.ensure(root);
    expect(outcome).toMatchObject({ ack: 'quorum', pending: 0 });
    expect(outcome.holders).toHaveLength(5);
    expect(
      holdersOf(seven, root)
        .map(({ id }) => id)
        .sort(),
    ).toEqual([...outcome.holders].sort());
    const reader = seven.find(({ blocks }) => !blocks.has(root))!;
    for (const { blocks } of [writer, reader]) {
      expect(await drain(blocks.read(list))).toEqual({ size, hash: digest(bytes) });
    }
  });

  it('of equal pieces takes the room of one', async () => {
    const { blocks } = seven[1]!;
    const before = blocks.status().usedBytes;
    const bytes = new Uint8Array(3 * LIMITS.chunkBytes);
    const { root, list } = await blocks.add([bytes]);
    await blocks.ensure(root);
    expect(blocks.status().usedBytes - before).toBe(LIMITS.chunkBytes);
    expect(await drain(seven[6]!.blocks.read(list))).toEqual({
      size: bytes.length,
      hash: digest(bytes),
    });
  });

  it('has one name, however its bytes come', async () => {
    const bytes = noise('name', MIB);
    const a = await seven[0]!.blocks.add(inParts(bytes, 1_000));
    const b = await seven[3]!.blocks.add([bytes]);
    expect(a.root).toBe(b.root);
    const { chunks, size } = decodeBlockList(a.list);
    expect([chunks.length, size]).toEqual([4, MIB]);
  });

  it('too large, or empty, leaves nothing behind', async () => {
    const { blocks } = seven[2]!;
    const before = blocks.status();
    const endless = function* (): Generator<Uint8Array> {
      for (;;) yield new Uint8Array(LIMITS.chunkBytes).fill(before.contents + 1);
    };
    await expect(blocks.add(endless())).rejects.toMatchObject({ code: 'TOO_LARGE' });
    await expect(blocks.add([])).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    expect(blocks.status()).toEqual(before);
  });

  it('that is dropped is gone with its pieces, but for those another content names', async () => {
    const { blocks } = seven[4]!;
    const before = blocks.status().usedBytes;
    const shared = noise('shared', LIMITS.chunkBytes);
    const one = await blocks.add([shared, noise('first', 1_000)]);
    const two = await blocks.add([shared, noise('second', 2_000)]);
    await blocks.drop(one.root);
    expect(blocks.has(one.root)).toBe(false);
    expect(blocks.has(two.root)).toBe(true);
    expect(blocks.status().usedBytes - before).toBe(LIMITS.chunkBytes + 2_000);
    await blocks.drop(two.root);
    expect(blocks.status().usedBytes).toBe(before);
  });

  it('nobody has is not found, and says so soon', async () => {
    const { list } = await seven[5]!.blocks.add([noise('lost', 300_000)]);
    await seven[5]!.blocks.drop((await seven[5]!.blocks.add([noise('lost', 300_000)])).root);
    await expect(drain(seven[6]!.blocks.read(list))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      details: { asked: 6 },
    });
  });
});

describe('twenty readers at once', () => {
  it('all get it, each byte once', async () => {
    const bytes = noise('twenty', 2 * MIB);
    const { root, list } = await seven[0]!.blocks.add(inParts(bytes));
    await seven[0]!.blocks.ensure(root);
    const reader = seven.find(({ blocks }) => !blocks.has(root))!;
    const before = sentBytes(seven);
    const all = Array.from({ length: 20 }, () => drain(reader.blocks.read(list)));
    for (const one of await Promise.all(all)) {
      expect(one).toEqual({ size: bytes.length, hash: digest(bytes) });
    }
    expect(sentBytes(seven) - before).toBe(20 * bytes.length);
  });
});

describe('holders that die', () => {
  it('in the middle: the reader goes on elsewhere, no byte twice', async () => {
    const nodes = await blockCluster(5);
    const bytes = noise('middle', 8 * MIB);
    const { root, list } = await nodes[0]!.blocks.add(inParts(bytes));
    await nodes[0]!.blocks.ensure(root);
    const reader = nodes[1]!;
    await reader.blocks.drop(root);
    const ids = nodes.map(({ id }) => id);
    const [nearest] = ranked(root, ids).filter((id) => id !== reader.id);
    const dying = nodes.find(({ id }) => id === nearest)!;
    // In the midst of a piece, of which each has five frames.
    let frames = 0;
    dying.serve = (peer, stream) => {
      const write = async (frame: Uint8Array): Promise<void> => {
        if (++frames > 27) await dying.stop();
        await stream.write(frame);
      };
      return dying.blocks.accept(peer, { ...stream, write });
    };
    const before = sentBytes(nodes);
    const received = reader.blocks.counters.get('receivedBytes');
    const got = await drain(reader.blocks.read(list));
    expect(got).toEqual({ size: bytes.length, hash: digest(bytes) });
    expect(frames).toBeGreaterThan(27);
    // It goes on at the byte: only what was on its way when the other died is sent again, and no
    // more than one request is on its way.
    expect(reader.blocks.counters.get('receivedBytes') - received).toBe(bytes.length);
    const sentTwice = sentBytes(nodes) - before - bytes.length;
    expect(sentTwice).toBeLessThanOrEqual(LIMITS.blockWants * LIMITS.chunkBytes);
    await Promise.all(nodes.map((node) => node.stop()));
  });

  it('are replaced when somebody ensures the content, who need not hold it', async () => {
    const bytes = noise('replaced', MIB);
    const nodes = await blockCluster(7);
    const { root, list } = await nodes[0]!.blocks.add(inParts(bytes));
    await nodes[0]!.blocks.ensure(root);
    const dead = holdersOf(nodes, root).slice(0, 3);
    await Promise.all(dead.map((node) => node.stop()));
    const alive = nodes.filter((node) => !dead.includes(node));
    const outsider = alive.find(({ blocks }) => !blocks.has(root))!;
    await expect(outsider.blocks.ensure(root)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const outcome = await outsider.blocks.ensure(root, list);
    // Four live, and the one that asks holds nothing itself.
    expect(outcome).toMatchObject({ ack: 'quorum', pending: 2 });
    expect(holdersOf(alive, root)).toHaveLength(3);
    await Promise.all(nodes.map((node) => node.stop()));
  });

  it('are replaced by the others when they hear of it, for few bytes where nothing is', async () => {
    const nodes = await blockCluster(7, { republishSoonMs: 50 });
    const { root } = await nodes[0]!.blocks.add([noise('pass', MIB)]);
    await nodes[0]!.blocks.ensure(root);
    const before = holdersOf(nodes, root).slice(0, 5);
    const sent = sentBytes(nodes);
    for (const { blocks } of before) blocks.membersChanged();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // Samples as of a put, of each holder by each, would be ten; one more holder may come.
    expect(sentBytes(nodes) - sent).toBeLessThan(4 * MIB);
    const dead = before.filter((node) => node !== nodes[0]).slice(0, 2);
    await Promise.all(dead.map((node) => node.stop()));
    const alive = nodes.filter((node) => !dead.includes(node));
    // All five that are left have to hold it now, the two that did not among them; a holder that
    // was slow has had a stand-in, and came after all, at any time until here.
    const others = alive.filter((node) => !before.includes(node));
    for (const { blocks } of others) await blocks.drop(root);
    expect(others).toHaveLength(2);
    for (const { blocks } of alive) blocks.membersChanged();
    await expect
      .poll(() => holdersOf(alive, root).length, { timeout: 30_000 })
      .toBeGreaterThanOrEqual(5);
    await Promise.all(nodes.map((node) => node.stop()));
  });

  it('are made up for in the background', async () => {
    const nodes = await blockCluster(3, { retryMs: 50 });
    // Nobody can be reached at first.
    for (const node of nodes.slice(1)) node.serve = async (_p, s) => s.abort(new Error('away'));
    const { root } = await nodes[0]!.blocks.add([noise('later', MIB)]);
    expect(await nodes[0]!.blocks.ensure(root)).toMatchObject({ ack: 'local', pending: 2 });
    expect(nodes[0]!.blocks.status().backlog).toBe(1);
    for (const node of nodes.slice(1)) node.serve = (p, s) => node.blocks.accept(p, s);
    await expect.poll(() => holdersOf(nodes, root).length, { timeout: 10_000 }).toBe(3);
    await Promise.all(nodes.map((node) => node.stop()));
  });
});
