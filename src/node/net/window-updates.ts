/**
 * Window updates of the stream muxer, when they are worth a frame.
 *
 * js-yamux 8.0.3 answers every data frame with a window update: a small message between two hosts
 * then costs four writes instead of two, and writes are most of what an idle node and a signature
 * consist of. The protocol leaves the moment to the receiver
 * (https://github.com/hashicorp/yamux/blob/master/spec.md, "Flow Control"); Go's implementation
 * waits until half of the window is used up, and so do streams here.
 * @module
 */
import { StreamState, YamuxStream } from '@libp2p/yamux/stream';
import { assert } from '../../base/errors.ts';

/** What this reaches into; the version is pinned, and the shape asserted at the start. */
interface Window {
  readonly state: StreamState;
  readonly recvWindow: number;
  readonly recvWindowCapacity: number;
}

type Prototype = { sendWindowUpdate(this: Window): void };

let isDone = false;

/** Changes the streams of this process, once. @throws INTERNAL: another version of the muxer. */
export function sendFewerWindowUpdates(): void {
  if (isDone) return;
  isDone = true;
  const prototype = YamuxStream.prototype as unknown as Prototype;
  const original = prototype.sendWindowUpdate;
  assert(typeof original === 'function', 'the stream muxer sends no window updates');
  prototype.sendWindowUpdate = function (): void {
    const { state, recvWindow, recvWindowCapacity } = this;
    // The first update of a stream carries its acknowledgement.
    const isOpen = state === StreamState.Established;
    if (isOpen && recvWindowCapacity > recvWindow / 2) return;
    original.call(this);
  };
}
