/** Provider records: what bare kad-dht does with them, and what holds here. */
import { peerIdFromString } from '@libp2p/peer-id';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { create as createDigest } from 'multiformats/hashes/digest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { contentCid } from '../../src/base/codec.ts';
import { Providers, type ProvidersOptions } from '../../src/dht/providers.ts';
import { steadyClock } from '../support/steady-clock.ts';
import {
  type BareNode,
  bareNode,
  cluster,
  inside,
  type Message,
  mesh,
  type Node,
  stopAll,
  storeNode,
} from './support.ts';

const cidOf = (text: string): string => contentCid(utf8Bytes(text)).toString();
/** SHA-512 (0x13): a valid CID that kad-dht loses. */
const sha512Cid = CID.createV1(raw.code, createDigest(0x13, new Uint8Array(64).fill(7)));
const PATIENT: ProvidersOptions = { requestMs: 10_000, timeoutMs: 20_000 };

function providersOf(
  node: Node,
  members: () => readonly PeerId[],
  options: ProvidersOptions = PATIENT,
): Providers {
  const { id: self, dht: kad, counters } = node;
  return new Providers({ self, members, kad, clock: steadyClock, counters }, options);
}

async function collect(found: AsyncIterable<PeerId>): Promise<readonly PeerId[]> {
  const all: PeerId[] = [];
  for await (const peer of found) all.push(peer);
  return all.sort();
}

/** What the library finds within a second; undefined when it is still at it then. */
async function bareFind(
  node: BareNode,
  cid: CID,
  ms = 1_000,
): Promise<readonly string[] | undefined> {
  const found = new Set<string>();
  const signal = AbortSignal.timeout(ms);
  try {
    for await (const event of node.dht.findProviders(cid, { signal })) {
      if (event.name !== 'PROVIDER') continue;
      for (const { id } of event.providers) found.add(id.toString());
    }
  } catch {
    if (signal.aborted && found.size === 0) return undefined;
  }
  return [...found];
}

/** How many peers the library says it told. */
async function bareProvide(node: BareNode, cid: CID): Promise<number> {
  let told = 0;
  for await (const event of node.dht.provide(cid, { signal: AbortSignal.timeout(10_000) })) {
    if (event.name === 'PEER_RESPONSE' && event.messageName === 'ADD_PROVIDER') told++;
  }
  return told;
}

let five: readonly Node[];
let all: readonly Providers[];
let members: readonly PeerId[];
let bare: readonly BareNode[];

beforeAll(async () => {
  bare = await Promise.all([bareNode(), bareNode(), bareNode()]);
  await mesh(bare);
  five = await cluster(5);
  members = five.map(({ id }) => id);
  all = five.map((node) => providersOf(node, () => members));
});
afterAll(stopAll);

describe('a hash other than SHA-256', () => {
  it('bare: told to everybody, and nobody knows it', async () => {
    expect(await bareProvide(bare[0]!, sha512Cid)).toBe(2);
    expect((await bareFind(bare[1]!, sha512Cid)) ?? []).toEqual([]);
  });

  it('ours: refused by name, by who provides and by who asks', async () => {
    const error = { code: 'BAD_MESSAGE', message: expect.stringContaining('not SHA-256') };
    await expect(all[0]!.provide(sha512Cid.toString())).rejects.toMatchObject(error);
    await expect(collect(all[0]!.find(sha512Cid.toString()))).rejects.toMatchObject(error);
    await expect(all[0]!.provide('no CID')).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
  });
});

describe('a record that is provided', () => {
  it('is read back at all five, and found by everybody once', async () => {
    const cid = cidOf('five');
    expect([...(await all[0]!.announce(cid))].sort()).toEqual([...members].sort());
    await all[3]!.provide(cid);
    for (const one of all)
      expect(await collect(one.find(cid))).toEqual([members[0], members[3]].sort());
  });

  it('is not counted where the peer did not take it', async () => {
    const liar = await cluster(3);
    const ids = liar.map(({ id }) => id);
    for (const { dht } of liar.slice(1, 2)) {
      // Says nothing and keeps nothing, which for ADD_PROVIDER is the same as success.
      const handlers = (
        dht as unknown as { rpc: { handlers: Record<string, { handle: unknown }> } }
      ).rpc;
      handlers.handlers.ADD_PROVIDER!.handle = async () => undefined;
    }
    const taken = await providersOf(liar[0]!, () => ids).announce(cidOf('liar'));
    expect([...taken].sort()).toEqual([ids[0], ids[2]].sort());
    expect(liar[0]!.counters.get('falseAck')).toBe(1);
  });

  it('is not named any more once it is withdrawn', async () => {
    const cid = cidOf('withdrawn');
    const alone = await storeNode(() => []);
    const providers = providersOf(alone, () => [alone.id]);
    expect(await providers.announce(cid)).toEqual([alone.id]);
    expect(await collect(providers.find(cid))).toEqual([alone.id]);
    await providers.withdraw(cid);
    expect(await collect(providers.find(cid))).toEqual([]);
  });
});

