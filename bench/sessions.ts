/**
 * Key generation and signing through real daemons and their control sockets, next to noble in one
 * process of the same run. A figure that cannot be had is reported with its error, and the others
 * follow. `--shapes 2/3,3/5`, `--suites a,b`, `--seconds S` for each figure.
 */
import { parseArgs } from 'node:util';
import type { TestNode } from '../test/support/cluster.ts';
import { nobleKeygenMs, nobleSign } from './noble.ts';
import { createKey, signMany, startSigners } from './signing.ts';
import { quantiles, report, round, timed } from './stats.ts';

const { values } = parseArgs({
  options: {
    shapes: { type: 'string', default: '2/3,3/5,7/10' },
    suites: { type: 'string', default: 'ed25519,secp256k1-tr' },
    seconds: { type: 'string', default: '20' },
  },
});
const IN_FLIGHT = [1, 8, 32] as const;
const boundMs = Number(values.seconds) * 1_000;
if (!(boundMs > 0)) throw new Error('--seconds takes a positive number');

interface Subject {
  readonly asked: TestNode;
  readonly suite: string;
  readonly t: number;
  readonly n: number;
}

/** @returns the name of a key to sign with. */
async function keygen({ asked, suite, t, n }: Subject): Promise<string> {
  const times: number[] = [];
  let key = '';
  const end = performance.now() + boundMs;
  for (let i = 0; i < (n > 5 ? 3 : 9) && performance.now() < end; i++) {
    times.push(
      await timed(async () => {
        key = await createKey(asked, suite, t, n);
      }),
    );
  }
  const noble = await nobleKeygenMs(suite, t, n);
  // The first one waits until all parties were heard of.
  const ms = quantiles(times.length > 1 ? times.slice(1) : times);
  report('keygen', {
    suite,
    shape: `${t}-of-${n}`,
    ms,
    noble_ms: noble,
    ratio: round(ms.p50 / noble),
  });
  return key;
}

async function signing({ asked, suite, t, n }: Subject, key: string): Promise<void> {
  const about = { suite, shape: `${t}-of-${n}` };
  await signMany(asked, key, 30, 8, boundMs);
  for (const inFlight of IN_FLIGHT) {
    // Beside each figure, because the machine is not the same all the time.
    const noble = await nobleSign(suite, t, n, 15);
    const many = await signMany(asked, key, inFlight === 1 ? 60 : 240, inFlight, boundMs);
    const { signed, errors, attempts, latencies, ms: spent } = many;
    const ms = quantiles(latencies);
    report('sign', {
      ...about,
      in_flight: inFlight,
      signed,
      errors,
      attempts: round(attempts / signed),
      ms,
      per_second: round((signed * 1_000) / spent, 1),
      noble_ms: noble.ms,
      latency_ratio: round(ms.p50 / noble.ms),
      rate_ratio: round((signed * noble.ms) / spent),
    });
  }
}

for (const shape of values.shapes.split(',')) {
  const [t = 2, n = 3] = shape.split('/').map(Number);
  const cluster = await startSigners(n);
  try {
    for (const suite of values.suites.split(',')) {
      const subject = { asked: cluster.node(1), suite, t, n };
      try {
        await signing(subject, await keygen(subject));
      } catch (error) {
        report('failed', { suite, shape: `${t}-of-${n}`, error: String(error) });
        process.exitCode = 1;
      }
    }
  } finally {
    await cluster.stop();
  }
}
process.exit();
