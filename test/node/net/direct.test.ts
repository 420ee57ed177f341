/** The direct port between real nodes, and against peers that break it. */
import type { Libp2p, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { afterEach, describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { encodeDirectFrame, type Frame } from '../../../src/node/net/direct-wire.ts';
import { encodeFrame } from '../../../src/node/net/frames.ts';
import { protocolNames } from '../../../src/node/net/protocols.ts';
import {
  bareHost,
  ended,
  entranceOf,
  genesisOf,
  Lab,
  meshed,
  type Node,
  type NodeSettings,
  rawStream,
  sleep,
  until,
} from './support.ts';

const lab = new Lab(await genesisOf('ada'));
const chain = await lab.entries('ada', ['ben', 'cyd']);
const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  await Promise.all(cleanups.splice(0).map((end) => end()));
  await lab.close();
});

async function pair(settings: NodeSettings = {}): Promise<readonly [Node, Node]> {
  const ada = await lab.start('ada', chain, settings);
  const ben = await lab.start('ben', chain, { entrances: [entranceOf(ada)], ...settings });
  await until('connected', () => meshed([ada, ben]));
  return [ada, ben];
}

/** Ben's identity in the hands of somebody who speaks the protocol badly. */
async function rogue(): Promise<Libp2p> {
  const host = await bareHost('ben');
  cleanups.push(async () => void (await host.stop()));
  return host;
}

const directOf = (node: Node): string => protocolNames(node.roster.view.tag).direct;
const frame = (value: Frame): Uint8Array => encodeFrame(encodeDirectFrame(value));
const hello = (fill = 7, boot = 1): Uint8Array =>
  frame({ kind: 'hello', v: 1, boot, instance: new Uint8Array(16).fill(fill), got: null });

/** Ends every direct stream between two nodes. */
function resetStreams(node: Node, peer: PeerId): number {
  let count = 0;
  for (const connection of node.network.host.getConnections(peerIdFromString(peer))) {
    for (const stream of connection.streams) {
      if (stream.protocol !== directOf(node)) continue;
      stream.abort(new Error('reset by the test'));
      count++;
    }
  }
  return count;
}

