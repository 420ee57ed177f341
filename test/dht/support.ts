/** Real libp2p nodes on loopback, bare or with the record store; namespaces that can be checked. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identify } from '@libp2p/identify';
import { type Libp2p, type PeerId as Libp2pPeerId, serviceCapabilities } from '@libp2p/interface';
import { type KadDHT, type KadDHTInit, kadDHT, type QueryEvent } from '@libp2p/kad-dht';
import { noise } from '@libp2p/noise';
import { Libp2pRecord } from '@libp2p/record';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { LevelDatastore } from 'datastore-level';
import type { Datastore } from 'interface-datastore';
import { createLibp2p } from 'libp2p';
import type { PeerId } from '../../src/base/brands.ts';
import { compareBytes, equalBytes, sha256, toBase32, utf8Bytes } from '../../src/base/bytes.ts';
import { encode } from '../../src/base/codec.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { Counters } from '../../src/dht/counters.ts';
import { type GuardOptions, KAD_PREFIX, RecordGuard } from '../../src/dht/guard.ts';
import { Journal } from '../../src/dht/journal.ts';
import { type DhtOptions, DhtStore } from '../../src/dht/kad.ts';
import { kadInit } from '../../src/dht/options.ts';
import { createRules, datastoreKey } from '../../src/dht/rules.ts';
import type { Namespace } from '../../src/dht/store.ts';
import { openStore, type Store } from '../../src/node/store.ts';
import { systemRandom } from '../../src/node/system.ts';
import { steadyClock } from '../support/steady-clock.ts';
import { quietLogger, testKey } from '../support/world.ts';

/** Content: the key is the hash of the value. */
export const CONTENT: Namespace = {
  name: 'c',
  maxBytes: 32_768,
  validate(suffix, value) {
    if (contentKey(value) !== suffix) throw new BzzzError('BAD_MESSAGE', 'hash is not the key');
  },
  merge: (_suffix, a) => a,
};
export const contentKey = (value: Uint8Array): string => toBase32(sha256(value));

/** `seq` as 4 bytes, then the suffix: the higher one stands. */
export const SEQUENCE: Namespace = {
  name: 'n',
  maxBytes: 200,
  validate(suffix, value) {
    if (value.length < 4 || !equalBytes(value.subarray(4), utf8Bytes(suffix))) {
      throw new BzzzError('BAD_MESSAGE', 'not bound to its key');
    }
  },
  merge: (_suffix, a, b) => (compareBytes(a, b) >= 0 ? a : b),
};
export function sequence(suffix: string, seq: number): Uint8Array {
  const value = new Uint8Array(4 + suffix.length);
  new DataView(value.buffer).setUint32(0, seq);
  value.set(utf8Bytes(suffix), 4);
  return value;
}
export const seqOf = (value: Uint8Array): number =>
  new DataView(value.buffer, value.byteOffset, value.byteLength).getUint32(0);

/** A set of single bytes in ascending order: the union stands. At most 8. */
export const UNION: Namespace = {
  name: 'u',
  maxBytes: 8,
  validate(_suffix, value) {
    if (value.length === 0 || value.some((byte, i) => i > 0 && byte <= (value[i - 1] ?? 0))) {
      throw new BzzzError('BAD_MESSAGE', 'not an ascending set');
    }
  },
  merge: (_suffix, a, b) => Uint8Array.from([...new Set([...a, ...b])].sort((x, y) => x - y)),
};

/** The guard of a node that holds nothing for others. */
export const NOTHING_HELD: Pick<RecordGuard, 'load' | 'onStored'> = {
  load: async () => undefined,
  onStored: () => () => {},
};

export const NAMESPACES = [CONTENT, SEQUENCE, UNION];
export const RULES = createRules(NAMESPACES);
export const content = (text: string): { suffix: string; value: Uint8Array } => {
  const value = encode({ text });
  return { suffix: contentKey(value), value };
};

/** What the tests reach into: fields of the class behind the interface. */
interface Inside {
  readonly routingTable: { readonly size: number; remove(peer: Libp2pPeerId): Promise<void> };
  readonly network: {
    sendRequest(to: Libp2pPeerId, message: object, options: object): AsyncIterable<QueryEvent>;
  };
  readonly rpc: {
    readonly handlers: Record<
      string,
      { handle(peer: Libp2pPeerId, message: Message): Promise<Message | undefined> }
    >;
  };
}
export interface Message {
  readonly type: string;
  readonly key?: Uint8Array;
  readonly record?: Uint8Array;
  readonly closer: readonly unknown[];
  readonly providers: readonly unknown[];
}
export const inside = (dht: KadDHT): Inside => dht as unknown as Inside;

