/** Real nodes in one process, on loopback, with rosters of their own. */
import type { Libp2p, Stream } from '@libp2p/interface';
import { noise } from '@libp2p/noise';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { MemoryDatastore } from 'datastore-core';
import { createLibp2p } from 'libp2p';
import type { Entrance } from '../../../bootstrap/entrance.ts';
import type { PeerId } from '../../../src/base/brands.ts';
import { createSigner } from '../../../src/base/envelope.ts';
import type { BzzzError } from '../../../src/base/errors.ts';
import type { KeyValue, Logger } from '../../../src/base/ports.ts';
import { kadInit } from '../../../src/dht/options.ts';
import { Network, type NetworkOptions } from '../../../src/node/net/network.ts';
import { systemRandom } from '../../../src/node/system.ts';
import { entriesFrom } from '../../../src/roster/chain.ts';
import { createGenesis, type Genesis } from '../../../src/roster/genesis.ts';
import { type Invitation, parseInvitation } from '../../../src/roster/invitation.ts';
import { InvitationBook } from '../../../src/roster/invitation-book.ts';
import { RosterService } from '../../../src/roster/service.ts';
import { steadyClock, steadySleep } from '../../support/steady-clock.ts';
import { memoryKeyValue, quietLogger, testKey } from '../../support/world.ts';

export interface Node {
  readonly name: string;
  readonly peerId: PeerId;
  readonly network: Network;
  readonly roster: RosterService;
  readonly invitations: InvitationBook;
  readonly events: { kind: string; data: Readonly<Record<string, unknown>> }[];
  readonly refusals: BzzzError[];
}

export interface NodeSettings {
  readonly entrances?: readonly Entrance[];
  readonly invitation?: Invitation;
  readonly mdns?: boolean;
  readonly listen?: string;
  readonly boot?: number;
  readonly store?: KeyValue;
  readonly timing?: NetworkOptions['timing'];
  readonly announceIntervalMs?: number;
  readonly discoveryRefreshMs?: number;
  readonly log?: Logger;
}

export const sleep = steadySleep;

/** Waits for a condition; the limit is generous, because the machine may be busy. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limitMs = 120_000,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(20);
  }
}

export const peerIdOf = async (name: string): Promise<PeerId> =>
  createSigner(await testKey(name)).peerId;

/** The founder's genesis of a cluster; another `cluster` gives another one. */
export async function genesisOf(founder: string, cluster = 'lab'): Promise<Genesis> {
  const salt = new Uint8Array(16).fill(cluster.length);
  return createGenesis({ name: cluster, salt, founder: await peerIdOf(founder) });
}

/** A cluster under test: everything it made is stopped by `close`. */
export class Lab {
  readonly #genesis: Genesis;
  readonly #nodes: Node[] = [];

  constructor(genesis: Genesis) {
    this.#genesis = genesis;
  }

  /** The chain in which `founder` admits the others. */
  async entries(founder: string, others: readonly string[]): Promise<readonly Uint8Array[]> {
    const roster = await this.#roster(founder, memoryKeyValue());
    for (const name of others) await roster.admit(await peerIdOf(name), { role: 'persistent' });
    return entriesFrom(roster.chain, 1);
  }

