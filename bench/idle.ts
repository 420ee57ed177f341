/**
 * Five daemons with nothing to do, or beside processes that keep every core busy: nobody may be
 * elected meanwhile. `--minutes M` (10), `--busy`. Ends non-zero when somebody was.
 */
import { parseArgs } from 'node:util';
import { Cluster } from '../test/support/cluster.ts';
import { haveVoters } from '../test/support/election.ts';
import { leaveAlone } from '../test/support/idle.ts';
import { report } from './stats.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    busy: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error('--minutes takes a positive number');

const cluster = await Cluster.start(5);
try {
  await haveVoters(cluster.nodes, 5);
  const seen = await leaveAlone(cluster, minutes * 60_000, values.busy);
  report('idle', { ...seen });
  if (seen.termAfter !== seen.termBefore || !seen.sameLeader) process.exitCode = 1;
} finally {
  await cluster.stop();
}
process.exit();
