/** The Prometheus text: every documented figure, with the value it has. */
import { describe, expect, it } from 'vitest';
import { type MetricsInput, prometheusText } from '../../../src/node/metrics.ts';

const INPUT: MetricsInput = {
  version: '0.1.0',
  backends: [
    {
      ...{ component: 'dht', backend: 'hybrid', active: 'real', percent: 30 },
      ...{ isolated: true, generation: 2, previous: [] },
    },
  ],
  metrics: [
    {
      ...{ component: 'dht', mock_requests: 3, real_requests: 5 },
      ...{ fallback_events: 2, recovery_events: 1 },
      ...{ avg_latency_mock: 4, avg_latency_real: 14, error_rate_mock: 0, error_rate_real: 0.25 },
    },
  ],
  health: [
    {
      ...{ component: 'dht', backend: 'hybrid', status: 'degraded', error_count: 7 },
      ...{ last_check: '2026-01-01T00:00:00.000Z', latency_ms: 12, reason: 'a "quoted"\nreason' },
    },
  ],
  records: new Map([
    ['put', 9],
    ['refused.quota', 0],
  ]),
  content: {
    status: { usedBytes: 4_096, contents: 3, incomplete: 1, backlog: 2, dropped: 5, damaged: 6 },
    events: new Map([
      ['sentBytes', 70],
      ['receivedBytes', 80],
      ['served', 4],
      ['wrong', 0],
    ]),
  },
  sessions: {
    ended: [{ kind: 'sign', name: 'completed', count: 2, ms: 500 }],
    phases: [{ kind: 'keygen', name: 'storing', count: 1, ms: 40 }],
    ...{ running: 1, waiting: 3, dropped: 4 },
  },
  gauges: { uptime_seconds: 61, keys: 2 },
  process: { residentBytes: 100_000_000, cpuSeconds: 1.5 },
};

describe('the Prometheus text', () => {
  it('has every documented figure', async () => {
    const lines = (await prometheusText(INPUT)).split('\n');
    const values = lines.filter((line) => line !== '' && !line.startsWith('#'));
    expect(values).toEqual([
      'bzzz_info{version="0.1.0"} 1',
      'bzzz_uptime_seconds 61',
      'bzzz_keys 2',
      'process_resident_memory_bytes 100000000',
      'process_cpu_seconds_total 1.5',
      'bzzz_mock_requests_total{component="dht"} 3',
      'bzzz_real_requests_total{component="dht"} 5',
      'bzzz_fallback_events_total{component="dht"} 2',
      'bzzz_recovery_events_total{component="dht"} 1',
      'bzzz_avg_latency_mock_seconds{component="dht"} 0.004',
      'bzzz_avg_latency_real_seconds{component="dht"} 0.014',
      'bzzz_error_rate_mock{component="dht"} 0',
      'bzzz_error_rate_real{component="dht"} 0.25',
      'bzzz_backend{component="dht",backend="hybrid"} 1',
      'bzzz_rollout_percent{component="dht"} 30',
      'bzzz_isolated{component="dht"} 1',
      'bzzz_health{component="dht"} 0.5',
      'bzzz_component_errors_total{component="dht"} 7',
      'bzzz_component_latency_seconds{component="dht"} 0.012',
      'bzzz_record_events_total{event="put"} 9',
      'bzzz_record_events_total{event="refused.quota"} 0',
      'bzzz_sessions_running 1',
      'bzzz_sign_requests_waiting 3',
      'bzzz_sign_requests_dropped_total 4',
      'bzzz_sessions_total{kind="sign",state="completed"} 2',
      'bzzz_session_seconds_total{kind="sign",state="completed"} 0.5',
      'bzzz_session_phases_total{kind="keygen",phase="storing"} 1',
      'bzzz_session_phase_seconds_total{kind="keygen",phase="storing"} 0.04',
      'bzzz_content_stored_bytes 4096',
      'bzzz_contents 3',
      'bzzz_contents_incomplete 1',
      'bzzz_contents_waiting 2',
      'bzzz_content_bytes_total{direction="sent"} 70',
      'bzzz_content_bytes_total{direction="received"} 80',
      'bzzz_content_events_total{event="served"} 4',
      'bzzz_content_events_total{event="wrong"} 0',
      'bzzz_content_events_total{event="damaged"} 6',
      'bzzz_content_events_total{event="dropped"} 5',
    ]);
    for (const [, name] of values.entries()) {
      const metric = /^\w+/.exec(name)?.[0] ?? '';
      expect(
        lines.some((line) => line.startsWith(`# TYPE ${metric} `)),
        metric,
      ).toBe(true);
      expect(
        lines.some((line) => line.startsWith(`# HELP ${metric} `)),
        metric,
      ).toBe(true);
    }
  });

  it('is of now, scrape after scrape', async () => {
    await prometheusText(INPUT);
    expect(await prometheusText(INPUT)).toContain('bzzz_mock_requests_total{component="dht"} 3\n');
  });
});
