/**
 * The network of one node, put together: host, gate, admission, joining, direct streams, gossip,
 * announcements, discovery, peering. The daemon registers its handlers between `create` and
 * `start`.
 * @module
 */
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { type Entrance, parseEntrance } from '../../../bootstrap/entrance.ts';
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Cancel, Clock, KeyValue, Logger, Random, Service, Signer } from '../../base/ports.ts';
import type { Backend } from '../../base/switch.ts';
import type { Invitation } from '../../roster/invitation.ts';
import type { InvitationBook } from '../../roster/invitation-book.ts';
import { INVITATION_TOPIC, type JoinDeps, JoinDesk, PETITION_TOPIC } from '../../roster/join.ts';
import type { RosterService } from '../../roster/service.ts';
import type { Source } from './address-book.ts';
import { normalise } from './address-book.ts';
import { Admission } from './admission.ts';
import { Announcer, type SelfState } from './announce.ts';
import type { Announcement } from './announcement.ts';
import { DirectService } from './direct.ts';
import { Discovery } from './discovery.ts';
import { finderOf, tableOf } from './finder.ts';
import { Gate } from './gate.ts';
import { GossipService } from './gossip.ts';
import { createHost, type Host, type HostDeps, startHost } from './host.ts';
import { Joining } from './joining.ts';
import { Peering } from './peering.ts';
import { joinPort, rosterPort } from './ports.ts';
import { Presence } from './presence.ts';
import { protocolNames } from './protocols.ts';
import { Pulse } from './pulse.ts';
import { ownResources } from './resources.ts';
import { StrayStreams } from './stray-streams.ts';

/** Settings; times in ms. */
export interface NetworkOptions {
  readonly key: Ed25519PrivateKey;
  /** Durable boot counter of this run. */
  readonly boot: number;
  readonly version: string;
  readonly name: string | undefined;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
  readonly maxConnections: number;
  readonly mdns: boolean;
  /** From `bootstrap/loader.ts`. */
  readonly entrances: readonly Entrance[];
  readonly discoveryRefreshMs: number;
  /** @default hybrid */
  readonly discoveryBackend?: Backend;
  /** Vain sweeps in a row after which the live sources of peers have failed. @default 3 */
  readonly fallbackThreshold?: () => number;
  readonly announceIntervalMs: number;
  /** What the node says of itself at first. */
  readonly state: SelfState;
  /** Present while this node is not admitted. */
  readonly invitation: Invitation | undefined;
  /** Shorter patience for tests. */
  readonly timing?: {
    readonly strangerMs?: number;
    readonly helloMs?: number;
    readonly frameMs?: number;
  };
}

export interface NetworkDeps {
  readonly roster: RosterService;
  readonly invitations: InvitationBook;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** A namespace of its own. */
  readonly store: KeyValue;
  /** Who decides on requests to join and to leave; absent where the election is switched off. */
  readonly election?: Pick<JoinDeps, 'leader' | 'handOver'>;
  /** From `dht/options.ts` and `dht/guard.ts`. */
  readonly kad: HostDeps['kad'];
  readonly datastore: HostDeps['datastore'];
  /** Event log: `peer.connected`, `identity.copied`, `join.refused`, `backend.fallback`, ... */
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
  /** The invitation is of no use any more. */
  readonly joinRefused: (reason: BzzzError) => void;
}

/** A member as this node's network knows it. */
export interface PeerStatus {
  readonly peerId: PeerId;
  readonly addrs: readonly string[];
  /** A direct stream is open. */
  readonly connected: boolean;
  /** Last round trip over the direct stream. */
  readonly rttMs: number | null;
  readonly sources: readonly Source[];
  readonly announcement: Announcement | undefined;
  /** The announcement is within its 30 s. */
  readonly fresh: boolean;
}

/** A gossip or DHT stream that broke is mended within this time. */
const SWEEP_MS = 2_000;
const FAREWELL_MS = 300;
/** Long enough for a host whose cores are both busy, short enough to notice a pulled cable. */
const PULSE = { everyMs: 1_000, deadMs: 5_000, mutedMs: 10_000 };

