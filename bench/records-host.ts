/**
 * Some nodes of a cluster of `bench/records.ts`, in a process of their own. The parent asks over
 * the channel that `fork` opens: one request, one reply, told apart by their number.
 * @module
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import type { PeerId } from '../src/base/brands.ts';
import {
  answer,
  type BareNode,
  bareNode,
  content,
  inside,
  type Node,
  numberNodesFrom,
  RULES,
  sequence,
  storeNode,
  until,
} from '../test/dht/support.ts';
import { timed } from './stats.ts';

/** `store` is the daemon's record store, `library` kad-dht with its own put and get. */
export type Kind = 'store' | 'library';

/** A node as the others need it. */
export interface Host {
  readonly id: PeerId;
  readonly addresses: readonly string[];
}

/** What the parent asks; `node` counts within the process. */
export type Request =
  | { readonly op: 'start'; readonly kind: Kind; readonly first: number; readonly count: number }
  /** Tells who is a member, and connects to `earlier`. */
  | { readonly op: 'mesh'; readonly earlier: readonly Host[]; readonly all: readonly PeerId[] }
  /** Waits until the routing tables of this process are full, or have a bucket's worth. */
  | { readonly op: 'full' }
  | { readonly op: 'put' | 'get'; readonly node: number; readonly record: number }
  /** Connections stay open, nothing is answered. */
  | { readonly op: 'unplug' | 'plug' | 'die'; readonly node: number };

/** Ms of a put or get; the hosts of a start; nothing else. */
export type Reply =
  | { readonly id: number; readonly value: readonly Host[] | number | null }
  | { readonly id: number; readonly error: string };

/** As the daemon has them. */
const SETTINGS = {
  ...{ timeoutMs: 3_000, requestMs: 1_000, graceMs: 200 },
  ...{ republishSoonMs: 3_600_000, repairAfterMs: 3_600_000 },
};
/** Of a read of either; what the library needs with unplugged peers would take minutes. */
const PATIENCE_MS = 6_000;

/** Of kad-dht: of more peers, a table need not have all. */
const BUCKET = 20;

const members: PeerId[] = [];
const nodes: BareNode[] = [];
const restore = new Map<number, readonly (() => void)[]>();
let kind: Kind = 'store';

const text = (record: number): string => `record ${record} ${'.'.repeat(200)}`;
const key = (record: number): Uint8Array => RULES.key('n', `r${record}`);
const signal = (): AbortSignal => AbortSignal.timeout(PATIENCE_MS);

async function put(node: BareNode, record: number): Promise<void> {
  if (kind === 'library') {
    const value = sequence(text(record), record);
    return node.libp2p.contentRouting.put(key(record), value, { signal: signal() });
  }
  const { suffix, value } = content(text(record));
  const { ack } = await (node as Node).store.put('c', suffix, value);
  if (ack !== 'quorum') throw new Error(`record ${record} reached ${ack}`);
}

async function get(node: BareNode, record: number): Promise<void> {
  if (kind === 'library') {
    await node.libp2p.contentRouting.get(key(record), { signal: signal() });
    return;
  }
  const found = await (node as Node).store.get('c', content(text(record)).suffix);
  if (found === undefined) throw new Error(`record ${record} was not found`);
}

async function start(count: number): Promise<readonly Host[]> {
  for (let i = 0; i < count; i++) {
    nodes.push(kind === 'library' ? await bareNode() : await storeNode(() => members, SETTINGS));
  }
  return nodes.map(({ id, libp2p }) => ({
    id,
    addresses: libp2p.getMultiaddrs().map((address) => address.toString()),
  }));
}

async function mesh(earlier: readonly Host[], all: readonly PeerId[]): Promise<void> {
  members.push(...all);
  for (const [i, node] of nodes.entries()) {
    const inner = nodes.slice(0, i).map(({ libp2p }) => libp2p.getMultiaddrs());
    const outer = earlier.map(({ addresses }) => addresses.map((address) => multiaddr(address)));
    for (const addresses of [...outer, ...inner]) await connect(node, addresses);
  }
}

/** Fifty hosts that greet each other on two cores exceed the time of a dial now and then. */
async function connect(node: BareNode, addresses: Multiaddr[]): Promise<void> {
  for (let left = 10; ; left--) {
    try {
      await node.libp2p.dial(addresses);
      return;
    } catch (error) {
      if (left === 0) throw error;
      await pause(200);
    }
  }
}

function unplug(node: BareNode): readonly (() => void)[] {
  const types = ['GET_VALUE', 'PUT_VALUE', 'FIND_NODE'] as const;
  return types.map((type) => answer(node, type, () => new Promise(() => {})));
}

async function handle(request: Request): Promise<readonly Host[] | number | null> {
  if (request.op === 'start') {
    kind = request.kind;
    numberNodesFrom(request.first);
    return start(request.count);
  }
  if (request.op === 'mesh') {
    await mesh(request.earlier, request.all);
    return null;
  }
  if (request.op === 'full') {
    const enough = Math.min(members.length - 1, BUCKET);
    await until(() => nodes.every(({ dht }) => inside(dht).routingTable.size >= enough), 60_000);
    return null;
  }
  const node = nodes[request.node];
  if (node === undefined) throw new Error(`there is no node ${request.node} here`);
  switch (request.op) {
    case 'put':
      return timed(() => put(node, request.record));
    case 'get':
      return timed(() => get(node, request.record));
    case 'unplug':
      restore.set(request.node, unplug(node));
      return null;
    case 'plug':
      for (const undo of restore.get(request.node) ?? []) undo();
      return null;
    case 'die':
      await node.stop();
      return null;
  }
}

process.on('message', async ({ id, ...request }: Request & { readonly id: number }) => {
  const reply = await handle(request as Request).then(
    (value): Reply => ({ id, value }),
    (thrown): Reply => ({ id, error: String(thrown) }),
  );
  process.send?.(reply);
});
process.on('disconnect', () => process.exit(0));
