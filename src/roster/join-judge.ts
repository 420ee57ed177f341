/**
 * How the node that certifies decides a petition: the rules, the word of the invitation's issuer,
 * the proposal.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { BzzzError, type ErrorCode, toBzzzError } from '../base/errors.ts';
import type { Clock, Logger } from '../base/ports.ts';
import { entriesFrom } from './chain.ts';
import type { InvitationBook } from './invitation-book.ts';
import { decodeReply, encodeQuery, type TokenStanding } from './invitation-wire.ts';
import { judgeJoin, judgeLeave, type Ruling } from './join-rules.ts';
import type { Answer, JoinPetition, Petition } from './join-wire.ts';
import type { RosterService } from './service.ts';

export interface JudgeDeps {
  readonly roster: RosterService;
  readonly invitations: InvitationBook;
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * Asks the issuer of an invitation, which answers with `serveQuery`; rejects as `forward` does.
   * Absent where there is no election: then invitations of others cannot be judged.
   */
  readonly askIssuer?: (issuer: PeerId, query: Uint8Array) => Promise<Uint8Array>;
}

/** Refusals of a proposal behind which another decision on the same petition may stand. */
const PERHAPS_DONE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CONFLICT',
  'NOT_FOUND',
  'INVITATION_USED',
]);

/** Decides; see above. */
export class JoinJudge {
  readonly #deps: JudgeDeps;

  constructor(deps: JudgeDeps) {
    this.#deps = deps;
  }

  /**
   * Decides a petition; only where `roster.canCertify`.
   * @throws the refusal; what the proposal throws.
   */
  async decide(petition: Petition): Promise<Answer> {
    const { roster, invitations } = this.#deps;
    let epoch: Epoch;
    if (petition.kind === 'leave') {
      epoch = await this.#make(() => judgeLeave(roster.chain, petition));
    } else if (petition.issuer === roster.self) {
      epoch = await invitations.using(petition.token.id, (book) => this.#admit(petition, book));
    } else {
      // What needs no issuer does not wait for it.
      const ruling = this.#judge(petition, 'issued');
      if (ruling.kind === 'already') epoch = ruling.epoch;
      else epoch = await this.#admit(petition, await this.#askIssuer(petition));
    }
    return { ok: true, epoch, entries: entriesFrom(roster.chain, petition.have + 1) };
  }

  #admit(petition: JoinPetition, book: TokenStanding | 'silent'): Promise<Epoch> {
    return this.#make(() => this.#judge(petition, book));
  }

  #judge(petition: JoinPetition, book: TokenStanding | 'silent'): Ruling {
    const { roster, clock } = this.#deps;
    return judgeJoin(roster.chain, petition, { nowMs: clock.wallMs(), book });
  }

  /**
   * Makes what was ruled. The proposal repeats the rules at the moment of the entry; when they
   * refuse, the petition may have been granted meanwhile, here or by a leader before.
   */
  async #make(judge: () => Ruling): Promise<Epoch> {
    const { roster, logger } = this.#deps;
    const ruling = judge();
    if (ruling.kind === 'already') return ruling.epoch;
    try {
      const { body } = await roster.propose(ruling.change, ruling.invitationId);
      logger.info({ epoch: body.epoch, ...body.change }, 'roster changed on request');
      return body.epoch;
    } catch (thrown) {
      if (!(thrown instanceof BzzzError && PERHAPS_DONE.has(thrown.code))) throw thrown;
      const now = judge();
      if (now.kind === 'already') return now.epoch;
      throw thrown;
    }
  }

  async #askIssuer({ issuer, token }: JoinPetition): Promise<TokenStanding | 'silent'> {
    const { askIssuer, logger } = this.#deps;
    if (askIssuer === undefined) return 'silent';
    try {
      return decodeReply(await askIssuer(issuer, encodeQuery(token.id)));
    } catch (thrown) {
      const error = toBzzzError(thrown, 'PEER_UNREACHABLE').toShape();
      logger.warn({ issuer, error }, 'the issuer of an invitation did not answer');
      return 'silent';
    }
  }
}
