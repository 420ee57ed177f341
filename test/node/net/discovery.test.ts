/** The sources of discovery, one at a time. */
import { networkInterfaces } from 'node:os';
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr } from '@multiformats/multiaddr';
import { afterEach, describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { encode } from '../../../src/base/codec.ts';
import type { Backend } from '../../../src/base/switch.ts';
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
  const changes: string[] = [];
  const make = (backend?: Backend): Discovery =>
    new Discovery(
      { self: ada, refreshMs: 30_000, backend, thresholdErrors: () => 2 },
      {
        clock,
        log: quietLogger,
        roster: () => view,
        isConnected: (peer) => connected.has(peer),
        finder,
        store,
        found: (peer, fresh) => void found.push([peer, fresh]),
        changed: (change) => void changes.push(change),
      },
    );
  return { clock, found, asked, store, connected, changes, make };
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

const set = (discovery: Discovery, backend: Backend) =>
  discovery.choice.apply({ kind: 'set', choice: { backend, percent: 100 } });
const sources = ['mdns', 'dht', 'announce', 'bootstrap', undefined] as const;

describe('discovery on its backends', () => {
  it('local: listens to bootstrap peers, peers themselves and its own book alone', async () => {
    const w = world(new Map([[ben, at(2)]]));
    const earlier = w.make();
    earlier.sighted('announce', cyd, [at(3)]);
    await earlier.stop();
    w.found.length = 0;
    const discovery = w.make('mock');
    await discovery.start();
    expect(discovery.book.addrs(cyd)).toEqual([at(3)]);
    for (const [n, source] of sources.entries()) discovery.sighted(source, ben, [at(20 + n)]);
    expect(discovery.book.addrs(ben)).toEqual([at(24), at(23)]);
    w.found.length = 0;
    w.clock.advance(1_500);
    await sleep(20);
    expect(w.asked).toEqual([]);
    // Whoever is missing is tried where it was known to be.
    expect(w.found).toEqual([
      [ben, true],
      [cyd, true],
    ]);
    const { mock_requests, real_requests } = discovery.meter.metrics();
    expect([mock_requests, real_requests]).toEqual([1, 0]);
    expect(discovery.trouble).toBeUndefined();
    await discovery.stop();
  });

  it('real: listens to the live sources, and brings back no address of an earlier run', async () => {
    const w = world(new Map([[ben, at(2)]]));
    const earlier = w.make();
    earlier.sighted('announce', cyd, [at(3)]);
    await earlier.stop();
    const discovery = w.make('real');
    await discovery.start();
    expect(discovery.book.addrs(cyd)).toEqual([]);
    for (const [n, source] of sources.entries()) discovery.sighted(source, ben, [at(20 + n)]);
    expect(discovery.book.addrs(ben)).toHaveLength(5);
    w.clock.advance(1_500);
    await sleep(20);
    expect(w.asked).toEqual([ben, cyd]);
    expect(discovery.meter.metrics()).toMatchObject({ real_requests: 1, mock_requests: 0 });
    await discovery.stop();
  });

  it('R43: a token is tried at once on every backend, and is no sign of life of the sources', async () => {
    for (const backend of ['mock', 'real', 'hybrid'] as const) {
      const w = world();
      const discovery = w.make(backend);
      await discovery.start();
      discovery.sighted(undefined, ben, [at(2)]);
      for (const ms of [1_500, 30_000]) {
        w.clock.advance(ms);
        await sleep(5);
      }
      const { trouble } = discovery;
      expect(trouble === undefined, backend).toBe(backend === 'mock');
      w.found.length = 0;
      discovery.sighted('token', ben, [at(2)]);
      expect(w.found).toEqual([[ben, true]]);
      expect(discovery.book.sources(ben)).toEqual(['token']);
      expect(discovery.trouble).toBe(trouble);
      await discovery.stop();
    }
  });

  it('real: says that it has failed, and does not fall back', async () => {
    const w = world();
    const discovery = w.make('real');
    await discovery.start();
    discovery.sighted(undefined, ben, [at(2)]);
    w.found.length = 0;
    for (const ms of [1_500, 30_000]) {
      w.clock.advance(ms);
      await sleep(5);
    }
    expect(discovery.trouble).toContain('2 missing members');
    expect([w.found, w.changes]).toEqual([[], []]);
    expect(discovery.meter.metrics()).toMatchObject({ real_requests: 2, error_rate_real: 1 });
    await discovery.stop();
  });

  it('hybrid: falls back when nothing live is heard, and recovers at the first sign', async () => {
    const w = world();
    const discovery = w.make();
    await discovery.start();
    discovery.sighted(undefined, ben, [at(2)]);
    w.found.length = 0;
    w.clock.advance(1_500);
    await sleep(5);
    expect([discovery.hybridArm, w.found]).toEqual(['real', []]);
    w.clock.advance(30_000);
    await sleep(5);
    expect([discovery.hybridArm, w.changes]).toEqual(['mock', ['fallback']]);
    expect(w.found).toEqual([[ben, true]]);
    // From then on it looks every 2 s.
    w.clock.advance(2_000);
    await sleep(5);
    expect(w.found).toHaveLength(2);
    discovery.sighted('mdns', cyd, [at(3)]);
    expect([discovery.hybridArm, w.changes]).toEqual(['real', ['fallback', 'recovery']]);
    expect(discovery.trouble).toBeUndefined();
    expect(discovery.meter.metrics()).toMatchObject({ fallback_events: 1, recovery_events: 1 });
    await discovery.stop();
  });

  it('hybrid: recovers as well when nobody is missing any more', async () => {
    const w = world();
    const discovery = w.make();
    await discovery.start();
    for (const ms of [1_500, 30_000]) {
      w.clock.advance(ms);
      await sleep(5);
    }
    expect(w.changes).toEqual(['fallback']);
    w.connected.add(ben).add(cyd);
    w.clock.advance(2_000);
    await sleep(5);
    expect(w.changes).toEqual(['fallback', 'recovery']);
    await discovery.stop();
  });

  it('switches at run time, looks at once, and ends a search where it began', async () => {
    const w = world(new Map([[ben, at(2)]]));
    const discovery = w.make('mock');
    await discovery.start();
    set(discovery, 'real');
    w.clock.advance(50);
    // The search is under way, and what it finds is taken.
    discovery.choice.apply({ kind: 'isolate' });
    await sleep(20);
    expect(w.asked).toEqual([ben, cyd]);
    expect(discovery.book.addrs(ben)).toEqual([at(2)]);
    discovery.sighted('announce', cyd, [at(3)]);
    expect(discovery.book.addrs(cyd)).toEqual([]);
    // The next look is the local one, and comes soon.
    w.clock.advance(50);
    await sleep(20);
    expect(w.asked).toEqual([ben, cyd]);
    discovery.choice.apply({ kind: 'rollback' });
    w.clock.advance(50);
    await sleep(20);
    expect(w.asked).toEqual([ben, cyd, ben, cyd]);
    await discovery.stop();
    set(discovery, 'hybrid');
    w.clock.advance(60_000);
    await sleep(20);
    expect(w.asked).toHaveLength(4);
  });

  it('reads the addresses of earlier runs when it leaves real, once', async () => {
    const w = world();
    const earlier = w.make();
    earlier.sighted('announce', cyd, [at(3)]);
    await earlier.stop();
    const discovery = w.make('real');
    await discovery.start();
    set(discovery, 'hybrid');
    await sleep(5);
    expect(discovery.book.addrs(cyd)).toEqual([at(3)]);
    await discovery.stop();
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
