/**
 * How a signature grows with the threshold (t = 2..10 of 10 holders) and a key generation with its
 * parties (n = 3..10, threshold 2), on ten daemons, next to noble in one process of the same run.
 * `--suite`, `--seconds S` for each figure.
 */
import { parseArgs } from 'node:util';
import { nobleKeygenMs, nobleSign } from './noble.ts';
import { createKey, signMany, startSigners } from './signing.ts';
import { quantiles, report, round, timed } from './stats.ts';

const { values } = parseArgs({
  options: {
    suite: { type: 'string', default: 'ed25519' },
    seconds: { type: 'string', default: '15' },
  },
});
const { suite } = values;
const boundMs = Number(values.seconds) * 1_000;
if (!(boundMs > 0)) throw new Error('--seconds takes a positive number');
const PARTIES = 10;

const cluster = await startSigners(PARTIES);
try {
  const asked = cluster.node(1);
  // Until then not everybody was heard of.
  await createKey(asked, suite, 2, PARTIES);
  for (let n = 3; n <= PARTIES; n++) {
    const ms = await timed(async () => void (await createKey(asked, suite, 2, n)));
    const noble = await nobleKeygenMs(suite, 2, n, 5);
    report('growth-keygen', { suite, n, ms: round(ms), noble_ms: noble, ratio: round(ms / noble) });
  }
  for (let t = 2; t <= PARTIES; t++) {
    const key = await createKey(asked, suite, t, PARTIES);
    await signMany(asked, key, 10, 1, boundMs);
    const { latencies, errors } = await signMany(asked, key, 30, 1, boundMs);
    const ms = quantiles(latencies);
    const noble = await nobleSign(suite, t, PARTIES, 5);
    const ratio = round(ms.p50 / noble.ms);
    report('growth-sign', { suite, t, ms, errors, noble_ms: noble.ms, ratio });
  }
} finally {
  await cluster.stop();
}
process.exit();
