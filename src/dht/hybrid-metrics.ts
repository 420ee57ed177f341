/**
 * What the hybrid store counts, by the documented names: `mock` is what this node answered from
 * its own disk, `real` what needed the network.
 * @module
 */

/** Counters since the start; latencies in ms, rates 0..1. */
export interface HybridMetrics {
  readonly mock_requests: number;
  readonly real_requests: number;
  readonly fallback_events: number;
  readonly recovery_events: number;
  readonly avg_latency_mock: number;
  readonly avg_latency_real: number;
  readonly error_rate_mock: number;
  readonly error_rate_real: number;
}

interface Arm {
  requests: number;
  errors: number;
  totalMs: number;
}

/** Sums; `snapshot` divides. */
export class HybridTally {
  readonly #mock: Arm = { requests: 0, errors: 0, totalMs: 0 };
  readonly #real: Arm = { requests: 0, errors: 0, totalMs: 0 };
  fallbacks = 0;
  recoveries = 0;

  add(arm: 'mock' | 'real', ms: number, ok: boolean): void {
    const sums = arm === 'mock' ? this.#mock : this.#real;
    sums.requests++;
    sums.totalMs += ms;
    if (!ok) sums.errors++;
  }

  snapshot(): HybridMetrics {
    const [mock, real] = [this.#mock, this.#real];
    const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
    return {
      mock_requests: mock.requests,
      real_requests: real.requests,
      fallback_events: this.fallbacks,
      recovery_events: this.recoveries,
      avg_latency_mock: share(mock.totalMs, mock.requests),
      avg_latency_real: share(real.totalMs, real.requests),
      error_rate_mock: share(mock.errors, mock.requests),
      error_rate_real: share(real.errors, real.requests),
    };
  }
}