describe('direct messages', () => {
  it('arrive in order per topic, and a request brings the answer or the error (R47)', async () => {
    const [ada, ben] = await pair();
    const got: number[] = [];
    ben.network.direct.handle('count', async (from, body) => {
      await sleep(body[0] === 0 ? 30 : 0);
      expect(from).toBe(ada.peerId);
      got.push(body[0] ?? -1);
      return undefined;
    });
    ben.network.direct.handle('echo', async (_from, body) => body);
    ben.network.direct.handle('fail', async () => {
      throw new BzzzError('NO_QUORUM', 'two of five', { why: 'test', details: { have: 2 } });
    });
    const { direct } = ada.network;
    await Promise.all(
      Array.from({ length: 50 }, (_, i) => direct.send(ben.peerId, 'count', Uint8Array.of(i))),
    );
    expect(await direct.request(ben.peerId, 'echo', text('hi'))).toEqual(text('hi'));
    await expect(direct.request(ben.peerId, 'fail', text(''))).rejects.toMatchObject({
      code: 'NO_QUORUM',
      why: 'test',
      details: { have: 2 },
    });
    await expect(direct.request(ben.peerId, 'nobody', text(''))).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
    });
    await until('all are handled', () => got.length === 50);
    expect(got).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  it('of 1 MiB pass both ways, larger ones are refused before they leave', async () => {
    const [ada, ben] = await pair();
    ben.network.direct.handle('echo', async (_from, body) => body);
    const large = new Uint8Array(LIMITS.signMessageBytes).fill(5);
    const answer = await ada.network.direct.request(ben.peerId, 'echo', large);
    expect(Buffer.compare(answer, large)).toBe(0);
    const larger = new Uint8Array(LIMITS.directFrameBytes);
    await expect(ada.network.direct.send(ben.peerId, 'echo', larger)).rejects.toMatchObject({
      code: 'TOO_LARGE',
    });
  });

  it('a handler that never ends holds up neither other topics nor requests', async () => {
    const [ada, ben] = await pair();
    ben.network.direct.handle('stuck', () => new Promise(() => undefined));
    ben.network.direct.handle('echo', async (_from, body) => body);
    const { direct } = ada.network;
    await direct.send(ben.peerId, 'stuck', text('a'));
    const never = direct.request(ben.peerId, 'stuck', text('b'), 300);
    expect(await direct.request(ben.peerId, 'echo', text('c'))).toEqual(text('c'));
    await expect(never).rejects.toMatchObject({ code: 'TIMEOUT' });
  });

  it('two handlers that ask each other do not block each other', async () => {
    const [ada, ben] = await pair();
    ben.network.direct.handle('outer', (from, body) =>
      ben.network.direct.request(from, 'inner', body),
    );
    ada.network.direct.handle('inner', async (_from, body) => Uint8Array.of((body[0] ?? 0) + 1));
    const { direct } = ada.network;
    expect(await direct.request(ben.peerId, 'outer', Uint8Array.of(1))).toEqual(Uint8Array.of(2));
  });

  it('arrive exactly once through resets of streams and connections (R47)', async () => {
    const [ada, ben] = await pair();
    const got: number[] = [];
    ben.network.direct.handle('n', async (_from, body) => {
      got.push(new DataView(body.buffer, body.byteOffset).getUint32(0));
      return undefined;
    });
    const sends: Promise<void>[] = [];
    for (let i = 0; i < 400; i++) {
      const body = new Uint8Array(2_000);
      new DataView(body.buffer).setUint32(0, i);
      sends.push(ada.network.direct.send(ben.peerId, 'n', body, 20_000));
      if (i % 50 === 12) resetStreams(ada, ben.peerId);
      if (i % 50 === 37) resetStreams(ben, ada.peerId);
      if (i === 200) ada.network.admission.cut(ben.peerId, 'test');
      await sleep(1);
    }
    await Promise.all(sends);
    await until('all are handled', () => got.length >= 400);
    await sleep(50);
    expect(got).toEqual(Array.from({ length: 400 }, (_, i) => i));
    expect(ada.network.direct.counters.repeated).toBeGreaterThan(0);
  });

  it('wait for a peer that is away, and say so when it does not come', async () => {
    const [ada, ben] = await pair();
    await ben.network.stop();
    await until('gone', () => ada.network.direct.connected().length === 0);
    const { direct } = ada.network;
    await expect(direct.send(ben.peerId, 'n', text('x'), 100)).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE',
    });
    const waiting = direct.send(ben.peerId, 'n', text('y'), 20_000);
    const again = await lab.make('ben', chain, { entrances: [entranceOf(ada)], boot: 2 });
    const got: Uint8Array[] = [];
    again.network.direct.handle('n', async (_from, body) => {
      got.push(body);
      return undefined;
    });
    await again.network.start();
    await waiting;
    await until('handled', () => got.length === 1);
    expect(got).toEqual([text('y')]);
  });

  it('asked of a run that died are answered with that, not left to time out', async () => {
    const [ada, ben] = await pair();
    ben.network.direct.handle('stuck', () => new Promise(() => undefined));
    const never = ada.network.direct.request(ben.peerId, 'stuck', text('x'), 25_000);
    const outcome = expect(never).rejects.toMatchObject({
      code: 'PEER_UNREACHABLE',
      message: expect.stringContaining('restarted'),
    });
    await sleep(100);
    await ben.network.stop();
    await lab.start('ben', chain, { entrances: [entranceOf(ada)], boot: 2 });
    await outcome;
  });

  it('beyond the queue are refused and counted (P3)', async () => {
    const ada = await lab.start('ada', chain);
    const peer = (await lab.make('ben', chain)).peerId;
    const sends = Array.from({ length: LIMITS.directQueue + 5 }, () =>
      ada.network.direct.send(peer, 'n', text('x'), 300).then(
        () => 'sent',
        (e: BzzzError) => e.message,
      ),
    );
    const outcomes = await Promise.all(sends);
    expect(outcomes.filter((o) => o.includes('is full'))).toHaveLength(5);
    expect(ada.network.direct.counters.dropped).toBe(5);
  });

  it('to nobody in the roster are refused', async () => {
    const ada = await lab.start('ada', chain);
    const { peerId } = await lab.make('zoe', chain);
    await expect(ada.network.direct.send(peerId, 'n', text('x'))).rejects.toMatchObject({
      code: 'NOT_A_MEMBER',
    });
  });
});

