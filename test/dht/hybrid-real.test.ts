/** The hybrid store over real nodes that fall silent and come back; times are those of the host. */
import { afterAll, expect, it } from 'vitest';
import { HybridStore } from '../../src/dht/hybrid.ts';
import type { HybridEvent } from '../../src/dht/hybrid-types.ts';
import { LocalRecords } from '../../src/dht/local-records.ts';
import { needOf } from '../../src/dht/quorum.ts';
import { systemRandom } from '../../src/node/system.ts';
import { steadyClock } from '../support/steady-clock.ts';
import { quietLogger } from '../support/world.ts';
import { answer, cluster, content, onDisk, RULES, stopAll, until } from './support.ts';

afterAll(stopAll);

const TYPES = ['PUT_VALUE', 'GET_VALUE', 'FIND_NODE'] as const;
const ROUNDS = 4;

it('falls back and recovers, round after round, and every record arrives in the end', async () => {
  const all = await cluster(3, { timeoutMs: 600, requestMs: 500, republishSoonMs: 600_000 });
  const [node, ...others] = all;
  const shared = { rules: RULES, clock: steadyClock, random: systemRandom, log: quietLogger };
  const { id: self, journal, guard, counters, store: network } = node!;
  const members = () => all.map(({ id }) => id);
  const store = new HybridStore(
    {},
    {
      ...{ ...shared, self, network, journal, need: () => needOf(5, 3) },
      local: new LocalRecords({ ...shared, self, members, journal, guard, counters }),
      disk: node!.level.root.sub('hybrid'),
    },
  );
  const events: HybridEvent[] = [];
  store.onChange((event) => void events.push(event));
  await store.start();
  const written: string[] = [];
  const put = (text: string) => {
    written.push(text);
    const { suffix, value } = content(text);
    return store.put('c', suffix, value);
  };
  const recoveries: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const restore = others.flatMap((other) =>
      TYPES.map((type) => answer(other, type, () => new Promise(() => {}))),
    );
    while (!store.status.fallenBack) {
      const outcomes = await Promise.all([0, 1, 2, 3].map((i) => put(`${round} ${i}`)));
      for (const { ack, holders } of outcomes) expect({ ack, holders }).toMatchObject(LOCAL(self));
    }
    expect(await put(`${round} fallen`)).toEqual({ ack: 'local', holders: [self], pending: 2 });
    expect(store.health).toMatchObject({ backend: 'hybrid', status: 'degraded' });
    await new Promise((resolve) => setTimeout(resolve, 700 * round));
    for (const back of restore) back();
    const healthy = steadyClock.now();
    await until(() => !store.status.fallenBack);
    recoveries.push(steadyClock.now() - healthy);
    await until(() => store.status.queued === 0);
    expect((await put(`${round} well`)).ack).toBe('quorum');
  }
  await network.start();
  for (const text of new Set(written)) {
    const { suffix, value } = content(text);
    for (const other of others) {
      await until(async () => (await onDisk(other, RULES.key('c', suffix))) !== undefined);
      expect(await onDisk(other, RULES.key('c', suffix))).toEqual(value);
    }
  }
  const fallbacks = events.flatMap((event) => (event.type === 'fallback' ? [event.ms] : []));
  const shown = (ms: readonly number[]) => ms.map((one) => Math.round(one)).join(', ');
  console.log(`fallback ${shown(fallbacks)} ms; recovery ${shown(recoveries)} ms`);
  expect(fallbacks).toHaveLength(ROUNDS);
  expect(store.counts()).toMatchObject({ fallbacks: ROUNDS, recoveries: ROUNDS });
  expect(store.deadLetters()).toEqual([]);
  await store.close();
});

const LOCAL = (self: string) => ({ ack: 'local', holders: [self] });
