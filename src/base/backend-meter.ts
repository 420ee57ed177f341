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
export interface HybridCounts {
  /** Undefined where every request is counted by the meter already. */
  readonly arms?: ArmCounts;
  readonly fallbacks: number;
  readonly recoveries: number;
}

const NOTHING: ArmCount = { requests: 0, errors: 0, totalMs: 0 };

/** Requests by who answered them. */
export class ArmCounts {
  readonly #counts = new Map<Arm, ArmCount>();

  add(arm: Arm, ms: number, ok: boolean): void {
    this.#counts.set(arm, sum(this.count(arm), { requests: 1, errors: ok ? 0 : 1, totalMs: ms }));
  }

  count(arm: Arm): ArmCount {
    return this.#counts.get(arm) ?? NOTHING;
  }
}

/** The requests of one component, whichever of its backends they went to. */
export class BackendMeter extends ArmCounts {
  readonly component: string;
  readonly #hybrid: () => HybridCounts;

  /** @param hybrid of this component's `hybrid` backend; added to what is counted here. */
  constructor(component: string, hybrid: () => HybridCounts) {
    super();
    this.component = component;
    this.#hybrid = hybrid;
  }

  /** The figures of now. Averages and rates are over all requests since the start. */
  metrics(): BackendMetrics {
    const { arms, fallbacks, recoveries } = this.#hybrid();
    const mock = sum(this.count('mock'), arms?.count('mock') ?? NOTHING);
    const real = sum(this.count('real'), arms?.count('real') ?? NOTHING);
    return {
      component: this.component,
      mock_requests: mock.requests,
      real_requests: real.requests,
      fallback_events: fallbacks,
      recovery_events: recoveries,
      avg_latency_mock: mean(mock.totalMs, mock.requests),
      avg_latency_real: mean(real.totalMs, real.requests),
      error_rate_mock: mean(mock.errors, mock.requests),
      error_rate_real: mean(real.errors, real.requests),
    };
  }
}

const sum = (a: ArmCount, b: ArmCount): ArmCount => ({
  requests: a.requests + b.requests,
  errors: a.errors + b.errors,
  totalMs: a.totalMs + b.totalMs,
});

/** To a thousandth: more would be noise. */
const mean = (total: number, n: number): number =>
  n === 0 ? 0 : Math.round((total / n) * 1_000) / 1_000;
