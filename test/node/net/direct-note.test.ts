/** Notes on direct streams, and how fast a killed peer is noticed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { Libp2p } from '@libp2p/interface';
import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../../src/base/bytes.ts';
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
  peerIdOf,
  rawStream,
  sleep,
  until,
} from './support.ts';

const OTHERS = ['ben', 'cyd', 'dan', 'eve', 'fay'];
const lab = new Lab(await genesisOf('ada'));
const chain = await lab.entries('ada', OTHERS);
const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  await Promise.all(cleanups.splice(0).map((end) => end()));
  await lab.close();
});

async function pair(): Promise<readonly [Node, Node]> {
  const ada = await lab.start('ada', chain);
  const ben = await lab.start('ben', chain, { entrances: [entranceOf(ada)] });
  await until('connected', () => meshed([ada, ben]));
  return [ada, ben];
}

async function rogue(): Promise<Libp2p> {
  const host = await bareHost('ben');
  cleanups.push(async () => void (await host.stop()));
  return host;
}

const directOf = (node: Node): string => protocolNames(node.roster.view.tag).direct;
const frame = (value: Frame): Uint8Array => encodeFrame(encodeDirectFrame(value));
const hello = frame({
  ...{ kind: 'hello', v: 1, boot: 1, got: null },
  instance: new Uint8Array(16).fill(7),
});
const note = (body: Uint8Array): Uint8Array => frame({ kind: 'note', topic: 'beat', body });

describe('a note', () => {
  it('arrives in order at its handler, at once, while a message handler is busy', async () => {
    const [ada, ben] = await pair();
    const got: number[] = [];
    ben.network.direct.handle('slow', () => new Promise(() => undefined));
    ben.network.direct.onNote('beat', (from, body) => {
      expect(from).toBe(ada.peerId);
      got.push(body[0] ?? -1);
    });
    await ada.network.direct.send(ben.peerId, 'slow', text('x'));
    for (let i = 0; i < 20; i++) {
      expect(ada.network.direct.note(ben.peerId, 'beat', Uint8Array.of(i))).toBe(true);
    }
    await until('all are there', () => got.length === 20);
    expect(got).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(ada.network.direct.counters.lostNotes).toBe(0);
  });

  it('is dropped and counted where no stream is open, and never sent later', async () => {
    const ada = await lab.start('ada', chain);
    const benId = await peerIdOf('ben');
    expect(ada.network.direct.note(benId, 'beat', text('early'))).toBe(false);
    expect(ada.network.direct.counters.lostNotes).toBe(1);
    const ben = await lab.make('ben', chain, { entrances: [entranceOf(ada)] });
    const got: string[] = [];
    ben.network.direct.onNote('beat', (_from, body) => {
      got.push(Buffer.from(body).toString());
    });
    await ben.network.start();
    await until('connected', () => meshed([ada, ben]));
    expect(ada.network.direct.note(benId, 'beat', text('now'))).toBe(true);
    await until('it is there', () => got.length > 0);
    expect(got).toEqual(['now']);
  });

  it('to nobody in the roster is dropped, and one too large is refused', async () => {
    const [ada, ben] = await pair();
    expect(ada.network.direct.note(await peerIdOf('zoe'), 'beat', text('x'))).toBe(false);
    const large = new Uint8Array(LIMITS.noteBytes + 1);
    expect(() => ada.network.direct.note(ben.peerId, 'beat', large)).toThrow(
      expect.objectContaining({ code: 'TOO_LARGE' }),
    );
  });

  it('of no topic here is ignored; a handler that fails costs no stream', async () => {
    const [ada, ben] = await pair();
    ben.network.direct.onNote('fails', () => {
      throw new Error('a fault of ours');
    });
    ada.network.direct.note(ben.peerId, 'nobody', text('x'));
    ada.network.direct.note(ben.peerId, 'fails', text('x'));
    await until('both came', () => ben.network.direct.counters.idleNotes === 2);
    expect(ben.network.direct.counters.faults).toBe(0);
    expect(meshed([ada, ben])).toBe(true);
  });

  it('gets past large messages that keep the stream full', async () => {
    const [ada, ben] = await pair();
    let beats = 0;
    ben.network.direct.onNote('beat', () => {
      beats++;
    });
    ben.network.direct.handle('bulk', async () => undefined);
    const large = new Uint8Array(LIMITS.signMessageBytes);
    const sends = Array.from({ length: 12 }, () =>
      ada.network.direct.send(ben.peerId, 'bulk', large, 20_000),
    );
    let sent = 0;
    for (; sent < 10; sent++) {
      expect(ada.network.direct.note(ben.peerId, 'beat', text('x'))).toBe(true);
      await sleep(2);
    }
    await Promise.all(sends);
    await until('the notes came', () => beats === sent);
  });

  it('is bounded where the other side does not read (P3)', async () => {
    const ada = await lab.start('ada', chain);
    const host = await rogue();
    const stream = await rawStream(host, ada, directOf(ada));
    stream.send(hello);
    const benId = await peerIdOf('ben');
    await until('greeted', () => ada.network.direct.connected().length === 1);
    stream.pause();
    const body = new Uint8Array(LIMITS.noteBytes);
    let written = 0;
    for (let i = 0; i < 2_000; i++) {
      if (ada.network.direct.note(benId, 'beat', body)) written++;
      if (i % 50 === 0) await sleep(1);
    }
    // What the windows of yamux and the kernel take, and no more.
    expect(written).toBeLessThan(1_000);
    expect(ada.network.direct.counters.lostNotes).toBe(2_000 - written);
  });
});

describe('a member that sends notes', () => {
  it('faster than anybody may: the stream is closed, counted, and others are served', async () => {
    const ada = await lab.make('ada', chain);
    let handled = 0;
    ada.network.direct.onNote('beat', () => {
      handled++;
    });
    await ada.network.start();
    const cyd = await lab.start('cyd', chain, { entrances: [entranceOf(ada)] });
    cyd.network.direct.handle('echo', async (_from, body) => body);
    await until('connected', () => meshed([ada, cyd]));
    const stream = await rawStream(await rogue(), ada, directOf(ada));
    stream.send(hello);
    const flood = Array.from({ length: 20_000 }, () => note(text('x')));
    stream.send(new Uint8Array(Buffer.concat(flood)));
    expect(await ended(stream)).toBe('reset');
    expect(ada.network.direct.counters.overloads).toBe(1);
    expect(handled).toBeGreaterThanOrEqual(LIMITS.noteBurst);
    expect(handled).toBeLessThan(LIMITS.noteBurst + 4 * LIMITS.notesPerSecond);
    const answer = await ada.network.direct.request(cyd.peerId, 'echo', text('y'));
    expect(answer).toEqual(text('y'));
  });

  it('that are too large, or garbage by their handler: the stream is reset', async () => {
    const ada = await lab.make('ada', chain);
    ada.network.direct.onNote('beat', () => {
      throw new BzzzError('BAD_MESSAGE', 'no beat');
    });
    await ada.network.start();
    const host = await rogue();
    for (const body of [new Uint8Array(LIMITS.noteBytes + 1), text('garbage')]) {
      const stream = await rawStream(host, ada, directOf(ada));
      stream.send(hello);
      stream.send(note(body));
      expect(await ended(stream)).toBe('reset');
    }
    expect(ada.network.direct.counters.faults).toBe(2);
  });
});

describe('a member that is killed', () => {
  const spawned: ChildProcess[] = [];

  /** A node in a process of its own; resolves when its process holds a connection to `server`. */
  function victim(name: string, ada: Node, port: number): ChildProcess {
    const file = join(import.meta.dirname, 'direct-victim.ts');
    const args = [file, name, entranceOf(ada).addr, String(port)];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'inherit', 'inherit'] });
    child.stdin?.end(chain.map(toHex).join('\n'));
    spawned.push(child);
    return child;
  }

  afterEach(() => {
    for (const child of spawned.splice(0)) child.kill('SIGKILL');
  });

  it('is lost to its peers within milliseconds of its sockets (median below 20)', async () => {
    const ada = await lab.start('ada', chain);
    const closedAt = new Map<string, number>();
    const lostAt = new Map<string, number>();
    const server: Server = createServer((socket) => {
      let name = '';
      socket.on('data', (bytes) => {
        name = bytes.toString();
      });
      const closed = (): void => {
        if (!closedAt.has(name)) closedAt.set(name, performance.now());
      };
      socket.on('error', closed).on('end', closed);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(async () => void server.close());
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const names = new Map<string, string>();
    for (const name of OTHERS) names.set(await peerIdOf(name), name);
    ada.network.direct.onPeer((peer, live) => {
      if (!live) lostAt.set(names.get(peer) ?? '', performance.now());
    });
    const children = new Map(OTHERS.map((name) => [name, victim(name, ada, port)]));
    const all = () => ada.network.direct.connected().length === OTHERS.length;
    await until('all are there', all, 60_000);
    await sleep(1_000);
    lostAt.clear();
    for (const child of children.values()) {
      child.kill('SIGKILL');
      await sleep(200);
    }
    await until('all are lost', () => lostAt.size === OTHERS.length);
    const took = OTHERS.map((name) => (lostAt.get(name) ?? 0) - (closedAt.get(name) ?? 0));
    const sorted = took.sort((a, b) => a - b);
    expect(sorted[2], `ms after the socket closed: ${sorted.map(Math.round)}`).toBeLessThan(20);
  });
});
