/**
 * Peers that misbehave on every protocol that a real daemon speaks, as a stranger and as a member:
 * garbage, a frame that claims to be huge, and one that never ends. The others are served meanwhile.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateKeyPair, privateKeyFromProtobuf } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Libp2p, PrivateKey, Stream } from '@libp2p/interface';
import { noise } from '@libp2p/noise';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/node/control/client.ts';
import { decodeGenesis } from '../../src/roster/genesis.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import { GAUGED, memoryOf } from '../support/load/gauge.ts';

let cluster: Cluster;
let prefix: string;
const target = (): TestNode => cluster.node(0);
/** Holds a share like the target, and is left alone: the reference for memory. */
const spared = (): TestNode => cluster.node(2);

beforeAll(async () => {
  cluster = await Cluster.start(4, GAUGED);
  const genesis = decodeGenesis(readFileSync(join(target().dataDir, 'genesis.cbor')));
  prefix = `bzzz/${genesis.tag}`;
  const holders = [0, 1, 2].map((i) => cluster.node(i).peerId).join(',');
  await target().json([
    ...['key', 'create', 'main', '--suite', 'ed25519', '--threshold', '2', '--parties', '3'],
    ...['--participants', holders],
  ]);
});
afterAll(() => cluster?.stop());

async function attacker(privateKey: PrivateKey): Promise<Libp2p> {
  return createLibp2p({
    privateKey,
    addresses: { listen: [] },
    transports: [tcp()],
    streamMuxers: [yamux()],
    connectionEncrypters: [noise()],
    connectionMonitor: { enabled: false },
    services: { identify: identify({ protocolPrefix: prefix }) },
  });
}

/** What a peer can send that no protocol allows. Each keeps its side open. */
const ATTACKS: Record<string, (stream: Stream) => Promise<void>> = {
  garbage: async (stream) => {
    for (let i = 0; i < 16 && stream.status === 'open'; i++) stream.send(randomBytes(16_384));
  },
  'a huge length prefix': async (stream) => {
    stream.send(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f));
    for (let i = 0; i < 8 && stream.status === 'open'; i++) stream.send(randomBytes(65_536));
  },
  'a frame that never ends': async (stream) => {
    stream.send(Uint8Array.of(0x90, 0x4e));
    for (let i = 0; i < 10 && stream.status === 'open'; i++) {
      stream.send(Uint8Array.of(0xa1));
      await sleep(100);
    }
  },
};

const serve = (text: string): Promise<unknown> =>
  new ControlClient({
    socketPath: join(cluster.node(1).dataDir, 'control.sock'),
    timeoutMs: 30_000,
  }).call('POST', '/v1/sign', {
    json: { key: 'main', message: Buffer.from(text).toString('hex') },
  });

/** What is alive after a collection: what a process got of the system comes and goes. In MiB. */
async function aliveMib(node: TestNode): Promise<number> {
  const { heap, buffers } = await memoryOf(node);
  return heap + buffers;
}

const aliveOf = (): Promise<readonly number[]> => Promise.all([target(), spared()].map(aliveMib));

async function attackAll(key: PrivateKey): Promise<{ protocols: string[]; open: string[] }> {
  const dial = multiaddr(`/ip4/127.0.0.1/tcp/${target().port}/p2p/${target().peerId}`);
  let evil = await attacker(key);
  const open: string[] = [];
  try {
    const connection = await evil.dial(dial);
    const protocols = await until('identify', async () => {
      const { protocols: known } = await evil.peerStore.get(connection.remotePeer);
      return known.length > 3 ? known : undefined;
    });
    for (const protocol of protocols) {
      for (const [name, attack] of Object.entries(ATTACKS)) {
        const label = `${protocol} ${name}`;
        try {
          if (evil.getConnections().length === 0) {
            // Cut off: comes back as somebody who has nothing to lose would.
            await evil.stop();
            evil = await attacker(key);
            await evil.dial(dial, { signal: AbortSignal.timeout(5_000) });
          }
          const stream = await evil.dialProtocol(dial, protocol, {
            signal: AbortSignal.timeout(5_000),
          });
          await attack(stream);
          const ended = await until(label, () => stream.status !== 'open', 35_000).catch(
            () => false,
          );
          if (ended === false) open.push(label);
          stream.abort(new Error('done'));
        } catch {
          // Refused at the door is as good as closed behind it.
        }
      }
    }
    return { protocols, open };
  } finally {
    await evil.stop();
  }
}

describe('a hostile peer', () => {
  it.each([
    ['stranger', () => generateKeyPair('Ed25519')],
    [
      'member',
      async () => {
        const insider = cluster.node(3);
        await insider.kill();
        return privateKeyFromProtobuf(readFileSync(join(insider.dataDir, 'identity.key')));
      },
    ],
  ] as const)('%s: every protocol closes what it must not accept', async (_who, key) => {
    // A young heap grows by itself; what counts is what the attack adds to it.
    for (let i = 0; i < 60; i++) await serve(`warm-up ${i} ${_who}`);
    const before = await aliveOf();
    const attack = attackAll(await key());
    let served = 0;
    const serving = (async () => {
      for (; ; served++) {
        await serve(`meanwhile ${served} ${_who}`);
        if (await Promise.race([attack.then(() => true), sleep(250, false)])) return;
      }
    })();
    const { protocols, open } = await attack;
    await serving;
    expect(protocols.length).toBeGreaterThanOrEqual(6);
    expect(open).toEqual([]);
    expect(served).toBeGreaterThan(2);
    expect(target().running).toBe(true);
    const grown = (await aliveOf()).map((mib, i) => mib - (before[i] ?? 0));
    const [attacked = 0, reference = 0] = grown.map(Math.round);
    console.log(JSON.stringify({ test: 'abuse', who: _who, served, attacked, reference }));
    // Both served the same requests; the one was attacked, the other was not.
    expect(attacked - reference).toBeLessThan(20);
    expect((await target().json<{ ready: boolean }>(['status'])).ready).toBe(true);
  });

  it('on the control socket: garbage, a huge body and a slow request end; others are served', async () => {
    const path = join(target().dataDir, 'control.sock');
    // In one write: behind a second one, into a closed door, the answer to the first would be lost.
    const talk = (said: string | Uint8Array): Promise<string> =>
      new Promise((done, fail) => {
        const socket = connect(path);
        let text = '';
        socket.on('data', (chunk) => (text += chunk));
        socket.once('close', () => done(text));
        // A daemon that hangs up on what it has not read resets: that too is an end, after `text`.
        socket.on('error', (error: NodeJS.ErrnoException) => {
          if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') fail(error);
        });
        socket.write(said);
      });
    const slow = talk('GET /v1/status HTTP/1.1\r\nHost: bzzz\r\nX-Slow: ');
    expect(await talk(Buffer.concat([randomBytes(512), Buffer.from('\r\n\r\n')]))).toMatch(
      /^HTTP\/1\.1 4\d\d|^$/,
    );
    const size = 64 * 1_048_576;
    const head = `POST /v1/sign HTTP/1.1\r\nHost: bzzz\r\nContent-Type: application/json\r\nContent-Length: ${size}\r\n\r\n`;
    expect(await talk(`${head}{"key":"`)).toMatch(/413/);
    expect((await target().json<{ ready: boolean }>(['status'])).ready).toBe(true);
    expect(await slow).toMatch(/408|^$/);
    expect(await target().log()).toMatch(/bad request, connection closed/);
  });
});
