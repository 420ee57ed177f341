/** Signatures through a daemon's control socket, as curl would ask for them. */
import { Agent, request } from 'node:http';
import { Cluster, type TestNode, until } from '../test/support/cluster.ts';
import { timed } from './stats.ts';

/** More daemons than a machine has room for keep each other from beating in time. */
const CROWD = 5;
const PATIENT = { BZZZ_HEARTBEAT_INTERVAL: '500ms', BZZZ_ELECTION_TIMEOUT: '5s' };

/** `n` daemons that sign. In a crowd, elections would be what is measured: it gets more patience. */
export const startSigners = (n: number): Promise<Cluster> =>
  Cluster.start(n, n > CROWD ? PATIENT : {});

/** One call on a node's control socket. @param agent of kept connections; else one of its own. */
function post<T>(
  node: TestNode,
  path: string,
  body: unknown,
  agent: Agent | false = false,
): Promise<T> {
  return new Promise((done, fail) => {
    const call = request(
      {
        socketPath: node.socketPath,
        agent,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
      },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () =>
          response.statusCode === 200 || response.statusCode === 201
            ? done(JSON.parse(text) as T)
            : fail(new Error(`${path}: ${response.statusCode} ${text}`)),
        );
      },
    );
    call.once('error', fail);
    call.end(JSON.stringify(body));
  });
}

let serial = 0;

/** Makes a key, once all parties were heard of. @returns its name. */
export async function createKey(
  node: TestNode,
  suite: string,
  threshold: number,
  parties: number,
): Promise<string> {
  const name = `k${serial++}-${suite}`;
  await until('a key', async () => {
    await post(node, '/v1/keys', { name, suite, threshold, parties });
    return true;
  });
  return name;
}

/** Signs a message that was never signed before. */
const sign = (
  node: TestNode,
  key: string,
  agent: Agent,
): Promise<{ readonly attempts: number }> => {
  const message = Buffer.from(`message ${process.pid} ${serial++}`).toString('hex');
  return post(node, '/v1/sign', { key, message }, agent);
};

/** What became of many signatures. */
export interface SignedMany {
  readonly signed: number;
  /** How often each error came, by its text. */
  readonly errors: Readonly<Record<string, number>>;
  /** Of those that succeeded, in ms. */
  readonly latencies: readonly number[];
  /** Of all signatures together; as many as signatures when nothing was tried twice. */
  readonly attempts: number;
  readonly ms: number;
}

/**
 * Signs `total` messages with `inFlight` under way at a time, each on a connection that is kept, as
 * a service would that signs much.
 * @param boundMs begins none after this time.
 */
export async function signMany(
  node: TestNode,
  key: string,
  total: number,
  inFlight: number,
  boundMs = 60_000,
): Promise<SignedMany> {
  const latencies: number[] = [];
  const errors: Record<string, number> = {};
  // Of these signatures alone: while noble computes, a connection that is kept would time out.
  const agent = new Agent({ keepAlive: true });
  const started = performance.now();
  let left = total;
  let attempts = 0;
  const worker = async (): Promise<void> => {
    while (left-- > 0 && performance.now() - started < boundMs) {
      try {
        const ms = await timed(async () => {
          const signature = await sign(node, key, agent);
          attempts += signature.attempts;
        });
        latencies.push(ms);
      } catch (error) {
        const text = String(error).slice(0, 200);
        errors[text] = (errors[text] ?? 0) + 1;
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  agent.destroy();
  const ms = performance.now() - started;
  return { signed: latencies.length, errors, latencies, attempts, ms };
}
