/**
 * The figures of a node as Prometheus reads them. The documented names are kept, with the prefix,
 * units and endings that Prometheus asks for (https://prometheus.io/docs/practices/naming/).
 * @module
 */
import { Counter, Gauge, Registry } from 'prom-client';
import type { BackendMetrics } from '../base/backend-meter.ts';
import type { BlocksStatus } from '../dht/blocks/blocks.ts';
import type { BlockCounterName } from '../dht/blocks/counters.ts';
import type { HealthStatus } from '../dht/store.ts';
import type { PartyFigures } from '../mpc/party/party.ts';
import type { BackendDocument } from './backends.ts';

/** What is written down at one scrape. */
export interface MetricsInput {
  readonly version: string;
  readonly backends: readonly BackendDocument[];
  readonly metrics: readonly BackendMetrics[];
  readonly health: readonly HealthStatus[];
  /** Of the record store, by event. */
  readonly records: ReadonlyMap<string, number>;
  readonly sessions: PartyFigures;
  /** Of large content: what is here, and what was counted in its exchange. */
  readonly content: {
    readonly status: BlocksStatus;
    readonly events: ReadonlyMap<BlockCounterName, number>;
  };
  /** Gauges without labels, by name without the prefix. */
  readonly gauges: Readonly<Record<string, number>>;
  /** Bytes, and seconds since the start. */
  readonly process: { readonly residentBytes: number; readonly cpuSeconds: number };
}

const HEALTH_VALUE = { healthy: 1, degraded: 0.5, failed: 0 } as const;

/** One registry a scrape: every value has its owner elsewhere, and none can go stale here. */
export function prometheusText(input: MetricsInput): Promise<string> {
  const registry = new Registry();
  const gauge = (name: string, help: string, ...labelNames: readonly string[]) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const counter = (name: string, help: string, ...labelNames: readonly string[]) =>
    new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });

  gauge('bzzz_info', 'The program', 'version').set({ version: input.version }, 1);
  for (const [name, value] of Object.entries(input.gauges)) {
    gauge(`bzzz_${name}`, GAUGE_HELP[name] ?? name).set(value);
  }
  const { residentBytes, cpuSeconds } = input.process;
  gauge('process_resident_memory_bytes', 'Resident memory').set(residentBytes);
  counter('process_cpu_seconds_total', 'Time on a processor').inc(cpuSeconds);

  const rows = { gauge, counter };
  arms(input.metrics, rows);
  choices(input.backends, rows);
  health(input.health, rows);
  const records = counter('bzzz_record_events_total', 'Events of the record store', 'event');
  for (const [event, n] of input.records) records.inc({ event }, n);
  sessions(input.sessions, rows);
  content(input.content, rows);
  return registry.metrics();
}

const GAUGE_HELP: Readonly<Record<string, string>> = {
  uptime_seconds: 'Since the start of the daemon',
  peers_connected: 'Members with an open stream',
  roster_members: 'Members of the cluster',
  roster_epoch: 'Entries of the roster',
  term: 'The highest term seen',
  keys: 'Keys that this node knows',
  ready: 'Whether this node takes sessions',
  records_pending: 'Own records with fewer copies than wanted, tried again in the background',
};

interface Rows {
  readonly gauge: (name: string, help: string, ...labels: readonly string[]) => Gauge;
  readonly counter: (name: string, help: string, ...labels: readonly string[]) => Counter;
}

function arms(metrics: readonly BackendMetrics[], { gauge, counter }: Rows): void {
  const of = 'component';
  const mockRequests = counter('bzzz_mock_requests_total', 'Requests answered locally', of);
  const realRequests = counter('bzzz_real_requests_total', 'Requests to the network', of);
  const fallbacks = counter('bzzz_fallback_events_total', 'Times hybrid gave up the network', of);
  const recoveries = counter('bzzz_recovery_events_total', 'Times hybrid came back to it', of);
  const mockMs = gauge('bzzz_avg_latency_mock_seconds', 'Mean of the local backend', of);
  const realMs = gauge('bzzz_avg_latency_real_seconds', 'Mean of the network backend', of);
  const mockErrors = gauge('bzzz_error_rate_mock', 'Failed share of the local requests', of);
  const realErrors = gauge('bzzz_error_rate_real', 'Failed share of the network requests', of);
  for (const one of metrics) {
    const labels = { component: one.component };
    mockRequests.inc(labels, one.mock_requests);
    realRequests.inc(labels, one.real_requests);
    fallbacks.inc(labels, one.fallback_events);
    recoveries.inc(labels, one.recovery_events);
    mockMs.set(labels, one.avg_latency_mock / 1_000);
    realMs.set(labels, one.avg_latency_real / 1_000);
    mockErrors.set(labels, one.error_rate_mock);
    realErrors.set(labels, one.error_rate_real);
  }
}

