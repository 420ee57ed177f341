/**
 * Where requests to join and to leave arrive. Every member takes them: one that can certify the
 * entry decides, any other passes the request on as it stands, first to the leader it knows, then
 * to the other voters in turn. While leadership changes hands it waits a moment and asks again: a
 * request may be decided twice, the second decision finds it done.
 * @module
 */

import type { Epoch, PeerId } from '../base/brands.ts';
import { BzzzError, type ErrorCode, toBzzzError } from '../base/errors.ts';
import { pause } from '../base/pause.ts';
import type { Signer } from '../base/ports.ts';
import { decodeQuery, encodeReply } from './invitation-wire.ts';
import { JoinJudge, type JudgeDeps } from './join-judge.ts';
import {
  type Answer,
  decodeAnswer,
  decodePetition,
  encodeAnswer,
  encodeLeave,
  type Petition,
} from './join-wire.ts';
import type { RosterService } from './service.ts';

export interface JoinDeps extends JudgeDeps {
  /** The identity of this node. */
  readonly signer: Signer;
  /**
   * Takes a petition to another member, which answers with `serveForwarded`. Rejects when the peer
   * is not reachable now; each call must end by itself.
   */
  readonly forward: (to: PeerId, petition: Uint8Array) => Promise<Uint8Array>;
  /** The leader that this node knows of; absent where there is no election. */
  readonly leader?: () => PeerId | undefined;
  /** Gives leadership to another voter, if one takes it; does not reject. */
  readonly handOver?: () => Promise<void>;
}

/** Topic of a petition on its way to another member, as a request over the direct streams. */
export const PETITION_TOPIC = 'roster/petition';
/** Topic of the question to the issuer of an invitation. */
export const INVITATION_TOPIC = 'roster/invitation';

/** An asking host waits 8 s; one last answer may take 5 s of it. */
const PATIENCE_MS = 3_000;
const POLL_MS = 200;

/** Answers of a voter that does not decide now, although somebody will in a moment. */
const UNDECIDED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NOT_LEADER',
  'LEADERSHIP_LOST',
  'STALE_TERM',
]);

/**
 * Refusals that another member or a later try would not turn into an admission. CONFLICT is none:
 * it means "not now", or that this host is a member already, which the roster exchange tells it.
 */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'INVALID_INVITATION',
  'INVITATION_FOREIGN',
  'INVITATION_EXPIRED',
  'INVITATION_REVOKED',
  'INVITATION_USED',
  'REFUSED_BY_POLICY',
]);

/** Whether a joining host should give up; otherwise it asks the next member, or later again. */
export const isFinalRefusal = (code: ErrorCode): boolean => FINAL.has(code);

/** Has petitions decided, here or elsewhere; see above. */
export class JoinDesk {
  readonly #deps: JoinDeps;
  readonly #judge: JoinJudge;

  constructor(deps: JoinDeps) {
    this.#deps = deps;
    this.#judge = new JoinJudge(deps);
  }

