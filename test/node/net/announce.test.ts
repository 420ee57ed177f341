/** What a node says of its own machine; the rest of the announcer is tested over real streams. */
import { expect, it } from 'vitest';
import { Announcer, type AnnouncerDeps } from '../../../src/node/net/announce.ts';
import { openAnnouncement } from '../../../src/node/net/announcement.ts';
import { createChain } from '../../../src/roster/chain.ts';
import { ada, genesisOf } from '../../roster/support.ts';
import { quietLogger, testClock } from '../../support/world.ts';

const { view } = createChain(genesisOf());

function announcerWith(resources: Pick<AnnouncerDeps, 'resources'>) {
  const published: Uint8Array[] = [];
  const announcer = new Announcer(
    {
      intervalMs: 10_000,
      boot: 1,
      run: new Uint8Array(8),
      version: '0.0.0',
      name: undefined,
      state: {
        ...{ partyReady: true, draining: false, suites: [], protocols: [] },
        ...{ load: 0, configHash: '' },
      },
    },
    {
      ...{ signer: ada, clock: testClock(), log: quietLogger, roster: () => view },
      direct: {
        send: async () => {},
        request: async () => new Uint8Array(),
        note: () => true,
        handle: () => {},
        onNote: () => {},
        connected: () => [],
        onPeer: () => () => {},
      },
      gossip: {
        publish: async (_topic, body) => void published.push(body),
        subscribe: () => {},
      },
      ...{ addrs: () => [], heard: () => {}, copied: () => {}, ...resources },
    },
  );
  return { announcer, published };
}

it('says what its host has to spare, asked anew at each announcement and bounded', async () => {
  let load1 = 0.5;
  const resources = () => ({ freeMemory: 7, cpus: 4, load1 });
  const { announcer, published } = announcerWith({ resources });
  await announcer.start();
  load1 = Number.NaN;
  await announcer.flush();
  await announcer.stop();
  const said = published.map((body) => openAnnouncement(view.clusterId, body).resources);
  expect(said).toEqual([
    { freeMemory: 1, cpus: 4, load1: 0.5 },
    { freeMemory: 1, cpus: 4, load1: 0 },
  ]);
});

it('says nothing of it where nobody measures', () => {
  expect(announcerWith({}).announcer.self()).not.toHaveProperty('resources');
});
