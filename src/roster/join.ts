/**
 * Where requests to join and to leave arrive. Every member takes them: one that can certify the
 * entry decides, any other passes the request on to a voter as it stands.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { BzzzError, type ErrorCode, toBzzzError } from '../base/errors.ts';
import type { Clock, Logger, Signer } from '../base/ports.ts';
import { entriesFrom } from './chain.ts';
import type { InvitationBook } from './invitation-book.ts';
import { judgeJoin, judgeLeave, type Ruling } from './join-rules.ts';
import {
  type Answer,
  decodeAnswer,
  decodePetition,
  encodeAnswer,
  encodeLeave,
  type Petition,
} from './join-wire.ts';
import type { RosterService } from './service.ts';

export interface JoinDeps {
  readonly roster: RosterService;
  readonly invitations: InvitationBook;
  /** The identity of this node. */
  readonly signer: Signer;
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * Takes a petition to another member, which answers with `serveForwarded`. Rejects when the peer
   * is not reachable now; each call must end by itself.
   */
  readonly forward: (to: PeerId, petition: Uint8Array) => Promise<Uint8Array>;
}

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

/** Decides petitions or passes them on; see above. */
export class JoinDesk {
  readonly #deps: JoinDeps;

  constructor(deps: JoinDeps) {
    this.#deps = deps;
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
      return this.#deps.roster.canCertify ? this.#decide(petition) : this.#passOn(bytes);
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
      if (!roster.canCertify) throw new BzzzError('NOT_A_VOTER', `${roster.self} cannot admit`);
      return this.#decide(petition);
    });
  }

  /**
   * Removes this node from the roster, by its own voice or by asking a voter.
   * @returns the epoch that removed it.
   * @throws REFUSED_BY_POLICY: it is the only voter; NOT_A_MEMBER; PEER_UNREACHABLE.
   */
  async leave(): Promise<Epoch> {
    const { roster, signer } = this.#deps;
    const { view, self } = roster;
    const member = view.members.get(self);
    if (member === undefined) throw new BzzzError('NOT_A_MEMBER', 'this host is not a member');
    if (roster.canCertify) {
      const change = { kind: 'remove', peer: self, reason: 'left' } as const;
      return (await roster.propose(change)).body.epoch;
    }
    const { since } = member;
    const petition = encodeLeave(view.clusterId, signer, { since, have: view.epoch });
    const answer = await this.#passOn(petition);
    if (!answer.ok) throw BzzzError.fromShape(answer.error);
    return answer.epoch;
  }

  async #decide(petition: Petition): Promise<Answer> {
    const { roster, logger } = this.#deps;
    const epoch = await roster.exclusive(async (writer) => {
      const ruling = await this.#judge(petition);
      if (ruling.kind === 'already') return ruling.epoch;
      const { body } = await writer.propose(ruling.change, ruling.invitationId);
      logger.info({ epoch: body.epoch, ...body.change }, 'roster changed on request');
      return body.epoch;
    });
    return { ok: true, epoch, entries: entriesFrom(roster.chain, petition.have + 1) };
  }

  async #judge(petition: Petition): Promise<Ruling> {
    const { roster, invitations, clock } = this.#deps;
    if (petition.kind === 'leave') return judgeLeave(roster.chain, petition);
    const { token, issuer } = petition;
    const book = issuer === roster.self ? await invitations.standingOf(token.id) : 'elsewhere';
    return judgeJoin(roster.chain, petition, { nowMs: clock.wallMs(), book });
  }

  /** Asks the voters in turn; the first that decides has decided. */
  async #passOn(petition: Uint8Array): Promise<Answer> {
    const { roster, forward, logger } = this.#deps;
    if (roster.standing !== 'member') {
      throw new BzzzError('NOT_A_MEMBER', 'this host is not a member itself', {
        hint: 'ask another host of the cluster',
      });
    }
    const silent: PeerId[] = [];
    for (const voter of roster.view.voters) {
      if (voter === roster.self) continue;
      const answer = await this.#ask(voter, petition, forward);
      if (answer === undefined) {
        silent.push(voter);
        continue;
      }
      if (!answer.ok && answer.error.code === 'NOT_A_VOTER') continue;
      if (answer.ok) await this.#adopt(answer.entries);
      return answer;
    }
    logger.warn({ voters: roster.view.voters, silent }, 'no voter could decide a petition');
    throw new BzzzError('PEER_UNREACHABLE', 'no voter could be reached', {
      why: `the voters are ${roster.view.voters.join(', ')}`,
      hint: 'start the daemon of a voter; the request is tried again',
    });
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
