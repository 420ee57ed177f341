/**
 * What a component with backends counts, with the documented names. Pure.
 * @module
 */
import type { Backend } from './switch.ts';

/** Who answered: `hybrid` is no third one, it asks one of the two. */
export type Arm = Exclude<Backend, 'hybrid'>;

/** One arm since the start of the node. */
export interface ArmCount {
  readonly requests: number;
  readonly errors: number;
  /** Of all requests together, the failed ones included. */
  readonly totalMs: number;
}

/** The documented figures of one component. Latencies in ms, rates 0 to 1. */
export interface BackendMetrics {
  readonly component: string;
  readonly mock_requests: number;
  readonly real_requests: number;
  /** Times that `hybrid` gave up the network. */
  readonly fallback_events: number;
  /** Times that it came back to the network. */
  readonly recovery_events: number;
  readonly avg_latency_mock: number;
  readonly avg_latency_real: number;
  readonly error_rate_mock: number;
  readonly error_rate_real: number;
}

/** What a `hybrid` backend counted itself: it alone knows which arm it asked. */
export type HybridFigures = Omit<BackendMetrics, 'component'>;

const NOTHING: ArmCount = { requests: 0, errors: 0, totalMs: 0 };

/** Counts requests by who answered them. */
export class BackendMeter {
  readonly component: string;
  readonly #counts = new Map<Arm, ArmCount>();
  readonly #hybrid: () => HybridFigures;

  /** @param hybrid of this component's `hybrid` backend; added to what is counted here. */
  constructor(component: string, hybrid: () => HybridFigures) {
    this.component = component;
    this.#hybrid = hybrid;
  }

  add(arm: Arm, ms: number, ok: boolean): void {
    const { requests, errors, totalMs } = this.count(arm);
    this.#counts.set(arm, {
      requests: requests + 1,
      errors: errors + (ok ? 0 : 1),
      totalMs: totalMs + ms,
    });
  }

  count(arm: Arm): ArmCount {
    return this.#counts.get(arm) ?? NOTHING;
  }

  /** The figures of now. Averages and rates are over all requests since the start. */
  metrics(): BackendMetrics {
    const hybrid = this.#hybrid();
    const mock = joined(this.count('mock'), {
      requests: hybrid.mock_requests,
      mean: hybrid.avg_latency_mock,
      rate: hybrid.error_rate_mock,
    });
    const real = joined(this.count('real'), {
      requests: hybrid.real_requests,
      mean: hybrid.avg_latency_real,
      rate: hybrid.error_rate_real,
    });
    return {
      component: this.component,
      mock_requests: mock.requests,
      real_requests: real.requests,
      fallback_events: hybrid.fallback_events,
      recovery_events: hybrid.recovery_events,
      avg_latency_mock: mean(mock.totalMs, mock.requests),
      avg_latency_real: mean(real.totalMs, real.requests),
      error_rate_mock: mean(mock.errors, mock.requests),
      error_rate_real: mean(real.errors, real.requests),
    };
  }
}

const joined = (
  own: ArmCount,
  other: { readonly requests: number; readonly mean: number; readonly rate: number },
): ArmCount => ({
  requests: own.requests + other.requests,
  errors: own.errors + other.rate * other.requests,
  totalMs: own.totalMs + other.mean * other.requests,
});

/** To a thousandth: more would be noise. */
const mean = (sum: number, n: number): number =>
  n === 0 ? 0 : Math.round((sum / n) * 1_000) / 1_000;
