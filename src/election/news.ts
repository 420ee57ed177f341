/**
 * What the election brought, for the rest of the node: who leads and the proof of it, duties that
 * start and stop, the history of terms, events.
 * @module
 */
import type { Epoch, PeerId, Term } from '../base/brands.ts';
import { toHex } from '../base/bytes.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock, Direct, Logger } from '../base/ports.ts';
import type { Chain } from '../roster/chain.ts';
import {
  certifyElection,
  type VerifiedCertificate,
  verifyLeaderCertificate,
} from './certificate.ts';
import type { EvidenceBook } from './evidence.ts';
import type { TermHistory } from './history.ts';
import type { LeaderWatch } from './leader-watch.ts';
import { LEADER_TOPICS, leaderWire } from './leader-wire.ts';
import type { ElectionEffect, Leadership } from './types.ts';

/** How this node came to lead. `votes` are sealed. */
export interface Election {
  readonly term: Term;
  readonly epoch: Epoch;
  readonly votes: readonly Uint8Array[];
}

/** Something that only the leader does. Neither method may throw or block. */
export interface LeaderDuty {
  start(term: Term, election: Election): void;
  stop(term: Term): void;
}

/** Event log of the node. */
export type Emit = (kind: string, data: Readonly<Record<string, unknown>>) => void;

export interface NewsDeps {
  readonly self: PeerId;
  readonly chain: () => Chain;
  readonly direct: Pick<Direct, 'request'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly watch: LeaderWatch;
  readonly history: TermHistory;
  readonly evidence: EvidenceBook;
  readonly emit: Emit;
  /** Votes that were seen in another's certificate. */
  readonly witnessed: (votes: readonly Uint8Array[]) => void;
}

interface Proof {
  readonly term: Term;
  readonly bytes: Uint8Array;
  readonly voters: readonly PeerId[];
}

type Effect<T extends ElectionEffect['type']> = Extract<ElectionEffect, { type: T }>;

/** A leader may not have the proof ready, or this node not the roster that it is checked by. */
const LEARN_TRIES = 10;
const LEARN_PAUSE_MS = 500;
const LEARN_MS = 2_000;
/** The same refusal of the same peer is told once in this time. */
const REPEAT_MS = 10_000;
const REPEATS = 1_024;

/** Takes the effects of the machine that are about news. */
export class ElectionNews {
  readonly #deps: NewsDeps;
  readonly #duties = new Set<LeaderDuty>();
  readonly #told = new Map<string, number>();
  #election: Election | undefined;
  #proof: Proof | undefined;
  #retry: Cancel | undefined;
  #lostAt: number;
  #ignored = 0;
  #stopped = false;

  constructor(deps: NewsDeps) {
    this.#deps = deps;
    this.#lostAt = deps.clock.now();
  }

  /** How this node came to lead; undefined when it does not. */
  get election(): Election | undefined {
    return this.#election;
  }

  /** Acts that were refused; a metric. */
  get ignored(): number {
    return this.#ignored;
  }

  /** ms since somebody led; 0 while somebody does. */
  get lostMs(): number {
    return this.#deps.watch.current === undefined ? this.#deps.clock.now() - this.#lostAt : 0;
  }

  /** The leader's certificate and whose votes it has, once this node has seen it. */
  proofOf(term: Term): Proof | undefined {
    return this.#proof?.term === term ? this.#proof : undefined;
  }

