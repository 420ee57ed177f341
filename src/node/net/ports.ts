/**
 * What the network asks of the roster, and how the roster service answers it.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Clock, Signer } from '../../base/ports.ts';
import { runExchange } from '../../roster/exchange-driver.ts';
import type { Invitation } from '../../roster/invitation.ts';
import { acceptAnswer, type JoinDesk } from '../../roster/join.ts';
import { encodeJoin } from '../../roster/join-wire.ts';
import type { RosterService } from '../../roster/service.ts';
import type { FrameStream, RosterView, Standing } from '../../roster/types.ts';

/** The roster as the network sees it. */
export interface RosterPort {
  /** The newest reading of the chain. */
  view(): RosterView;
  /** False while a joining node's chain is not as far as its invitation: it judges nobody then. */
  ready(): boolean;
  /** Calls back after the chain grew. @returns a function that ends the subscription. */
  onChange(listener: () => void): () => void;
  /**
   * Compares chains with the peer at the other end, and extends the shorter one. Symmetric.
   * @throws ROSTER_FORK, BAD_MESSAGE, TIMEOUT, PEER_UNREACHABLE.
   */
  exchange(stream: FrameStream, remote: PeerId, timeoutMs: number): Promise<void>;
  /** Answers a request to join, admitting or refusing; it does not reject. */
  serveJoin(request: Uint8Array, from: PeerId): Promise<Uint8Array>;
}

/** This node's own wish to be admitted. */
export interface JoinPort {
  /** Bytes of the request to send to a member; made anew each time, it says what this node has. */
  request(): Uint8Array;
  /**
   * Takes a member's answer.
   * @returns true when this node is a member now; false when the chain is not there yet.
   * @throws the refusal.
   */
  accept(answer: Uint8Array): Promise<boolean>;
  /** Wall clock, ms: after this, and a grace for clocks that differ, no attempt makes sense. */
  readonly expiresAt: number;
}

/** Judges the peer at the other end of a connection. */
export interface Judge {
  /** By what is known now. `member` only while this node is a member too. */
  standing(peer: PeerId): Standing;
  /** The same after the roster exchange with the peer, waiting at most a few seconds for it. */
  settled(peer: PeerId): Promise<Standing>;
}

/** The roster service and its desk behind the port. */
export function rosterPort(roster: RosterService, desk: JoinDesk, clock: Clock): RosterPort {
  return {
    view: () => roster.view,
    ready: () => roster.checkpointReached,
    onChange: (listener) => roster.onChange(() => listener()),
    async exchange(stream, remote, timeoutMs) {
      await runExchange(stream, { roster, clock, remote, timeoutMs });
    },
    serveJoin: (request, from) => desk.serveJoin(request, from),
  };
}

/** A pending invitation behind the port. @throws BAD_USAGE: `name` is no host name. */
export function joinPort(
  roster: RosterService,
  invitation: Invitation,
  signer: Signer,
  name?: string,
): JoinPort {
  if (invitation.genesis.clusterId !== roster.view.clusterId) {
    throw new BzzzError('INVITATION_FOREIGN', 'the invitation is for another cluster');
  }
  return {
    request: () =>
      encodeJoin(invitation, signer, {
        have: roster.view.epoch,
        ...(name === undefined ? {} : { name }),
      }),
    accept: (answer) => acceptAnswer(roster, answer),
    expiresAt: invitation.token.expiresAt,
  };
}
