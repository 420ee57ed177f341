/** Backends of real daemons: switching them, writing under them, and what they say of themselves. */
import type { BackendMetrics } from '../../src/base/backend-meter.ts';
import type { HealthStatus } from '../../src/dht/store.ts';
import type { BackendDocument } from '../../src/node/backends.ts';
import type { PutDocument, ResolveDocument } from '../../src/node/services.ts';
import { type TestNode, until } from './cluster.ts';

export type Component = 'dht' | 'discovery';
export type Word = 'local' | 'dht' | 'hybrid';

/** Short enough to see a fallback and a recovery in seconds. */
export const QUICK = {
  BZZZ_ELECTION_ENABLED: 'false',
  BZZZ_FALLBACK_THRESHOLD_ERRORS: '2',
  BZZZ_FALLBACK_BACKOFF: '300ms',
  BZZZ_HEALTH_CHECK_INTERVAL: '1s',
  BZZZ_DISCOVERY_REFRESH: '1s',
} as const;

export const setBackend = (node: TestNode, component: Component, backend: Word) =>
  node.post<BackendDocument>(`/v1/backends/${component}`, { backend });

export async function backendOf(node: TestNode, component: Component): Promise<BackendDocument> {
  const all = await node.get<BackendDocument[]>('/v1/backends');
  return found(all.find((one) => one.component === component));
}

export async function metricsOf(node: TestNode, component: Component): Promise<BackendMetrics> {
  const all = await node.get<BackendMetrics[]>('/v1/metrics');
  return found(all.find((one) => one.component === component));
}

/** As the last check found it, without a new one. */
export async function healthOf(node: TestNode, component: Component): Promise<HealthStatus> {
  const { components } = await node.get<{ components: HealthStatus[] }>('/v1/status');
  return found(components.find((one) => one.component === component));
}

let written = 0;

/** Stores a text that no other test stores. */
export const put = (node: TestNode, ack?: 'quorum'): Promise<PutDocument> =>
  node.post<PutDocument>('/v1/records/put', {
    address: `ucxl://self:test@lab:backends/${written}`,
    bytes: `text ${written++} ${process.pid}`,
    encoding: 'utf8',
    ...(ack === undefined ? {} : { ack }),
  });

export const resolve = (node: TestNode, address: string): Promise<ResolveDocument> =>
  node.get<ResolveDocument>(`/v1/records/resolve?${new URLSearchParams({ address })}`);

/** Whether a node has, or gets, what stands at an address. */
export async function resolves(node: TestNode, address: string): Promise<boolean> {
  return resolve(node, address).then(
    () => true,
    (thrown: { code?: string }) => {
      if (thrown.code === 'NOT_FOUND') return false;
      throw thrown;
    },
  );
}

/** Waits until `node` reads all of them. */
export const reads = (node: TestNode, all: readonly PutDocument[], timeoutMs = 180_000) =>
  until(
    `${node.name} reads ${all.length} records`,
    async () => {
      for (const { address } of all) if (!(await resolves(node, address))) return false;
      return true;
    },
    timeoutMs,
    200,
  );

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('there is no such component');
  return value;
}