/** Everything of the network that the daemon uses. */
export class Network implements Service {
  readonly name = 'network';
  readonly host: Host;
  readonly gate: Gate;
  readonly admission: Admission;
  readonly direct: DirectService;
  readonly gossip: GossipService;
  readonly announcer: Announcer;
  readonly presence: Presence;
  readonly discovery: Discovery;
  readonly peering: Peering;
  /** Requests to join and to leave; `desk.leave()` removes this node. */
  readonly desk: JoinDesk;
  readonly #joining: Joining;
  readonly #strays: StrayStreams;
  readonly #pulse: Pulse;
  readonly #options: NetworkOptions;
  readonly #deps: NetworkDeps;
  readonly #copies = new Set<PeerId>();
  #unsubscribe: (() => void)[] = [];
  #closing: Cancel | undefined;

  private constructor(host: Host, gate: Gate, options: NetworkOptions, deps: NetworkDeps) {
    const { roster, signer, clock, random, log } = deps;
    const names = protocolNames(roster.view.tag);
    const self = signer.peerId;
    const chance = (): number => (random.bytes(1)[0] ?? 0) / 256;
    this.#options = options;
    this.#deps = deps;
    this.host = host;
    this.gate = gate;
    const cut = (peer: PeerId, reason: string): void => this.admission.cut(peer, reason);
    const isMember = (peer: PeerId): boolean => this.#isMember(peer);

    this.direct = new DirectService(
      {
        self,
        run: { boot: options.boot, instance: random.bytes(16) },
        protocol: names.direct,
        ...options.timing,
      },
      { host, gate, clock, log, isMember, cut, anomaly: (peer) => this.#copied(peer) },
    );
    this.presence = new Presence(this.direct, clock);
    this.#pulse = new Pulse(PULSE, {
      ...{ direct: this.direct, clock, log },
      linked: () => this.#linked(),
      cut: (peer, reason) => {
        for (const connection of host.getConnections(peerIdFromString(peer))) {
          connection.abort(reason);
        }
      },
    });
    this.desk = new JoinDesk({
      ...deps,
      logger: log,
      ...deps.election,
      forward: (to, petition) => this.#ask(to, PETITION_TOPIC, petition),
      askIssuer: (issuer, query) => this.#ask(issuer, INVITATION_TOPIC, query),
    });
    this.direct.handle(PETITION_TOPIC, (from, bytes) => this.desk.serveForwarded(bytes, from));
    this.direct.handle(INVITATION_TOPIC, (from, query) => this.desk.serveQuery(query, from));
    const port = rosterPort(roster, this.desk, clock);
    this.admission = new Admission(
      { self, protocol: names.roster, ...options.timing },
      { host, gate, roster: port, clock, log },
    );
    gate.bind(this.admission);
    this.#joining = new Joining(
      { protocol: names.join },
      {
        host,
        clock,
        log,
        chance,
        isMember,
        serveJoin: port.serveJoin,
        wish:
          options.invitation === undefined || isMember(self)
            ? undefined
            : joinPort(roster, options.invitation, signer, options.name),
        isAdmitted: () => isMember(self) && roster.checkpointReached,
        refused: (reason) => this.#refused(reason),
      },
    );
    this.gossip = new GossipService({
      pubsub: host.services.pubsub,
      names,
      clock,
      log,
      isMember,
      cut,
    });
    this.#strays = new StrayStreams({
      ...{ host, names, clock, log, pubsub: host.services.pubsub },
      lastFrame: (peer) => this.gossip.lastFrame(peer),
    });
    this.discovery = new Discovery(
      {
        ...{ self, refreshMs: options.discoveryRefreshMs },
        ...{ backend: options.discoveryBackend, thresholdErrors: options.fallbackThreshold },
      },
      {
        clock,
        log,
        roster: () => roster.view,
        isConnected: (peer) => this.peering.isConnected(peer),
        finder: finderOf(host.services.dht),
        store: deps.store,
        found: (peer, fresh) => this.peering.hint(peer, fresh),
        changed: (change) => deps.emit(`backend.${change}`, { component: 'discovery' }),
      },
    );
    this.peering = new Peering(
      { self, entrances: entrancesOf(options) },
      {
        host,
        clock,
        log,
        chance,
        roster: () => roster.view,
        addrs: (peer) => this.discovery.book.addrs(peer),
        entered: (peer, addr) => this.discovery.sighted('bootstrap', peer, [addr]),
        evict: (peer) => tableOf(host.services.dht).remove(peer),
      },
    );
    this.announcer = new Announcer(
      {
        intervalMs: options.announceIntervalMs,
        boot: options.boot,
        run: random.bytes(8),
        version: options.version,
        name: options.name,
        state: options.state,
      },
      {
        signer,
        clock,
        log,
        direct: this.direct,
        gossip: this.gossip,
        roster: () => roster.view,
        addrs: () => ownAddresses(host),
        resources: ownResources,
        heard: (announcement) => this.#heard(announcement),
        copied: (peer) => this.#copied(peer),
      },
    );
  }

  /** Makes everything; nothing listens yet. Register handlers and topics, then `start`. */
  static async create(options: NetworkOptions, deps: NetworkDeps): Promise<Network> {
    const { clock, log } = deps;
    // The host asks back before the network that answers exists; it asks nothing before it starts.
    const late: { network?: Network } = {};
    const beforeSweep = () => late.network?.sweepStreams();
    const gate = new Gate({ sweepMs: SWEEP_MS }, { clock, log, beforeSweep });
    const host = await createHost(
      {
        key: options.key,
        names: protocolNames(deps.roster.view.tag),
        listen: options.listen,
        announce: options.announce.flatMap((addr) => normalise(addr) ?? []),
        maxConnections: options.maxConnections,
        mdns: options.mdns,
        version: options.version,
      },
      {
        gate,
        log,
        kad: deps.kad,
        datastore: deps.datastore,
        sighted: (source, peer, addrs) => late.network?.discovery.sighted(source, peer, addrs),
        mayDial: (peer) => late.network?.peering.mayDial(peer) ?? false,
      },
    );
    late.network = new Network(host, gate, options, deps);
    return late.network;
  }

  /** @throws BAD_CONFIG when no socket could be bound; nothing is left running then. */
  async start(): Promise<void> {
    const { roster, emit } = this.#deps;
    try {
      await this.admission.start();
      await this.direct.start();
      await this.#joining.start();
      this.#listen();
      await startHost(this.host, this.#options.listen);
      this.gossip.start();
      this.gate.start();
      await this.discovery.start();
      for (const { peerId, addr } of this.#options.entrances) {
        if (peerId !== undefined) this.discovery.sighted('bootstrap', peerId, [addr]);
      }
      await this.peering.start();
      await this.announcer.start();
      this.#pulse.start();
    } catch (thrown) {
      await this.stop();
      throw thrown;
    }
    this.#unsubscribe.push(
      roster.onChange(() => this.#rosterChanged()),
      this.direct.onPeer((peerId, live) => {
        emit(live ? 'peer.connected' : 'peer.disconnected', { peerId });
      }),
    );
  }

  /** Ends every timer, stream and listener. */
  async stop(): Promise<void> {
    for (const end of this.#unsubscribe) end();
    this.#unsubscribe = [];
    this.#closing?.();
    this.#pulse.stop();
    this.presence.stop();
    await this.announcer.stop();
    await this.peering.stop();
    await this.discovery.stop();
    await this.#joining.stop();
    await this.direct.stop();
    this.gate.stop();
    this.gossip.stop();
    await this.admission.stop();
    await this.host.stop();
  }

  /** Mends what broke and ends what nobody reads, in the streams of the libraries' protocols. */
  sweepStreams(): void {
    this.gossip.dropDeadStreams();
    this.#strays.sweep();
  }

  /** Addresses under which others reach this node, with its peer id: for `invite` and `status`. */
  addresses(): readonly string[] {
    return ownAddresses(this.host).map((addr) => `${addr}/p2p/${this.#deps.signer.peerId}`);
  }

  /** Every other member, as `bzzz peers` shows it. */
  peers(): readonly PeerStatus[] {
    const { roster, signer } = this.#deps;
    const live = new Set(this.direct.connected());
    return [...roster.view.members.keys()]
      .filter((peerId) => peerId !== signer.peerId)
      .map((peerId) => {
        const latest = this.announcer.latest(peerId);
        return {
          peerId,
          addrs: this.discovery.book.addrs(peerId),
          connected: live.has(peerId),
          rttMs: this.#pulse.rtt(peerId),
          sources: this.discovery.book.sources(peerId),
          announcement: latest?.announcement,
          fresh: latest?.fresh ?? false,
        };
      });
  }

  /** Somebody waits for the answer: a peer that is gone must not use up the time. */
  async #ask(to: PeerId, topic: string, body: Uint8Array): Promise<Uint8Array> {
    if (this.direct.connected().includes(to)) return this.direct.request(to, topic, body);
    throw new BzzzError('PEER_UNREACHABLE', `${to} is not connected`);
  }

  #linked(): readonly PeerId[] {
    const peers = this.host.getConnections().map(({ remotePeer }) => remotePeer.toString());
    return [...new Set(peers as PeerId[])].filter((peer) => this.#isMember(peer));
  }

  #isMember(peer: PeerId): boolean {
    return this.#deps.roster.view.standing(peer) === 'member';
  }

  /** What libp2p says, before anything else can happen. */
  #listen(): void {
    this.host.addEventListener('peer:identify', (event) => {
      const { peerId, listenAddrs } = event.detail;
      this.discovery.sighted(undefined, peerId.toString() as PeerId, listenAddrs.map(String));
    });
    this.host.addEventListener('self:peer:update', () => this.announcer.poke());
    this.host.addEventListener('connection:open', (event) => {
      const { direction, remotePeer, remoteAddr } = event.detail;
      if (direction !== 'outbound') return;
      this.discovery.sighted(undefined, remotePeer.toString() as PeerId, [remoteAddr.toString()]);
    });
  }

  #rosterChanged(): void {
    // Who asked to leave still gets the answer; the removed are cut off within 2 s all the same.
    this.#closing?.();
    this.#closing = this.#deps.clock.after(FAREWELL_MS, () => this.direct.membersChanged());
    this.announcer.membersChanged();
    const isMember = (peer: PeerId) => this.#isMember(peer);
    this.gossip.forget(isMember);
    this.presence.keep(isMember);
    this.peering.refresh();
    this.discovery.lookSoon();
  }

  #heard(announcement: Announcement): void {
    const { peerId, addrs, rosterEpoch } = announcement;
    this.discovery.sighted('announce', peerId, addrs);
    if (rosterEpoch !== this.#deps.roster.view.epoch) void this.admission.exchange(peerId);
  }

  #refused(reason: BzzzError): void {
    const { code, message } = reason;
    this.#deps.emit('join.refused', { code, message });
    this.#deps.joinRefused(reason);
  }

  /** Once for each peer: a copy may flap for as long as nobody stops it. */
  #copied(peerId: PeerId): void {
    if (this.#copies.has(peerId)) return;
    this.#copies.add(peerId);
    this.#deps.log.error({ peerId }, 'two processes use one identity');
    this.#deps.emit('identity.copied', { peerId });
  }
}

/** Addresses without the peer id. */
const ownAddresses = (host: Host): readonly string[] =>
  host.getMultiaddrs().flatMap((addr) => normalise(addr.toString()) ?? []);

/** Bootstrap peers, and those that the invitation names. */
function entrancesOf(options: NetworkOptions): readonly Entrance[] {
  const invited = options.invitation?.addresses ?? [];
  return [...invited.map(parseEntrance), ...options.entrances];
}
