/** Streams that acknowledge what was used up, not every message. */
import type { Libp2p, Stream } from '@libp2p/interface';
import { noise } from '@libp2p/noise';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { YamuxStream } from '@libp2p/yamux/stream';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sendFewerWindowUpdates } from '../../../src/node/net/window-updates.ts';

const PROTOCOL = '/test/sink/1';
const MESSAGES = 200;
const BULK = 8 * 1_048_576;

let listener: Libp2p;
let dialler: Libp2p;
let received = 0;
let updates = 0;
let wake = (): void => {};

const host = (listen: string[]): Promise<Libp2p> =>
  createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    streamMuxers: [yamux()],
    connectionEncrypters: [noise()],
    connectionMonitor: { enabled: false },
  });

beforeAll(async () => {
  // Below whatever else wraps it: counts the frames that a stream really sends.
  const prototype = YamuxStream.prototype as unknown as { sendWindowUpdate(): void };
  const original = prototype.sendWindowUpdate;
  prototype.sendWindowUpdate = function (this: { sendFrame(...args: unknown[]): unknown }) {
    const inner = this.sendFrame;
    this.sendFrame = (...args) => {
      updates++;
      return inner(...args);
    };
    original.call(this);
    this.sendFrame = inner;
  };
  [listener, dialler] = await Promise.all([host(['/ip4/127.0.0.1/tcp/0']), host([])]);
  await listener.handle(PROTOCOL, (stream: Stream) => {
    stream.addEventListener('message', ({ data }) => {
      received += data.byteLength;
      wake();
    });
  });
});
afterAll(() => Promise.all([listener?.stop(), dialler?.stop()]));

async function open(): Promise<Stream> {
  const [address] = listener.getMultiaddrs();
  const connection = await dialler.dial(multiaddr(String(address)));
  return connection.newStream(PROTOCOL);
}

async function until(bytes: number): Promise<void> {
  while (received < bytes) await new Promise<void>((resolve) => (wake = resolve));
}

/** @returns how many window updates the receiver of small messages, one at a time, sent. */
async function updatesOfSmallTalk(): Promise<number> {
  const stream = await open();
  received = 0;
  stream.send(new Uint8Array(100));
  await until(100);
  updates = 0;
  for (let i = 2; i <= MESSAGES; i++) {
    stream.send(new Uint8Array(100));
    await until(100 * i);
  }
  await stream.close();
  return updates;
}

it('the bare library sends one for every message', async () => {
  expect(await updatesOfSmallTalk()).toBeGreaterThanOrEqual(MESSAGES - 1);
});

it('ours sends none for small talk, and enough for a transfer of many windows', async () => {
  sendFewerWindowUpdates();
  sendFewerWindowUpdates();
  expect(await updatesOfSmallTalk()).toBe(0);
  const stream = await open();
  received = 0;
  updates = 0;
  const chunk = new Uint8Array(64 * 1_024);
  for (let sent = 0; sent < BULK; sent += chunk.length) {
    if (!stream.send(chunk)) await stream.onDrain();
  }
  await until(BULK);
  expect(received).toBe(BULK);
  expect(updates).toBeGreaterThan(0);
  expect(updates).toBeLessThan(BULK / (64 * 1_024));
  await stream.close();
}, 30_000);
