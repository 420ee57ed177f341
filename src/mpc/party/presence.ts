/**
 * Who is there. Right after a start, of this node or of another, streams are just being opened: a
 * request that needs somebody waits a moment before it says that they are missing.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { pause } from '../../base/pause.ts';
import type { PartyDeps } from './ports.ts';
import { throwIfGone } from './wait.ts';

/** Peers that are just connecting get so long, in ms. */
const CONNECT_MS = 2_000;
const CONNECT_POLL_MS = 25;

/** This node and those that it can talk to now. */
export const connectedPeers = ({ signer, direct }: PartyDeps): ReadonlySet<PeerId> =>
  new Set([signer.peerId, ...direct.connected()]);

/**
 * Waits until `need` of these peers are connected, but not for long.
 * @returns those that are not. @throws INTERRUPTED when the client goes.
 */
export async function missingOf(
  peers: readonly PeerId[],
  need: number,
  deps: PartyDeps,
  signal: AbortSignal,
): Promise<readonly PeerId[]> {
  const { clock } = deps;
  const end = clock.now() + CONNECT_MS;
  for (;;) {
    throwIfGone(signal);
    const here = connectedPeers(deps);
    const missing = peers.filter((peer) => !here.has(peer));
    if (peers.length - missing.length >= need || clock.now() >= end) return missing;
    await pause(clock, CONNECT_POLL_MS);
  }
}
