/** Gossip between members, what is kept out of it, and announcements over it. */

import { publicKeyToProtobuf } from '@libp2p/crypto/keys';
import type { GossipSub } from '@libp2p/gossipsub';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import { afterEach, describe, expect, it } from 'vitest';
import { encode } from '../../../src/base/codec.ts';
import { createSigner } from '../../../src/base/envelope.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { sealAnnouncement } from '../../../src/node/net/announcement.ts';
import { protocolNames } from '../../../src/node/net/protocols.ts';
import { testKey } from '../../support/world.ts';
import { entranceOf, genesisOf, Lab, meshed, type Node, sleep, until } from './support.ts';

const lab = new Lab(await genesisOf('ada'));
const chain = await lab.entries('ada', ['ben', 'cyd']);
const text = (s: string): Uint8Array => new TextEncoder().encode(s);

afterEach(() => lab.close());

interface Heard {
  readonly from: string;
  readonly body: string;
}

/** A node that listens to topic `t` and lets through what does not begin with `bad`. */
async function listener(name: string, to: Node | undefined): Promise<[Node, Heard[]]> {
  const node = await lab.make(name, chain, to === undefined ? {} : { entrances: [entranceOf(to)] });
  const heard: Heard[] = [];
  node.network.gossip.subscribe(
    't',
    (_from, body) => !Buffer.from(body).toString().startsWith('bad'),
    (from, body) => void heard.push({ from, body: Buffer.from(body).toString() }),
  );
  await node.network.start();
  return [node, heard];
}

const subscribersOf = (node: Node, topic: string): number =>
  node.network.host.services.pubsub.getSubscribers(protocolNames(node.roster.view.tag).topic(topic))
    .length;

describe('gossip', () => {
  it('reaches every member with its author, and stops what a listener rejects', async () => {
    const [ada, heardByAda] = await listener('ada', undefined);
    const [ben, heardByBen] = await listener('ben', ada);
    const [cyd, heardByCyd] = await listener('cyd', ada);
    await until('mesh', () => meshed([ada, ben, cyd]) && subscribersOf(cyd, 't') === 2);
    await cyd.network.gossip.publish('t', text('hello'));
    const hello = { from: cyd.peerId, body: 'hello' };
    await until('heard', () => heardByAda.length > 0 && heardByBen.length > 0);
    await cyd.network.gossip.publish('t', text('bad news'));
    await sleep(300);
    expect(heardByAda).toEqual([hello]);
    expect(heardByBen).toEqual([hello]);
    expect(heardByCyd).toEqual([]);
    expect(ada.network.gossip.counters.rejected).toBeGreaterThan(0);
  });

  it('is bounded: too large a message is refused by its sender, and by every receiver', async () => {
    const [ada, heard] = await listener('ada', undefined);
    const [ben] = await listener('ben', ada);
    await until('mesh', () => meshed([ada, ben]) && subscribersOf(ben, 't') === 1);
    const large = new Uint8Array(LIMITS.gossipBytes + 1).fill(0x61);
    await expect(ben.network.gossip.publish('t', large)).rejects.toMatchObject({
      code: 'TOO_LARGE',
    });
    const { pubsub } = ben.network.host.services;
    await pubsub.publish(protocolNames(ben.roster.view.tag).topic('t'), large);
    await until('rejected', () => ada.network.gossip.counters.rejected > 0);
    expect(heard).toEqual([]);
  });

  it('of a flood is dropped unverified, and the flooder is cut off; others are heard', async () => {
    const [ada, heard] = await listener('ada', undefined);
    const [ben] = await listener('ben', ada);
    const [cyd] = await listener('cyd', ada);
    await until('mesh', () => meshed([ada, ben, cyd]) && subscribersOf(ben, 't') === 2);
    const inside = ben.network.host.services.pubsub as unknown as {
      sendRpc(peer: string, rpc: object): boolean;
    };
    const ids = Array.from({ length: 500 }, (_, i) => Uint8Array.of(i >> 8, i));
    const rpc = {
      subscriptions: [],
      messages: [],
      control: { ihave: [], iwant: [{ messageIDs: ids }], graft: [], prune: [], idontwant: [] },
    };
    const flood = setInterval(() => {
      for (let i = 0; i < 20; i++) inside.sendRpc(ada.peerId, rpc);
    }, 20);
    let cuts = 0;
    ada.network.direct.onPeer((peer, live) => {
      if (peer === ben.peerId && !live) cuts++;
    });
    await until('flooded', () => ada.network.gossip.counters.flooded > 100);
    await cyd.network.gossip.publish('t', text('still here'));
    await until('heard', () => heard.some((h) => h.body === 'still here'));
    await until('cut off', () => cuts > 0).finally(() => clearInterval(flood));
  });

  it('whose author is no member is not heard, although a member passed it on', async () => {
    const [ada, heard] = await listener('ada', undefined);
    const [ben] = await listener('ben', ada);
    await until('mesh', () => meshed([ada, ben]) && subscribersOf(ben, 't') === 1);
    const key = await testKey('mallory');
    const { pubsub } = ben.network.host.services;
    const config = (pubsub as unknown as { publishConfig: Record<string, unknown> }).publishConfig;
    Object.assign(config, {
      author: peerIdFromPrivateKey(key),
      key: publicKeyToProtobuf(key.publicKey),
      privateKey: key,
    });
    await pubsub.publish(protocolNames(ben.roster.view.tag).topic('t'), text('from outside'));
    await until('ignored', () => ada.network.gossip.counters.ignored > 0);
    expect(heard).toEqual([]);
  });

  it('speaks no floodsub and only the protocol of its cluster', async () => {
    const [ada] = await listener('ada', undefined);
    const protocols = ada.network.host.getProtocols();
    expect(protocols.filter((p) => /floodsub|\/meshsub\/1\.[01]/.test(p))).toEqual([]);
    const { tag } = ada.roster.view;
    expect(protocols.filter((p) => !p.includes(tag))).toEqual([]);
  });
});

