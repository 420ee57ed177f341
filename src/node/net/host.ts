/**
 * The libp2p node: TCP, Noise, yamux, identify, and behind the gate kad-dht and gossipsub.
 *
 * The numbers are those that worked on a LAN; libp2p's defaults are made for the open internet,
 * where a dial may take 10 s and five connections a second from one host are an attack.
 * @module
 */
import { type GossipSub, gossipsub, StrictSign } from '@libp2p/gossipsub';
import { type Identify, identify } from '@libp2p/identify';
import type {
  Ed25519PrivateKey,
  PeerId as LibPeerId,
  Libp2p,
  PeerDiscoveryEvents,
  TypedEventTarget,
} from '@libp2p/interface';
import { type KadDHT, type KadDHTInit, kadDHT } from '@libp2p/kad-dht';
import { noise } from '@libp2p/noise';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import type { Multiaddr } from '@multiformats/multiaddr';
import { createLibp2p, type Libp2pOptions } from 'libp2p';
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/ports.ts';
import type { Gate } from './gate.ts';
import { overGatheredWrites } from './gathered-writes.ts';
import { MdnsService } from './mdns.ts';
import { PATIENCE_MS } from './peering-core.ts';
import { PingService } from './ping.ts';
import type { ProtocolNames } from './protocols.ts';
import { sendFewerWindowUpdates } from './window-updates.ts';

/** @property listen,announce multiaddrs without a peer id; an empty `announce` means all. */
export interface HostOptions {
  readonly key: Ed25519PrivateKey;
  readonly names: ProtocolNames;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
  readonly maxConnections: number;
  readonly mdns: boolean;
  readonly version: string;
}

export interface HostDeps {
  readonly gate: Gate;
  readonly log: Logger;
  /** From `dht/options.ts`: protocol id, validators, time-outs. */
  readonly kad: KadDHTInit;
  /** The guarded store of the DHT's records. The peer store stays in memory on purpose. */
  readonly datastore: NonNullable<Libp2pOptions['datastore']>;
  /** A source saw a peer; called for every sighting, not only for the first. */
  readonly sighted: (source: 'mdns' | 'dht', peer: PeerId, addrs: readonly string[]) => void;
  /** Only peering dials; whatever libp2p's services want to dial passes here. */
  readonly mayDial: (peer: PeerId) => boolean;
}

export interface HostServices extends Record<string, unknown> {
  readonly identify: Identify;
  readonly ping: PingService;
  readonly dht: KadDHT;
  readonly pubsub: GossipSub;
}

export type Host = Libp2p<HostServices>;

const GOSSIP_RPC_BYTES = 4 * LIMITS.gossipBytes;
const GOSSIP_LIST = 512;

/** Makes the node without starting it, so that handlers can be registered first. */
export async function createHost(options: HostOptions, deps: HostDeps): Promise<Host> {
  sendFewerWindowUpdates();
  return createLibp2p<HostServices>({
    start: false,
    privateKey: options.key,
    nodeInfo: { name: 'bzzz', version: options.version },
    addresses: {
      listen: [...options.listen],
      announce: [...options.announce],
      announceFilter: announced,
    },
    transports: [tcp()],
    streamMuxers: [yamux()],
    connectionEncrypters: [overGatheredWrites(noise())],
    connectionGater: { denyDialPeer: (peer) => !deps.mayDial(idOf(peer)) },
    connectionManager: {
      maxConnections: options.maxConnections,
      inboundConnectionThreshold: 100,
      maxIncomingPendingConnections: 100,
      // Bounds of what peering allows a dial: it alone knows how slow a host was before.
      dialTimeout: PATIENCE_MS.longest,
      addressDialTimeout: PATIENCE_MS.longest,
      // Peering redials; a second component that does is a second opinion on who belongs.
      reconnectRetries: 0,
      inboundUpgradeTimeout: PATIENCE_MS.longest,
      outboundStreamProtocolNegotiationTimeout: 3_000,
      inboundStreamProtocolNegotiationTimeout: 3_000,
    },
    // `pulse.ts` does it over the direct streams, for a fraction of the cost.
    connectionMonitor: { enabled: false },
    services: services(options, deps),
  });
}

/**
 * Starts listening.
 * @throws BAD_CONFIG when no socket could be bound.
 */