  /** A duty that is added while this node leads starts at once. */
  addDuty(duty: LeaderDuty): void {
    this.#duties.add(duty);
    if (this.#election !== undefined) this.#start(duty, this.#election);
  }

  /** Nothing is told any more. Duties stop. */
  stop(): void {
    this.#endElection();
    this.#stopped = true;
    this.#retry?.();
  }

  elected({ term, epoch, votes, trigger }: Effect<'elected'>): void {
    const { self, logger, emit } = this.#deps;
    this.#election = { term, epoch, votes };
    this.#proof = this.#prove(this.#election);
    const from = this.#proof?.voters ?? [];
    logger.info({ term, epoch, trigger, votes: from }, 'elected');
    emit('leader.elected', { leader: self, term, epoch, trigger, votes: from });
  }

  deposed({ term, trigger }: Effect<'deposed'>): void {
    this.#deps.logger.info({ term, trigger }, 'leads no longer');
    this.#deps.emit('leader.deposed', { term, trigger });
    this.#endElection();
  }

  leader({ leadership, trigger }: Effect<'leader'>): void {
    const { self, watch, history, clock, logger, emit } = this.#deps;
    const before = watch.current;
    this.#retry?.();
    if (leadership === null) {
      if (before !== undefined) this.#lostAt = clock.now();
      history.end();
      logger.info({ ...before, trigger }, 'the leader is gone');
      emit('leader.lost', { ...before, trigger });
    } else {
      history.begin(leadership, trigger);
      logger.info({ ...leadership, trigger }, 'a leader');
      emit('leader.changed', { ...leadership, trigger });
      if (leadership.leader !== self) this.#learn(leadership, LEARN_TRIES);
    }
    watch.set(leadership ?? undefined);
    // Only now: a duty may ask who leads.
    const election = leadership?.leader === self ? this.#election : undefined;
    if (election !== undefined) for (const duty of this.#duties) this.#start(duty, election);
  }

  evidence({ voter, votes }: Effect<'evidence'>): void {
    if (!this.#deps.evidence.add({ voter, votes })) return;
    this.#deps.logger.error({ voter }, 'a voter voted twice in one term: is it a copy?');
    this.#deps.emit('election.equivocation', { voter, votes: votes.map(toHex) });
  }

  refused({ from, what, reason }: Effect<'ignored'>): void {
    this.#ignored++;
    // Reasons name terms and epochs, which change with every try; what was tried does not.
    const now = this.#deps.clock.now();
    const at = this.#told.get(`${from} ${what}`);
    if (at !== undefined && now - at < REPEAT_MS) return;
    if (this.#told.size >= REPEATS) this.#told.clear();
    this.#told.set(`${from} ${what}`, now);
    this.#deps.logger.debug({ from, what, reason }, 'refused an act');
    this.#deps.emit('election.refused', { from, what, reason });
  }

  #start(duty: LeaderDuty, election: Election): void {
    this.#safely(() => duty.start(election.term, election));
  }

  #endElection(): void {
    const election = this.#election;
    this.#election = undefined;
    if (election === undefined) return;
    for (const duty of this.#duties) this.#safely(() => duty.stop(election.term));
  }

  #safely(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      this.#deps.logger.error({ error: toBzzzError(thrown).toShape() }, 'a duty failed');
    }
  }

  #prove({ term, epoch, votes }: Election): Proof | undefined {
    const { self, chain, logger } = this.#deps;
    try {
      const bytes = certifyElection(chain(), { term, epoch, leader: self, votes });
      return { term, bytes, voters: verifyLeaderCertificate(bytes, chain()).voters };
    } catch (thrown) {
      // Leading does not need it; that votes counted and do not verify is our own fault.
      logger.error(
        { term, error: toBzzzError(thrown).toShape() },
        'no certificate of the election',
      );
      return undefined;
    }
  }

  /** Asks the leader for its proof: a node that follows is told who leads, and can check it. */
  #learn(leadership: Leadership, tries: number): void {
    const { clock, logger } = this.#deps;
    if (this.#stopped || this.proofOf(leadership.term) !== undefined) return;
    this.#fetch(leadership).then(
      ({ votes }) => this.#deps.witnessed(votes),
      (error: unknown) => {
        const { code, message } = toBzzzError(error);
        logger.debug({ ...leadership, code, message }, "no leader's certificate yet");
        if (this.#stopped || tries <= 1 || !this.#isCurrent(leadership)) return;
        this.#retry = clock.after(LEARN_PAUSE_MS, () => this.#learn(leadership, tries - 1));
      },
    );
  }

  async #fetch({ leader, term }: Leadership): Promise<VerifiedCertificate> {
    const { direct, chain } = this.#deps;
    const body = leaderWire.term.encode({ term });
    const answer = await direct.request(leader, LEADER_TOPICS.certificate, body, LEARN_MS);
    const { certificate: bytes } = leaderWire.certificate.decode(answer);
    if (bytes === null) throw new BzzzError('NOT_LEADER', `${leader} has no certificate`);
    const verified = verifyLeaderCertificate(bytes, chain());
    if (verified.term !== term || verified.leader !== leader) {
      throw new BzzzError('BAD_MESSAGE', `a certificate of ${verified.leader}, ${verified.term}`);
    }
    if (this.#isCurrent({ leader, term })) {
      this.#proof = { term, bytes, voters: verified.voters };
    }
    return verified;
  }

  #isCurrent({ leader, term }: Leadership): boolean {
    const { current } = this.#deps.watch;
    return current?.leader === leader && current.term === term;
  }
}