describe('announcements between nodes', () => {
  it('tell a change within moments, and what is forged or foreign goes nowhere (R8)', async () => {
    const [ada] = await listener('ada', undefined);
    const [ben] = await listener('ben', ada);
    await until('mesh', () => meshed([ada, ben]) && ada.network.announcer.fresh().length === 1);
    ben.network.announcer.update({ partyReady: false, load: 7 });
    await until('the change is known', () => ada.network.announcer.fresh()[0]?.load === 7);
    expect(ada.network.announcer.fresh()[0]).toMatchObject({ partyReady: false, name: 'ben' });

    const { clusterId, tag } = ben.roster.view;
    const signer = createSigner(await testKey('ben'));
    const own = ben.network.announcer.self();
    const forged = sealAnnouncement(clusterId, signer, { ...own, peerId: ada.peerId, seq: 99 });
    const pubsub: GossipSub = ben.network.host.services.pubsub;
    await pubsub.publish(protocolNames(tag).topic('announce'), forged);
    await until('refused', () => ada.network.announcer.counters.forged > 0);
    expect(ada.network.announcer.latest(ada.peerId)).toBeUndefined();
  });

  it('say that a node is draining before it stops (P1)', async () => {
    const [ada] = await listener('ada', undefined);
    const [ben] = await listener('ben', ada);
    await until('mesh', () => meshed([ada, ben]) && ada.network.announcer.fresh().length === 1);
    await ben.network.announcer.flush({ draining: true, partyReady: false });
    expect(ada.network.announcer.fresh()[0]).toMatchObject({ draining: true, partyReady: false });
  });

  it("that carry this node's own name from another run mean a copied data directory", async () => {
    const [ada] = await listener('ada', undefined);
    const [ben] = await listener('ben', ada);
    await until('mesh', () => meshed([ada, ben]));
    const own = ada.network.announcer.self();
    const twin = sealAnnouncement(ada.roster.view.clusterId, createSigner(await testKey('ada')), {
      ...own,
      run: new Uint8Array(8).fill(9),
      seq: own.seq + 100,
    });
    const body = encode([{ age: 0, sealed: twin }]);
    await ben.network.direct.send(ada.peerId, 'announce/sync', body);
    await until('told', () => ada.events.some((e) => e.kind === 'identity.copied'));
  });
});