export async function startHost(host: Host, listen: readonly string[]): Promise<void> {
  try {
    await host.start();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new BzzzError('BAD_CONFIG', `cannot listen on ${listen.join(', ')}`, {
      why,
      hint: 'stop what uses the port, or set BZZZ_LISTEN to another address',
      cause,
    });
  }
}

type Factories = NonNullable<Libp2pOptions<HostServices>['services']>;

function services(options: HostOptions, deps: HostDeps): Factories {
  const { names } = options;
  const { gate } = deps;
  const factories: Factories = {
    identify: identify({ protocolPrefix: names.prefix, timeout: 3_000, maxMessageSize: 8_192 }),
    ping: (components) => new PingService(names.prefix, components),
    dht: (components) => {
      const connections = membersOnly(components.connectionManager, gate);
      const extra = { datastore: deps.datastore, connectionManager: connections };
      const dht = kadDHT(deps.kad)(gate.components(components, extra));
      const events = dht as unknown as TypedEventTarget<PeerDiscoveryEvents>;
      events.addEventListener('peer', (event) => {
        const { id, multiaddrs } = event.detail;
        deps.sighted('dht', idOf(id), multiaddrs.map(String));
      });
      return dht;
    },
    pubsub: (components) => ownWire(pubsub(gate.components(components)), names.gossip),
  };
  if (options.mdns) {
    factories.mdns = (components) =>
      new MdnsService({ serviceTag: names.mdns }, components, {
        log: deps.log,
        seen: (peer, addrs) => deps.sighted('mdns', peer, addrs),
      });
  }
  return factories;
}

const pubsub = gossipsub({
  globalSignaturePolicy: StrictSign,
  fallbackToFloodsub: false,
  allowPublishToZeroTopicPeers: true,
  emitSelf: false,
  doPX: false,
  // More than ten members behind one address (a test, a container host) are no attack here.
  scoreParams: { IPColocationFactorWeight: 0 },
  allowedTopics: [],
  maxInboundDataLength: GOSSIP_RPC_BYTES,
  maxOutboundBufferSize: 4 * 1_048_576,
  decodeRpcLimits: {
    maxSubscriptions: GOSSIP_LIST,
    maxMessages: GOSSIP_LIST,
    maxControlMessages: GOSSIP_LIST,
    maxIhaveMessageIDs: GOSSIP_LIST,
    maxIwantMessageIDs: GOSSIP_LIST,
    maxIdontwantMessageIDs: GOSSIP_LIST,
    maxPeerInfos: 0,
  },
});

/** gossipsub has no option for its protocol ids; one that carries the cluster replaces them. */
function ownWire(service: GossipSub, protocol: string): GossipSub {
  Reflect.set(service, 'protocols', [protocol]);
  return service;
}

/**
 * kad-dht may speak only to members that are connected. It would dial whatever a peer's answer
 * names, and a query would wait seconds for every member whose cable is unplugged.
 */
function membersOnly<M extends { getConnections(peer: LibPeerId): unknown[] }>(
  manager: M,
  gate: Gate,
): M {
  const openStream = async (peer: LibPeerId, protocol: string, options?: object) => {
    const connections = manager.getConnections(peer) as OpenConnection[];
    const open = connections.find((c) => c.status === 'open');
    if (open === undefined || !gate.isMember(idOf(peer))) {
      throw new BzzzError('PEER_UNREACHABLE', `${peer} is no connected member`);
    }
    return open.newStream(protocol, options);
  };
  return new Proxy(manager, {
    get: (target, key, receiver) => {
      if (key === 'openStream') return openStream;
      const value: unknown = Reflect.get(target, key, receiver);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

interface OpenConnection {
  readonly status: string;
  newStream(protocol: string, options?: object): Promise<unknown>;
}

const idOf = (peer: LibPeerId): PeerId => peer.toString() as PeerId;

const isLoopback = (addr: Multiaddr): boolean =>
  /^\/(?:ip4\/127\.|ip6\/::1(?:\/|$))/.test(addr.toString());

/** Loopback is announced only by a node that has nothing else: a test, a demo. */
function announced(addrs: Multiaddr[]): Multiaddr[] {
  const outside = addrs.filter((addr) => !isLoopback(addr));
  return (outside.length > 0 ? outside : addrs).slice(0, LIMITS.addressesPerPeer);
}
