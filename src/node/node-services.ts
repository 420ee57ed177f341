/**
 * The node behind the control socket: each call is one line of work on a part of the node.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { toHex, utf8Bytes } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { decodeLeaderCertificate } from '../election/certificate.ts';
import type { TermRecord } from '../election/history.ts';
import type { ElectionService } from '../election/service.ts';
import type { Entry } from '../roster/entry.ts';
import type { RosterService } from '../roster/service.ts';
import { gather } from '../ucxl/content.ts';
import type { ReadOptions } from '../ucxl/reader.ts';
import type { Opened } from '../ucxl/resolver.ts';
import { backendServices } from './backends-services.ts';
import { type Config, describeConfig, type Effective } from './config.ts';
import { healthOf } from './health.ts';
import { type Node, removedError } from './node.ts';
import type {
  InviteRequest,
  NodeServices,
  PeerDocument,
  ReadRequest,
  ResolveDocument,
} from './services.ts';
import { warningsOf } from './warnings.ts';

/**
 * @param effective the settings in force, as they were read last.
 * @param shutdown drains and ends the process.
 */
export function nodeServices(
  node: Node,
  effective: () => Effective,
  shutdown: () => void,
): NodeServices {
  const { party, roster, records, leadership, deps } = node;
  return {
    events: deps.events,
    status: async () => statusOf(node, effective().config),
    async health() {
      await records.backends.probe();
      return healthOf(node);
    },
    unready: () => node.unready(),
    peers: () => peersOf(node),
    roster: () => rosterOf(node),
    removeMember: (peer) => removeMember(node, peer as PeerId),
    promoteMember: async (peer) => {
      requireConnected(node, peer as PeerId);
      return { epoch: await epochOf(roster.promote(peer as PeerId)) };
    },
    demoteMember: async (peer) => ({ epoch: await epochOf(roster.demote(peer as PeerId)) }),
    recoverRoster: async (voters) => {
      const result = await leadership.recovery.recover(voters as readonly PeerId[]);
      const { state, epoch, waitingFor } = result;
      return { state, epoch, voters: result.voters, waitingFor };
    },
    leader: () => leaderOf(leadership.election, roster),
    terms: () => leadership.election.history().map(termOf).reverse(),
    transferLeadership: (to) => leadership.election.transfer(to as PeerId | undefined),
    stepDown: () => leadership.election.stepDown(),
    jobs: () => leadership.jobs.list(),
    submitJob: ({ kind, subject, id }) => leadership.jobs.submit(kind, subject, id),
    leave: async () => ({ epoch: await node.network.desk.leave() }),
    invite: (request) => invite(node, request),
    invitations: async () =>
      (await node.invitations.list()).map((invitation) => ({
        ...invitation,
        expiresAt: new Date(invitation.expiresAt).toISOString(),
      })),
    async revokeInvitation(id) {
      await node.invitations.revoke(id);
    },
    createKey: (request, signal) => {
      requireMember(node);
      return party.createKey(request, signal);
    },
    changeKey: (request, signal) => {
      requireMember(node);
      return party.changeKey(request, signal);
    },
    repairKey: (request, signal) => {
      requireMember(node);
      return party.repairKey(request, signal);
    },
    retireKey: async (request) => {
      requireMember(node);
      return party.retireKey(request);
    },
    keys: async () => party.keys(),
    key: async (name) => party.key(name),
    exportKey: async (name, format) => party.exportKey(name, format),
    takeShare: async (name) => party.takeShare(name),
    exportShare: (name) => party.exportShare(name),
    importKey: (request, signal) => {
      requireMember(node);
      return party.importKey(request, signal);
    },
    sign: (request, signal) => {
      requireMember(node);
      return party.sign(request, signal);
    },
    verify: async (key, message, signature) => ({ valid: party.verify(key, message, signature) }),
    gatherings: () => party.gatherings(),
    joinGathering: (token, signal) => {
      requireMember(node);
      return party.joinGathering(token, signal);
    },
    sessions: () => party.sessions(),
    session: (id) => party.session(id),
    cancelSession: (id) => party.cancel(id),
    approveSession: (id) => party.approve(id),
    denySession: (id, reason) => party.deny(id, reason),
    resolve: async (address) => metaOf(await records.resolver.open(address)),
    read: async (address, signal, how) =>
      (await records.resolver.open(address, readOptions(how))).read(signal),
    async get(address, how) {
      const found = await records.resolver.open(address, readOptions(how));
      if (found.size > LIMITS.jsonContentBytes) throw tooLargeForJson(found.size);
      return { meta: metaOf(found), bytes: await gather(found.read(), found.size) };
    },
    put: (address, bytes, require) =>
      records.resolver.putContent(address, bytes, require === undefined ? {} : { require }),
    async backup(passphrase) {
      const secret = utf8Bytes(passphrase);
      try {
        const { bytes, summary } = await node.backup(secret);
        const { peerId } = summary;
        deps.log.info({ peerId, bytes: bytes.length }, 'a backup was made');
        deps.events.emit('node.backup', { shares: summary.shares });
        return { ...summary, backup: Buffer.from(bytes).toString('base64') };
      } finally {
        secret.fill(0);
      }
    },
    config: () => describeConfig(effective()),
    ...backendServices(node, effective),
    shutdown,
  } satisfies NodeServices & { roster: unknown };

  function requireMember({ roster: { standing }, joinRefusal }: Node): void {
    if (standing === 'member') return;
    if (standing === 'removed') throw removedError(roster.view.clusterName);
    throw (
      joinRefusal ??
      new BzzzError('NOT_A_MEMBER', `this host is ${standing} to ${roster.view.clusterName}`)
    );
  }
}

