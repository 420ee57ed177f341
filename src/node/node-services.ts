/**
 * The node behind the control socket: each call is one line of work on a part of the node.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { toHex } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { Member } from '../roster/types.ts';
import type { Resolved } from '../ucxl/resolver.ts';
import { describeConfig, type Effective } from './config.ts';
import { healthOf } from './health.ts';
import { type Node, removedError } from './node.ts';
import type { InviteRequest, NodeServices, PeerDocument, ResolveDocument } from './services.ts';

/** @param shutdown drains and ends the process. */
export function nodeServices(node: Node, effective: Effective, shutdown: () => void): NodeServices {
  const { party, roster, records, deps } = node;
  return {
    events: deps.events,
    status: async () => statusOf(node),
    async health() {
      await records.dht.probe();
      return healthOf(node);
    },
    unready: () => node.unready(),
    peers: () => peersOf(node),
    roster: () => rosterOf(node),
    removeMember: (peer) => removeMember(node, peer),
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
    keys: async () => party.keys(),
    key: async (name) => party.key(name),
    exportKey: async (name, format) => party.exportKey(name, format),
    sign: (request, signal) => {
      requireMember(node);
      return party.sign(request, signal);
    },
    verify: async (key, message, signature) => ({ valid: party.verify(key, message, signature) }),
    sessions: () => party.sessions(),
    session: (id) => party.session(id),
    cancelSession: (id) => party.cancel(id),
    resolve: async (address) => metaOf(await records.resolver.resolve(address)),
    async get(address) {
      const found = await records.resolver.resolve(address);
      return { meta: metaOf(found), bytes: found.bytes };
    },
    put: (address, bytes, require) =>
      records.resolver.putContent(address, bytes, require === undefined ? {} : { require }),
    config: () => describeConfig(effective),
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

async function statusOf(node: Node): ReturnType<NodeServices['status']> {
  const { roster, network, party, deps } = node;
  const { view, self } = roster;
  return {
    version: deps.version,
    peerId: self,
    cluster: view.clusterName,
    clusterId: view.clusterId,
    role: view.members.get(self)?.role ?? null,
    ready: node.unready().length === 0,
    draining: node.draining,
    epoch: view.epoch,
    // There is no election in this version.
    leader: null,
    peers: network.peers().filter((peer) => peer.connected).length,
    keys: party.keys().length,
    uptimeMs: Math.round(deps.clock.now() - node.startedAt),
    components: healthOf(node),
  };
}

function peersOf({ network, roster }: Node): readonly PeerDocument[] {
  return network.peers().flatMap((peer) => {
    const member = roster.view.members.get(peer.peerId);
    if (member === undefined) return [];
    const { announcement, fresh, connected } = peer;
    const name = member.name ?? announcement?.name;
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
      epoch: announcement?.rosterEpoch ?? null,
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

async function removeMember(node: Node, who: string): ReturnType<NodeServices['removeMember']> {
  const member = memberCalled(node, who);
  const { body } = await node.roster.remove(member.peerId);
  const held = node.party
    .keys()
    .filter((key) => key.parties.some((party) => party.peerId === member.peerId));
  return { epoch: body.epoch, keysStillHeld: held.map((key) => key.name) };
}

/** By peer id or by name. @throws NOT_FOUND; CONFLICT when two members have the name. */
function memberCalled({ roster: { view } }: Node, who: string): Member {
  const byId = view.members.get(who as PeerId);
  if (byId !== undefined) return byId;
  const [member, ...more] = [...view.members.values()].filter(({ name }) => name === who);
  if (member === undefined) {
    throw new BzzzError('NOT_FOUND', `no member ${who}`, { hint: 'see `bzzz roster --full`' });
  }
  if (more.length > 0) {
    throw new BzzzError('CONFLICT', `${more.length + 1} members are named ${who}`, {
      hint: 'give the peer id; see `bzzz roster --full`',
    });
  }
  return member;
}

async function invite(node: Node, request: InviteRequest): ReturnType<NodeServices['invite']> {
  const addresses = node.network.addresses();
  const { text, expiresAt } = await node.invitations.issue({ ...request, addresses });
  return { invitation: text, expiresAt: new Date(expiresAt).toISOString() };
}

const metaOf = ({ bytes: _bytes, ...meta }: Resolved): ResolveDocument => meta;
