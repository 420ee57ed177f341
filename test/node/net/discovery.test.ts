/** The sources of discovery, one at a time. */
import { networkInterfaces } from 'node:os';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import { afterEach, describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { encode } from '../../../src/base/codec.ts';
import { Discovery, type Finder } from '../../../src/node/net/discovery.ts';
import type { RosterView } from '../../../src/roster/types.ts';
import { memoryKeyValue, quietLogger, type TestClock, testClock } from '../../support/world.ts';
import { genesisOf, Lab, meshed, peerIdOf, sleep, until } from './support.ts';

const lab = new Lab(await genesisOf('ada'));
const chain = await lab.entries('ada', ['ben', 'cyd']);
afterEach(() => lab.close());

const [ada, ben, cyd] = (await Promise.all(['ada', 'ben', 'cyd'].map(peerIdOf))) as [
  PeerId,
  PeerId,
  PeerId,
];
const at = (n: number): string => `/ip4/10.0.0.${n}/tcp/4750`;

/** Ada's discovery in a world of paper: a roster of three, a clock, a DHT that knows `inDht`. */
function world(inDht: ReadonlyMap<PeerId, string> = new Map()) {
  const clock: TestClock = testClock();
  const found: [PeerId, boolean][] = [];
  const asked: string[] = [];
  const members = new Map([ada, ben, cyd].map((peerId) => [peerId, { peerId }]));
  const view = {
    clusterId: 'ab'.repeat(32),
    members,
    standing: (peer: PeerId) => (members.has(peer) ? 'member' : 'stranger'),
  } as unknown as RosterView;
  const store = memoryKeyValue();
  const finder: Finder = {
    size: () => inDht.size,
    async findPeer(peer) {
      asked.push(peer.toString());
      const addr = inDht.get(peer.toString() as PeerId);
      if (addr === undefined) throw new Error('not found');
      return { id: peer, multiaddrs: [multiaddr(addr)] };
    },
    provide: async () => undefined,
    async *findProviders() {
      for (const [peer, addr] of inDht) {
        yield { id: peerIdFromString(peer), multiaddrs: [multiaddr(addr)] };
      }
    },
  };
  const connected = new Set<PeerId>();
  const make = (): Discovery =>
    new Discovery(
      { self: ada, refreshMs: 30_000 },
      {
        clock,
        log: quietLogger,
        roster: () => view,
        isConnected: (peer) => connected.has(peer),
        finder,
        store,
        found: (peer, fresh) => void found.push([peer, fresh]),
      },
    );
  return { clock, found, asked, store, connected, make };
}

describe('discovery', () => {
  it('looks for missing members in the DHT, soon and then at every refresh (R7, R11)', async () => {
    const w = world(new Map([[ben, at(2)]]));
    w.connected.add(cyd);
    const discovery = w.make();
    await discovery.start();
    w.clock.advance(1_500);
    await sleep(20);
    expect(w.asked).toEqual([ben]);
    expect(discovery.book.addrs(ben)).toEqual([at(2)]);
    expect(discovery.book.sources(ben)).toEqual(['dht']);
    expect(w.found[0]).toEqual([ben, true]);
    w.clock.advance(30_000);
    await sleep(20);
    expect(w.asked).toEqual([ben, ben]);
    await discovery.stop();
    w.clock.advance(300_000);
    await sleep(20);
    expect(w.asked).toEqual([ben, ben]);
  });

  it('asks nothing while all are connected, or the DHT knows nobody', async () => {
    const quiet = world(new Map([[ben, at(2)]]));
    quiet.connected.add(ben).add(cyd);
    const alone = world();
    for (const w of [quiet, alone]) {
      const discovery = w.make();
      await discovery.start();
      w.clock.advance(60_000);
      await sleep(20);
      expect(w.asked).toEqual([]);
      await discovery.stop();
    }
  });

  it('goes on when the DHT fails', async () => {
    const w = world(new Map([[cyd, at(3)]]));
    const discovery = w.make();
    await discovery.start();
    w.clock.advance(1_500);
    await sleep(20);
    expect(w.asked.sort()).toEqual([ben, cyd].sort());
    discovery.sighted('mdns', ben, [at(2)]);
    expect(discovery.book.addrs(ben)).toEqual([at(2)]);
    await discovery.stop();
  });

  it('remembers members over a restart, and no strangers', async () => {
    const w = world();
    const first = w.make();
    await first.start();
    first.sighted('announce', ben, [at(2)]);
    first.sighted('mdns', 'stranger' as PeerId, [at(9)]);
    await first.stop();
    const second = w.make();
    await second.start();
    expect(second.book.addrs(ben)).toEqual([at(2)]);
    expect(second.book.peers()).toEqual([ben]);
    expect(w.found.at(-1)).toEqual([ben, true]);
    await second.stop();
  });

  it('starts without the stored addresses when they are damaged', async () => {
    for (const bytes of [new Uint8Array([1, 2, 3]), encode([{ peer: 'x', addrs: [] }])]) {
      const w = world();
      await w.store.put('addresses', bytes);
      const discovery = w.make();
      await discovery.start();
      expect(discovery.book.peers()).toEqual([]);
      await discovery.stop();
    }
  });

  it('does not count itself', async () => {
    const w = world();
    const discovery = w.make();
    discovery.sighted('mdns', ada, [at(1)]);
    expect(discovery.book.peers()).toEqual([]);
    expect(w.found).toEqual([]);
  });
});

describe('mDNS alone', () => {
  const lan = Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some((a) => a.family === 'IPv4' && !a.internal),
  );
  it('makes members meet (R6)', async ({ skip }) => {
    if (!lan) {
      console.log('skipped: no interface but loopback, so mDNS has no multicast route');
      skip();
    }
    // Listens on loopback only: nobody else on the network could connect.
    const nodes = await Promise.all(
      ['ada', 'ben', 'cyd'].map((name) => lab.start(name, chain, { mdns: true })),
    );
    const works = await until('meet', () => meshed(nodes), 8_000).then(
      () => true,
      () => false,
    );
    const sighted = nodes.some((n) => n.network.peers().some((p) => p.sources.includes('mdns')));
    if (!sighted) {
      console.log('skipped: this machine passes no multicast');
      skip();
    }
    expect(works).toBe(true);
  });
});
