/** What is sent in one go leaves in one write. */
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { gatherWrites } from '../../../src/node/net/gathered-writes.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A connection as the TCP transport makes it: every part of a message is a write. */
function connected() {
  const writes: string[] = [];
  const socket = new Writable({
    write(chunk: Buffer, _encoding, done) {
      writes.push(chunk.toString());
      done();
    },
    writev(chunks: { chunk: Buffer }[], done) {
      writes.push(chunks.map(({ chunk }) => chunk.toString()).join('+'));
      done();
    },
  });
  const connection = {
    socket: socket as unknown as Socket,
    sendData(parts: readonly Uint8Array[]): { sentBytes: number } {
      for (const part of parts) this.socket.write(part);
      return { sentBytes: parts.reduce((sum, { length }) => sum + length, 0) };
    },
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { connection, socket, writes, turn };
}

describe('a connection that gathers its writes', () => {
  it('writes what is sent in one turn at once, in its order, and waits for no more', async () => {
    const { connection, writes, turn } = connected();
    gatherWrites(connection as never);
    expect(connection.sendData([bytes('1'), bytes('one')])).toEqual({ sentBytes: 4 });
    connection.sendData([bytes('2'), bytes('two')]);
    expect(writes).toEqual([]);
    await turn();
    expect(writes).toEqual(['1+one+2+two']);
    connection.sendData([bytes('3'), bytes('three')]);
    await turn();
    expect(writes).toEqual(['1+one+2+two', '3+three']);
  });

  it('loses nothing when it ends in the turn of a message', async () => {
    const { connection, socket, writes, turn } = connected();
    gatherWrites(connection as never);
    connection.sendData([bytes('1'), bytes('last')]);
    socket.end();
    await turn();
    expect(writes).toEqual(['1+last']);
    expect(socket.writableFinished).toBe(true);
  });

  it('says so when the library is another one', () => {
    expect(() => gatherWrites({ sendData: () => undefined } as never)).toThrow(/without a socket/);
  });
});
