/**
 * Backends and figures behind the control socket.
 * @module
 */
import { BzzzError } from '../base/errors.ts';
import type { Effective } from './config.ts';
import { healthOf } from './health.ts';
import type { MetricsInput } from './metrics.ts';
import type { Node } from './node.ts';
import type { NodeServices } from './services.ts';

type BackendServices = Pick<
  NodeServices,
  'backends' | 'setBackend' | 'isolate' | 'rollbackBackend' | 'metrics' | 'metricsText'
>;

/** @param effective the settings in force. */
export function backendServices(node: Node, effective: () => Effective): BackendServices {
  const { backends } = node;
  const requireMetrics = (): void => {
    if (effective().config.metricsEnabled) return;
    throw new BzzzError('NOT_FOUND', 'metrics are switched off', {
      hint: 'set BZZZ_METRICS_ENABLED=true and start the daemon again',
    });
  };
  return {
    backends: () => backends.list(),
    setBackend: (component, { backend, percent = 100 }) =>
      backends.set(component, { backend, percent }),
    isolate: (component) => backends.isolate(component),
    rollbackBackend: (component) => backends.rollback(component),
    metrics() {
      requireMetrics();
      return backends.metrics();
    },
    async metricsText() {
      requireMetrics();
      // The library is loaded by the first scrape: most nodes never see one.
      const { prometheusText } = await import('./metrics.ts');
      return prometheusText(metricsInput(node));
    },
  };
}

function metricsInput(node: Node): MetricsInput {
  const { roster, network, party, leadership, backends, records, deps } = node;
  const { blocks } = records.content;
  const cpu = process.cpuUsage();
  return {
    version: deps.version,
    backends: backends.list(),
    metrics: backends.metrics(),
    health: healthOf(node),
    records: records.counters.snapshot(),
    sessions: party.figures(),
    content: { status: blocks.status(), events: blocks.counters.snapshot() },
    gauges: {
      uptime_seconds: Math.round(deps.clock.now() - node.startedAt) / 1_000,
      peers_connected: network.peers().filter((peer) => peer.connected).length,
      roster_members: roster.view.members.size,
      roster_epoch: roster.view.epoch,
      term: leadership.isEnabled ? leadership.election.term : roster.view.term,
      keys: party.keys().length,
      ready: node.unready().length === 0 ? 1 : 0,
      records_pending: records.backends.dht.backlog,
    },
    process: {
      residentBytes: process.memoryUsage.rss(),
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
    },
  };
}
