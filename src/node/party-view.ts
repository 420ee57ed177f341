/**
 * What the party service sees of the network: who could be a party, and how to reach those who are
 * not seen.
 * @module
 */
import type { ReachPort } from '../mpc/party/ports.ts';
import type { AnnouncedParty, AnnouncementView } from '../mpc/pool.ts';
import { SUITE_TABLE } from '../mpc/suites/index.ts';
import type { Network } from './net/network.ts';
import type { Node } from './node.ts';

/** This node and whoever announces itself. @param node undefined until it is put together. */
export function announcementView(node: () => Node | undefined, network: Network): AnnouncementView {
  return {
    parties: () => [ownParty(node()), ...announcedParties(network)].flatMap((p) => p ?? []),
    watch: (listener) => network.announcer.onChange(listener),
    trouble: () => network.discovery.trouble,
  };
}

/** The addresses of this node, and those that a token tells it. */
export const reachPort = (network: Network): ReachPort => ({
  addresses: () => network.addresses(),
  sighted: (peer, addresses) => network.discovery.sighted('token', peer, addresses),
});

function ownParty(node: Node | undefined): AnnouncedParty | undefined {
  const role = node?.roster.view.members.get(node.roster.self)?.role;
  if (node === undefined || role === undefined) return undefined;
  return {
    peerId: node.roster.self,
    role,
    ready: node.unready().length === 0,
    draining: node.draining,
    suites: [...SUITE_TABLE.keys()],
    fresh: true,
  };
}

/** Fresh and connected: a party that cannot be reached now would only stall a session. */
function announcedParties(network: Network): readonly AnnouncedParty[] {
  return network.peers().flatMap(({ peerId, announcement, fresh, connected }) => {
    if (announcement === undefined || announcement.role === null) return [];
    const { role, partyReady: ready, draining, capabilities } = announcement;
    const { suites } = capabilities;
    return [{ peerId, role, ready, draining, suites, fresh: fresh && connected }];
  });
}