describe('a record older than 48 h', () => {
  it('bare: is named until the next cleaning', async () => {
    const cid = contentCid(utf8Bytes('old'));
    const { providers } = bare[0]!.dht as unknown as {
      readonly providers: {
        writeProviderEntry(cid: CID, peer: unknown, options: { time: Date }): Promise<void>;
        getProviders(cid: CID): Promise<unknown[]>;
      };
    };
    const time = new Date(Date.now() - 49 * 3_600_000);
    await providers.writeProviderEntry(cid, bare[1]!.libp2p.peerId, { time });
    expect(await providers.getProviders(cid)).toHaveLength(1);
  });

  it('ours: is named no more', async () => {
    const two = await cluster(2);
    const ids = two.map(({ id }) => id);
    const cid = cidOf('old');
    await providersOf(two[0]!, () => ids).provide(cid);
    await two[0]!.stop();
    const options = { requestMs: 500, timeoutMs: 1_000 };
    expect(await collect(providersOf(two[1]!, () => ids, options).find(cid))).toEqual([ids[0]]);
    const { id: self, dht: kad, counters } = two[1]!;
    const clock = { ...steadyClock, wallMs: () => Date.now() + 49 * 3_600_000 };
    const later = new Providers({ self, members: () => ids, kad, clock, counters }, options);
    expect(await collect(later.find(cid))).toEqual([]);
  });
});

describe('an empty routing table', () => {
  it('bare: hangs until the caller gives up', async () => {
    const lonely = await bareNode();
    expect(await bareFind(lonely, contentCid(utf8Bytes('lonely')))).toBeUndefined();
  });

  it('ours: an answer at once', async () => {
    const lonely = await storeNode(() => members);
    const providers = providersOf(lonely, () => members);
    const before = steadyClock.now();
    expect(await collect(providers.find(cidOf('lonely')))).toEqual([]);
    expect(steadyClock.now() - before).toBeLessThan(2_000);
  });
});

describe('a provider that left the peer store', () => {
  const gone = 'two provide, one left';

  it('bare: hides the others', async () => {
    const cid = contentCid(utf8Bytes(gone));
    for (const node of bare.slice(0, 2)) await bareProvide(node, cid);
    expect((await bareFind(bare[2]!, cid))?.length).toBe(2);
    // Peer stores forget whom they have not seen for six hours.
    await bare[2]!.libp2p.peerStore.delete(bare[0]!.libp2p.peerId);
    const { network } = inside(bare[1]!.dht);
    const question = { type: 'GET_PROVIDERS', key: cid.multihash.bytes };
    const path = { index: -1, queued: 0, running: 0, total: 0 };
    const options = { signal: AbortSignal.timeout(5_000), path };
    const events: string[] = [];
    for await (const { name } of network.sendRequest(bare[2]!.libp2p.peerId, question, options)) {
      events.push(name);
    }
    expect(events).toContain('QUERY_ERROR');
    expect(events).not.toContain('PEER_RESPONSE');
  });

  it('ours: the others are named', async () => {
    const cid = cidOf(gone);
    await all[0]!.provide(cid);
    await all[1]!.provide(cid);
    await five[2]!.libp2p.peerStore.delete(peerIdFromString(members[0]!));
    // It has nothing of its own to say, and asks that one alone.
    const asker = await storeNode(() => members);
    await mesh([five[2]!, asker]);
    const found = await collect(providersOf(asker, () => members).find(cid));
    expect(found).toContain(members[1]);
  });
});

describe('answers of others', () => {
  it('name members only, and a silent peer costs its deadline alone', async () => {
    const three = await cluster(3);
    const ids = three.map(({ id }) => id);
    const strange = peerIdFromString('12D3KooWGRUaGPZ4kXnRYQ3v8eGvnn9h3mQX5bWjyGvTUFKE4Vwz');
    const rubbish = async (message: Message): Promise<Message> => ({
      ...message,
      providers: [{ id: strange.toMultihash().bytes, multiaddrs: [] }],
    });
    const handlersOf = (node: Node) =>
      (node.dht as unknown as { rpc: { handlers: Record<string, { handle: unknown }> } }).rpc
        .handlers;
    await providersOf(three[2]!, () => ids).provide(cidOf('x'));
    handlersOf(three[1]!).GET_PROVIDERS!.handle = (_peer: unknown, m: Message) => rubbish(m);
    const before = steadyClock.now();
    const options = { requestMs: 400, timeoutMs: 2_000 };
    const own = providersOf(three[0]!, () => ids, options);
    expect(await collect(own.find(cidOf('x')))).toEqual([ids[2]]);
    handlersOf(three[1]!).GET_PROVIDERS!.handle = () => new Promise(() => {});
    expect(await collect(own.find(cidOf('x')))).toEqual([ids[2]]);
    expect(steadyClock.now() - before).toBeLessThan(5_000);
    expect(three[0]!.counters.get('peerError')).toBeGreaterThan(0);
  });
});
