/**
 * Every message that this node has for another member, before it is sealed for the way, on the
 * diagnostics channel `bzzz.direct.frame`: for tracing tools, and for tests that look at all that
 * leaves a node. Costs nothing while nobody listens.
 * @module
 */
import { channel } from 'node:diagnostics_channel';
import type { PeerId } from '../../base/brands.ts';

/** What a subscriber gets. The body may hold a text that is to be signed. */
export interface TracedFrame {
  readonly to: PeerId;
  readonly topic: string;
  readonly body: Uint8Array;
}

const FRAMES = channel('bzzz.direct.frame');

/** For each message once, however often it is written. @param body as the handler gets it. */
export function traceFrame(to: PeerId, topic: string, body: Uint8Array): void {
  if (FRAMES.hasSubscribers) FRAMES.publish({ to, topic, body } satisfies TracedFrame);
}
