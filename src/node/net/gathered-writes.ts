/**
 * What is sent to a host in one go leaves in one write.
 *
 * js-libp2p writes each encrypted message in two, its length and the rest, and each frame of the
 * stream muxer is such a message. With Nagle's delay off, as it is, every write is a segment of its
 * own, and may wake the other host for two bytes. A write is most of what a small message costs.
 * @module
 */
import type { Socket } from 'node:net';
import type { ConnectionEncrypter } from '@libp2p/interface';
import { assert } from '../../base/errors.ts';

/** What this reaches into; the version is pinned, and the shape asserted at each connection. */
interface Connection {
  readonly socket: Socket;
  sendData(data: unknown): unknown;
}

type Make<C> = (components: C) => ConnectionEncrypter;
type Secured = 'secureInbound' | 'secureOutbound';

/**
 * An encrypter over connections that gather their writes.
 * @param make the encrypter as its library has it.
 */
export function overGatheredWrites<C>(make: Make<C>): Make<C> {
  return (components) => {
    const encrypter = make(components);
    for (const side of ['secureInbound', 'secureOutbound'] satisfies Secured[]) {
      const secure = encrypter[side].bind(encrypter) as (...args: unknown[]) => Promise<unknown>;
      Reflect.set(encrypter, side, (connection: unknown, ...more: unknown[]) => {
        gatherWrites(connection as Connection);
        return secure(connection, ...more);
      });
    }
    return encrypter;
  };
}

/** Holds writes back until the turn that wants them is over. @throws INTERNAL: another library. */
export function gatherWrites(connection: Connection): void {
  const { socket, sendData } = connection;
  const isKnown = typeof socket?.cork === 'function' && typeof sendData === 'function';
  assert(isKnown, 'a connection without a socket to gather writes for');
  let gathering = false;
  connection.sendData = (data) => {
    if (!gathering) {
      gathering = true;
      socket.cork();
      process.nextTick(() => {
        gathering = false;
        socket.uncork();
      });
    }
    return sendData.call(connection, data);
  };
}
