/**
 * The documented health of a part, built in one place.
 * @module
 */
import type { HealthStatus } from './store.ts';

/** What is known of a part; times as its clock gives them. */
export interface PartHealth {
  readonly component: string;
  readonly backend: HealthStatus['backend'];
  readonly status: HealthStatus['status'];
  readonly reason?: string | undefined;
  /** When it was looked at, ms since 1970. */
  readonly wallMs: number;
  /** How long that took. @default 0 */
  readonly ms?: number | undefined;
  /** @default 0 */
  readonly errors?: number;
}

/** Latency to a tenth of a millisecond: more would be noise. */
export function healthStatus(part: PartHealth): HealthStatus {
  const { component, backend, status, reason, wallMs, ms = 0, errors = 0 } = part;
  return {
    ...{ component, backend, status },
    last_check: new Date(wallMs).toISOString(),
    error_count: errors,
    latency_ms: Math.round(ms * 10) / 10,
    ...(reason === undefined ? {} : { reason }),
  };
}