export interface BareNode {
  readonly id: PeerId;
  readonly libp2p: Libp2p<{ dht: KadDHT }>;
  readonly dht: KadDHT;
  /** Below every guard. */
  readonly disk: LevelDatastore;
  readonly level: Store;
  stop(): Promise<void>;
}
export interface Node extends BareNode {
  readonly store: DhtStore;
  readonly journal: Journal;
  readonly guard: RecordGuard;
  readonly counters: Counters;
}

const open: BareNode[] = [];
/** Files of nodes that stopped: libp2p still writes down who it was connected to. */
const left: (() => Promise<void>)[] = [];
/** For `afterAll`: stops what a test left, and removes the files. */
export async function stopAll(): Promise<void> {
  await Promise.all(open.splice(0).map((node) => node.stop()));
  await new Promise((resolve) => setTimeout(resolve, 300));
  await Promise.all(left.splice(0).map((remove) => remove()));
}

/** kad-dht asks for a ping service to try new contacts; a connection is proof enough here. */
const reachable = (components: {
  connectionManager: { openConnection(peer: Libp2pPeerId): Promise<unknown> };
}) => ({
  [serviceCapabilities]: ['@libp2p/ping'],
  ping: async (peer: Libp2pPeerId) => {
    await components.connectionManager.openConnection(peer);
    return 0;
  },
});