function choices(backends: readonly BackendDocument[], { gauge }: Rows): void {
  const chosen = gauge('bzzz_backend', '1 for the chosen backend', 'component', 'backend');
  const percent = gauge('bzzz_rollout_percent', 'Share that uses it', 'component');
  const isolated = gauge('bzzz_isolated', 'Served locally, whatever is chosen', 'component');
  for (const one of backends) {
    const { component } = one;
    chosen.set({ component, backend: one.backend }, 1);
    percent.set({ component }, one.percent);
    isolated.set({ component }, one.isolated ? 1 : 0);
  }
}

function health(list: readonly HealthStatus[], { gauge, counter }: Rows): void {
  const status = gauge('bzzz_health', '1 healthy, 0.5 degraded, 0 failed', 'component');
  const errors = counter('bzzz_component_errors_total', 'Errors seen by a part', 'component');
  const latency = gauge('bzzz_component_latency_seconds', 'Of its last check', 'component');
  for (const one of list) {
    const labels = { component: one.component };
    status.set(labels, HEALTH_VALUE[one.status]);
    errors.inc(labels, one.error_count);
    latency.set(labels, one.latency_ms / 1_000);
  }
}

function sessions(figures: PartyFigures, { gauge, counter }: Rows): void {
  gauge('bzzz_sessions_running', 'Sessions that have not ended').set(figures.running);
  gauge('bzzz_sign_requests_waiting', 'Requests that wait for their turn').set(figures.waiting);
  const full = 'Requests that found too many waiting';
  counter('bzzz_sign_requests_dropped_total', full).inc(figures.dropped);
  const ended = counter('bzzz_sessions_total', 'Sessions by their end', 'kind', 'state');
  const lasted = counter('bzzz_session_seconds_total', 'How long they took', 'kind', 'state');
  for (const { kind, name: state, count, ms } of figures.ended) {
    ended.inc({ kind, state }, count);
    lasted.inc({ kind, state }, ms / 1_000);
  }
  const phases = counter(
    'bzzz_session_phases_total',
    'Phases that sessions went through',
    'kind',
    'phase',
  );
  const spent = counter('bzzz_session_phase_seconds_total', 'Time in them', 'kind', 'phase');
  for (const { kind, name: phase, count, ms } of figures.phases) {
    phases.inc({ kind, phase }, count);
    spent.inc({ kind, phase }, ms / 1_000);
  }
}

function content({ status, events }: MetricsInput['content'], { gauge, counter }: Rows): void {
  gauge('bzzz_content_stored_bytes', 'Pieces of large content here').set(status.usedBytes);
  gauge('bzzz_contents', 'Large contents that this node holds').set(status.contents);
  gauge('bzzz_contents_incomplete', 'Of those, some pieces are missing').set(status.incomplete);
  gauge('bzzz_contents_waiting', 'Large contents that lack holders').set(status.backlog);
  const bytes = counter('bzzz_content_bytes_total', 'Bytes of pieces exchanged', 'direction');
  const seen = counter('bzzz_content_events_total', 'Events of large content', 'event');
  for (const [event, n] of events) {
    if (event === 'sentBytes') bytes.inc({ direction: 'sent' }, n);
    else if (event === 'receivedBytes') bytes.inc({ direction: 'received' }, n);
    else seen.inc({ event }, n);
  }
  seen.inc({ event: 'damaged' }, status.damaged);
  seen.inc({ event: 'dropped' }, status.dropped);
}
