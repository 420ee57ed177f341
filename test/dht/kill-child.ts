/**
 * Writes records until it is killed, and notes each acknowledged one in a file:
 * `node kill-child.ts FOLDER local|hybrid ROUND`. The hybrid store has lost its network.
 */
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerId } from '../../src/base/brands.ts';
import { Counters } from '../../src/dht/counters.ts';
import { HybridStore } from '../../src/dht/hybrid.ts';
import type { NetworkStore } from '../../src/dht/hybrid-types.ts';
import { Journal } from '../../src/dht/journal.ts';
import { LocalRecords } from '../../src/dht/local-records.ts';
import { needOf } from '../../src/dht/quorum.ts';
import type { RecordStore } from '../../src/dht/store.ts';
import { openStore } from '../../src/node/store.ts';
import { systemClock, systemRandom } from '../../src/node/system.ts';
import { quietLogger } from '../support/world.ts';
import { KILL_RULES, proven } from './kill-records.ts';

const [folder = '', backend, round] = process.argv.slice(2);
const self = 'self' as PeerId;
const { root } = await openStore(join(folder, 'db'));
const shared = {
  ...{ rules: KILL_RULES, clock: systemClock, random: systemRandom, log: quietLogger },
  counters: new Counters(),
};
const journal = new Journal({ ...shared, disk: root.sub('journal') });
const guard = { load: async () => undefined, onStored: () => () => {} };
const members = (): readonly PeerId[] => [self, 'other' as PeerId];
const local = new LocalRecords({ ...shared, self, members, journal, guard });
const silent = (): Promise<never> => new Promise(() => {});
const nobody = async function* (): AsyncGenerator<never> {};
let told: ((event: { ok: boolean; ms: number }) => void) | undefined;
const network: NetworkStore = {
  ...{ put: silent, get: silent, provide: silent, probe: silent, findProviders: nobody },
  subscribe: () => () => {},
  close: async () => {},
  onNetwork(listener) {
    told = listener;
    return () => {};
  },
};

async function hybrid(): Promise<RecordStore> {
  const store = new HybridStore(
    { thresholdErrors: 1 },
    {
      ...{ ...shared, self, local, network, journal, disk: root.sub('hybrid') },
      need: () => needOf(5, 5),
    },
  );
  await store.start();
  told?.({ ok: false, ms: 0 });
  return store;
}

const store = backend === 'hybrid' ? await hybrid() : local;
const acknowledged = openSync(join(folder, 'acknowledged'), 'a');
console.log('writing');
/** Four at a time; every fifth is a key that all of them write. */
const write = async (writer: number): Promise<never> => {
  for (let n = 0; ; n++) {
    const suffix = n % 5 === 0 ? 'common' : `r${round}-w${writer}-${n}`;
    const version = n % 5 === 0 ? Number(round) * 10_000 + n * 4 + writer : n;
    await store.put('p', suffix, proven(suffix, version));
    writeSync(acknowledged, `${suffix} ${version}\n`);
  }
};
await Promise.all([0, 1, 2, 3].map(write));
