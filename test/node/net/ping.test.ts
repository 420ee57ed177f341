/** Ping over real streams: what comes back, what ends it, and what a rude peer gets. */
import { peerIdFromString } from '@libp2p/peer-id';
import { afterEach, describe, expect, it } from 'vitest';
import { protocolNames } from '../../../src/node/net/protocols.ts';
import { entranceOf, genesisOf, Lab, meshed, peerIdOf, until } from './support.ts';

const lab = new Lab(await genesisOf('ada'));
const chain = await lab.entries('ada', ['ben']);
afterEach(() => lab.close());

async function pair() {
  const ada = await lab.start('ada', chain);
  const ben = await lab.start('ben', chain, { entrances: [entranceOf(ada)] });
  await until('connected', () => meshed([ada, ben]));
  return { ada, ben, adaId: peerIdFromString(ada.peerId) };
}

describe('ping', () => {
  it('measures a round trip, again and again, and leaves no stream behind', async () => {
    const { ben, adaId } = await pair();
    for (let n = 0; n < 20; n++) {
      const since = performance.now();
      const ms = await ben.network.host.services.ping.ping(adaId);
      expect(ms).toBeGreaterThan(0);
      expect(ms).toBeLessThanOrEqual(performance.now() - since);
    }
    await until('all streams of ping are closed', () =>
      ben.network.host
        .getConnections(adaId)
        .every(({ streams }) => streams.every(({ protocol }) => !protocol.includes('/ping/'))),
    );
  });

  it('sends back whatever comes, in pieces of any size, and closes when asked to', async () => {
    const { ben, adaId } = await pair();
    const [connection] = ben.network.host.getConnections(adaId);
    const { prefix } = protocolNames(ben.roster.view.tag);
    const stream = await connection?.newStream(`/${prefix}/ping/1.0.0`);
    if (stream === undefined) throw new Error('not connected');
    const parts: Uint8Array[] = [];
    stream.addEventListener('message', (event) => void parts.push(event.data.slice()));
    const sent = Buffer.from(Array.from({ length: 3_000 }, (_, n) => n % 251));
    for (const [from, to] of [
      [0, 1],
      [1, 33],
      [33, 3_000],
    ] as const) {
      stream.send(sent.subarray(from, to));
    }
    await until('all came back', () => Buffer.concat(parts).length === sent.length);
    expect(Buffer.concat(parts).equals(sent)).toBe(true);
    await stream.close();
    await until('closed by both', () => stream.status === 'closed');
  });

  it('fails at once without a connection, and in time when nobody answers', async () => {
    const { ada, ben, adaId } = await pair();
    const { ping } = ben.network.host.services;
    const stranger = peerIdFromString(await peerIdOf('cyd'));
    await expect(ping.ping(stranger)).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' });
    const { prefix } = protocolNames(ada.roster.view.tag);
    await ada.network.host.unhandle(`/${prefix}/ping/1.0.0`);
    await ada.network.host.handle(`/${prefix}/ping/1.0.0`, () => {});
    const signal = AbortSignal.timeout(200);
    await expect(ping.ping(adaId, { signal })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await ada.network.host.unhandle(`/${prefix}/ping/1.0.0`);
    await ada.network.host.handle(`/${prefix}/ping/1.0.0`, (stream) => {
      stream.send(new Uint8Array(32));
    });
    await expect(ping.ping(adaId)).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
  });
});
