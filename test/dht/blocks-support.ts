/** Real libp2p nodes on loopback that exchange pieces; peers that can be made to misbehave. */
import { createHash } from 'node:crypto';
import type { Stream } from '@libp2p/interface';
import type { PeerId } from '../../src/base/brands.ts';
import { Blocks, type BlocksOptions } from '../../src/dht/blocks/blocks.ts';
import type { BlockStream } from '../../src/dht/blocks/wire.ts';
import { Providers } from '../../src/dht/providers.ts';
import { BlockStreams } from '../../src/node/net/block-streams.ts';
import { systemRandom } from '../../src/node/system.ts';
import { steadyClock } from '../support/steady-clock.ts';
import { quietLogger } from '../support/world.ts';
import { cluster, type Node } from './support.ts';

export const PROTOCOL = '/bzzz/test/blocks/1';
export const MIB = 1_048_576;

export interface BlockNode extends Node {
  readonly blocks: Blocks;
  readonly streams: BlockStreams;
  /** What answers requests; replace it to misbehave. */
  serve: (peer: PeerId, stream: BlockStream) => Promise<void>;
}

export interface BlockClusterOptions extends BlocksOptions {
  readonly stepMs?: number;
}

/** Nobody repairs by itself, unless a test shortens the waits. */
const QUIET: BlocksOptions = { republishSoonMs: 3_600_000, retryMs: 3_600_000, graceMs: 20_000 };

/** `n` nodes that all know each other, blocks started. */
export async function blockCluster(
  n: number,
  options: BlockClusterOptions = {},
): Promise<readonly BlockNode[]> {
  const nodes = await cluster(n);
  const members = nodes.map(({ id }) => id);
  const { stepMs = 60_000, ...own } = options;
  const all: BlockNode[] = [];
  for (const node of nodes) {
    const streams = new BlockStreams(
      { protocol: PROTOCOL, stepMs },
      { host: node.libp2p, gate: { guard: (handler) => handler } },
    );
    const { id: self, dht: kad, counters, level } = node;
    const basis = { self, members: () => members, clock: steadyClock };
    const providers = new Providers({ ...basis, kad, counters }, { timeoutMs: 60_000 });
    const blocks = new Blocks(
      { ...QUIET, ...own },
      {
        ...{ ...basis, providers, net: streams, random: systemRandom, log: quietLogger },
        disk: level.root.sub('blocks'),
      },
    );
    const whole: BlockNode = {
      ...node,
      ...{ blocks, streams },
      serve: (peer, stream) => blocks.accept(peer, stream),
      stop: async () => {
        await blocks.stop();
        await node.stop();
      },
    };
    await blocks.start();
    await streams.start((peer, stream) => whole.serve(peer, stream));
    all.push(whole);
  }
  return all;
}

/** Reproducible bytes that no compressor and no dedupe finds anything in. */
export function noise(seed: string, size: number): Uint8Array {
  const out = new Uint8Array(size);
  for (let at = 0, i = 0; at < size; i++, at += 32) {
    const hash = createHash('sha256').update(`${seed}/${i}`).digest();
    out.set(hash.subarray(0, Math.min(32, size - at)), at);
  }
  return out;
}

export async function* inParts(bytes: Uint8Array, size = 100_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export const digest = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

/** Digest and size of what a reader gets. */
export async function drain(
  source: AsyncIterable<Uint8Array>,
  each: (soFar: number) => void | Promise<void> = () => {},
): Promise<{ size: number; hash: string }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const part of source) {
    hash.update(part);
    size += part.length;
    await each(size);
  }
  return { size, hash: hash.digest('hex') };
}

/** What all nodes sent. */
export const sentBytes = (nodes: readonly BlockNode[]): number =>
  nodes.reduce((sum, { blocks }) => sum + blocks.counters.get('sentBytes'), 0);

/** A raw stream of the protocol, for bytes that no program of ours would send. */
export async function rawStream(from: BlockNode, to: BlockNode): Promise<Stream> {
  return from.libp2p.dialProtocol(to.libp2p.peerId, PROTOCOL);
}