  /**
   * Answers a petition that came straight from its author.
   * @param remote the peer that Noise authenticated.
   * @returns an encoded answer; refusals are answers too, so this does not reject.
   */
  serveJoin(bytes: Uint8Array, remote: PeerId): Promise<Uint8Array> {
    return this.#answer(remote, undefined, bytes, async (petition) => {
      if (petition.peer !== remote) {
        throw new BzzzError('INVALID_INVITATION', 'the request is for another host', {
          why: `${petition.peer} made it, ${remote} presents it`,
        });
      }
      return this.#settle(bytes, petition);
    });
  }

  /**
   * Answers a petition that a member passed on; never passes it on again.
   * @param from the member, authenticated.
   */
  serveForwarded(bytes: Uint8Array, from: PeerId): Promise<Uint8Array> {
    return this.#answer(undefined, from, bytes, async (petition) => {
      const { roster } = this.#deps;
      if (roster.view.standing(from) !== 'member') {
        throw new BzzzError('NOT_A_MEMBER', `${from} is not a member`);
      }
      if (roster.canCertify) return this.#judge.decide(petition);
      const electing = roster.hasCertifier && roster.view.voters.includes(roster.self);
      throw new BzzzError(electing ? 'NOT_LEADER' : 'NOT_A_VOTER', `${roster.self} cannot admit`);
    });
  }

  /**
   * Tells another member what this node's book says of an invitation.
   * @param from the member, authenticated.
   * @throws BAD_MESSAGE, NOT_A_MEMBER.
   */
  async serveQuery(bytes: Uint8Array, from: PeerId): Promise<Uint8Array> {
    const { roster, invitations } = this.#deps;
    if (roster.view.standing(from) !== 'member') {
      throw new BzzzError('NOT_A_MEMBER', `${from} is not a member`);
    }
    return encodeReply(await invitations.standingOf(decodeQuery(bytes)));
  }

  /**
   * Removes this node from the roster, by its own voice or by asking a voter. A leader hands over
   * first: another certifies the entry, so that its loss is no loss of a leader.
   * @returns the epoch that removed it.
   * @throws REFUSED_BY_POLICY: it is the only voter; NOT_A_MEMBER; PEER_UNREACHABLE; NO_LEADER.
   */
  async leave(): Promise<Epoch> {
    const { roster, signer, handOver } = this.#deps;
    const { view, self } = roster;
    const member = view.members.get(self);
    if (member === undefined) throw new BzzzError('NOT_A_MEMBER', 'this host is not a member');
    if (roster.canCertify && view.voters.length === 1) {
      const change = { kind: 'remove', peer: self, reason: 'left' } as const;
      return (await roster.propose(change)).body.epoch;
    }
    if (roster.canCertify) await handOver?.();
    const { since } = member;
    const petition = encodeLeave(view.clusterId, signer, { since, have: view.epoch });
    const answer = await this.#settle(petition, undefined);
    if (!answer.ok) throw BzzzError.fromShape(answer.error);
    return answer.epoch;
  }

  /**
   * Decides, or finds somebody who does.
   * @param petition undefined: not by this node.
   */
  async #settle(bytes: Uint8Array, petition: Petition | undefined): Promise<Answer> {
    const { roster, clock, logger } = this.#deps;
    const until = clock.now() + PATIENCE_MS;
    for (;;) {
      if (petition !== undefined && roster.canCertify) return this.#judge.decide(petition);
      if (roster.standing !== 'member') {
        throw new BzzzError('NOT_A_MEMBER', 'this host is not a member itself', {
          hint: 'ask another host of the cluster',
        });
      }
      const answer = await this.#passOn(bytes);
      if (typeof answer !== 'string') return answer;
      const { voters } = roster.view;
      const why = `the voters are ${voters.join(', ')}`;
      if (answer === 'silence') {
        logger.warn({ voters }, 'no voter could decide a petition');
        throw new BzzzError('PEER_UNREACHABLE', 'no voter could be reached', {
          why,
          hint: 'start the daemon of a voter; the request is tried again',
        });
      }
      if (clock.now() >= until) throw new BzzzError('NO_LEADER', 'no voter leads now', { why });
      await pause(clock, POLL_MS);
    }
  }

  /** Asks the leader, then the voters in turn; the first that decides has decided. */
  async #passOn(petition: Uint8Array): Promise<Answer | 'electing' | 'silence'> {
    const { roster, forward, leader } = this.#deps;
    const known = leader?.();
    const asked = new Set(known === undefined ? [] : [known]);
    for (const voter of roster.view.voters) asked.add(voter);
    asked.delete(roster.self);
    // A leader without company that just handed over, or was not elected yet, asks itself again.
    let electing = roster.hasCertifier && asked.size === 0;
    for (const voter of asked) {
      const answer = await this.#ask(voter, petition, forward);
      if (answer === undefined) continue;
      if (!answer.ok && UNDECIDED.has(answer.error.code)) electing = true;
      else if (answer.ok || answer.error.code !== 'NOT_A_VOTER') {
        if (answer.ok) await this.#adopt(answer.entries);
        return answer;
      }
    }
    return electing ? 'electing' : 'silence';
  }

  async #ask(
    voter: PeerId,
    petition: Uint8Array,
    forward: JoinDeps['forward'],
  ): Promise<Answer | undefined> {
    try {
      return decodeAnswer(await forward(voter, petition));
    } catch (thrown) {
      const error = toBzzzError(thrown, 'PEER_UNREACHABLE').toShape();
      this.#deps.logger.warn({ voter, error }, 'a voter did not answer a petition');
      return undefined;
    }
  }

  /** The answer's entries begin where the asking host stands, which need not be where we do. */
  async #adopt(entries: readonly Uint8Array[]): Promise<void> {
    try {
      await this.#deps.roster.extend(entries);
    } catch (thrown) {
      const error = toBzzzError(thrown).toShape();
      this.#deps.logger.debug({ error }, 'entries of an answer left to the roster exchange');
    }
  }

  async #answer(
    peer: PeerId | undefined,
    via: PeerId | undefined,
    bytes: Uint8Array,
    serve: (petition: Petition) => Promise<Answer>,
  ): Promise<Uint8Array> {
    const { roster, logger } = this.#deps;
    try {
      const answer = await serve(decodePetition(roster.view.clusterId, bytes));
      if (!answer.ok) logger.warn({ peer, error: answer.error }, 'petition refused by a voter');
      return encodeAnswer(answer);
    } catch (thrown) {
      const error = toBzzzError(thrown);
      logger.warn({ peer, via, error: error.toShape() }, 'petition refused');
      return encodeAnswer({ ok: false, error: error.toShape() });
    }
  }
}

/**
 * Takes in the answer that a joining host got: appends its entries.
 * @returns whether the chain now shows this host as a member, past the invitation's checkpoint. If
 * not, the roster exchange brings the rest.
 * @throws the refusal; BAD_MESSAGE, ROSTER_FORK: the entries do not hold.
 */
export async function acceptAnswer(roster: RosterService, bytes: Uint8Array): Promise<boolean> {
  const answer = decodeAnswer(bytes);
  if (!answer.ok) throw BzzzError.fromShape(answer.error);
  await roster.extend(answer.entries);
  return roster.standing === 'member' && roster.checkpointReached;
}