  async #roster(name: string, store: KeyValue, invitation?: Invitation): Promise<RosterService> {
    const signer = createSigner(await testKey(name));
    return RosterService.open(
      {
        genesis: this.#genesis.bytes,
        ...(invitation === undefined ? {} : { checkpoint: invitation.checkpoint }),
      },
      { store, signer, clock: steadyClock, logger: quietLogger },
    );
  }

  /** A node that is made, not started. */
  async make(name: string, chain: readonly Uint8Array[], s: NodeSettings = {}): Promise<Node> {
    const key = await testKey(name);
    const signer = createSigner(key);
    const store = s.store ?? memoryKeyValue();
    const roster = await this.#roster(name, store.sub('roster'), s.invitation);
    if (chain.length > 0) await roster.extend(chain);
    const invitations = new InvitationBook({
      store: store.sub('invitations'),
      roster,
      signer,
      random: systemRandom,
      clock: steadyClock,
    });
    const events: Node['events'] = [];
    const refusals: BzzzError[] = [];
    const network = await Network.create(
      {
        key,
        boot: s.boot ?? 1,
        version: '0.0.0',
        name,
        listen: [s.listen ?? '/ip4/127.0.0.1/tcp/0'],
        announce: [],
        maxConnections: 300,
        mdns: s.mdns ?? false,
        entrances: s.entrances ?? [],
        discoveryRefreshMs: s.discoveryRefreshMs ?? 30_000,
        announceIntervalMs: s.announceIntervalMs ?? 10_000,
        state: {
          partyReady: true,
          draining: false,
          suites: ['ed25519'],
          protocols: [],
          load: 0,
          configHash: '',
        },
        invitation: s.invitation,
        ...(s.timing === undefined ? {} : { timing: s.timing }),
      },
      {
        roster,
        invitations,
        signer,
        clock: steadyClock,
        random: systemRandom,
        log: s.log ?? quietLogger,
        store: store.sub('net'),
        kad: kadInit(roster.view.tag, []),
        datastore: new MemoryDatastore(),
        emit: (kind, data) => void events.push({ kind, data }),
        joinRefused: (reason) => void refusals.push(reason),
      },
    );
    const node = { name, peerId: signer.peerId, network, roster, invitations, events, refusals };
    this.#nodes.push(node);
    return node;
  }

  async start(name: string, chain: readonly Uint8Array[], s: NodeSettings = {}): Promise<Node> {
    const node = await this.make(name, chain, s);
    await node.network.start();
    return node;
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.splice(0).map((node) => node.network.stop()));
  }
}

/** Where a started node listens, for another's bootstrap list. */
export function entranceOf(node: Node, options: { named?: boolean } = {}): Entrance {
  const [full = ''] = node.network.addresses();
  const [addr = ''] = full.split('/p2p/');
  return options.named === true ? { addr, peerId: node.peerId } : { addr };
}

/** Every node has a direct stream to every other. */
export const meshed = (nodes: readonly Node[]): boolean =>
  nodes.every((node) =>
    nodes.every((o) => o === node || node.network.direct.connected().includes(o.peerId)),
  );

/** An invitation by `node`, ready to be used. */
export async function invite(node: Node, ttlMs = 60_000): Promise<Invitation> {
  const { text } = await node.invitations.issue({
    role: 'persistent',
    noVoter: false,
    ttlMs,
    addresses: node.network.addresses(),
  });
  return parseInvitation(text);
}

/** A log that keeps everything, for a test to look at; `DEBUG_NET=1` prints it. */
export function recordingLog(into: { level: string; message: string; fields: object }[]): Logger {
  const take = (level: string) => (fields: object, message: string) => {
    into.push({ level, message, fields });
  };
  const log: Logger = {
    error: take('error'),
    warn: take('warn'),
    info: take('info'),
    debug: take('debug'),
    child: () => log,
  };
  return log;
}

/** A peer that speaks libp2p and nothing of ours, under the identity of `name`. */
export async function bareHost(name: string): Promise<Libp2p> {
  return createLibp2p({
    privateKey: await testKey(name),
    addresses: { listen: [] },
    transports: [tcp()],
    streamMuxers: [yamux()],
    connectionEncrypters: [noise()],
    connectionMonitor: { enabled: false },
  });
}

/** Dials `node` and opens a stream of `protocol`. */
export async function rawStream(from: Libp2p, node: Node, protocol: string): Promise<Stream> {
  const [addr = ''] = node.network.addresses();
  const connection = await from.dial(multiaddr(addr));
  return connection.newStream(protocol);
}

/** How a stream ends that the other side does not want. */
export const ended = (stream: Stream): Promise<string> =>
  new Promise((resolve) => {
    if (stream.status !== 'open') resolve(stream.status);
    stream.addEventListener('close', () => resolve(stream.status));
  });