describe('a member that breaks the protocol', () => {
  const oversized = Uint8Array.of(0x7f, 0xff, 0xff, 0xff);
  const bad: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['sends no hello', [frame({ kind: 'ack', seq: 1 })]],
    ['sends garbage first', [encodeFrame(new Uint8Array(100).fill(0xf5))]],
    ['sends garbage later', [hello(), encodeFrame(text('not cbor'))]],
    ['claims a frame of 2 GiB', [hello(), oversized]],
    ['says hello twice', [hello(), hello()]],
    ['acknowledges what was never sent', [hello(), frame({ kind: 'ack', seq: 4_000_000 })]],
  ];
  it.each(bad)(
    'and %s: the stream is reset, counted, and others are served',
    async (_what, sent) => {
      const ada = await lab.start('ada', chain);
      const cyd = await lab.start('cyd', chain, { entrances: [entranceOf(ada)] });
      const host = await rogue();
      const stream = await rawStream(host, ada, directOf(ada));
      for (const bytes of sent) stream.send(bytes);
      expect(await ended(stream)).toBe('reset');
      expect(ada.network.direct.counters.faults).toBe(1);
      cyd.network.direct.handle('echo', async (_from, body) => body);
      await until('cyd is served', () => meshed([ada, cyd]));
      expect(await ada.network.direct.request(cyd.peerId, 'echo', text('x'))).toEqual(text('x'));
    },
  );

  it('and is slow with its hello, or with the rest of a frame: reset', async () => {
    const ada = await lab.start('ada', chain, { timing: { helloMs: 200, frameMs: 200 } });
    const host = await rogue();
    const silent = await rawStream(host, ada, directOf(ada));
    expect(await ended(silent)).toBe('reset');
    const slow = await rawStream(host, ada, directOf(ada));
    slow.send(hello());
    slow.send(encodeFrame(new Uint8Array(100_000)).subarray(0, 20));
    const drip = setInterval(() => {
      if (slow.status === 'open') slow.send(Uint8Array.of(0));
    }, 50);
    expect(await ended(slow).finally(() => clearInterval(drip))).toBe('reset');
    expect(ada.network.direct.counters.faults).toBe(2);
  });

  it('again and again: is disconnected', async () => {
    const ada = await lab.start('ada', chain);
    const host = await rogue();
    for (let i = 0; i < 5; i++) {
      const stream: Stream = await rawStream(host, ada, directOf(ada));
      stream.send(encodeFrame(text('rubbish')));
      await ended(stream);
    }
    await until('disconnected', () => host.getConnections().length === 0);
  });

  it('and opens many streams: a few are kept', async () => {
    const ada = await lab.start('ada', chain);
    const host = await rogue();
    const streams = await Promise.allSettled(
      Array.from({ length: 40 }, () => rawStream(host, ada, directOf(ada))),
    );
    await sleep(300);
    const open = streams.filter((s) => s.status === 'fulfilled' && s.value.status === 'open');
    expect(open.length).toBeLessThanOrEqual(4);
  });

  it('and repeats a message on other streams: it is handled once', async () => {
    const ada = await lab.make('ada', chain);
    let handled = 0;
    ada.network.direct.handle('n', async () => {
      handled++;
      return undefined;
    });
    await ada.network.start();
    const host = await rogue();
    for (let i = 0; i < 3; i++) {
      const stream = await rawStream(host, ada, directOf(ada));
      stream.send(hello());
      const message = frame({ kind: 'msg', seq: 1, topic: 'n', body: text('x') });
      for (let j = 0; j < 3; j++) stream.send(message);
    }
    await until('duplicates are seen', () => ada.network.direct.counters.duplicates >= 8);
    expect(handled).toBe(1);
  });

  it('and sends 20,000 messages without waiting: bounded work, others are served', async () => {
    const ada = await lab.make('ada', chain);
    ada.network.direct.handle('n', async () => {
      await sleep(1);
      return undefined;
    });
    await ada.network.start();
    const cyd = await lab.start('cyd', chain, { entrances: [entranceOf(ada)] });
    cyd.network.direct.handle('echo', async (_from, body) => body);
    await until('connected', () => meshed([ada, cyd]));
    const host = await rogue();
    const stream = await rawStream(host, ada, directOf(ada));
    stream.send(hello());
    const all = Array.from({ length: 20_000 }, (_, i) =>
      frame({ kind: 'msg', seq: i + 1, topic: 'n', body: new Uint8Array(10) }),
    );
    stream.send(new Uint8Array(Buffer.concat(all)));
    const asked = ada.network.direct.request(cyd.peerId, 'echo', text('x'));
    expect(await asked).toEqual(text('x'));
    expect(await ended(stream)).toBe('reset');
    expect(ada.network.direct.counters.overloads).toBe(1);
  });

  it('and whose data directory runs twice: is noticed and told', async () => {
    const ada = await lab.start('ada', chain);
    const host = await rogue();
    for (const fill of [1, 2]) {
      const stream = await rawStream(host, ada, directOf(ada));
      stream.send(hello(fill, 3));
      await until('greeted', () => ada.network.direct.connected().length === 1);
    }
    await until('noticed', () => ada.events.some((e) => e.kind === 'identity.copied'));
  });
});