let nodes = 0;
/** The nodes of a process have keys by number; those of another one must have other numbers. */
export const numberNodesFrom = (first: number): void => {
  nodes = first;
};
export async function openDisk(): Promise<{ store: Store; remove(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'bzzz-dht-'));
  const store = await openStore(folder);
  return {
    store,
    async remove() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function start(
  init: KadDHTInit,
  disk: { store: Store; remove(): Promise<void> },
  datastore: Datastore,
): Promise<BareNode> {
  const libp2p = await createLibp2p({
    privateKey: await testKey(`dht ${nodes++}`),
    datastore,
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    streamMuxers: [yamux()],
    connectionEncrypters: [noise()],
    // Fifty hosts in one process would do little but ping each other.
    connectionMonitor: { enabled: false },
    connectionManager: {
      inboundConnectionThreshold: 100,
      reconnectRetries: 0,
      dialTimeout: 15_000,
      inboundStreamProtocolNegotiationTimeout: 60_000,
      outboundStreamProtocolNegotiationTimeout: 60_000,
    },
    services: { identify: identify(), ping: reachable, dht: kadDHT(init) },
  });
  let stopped = false;
  const node: BareNode = {
    id: libp2p.peerId.toString() as PeerId,
    libp2p,
    dht: libp2p.services.dht,
    disk: new LevelDatastore(disk.store.db),
    level: disk.store,
    async stop() {
      if (stopped) return;
      stopped = true;
      for (const connection of libp2p.getConnections()) connection.abort(new Error('died'));
      await libp2p.stop();
      left.push(() => disk.remove());
    },
  };
  open.push(node);
  return node;
}

/** The floor of kad-dht's own time-out is too low for a machine that runs all nodes and more. */
const UNHURRIED = { minTimeout: 60_000, maxTimeout: 60_000 };

/** kad-dht as it comes, with the settings for a LAN and a selector that prefers the higher seq. */
export async function bareNode(): Promise<BareNode> {
  const disk = await openDisk();
  const { validators: _v, selectors: _s, ...lan } = kadInit('bare', NAMESPACES);
  const init: KadDHTInit = {
    ...lan,
    networkDialTimeout: UNHURRIED,
    validators: { ucxl: (_key, value) => void seqOf(value) },
    selectors: {
      ucxl: (_key, records) =>
        records.reduce((best, r, i) => (seqOf(r) > seqOf(records[best]!) ? i : best), 0),
    },
  };
  return start(init, disk, new LevelDatastore(disk.store.db));
}

/** Times that a busy machine cannot exceed; tests of deadlines set their own. */
const PATIENT: DhtOptions = { timeoutMs: 20_000, requestMs: 10_000, graceMs: 10_000 };

/** The record store; `members` is the roster, live. */
export async function storeNode(
  members: () => readonly PeerId[],
  options: DhtOptions & { guard?: GuardOptions } = {},
): Promise<Node> {
  const disk = await openDisk();
  const counters = new Counters();
  const deps = { rules: RULES, clock: steadyClock, log: quietLogger, counters };
  const guard = new RecordGuard(disk.store.db, options.guard ?? {}, deps);
  const init = { ...kadInit('ours', NAMESPACES, counters), networkDialTimeout: UNHURRIED };
  const bare = await start(init, disk, guard);
  const journal = new Journal({
    ...deps,
    disk: disk.store.root.sub('journal'),
    random: systemRandom,
  });
  const store = new DhtStore(
    { ...PATIENT, ...options },
    {
      ...deps,
      self: bare.id,
      members,
      guard,
      journal,
      kad: bare.dht,
      random: systemRandom,
    },
  );
  const stop = async (): Promise<void> => {
    await store.stop();
    await bare.stop();
  };
  return { ...bare, store, journal, guard, counters, stop };
}

/** Connects everybody and waits until every table is full. */
export async function mesh(all: readonly BareNode[]): Promise<void> {
  for (const [i, node] of all.entries()) {
    for (const other of all.slice(0, i)) await node.libp2p.dial(other.libp2p.getMultiaddrs());
  }
  await until(() => all.every((n) => inside(n.dht).routingTable.size >= all.length - 1));
}

/** A whole cluster of `n` nodes, its background work not started. */
export async function cluster(
  n: number,
  options: DhtOptions & { guard?: GuardOptions } = {},
): Promise<readonly Node[]> {
  const members: PeerId[] = [];
  const all: Node[] = [];
  for (let i = 0; i < n; i++) all.push(await storeNode(() => members, options));
  members.push(...all.map(({ id }) => id));
  await mesh(all);
  return all;
}

export async function until(
  condition: () => boolean | Promise<boolean>,
  withinMs = 60_000,
): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`never came true: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Writes a record under every check, as an attacker's or an older program's disk would have it. */
export async function plant(
  node: BareNode,
  key: Uint8Array,
  value: Uint8Array,
  received = new Date(),
): Promise<void> {
  const raw = new Libp2pRecord(key, value, received).serialize();
  await node.level.db.put(datastoreKey(KAD_PREFIX, key), raw);
}

/** The value that a node holds for others, straight from its disk. */
export async function onDisk(node: BareNode, key: Uint8Array): Promise<Uint8Array | undefined> {
  const raw = await node.level.db.get(datastoreKey(KAD_PREFIX, key));
  return raw === undefined ? undefined : new Uint8Array(Libp2pRecord.deserialize(raw).value);
}

/** Replaces what a node answers to one kind of message. @returns what brings the old one back. */
export function answer(
  node: BareNode,
  type: 'PUT_VALUE' | 'GET_VALUE' | 'FIND_NODE',
  handle: (message: Message) => Promise<Message | undefined>,
): () => void {
  const { handlers } = inside(node.dht).rpc;
  const before = handlers[type]!;
  handlers[type] = { handle: (_peer, message) => handle(message) };
  return () => {
    handlers[type] = before;
  };
}

/** One PUT_VALUE as an attacker would send it: nothing on the sender's side looks at it. */
export async function sendPut(
  from: BareNode,
  to: BareNode,
  key: Uint8Array,
  record: Uint8Array,
): Promise<'stored' | 'refused'> {
  const path = { index: -1, queued: 0, running: 0, total: 0 };
  const options = { signal: AbortSignal.timeout(15_000), path };
  const message = { type: 'PUT_VALUE', key, record };
  for await (const event of inside(from.dht).network.sendRequest(
    to.libp2p.peerId,
    message,
    options,
  )) {
    if (event.name === 'PEER_RESPONSE') return 'stored';
  }
  return 'refused';
}

/** A put of the bare library: what it reports. */
export async function barePut(
  node: BareNode,
  key: Uint8Array,
  value: Uint8Array,
): Promise<{ acks: number; errors: number }> {
  let acks = 0;
  let errors = 0;
  for await (const event of node.dht.put(key, value, { signal: AbortSignal.timeout(15_000) })) {
    if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') acks++;
    if (event.name === 'QUERY_ERROR') errors++;
  }
  return { acks, errors };
}
