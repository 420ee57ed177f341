/** Members find each other and keep each other, on real streams over loopback. */
import { afterEach, describe, expect, it } from 'vitest';
import { memoryKeyValue } from '../../support/world.ts';
import { entranceOf, genesisOf, Lab, meshed, sleep, until } from './support.ts';

const NAMES = ['ada', 'ben', 'cyd', 'dov', 'eve'] as const;
const lab = new Lab(await genesisOf('ada'));
const chain = await lab.entries('ada', NAMES.slice(1));

afterEach(() => lab.close());

describe('five members', () => {
  it('mesh through one bootstrap address, outlive who is there, and find back (R3)', async () => {
    const ada = await lab.start('ada', chain);
    const store = memoryKeyValue();
    const rest = await Promise.all(
      NAMES.slice(1).map((name) =>
        lab.start(name, chain, {
          entrances: [entranceOf(ada)],
          ...(name === 'eve' ? { store } : {}),
        }),
      ),
    );
    const nodes = [ada, ...rest];
    await until('full mesh', () => meshed(nodes));
    await until('gossip and the DHT know all', () =>
      nodes.every(
        ({ network }) =>
          network.host.services.pubsub.getPeers().length === 4 &&
          network.announcer.fresh().length === 4,
      ),
    );
    const sources = new Set(rest.flatMap((n) => n.network.peers().flatMap((p) => p.sources)));
    expect(sources.has('announce') && sources.has('bootstrap')).toBe(true);
    expect(ada.network.peers().every((p) => p.fresh && p.connected && p.addrs.length > 0)).toBe(
      true,
    );

    await ada.network.stop();
    const [eve, ...others] = [...rest].reverse();
    await until('the loss is seen', () =>
      rest.every((n) => !n.network.direct.connected().includes(ada.peerId)),
    );
    expect(meshed(rest)).toBe(true);

    // No bootstrap peer is left, and the restarted node has another port.
    await eve?.network.stop();
    await until('the other loss is seen', () =>
      others.every((n) => n.network.direct.connected().length === 2),
    );
    const reborn = await lab.start('eve', chain, { store, boot: 2 });
    await until('eve is back', () => meshed([reborn, ...others]));
  });

  it('connect to a member that they know from announcements alone', async () => {
    const ada = await lab.start('ada', chain);
    const ben = await lab.start('ben', chain, { entrances: [entranceOf(ada)] });
    const cyd = await lab.start('cyd', chain, { entrances: [entranceOf(ben)] });
    await until('a mesh of three', () => meshed([ada, ben, cyd]));
    expect(cyd.network.peers().find((p) => p.peerId === ada.peerId)?.sources).toContain('announce');
  });

  it('keep one connection to each other although both sides dialled', async () => {
    const [ada, ben] = await Promise.all([lab.make('ada', chain), lab.make('ben', chain)]);
    await Promise.all([ada.network.start(), ben.network.start()]);
    const at = (n: typeof ada): readonly string[] => [entranceOf(n).addr];
    const count = (n: typeof ada): number => n.network.host.getConnections().length;
    ada.network.discovery.sighted('mdns', ben.peerId, at(ben));
    ben.network.discovery.sighted('mdns', ada.peerId, at(ada));
    await until('connected', () => meshed([ada, ben]));
    await sleep(1_200);
    expect([count(ada), count(ben)]).toEqual([1, 1]);
    expect(meshed([ada, ben])).toBe(true);
  });

  it('drop one of two connections, and gossip and direct go on over the other', async () => {
    const ada = await lab.start('ada', chain);
    const ben = await lab.start('ben', chain, { entrances: [entranceOf(ada)] });
    await until('connected', () => meshed([ada, ben]));
    const dialler = ada.network.host.getConnections()[0]?.direction === 'outbound' ? ben : ada;
    const target = dialler === ada ? ben : ada;
    await dialler.network.host.dial(
      target.network.host.getMultiaddrs().map((a) => a.decapsulate('/p2p')),
      { force: true },
    );
    expect(dialler.network.host.getConnections().length).toBe(2);
    await until('one is left', () =>
      [ada, ben].every((n) => n.network.host.getConnections().length === 1),
    );
    ben.network.direct.handle('echo', async (_from, body) => body);
    const body = Uint8Array.of(1);
    expect(await ada.network.direct.request(ben.peerId, 'echo', body)).toEqual(body);
    const before = ben.network.announcer.latest(ada.peerId)?.announcement.seq ?? 0;
    await until('gossip flows', () => {
      ada.network.announcer.poke();
      return (ben.network.announcer.latest(ada.peerId)?.announcement.seq ?? 0) > before;
    });
  });

  it('stop cleanly: no connection and no timer of theirs is left', async () => {
    const ada = await lab.start('ada', chain);
    const ben = await lab.start('ben', chain, { entrances: [entranceOf(ada)] });
    await until('connected', () => meshed([ada, ben]));
    const waiting = ada.network.direct.request(ben.peerId, 'nobody', new Uint8Array());
    await expect(waiting).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
    await ben.network.stop();
    const late = ada.network.direct.send(ben.peerId, 'x', new Uint8Array());
    const outcome = expect(late).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' });
    await ada.network.stop();
    await outcome;
    expect(ada.network.host.getConnections()).toEqual([]);
  });

  it('say clearly which address they cannot listen on', async () => {
    const ada = await lab.start('ada', chain);
    const ben = await lab.make('ben', chain, { listen: entranceOf(ada).addr });
    await expect(ben.network.start()).rejects.toMatchObject({
      code: 'BAD_CONFIG',
      message: expect.stringContaining(entranceOf(ada).addr),
    });
  });
});