async function statusOf(node: Node, config: Config): ReturnType<NodeServices['status']> {
  const { roster, network, party, leadership, deps } = node;
  const { view, self } = roster;
  const leader = leadership.isEnabled ? leadership.election.leader() : undefined;
  return {
    version: deps.version,
    peerId: self,
    cluster: view.clusterName,
    clusterId: view.clusterId,
    role: view.members.get(self)?.role ?? null,
    ready: node.unready().length === 0,
    draining: node.draining,
    epoch: view.epoch,
    leader: leader === undefined ? null : { peerId: leader.peerId, term: leader.term },
    term: leadership.isEnabled ? leadership.election.term : view.term,
    voters: view.voters.length,
    peers: network.peers().filter((peer) => peer.connected).length,
    keys: party.keys().length,
    uptimeMs: Math.round(deps.clock.now() - node.startedAt),
    components: healthOf(node),
    warnings: warningsOf(node, config),
  };
}

const iso = (wallMs: number): string => new Date(wallMs).toISOString();

/** @throws NO_LEADER. */
function leaderOf(
  election: ElectionService,
  { self, view }: RosterService,
): ReturnType<NodeServices['leader']> {
  const leader = election.leader();
  if (leader === undefined) {
    const { reason } = election.health();
    throw new BzzzError('NO_LEADER', 'nobody leads', reason === undefined ? {} : { why: reason });
  }
  const { peerId, term, sinceMs, votes, certificate } = leader;
  // Without the certificate, which comes a moment later, the roster of now is the best guess.
  const { epoch } = certificate === undefined ? view : decodeLeaderCertificate(certificate);
  return { peerId, term, since: iso(sinceMs), votes, epoch, self: peerId === self };
}

const termOf = (record: TermRecord): ReturnType<NodeServices['terms']>[number] => ({
  ...{ term: record.term, leader: record.leader, trigger: record.trigger },
  since: iso(record.since),
  until: record.until === null ? null : iso(record.until),
});

function peersOf({ network, roster, leadership }: Node): readonly PeerDocument[] {
  const { isEnabled } = leadership;
  const peers = network.peers();
  const newest = Math.max(
    roster.view.epoch,
    ...peers.flatMap(({ announcement }) => announcement?.rosterEpoch ?? []),
  );
  return peers.flatMap((peer) => {
    const member = roster.view.members.get(peer.peerId);
    if (member === undefined) return [];
    const { announcement, fresh, connected } = peer;
    const name = member.name ?? announcement?.name;
    // What a voter acknowledged to the leader is newer than what it announced.
    const acked = isEnabled ? leadership.election.standingOf(peer.peerId) : undefined;
    const epoch = Math.max(acked?.epoch ?? -1, announcement?.rosterEpoch ?? -1);
    return {
      peerId: peer.peerId,
      ...(name === undefined ? {} : { name }),
      addrs: peer.addrs,
      role: member.role,
      voter: member.voter,
      ready: fresh && announcement?.partyReady === true && !announcement.draining,
      connected,
      rttMs: peer.rttMs,
      version: announcement?.version ?? null,
      epoch: epoch < 0 ? null : epoch,
      term: acked?.term ?? announcement?.term ?? null,
      lag: epoch < 0 ? null : Math.max(0, newest - epoch),
      sources: peer.sources,
    };
  });
}

function rosterOf({ roster: { view } }: Node): ReturnType<NodeServices['roster']> {
  return {
    cluster: view.clusterName,
    clusterId: view.clusterId,
    epoch: view.epoch,
    term: view.term,
    head: toHex(view.head),
    members: [...view.members.values()].map(({ peerId, name, role, voter, since }) => ({
      ...{ peerId, role, voter, since },
      ...(name === undefined ? {} : { name }),
    })),
  };
}

/** A voter that is away counts against the majority from its first moment. */
function requireConnected({ roster, network }: Node, peer: PeerId): void {
  const isMember = roster.view.standing(peer) === 'member';
  if (!isMember || peer === roster.self || network.direct.connected().includes(peer)) return;
  throw new BzzzError('PEER_UNREACHABLE', `${peer} is not connected`, {
    why: 'with a voter that is away the roster could lose its majority',
    hint: 'start its daemon first; `bzzz peers` shows who is connected',
  });
}

async function removeMember(node: Node, peer: PeerId): ReturnType<NodeServices['removeMember']> {
  // Before the removal: after it the host is no holder that anybody lists.
  const keysStillHeld = node.party.keysHeldBy(peer);
  const epoch = await epochOf(node.roster.remove(peer));
  return { epoch, keysStillHeld };
}

const epochOf = async (entry: Promise<Entry>): Promise<number> => (await entry).body.epoch;

async function invite(node: Node, request: InviteRequest): ReturnType<NodeServices['invite']> {
  // The control socket opens first, and an invitation without an address leads nowhere.
  await node.listening;
  const addresses = node.network.addresses();
  const { text, expiresAt } = await node.invitations.issue({ ...request, addresses });
  return { invitation: text, expiresAt: new Date(expiresAt).toISOString() };
}

const metaOf = ({ read: _read, ...meta }: Opened): ResolveDocument => meta;

const tooLargeForJson = (size: number): BzzzError =>
  new BzzzError('TOO_LARGE', `${size} bytes are too many for a JSON document`, {
    hint: 'use `bzzz get` without --json, or GET /v1/records/content',
  });

/** A majority is asked for what may be replaced, unless the reader has no time for that. */
const readOptions = ({ fast = false }: ReadRequest = {}): ReadOptions =>
  fast ? { merge: false } : {};
