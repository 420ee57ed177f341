/**
 * Key generation and signing through real daemons and their control sockets, next to noble in one
 * process of the same run.
 */
import { request } from 'node:http';
import { Cluster, type TestNode } from '../test/support/cluster.ts';
import { nobleKeygenMs, nobleSignMs } from './noble.ts';
import { quantiles, report, round, timed } from './stats.ts';

const SHAPES = [
  [2, 3],
  [3, 5],
] as const;
const SUITES = ['ed25519', 'secp256k1-tr'] as const;

/** One call on a node's control socket, as curl would make it. */
function post<T>(node: TestNode, path: string, body: unknown): Promise<T> {
  return new Promise((done, fail) => {
    const call = request(
      {
        socketPath: `${node.dataDir}/control.sock`,
        // While noble computes, a connection that is kept would time out.
        agent: false,
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
const sign = (node: TestNode, key: string): Promise<{ signature: string }> =>
  post(node, '/v1/sign', {
    key,
    message: Buffer.from(`message ${process.pid} ${serial++}`).toString('hex'),
  });

async function perSecond(
  node: TestNode,
  key: string,
  inFlight: number,
  total: number,
): Promise<number> {
  let left = total;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await sign(node, key);
  };
  const ms = await timed(async () => {
    await Promise.all(Array.from({ length: inFlight }, worker));
  });
  return round((total * 1_000) / ms, 1);
}

for (const [t, n] of SHAPES) {
  const cluster = await Cluster.start(n);
  try {
    const asked = cluster.node(1);
    for (const suite of SUITES) {
      const keygen: number[] = [];
      for (let i = 0; i < 9; i++) {
        const name = `k${t}${n}${suite}${i}`;
        keygen.push(
          await timed(async () => {
            await post(asked, '/v1/keys', { name, suite, threshold: t, parties: n });
          }),
        );
      }
      const nobleKeygen = await nobleKeygenMs(suite, t, n);
      const spent = quantiles(keygen.slice(1));
      report('keygen', {
        suite,
        shape: `${t}-of-${n}`,
        ms: spent,
        noble_ms: nobleKeygen,
        ratio: round(spent.p50 / nobleKeygen),
      });

      const key = `k${t}${n}${suite}0`;
      const signing: number[] = [];
      for (let i = 0; i < 70; i++) {
        const ms = await timed(async () => void (await sign(asked, key)));
        if (i >= 10) signing.push(ms);
      }
      const nobleSign = await nobleSignMs(suite, t, n);
      const latency = quantiles(signing);
      report('sign', {
        suite,
        shape: `${t}-of-${n}`,
        ms: latency,
        noble_ms: nobleSign,
        ratio: round(latency.p50 / nobleSign),
      });
      report('sign-rate', {
        suite,
        shape: `${t}-of-${n}`,
        in_flight: 8,
        per_second: await perSecond(asked, key, 8, 240),
        noble_per_second: round(1_000 / nobleSign, 1),
      });
    }
  } finally {
    await cluster.stop();
  }
}
process.exit(0);
