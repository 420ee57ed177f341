/**
 * How the parts of a node are, in the documented words.
 * @module
 */
import { mainBackend } from '../base/switch.ts';
import { healthStatus, type PartHealth } from '../dht/health.ts';
import type { HealthStatus } from '../dht/store.ts';
import type { Node } from './node.ts';

type Finding = Pick<PartHealth, 'status' | 'reason'>;

const HEALTHY: Finding = { status: 'healthy' };
const degraded = (reason: string): Finding => ({ status: 'degraded', reason });

/** Every part, as it is now; the record store as its last probe found it. */
export function healthOf(node: Node): readonly HealthStatus[] {
  const wallMs = node.deps.clock.wallMs();
  const of = (component: string, finding: Finding, errors: number): HealthStatus =>
    healthStatus({ component, backend: 'real', ...finding, wallMs, errors });
  const { direct, gossip, announcer } = node.network;
  const duties = node.leadership.duties();
  return [
    of('network', network(node), direct.counters.faults + direct.counters.overloads),
    discovery(node, wallMs),
    of('announce', announce(node), announcer.counters.forged + gossip.counters.rejected),
    of('roster', roster(node), 0),
    of(
      'election',
      election(node),
      duties.reduce((sum, duty) => sum + duty.errors, 0),
    ),
    node.records.backends.health,
    of('mpc', mpc(node), 0),
  ];
}

function network({ network }: Node): Finding {
  if (network.addresses().length > 0) return HEALTHY;
  return { status: 'failed', reason: 'no address to be reached at' };
}

/** Of the last sweep; a backend that hears nothing of members that are missing has failed. */
function discovery({ network }: Node, now: number): HealthStatus {
  const { choice, live, trouble } = network.discovery;
  const backend = mainBackend(choice.state);
  const { last } = live;
  const peers = network.peers();
  const missing = peers.filter((peer) => !peer.connected).length;
  const away = `${missing} of ${peers.length} members not connected`;
  const found: Finding =
    trouble !== undefined
      ? { status: backend === 'real' ? 'failed' : 'degraded', reason: trouble }
      : missing === 0
        ? HEALTHY
        : degraded(away);
  return healthStatus({
    ...{ component: 'discovery', backend, ...found },
    wallMs: last?.wallMs ?? now,
    ms: last?.ms,
    errors: live.errors,
  });
}

function announce({ network }: Node): Finding {
  const connected = network.peers().filter((peer) => peer.connected);
  const silent = connected.filter((peer) => !peer.fresh).length;
  if (silent === 0) return HEALTHY;
  return degraded(`${silent} of ${connected.length} connected members do not announce themselves`);
}

function roster(node: Node): Finding {
  const { standing } = node.roster;
  if (standing === 'member') return HEALTHY;
  const failed = standing === 'removed' || node.joinRefusal !== undefined;
  return { status: failed ? 'failed' : 'degraded', reason: node.unready().join('; ') };
}

/** No quorum makes the election degraded, not the node unready: signing needs no leader (R119). */
function election({ leadership, roster }: Node): Finding {
  if (!leadership.isEnabled) {
    const alone = roster.view.voters.length === 1;
    return alone ? HEALTHY : degraded('switched off: the roster cannot change');
  }
  const { status, reason = '' } = leadership.election.health();
  if (status !== 'healthy') return { status, reason };
  const trouble = leadership.duties().flatMap((duty) => duty.reason ?? []);
  return trouble.length === 0 ? HEALTHY : degraded(trouble.join('; '));
}

function mpc({ party }: Node): Finding {
  const reasons = party.unready();
  return reasons.length === 0 ? HEALTHY : degraded(reasons.join('; '));
}
