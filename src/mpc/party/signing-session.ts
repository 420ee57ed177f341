/**
 * A signing session on this node: the pure machine of `signing/` on real ports.
 * @module
 */
import type { PeerId, SessionId } from '../../base/brands.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { wipe } from '../keys/sharefile.ts';
import type { NoncePort } from '../nonces/types.ts';
import type { VerifiedResult } from '../result.ts';
import type { Released, Standing } from '../signing/arbiter.ts';
import { openSigning, stepSigning } from '../signing/machine.ts';
import type {
  Refusal,
  SigningDeps,
  SigningEffect,
  SigningInput,
  SigningOutcome,
  SigningStart,
  SigningState,
} from '../signing/types.ts';
import { suiteOf } from '../suites/index.ts';
import type { KeyInfo, KeyShare, SignProposal } from '../types.ts';
import { ownShare, wantsApproval } from './admit.ts';
import { Approval, type ApprovalDocument } from './approval.ts';
import type { Host } from './live.ts';
import type { PaceReader, Paces } from './paces.ts';
import { type KindOf, Session } from './session.ts';
import type { ProposeBody } from './wire.ts';

/** What the service does for signing sessions in particular. */
export interface SigningHost extends Host {
  /** A share of this session is about to leave. */
  released(session: SigningSession, effect: Released): void;
  /** Brings the proposal to a holder, with the machine's first message to it. */
  propose(session: SigningSession, peer: PeerId, first: Uint8Array | null): Promise<void>;
  /** Commitments that were exchanged ahead, for a key that is held here. */
  noncesFor(key: KeyInfo): NoncePort;
  /** How long signatures take lately, by key. */
  readonly paces: Paces;
  /** A valid result, the best so far. */
  learnResult(sid: SessionId, result: VerifiedResult): void;
}

type Signing = KindOf<SignProposal, SigningState, SigningInput, SigningEffect, SigningOutcome>;

/** One running signing session. */
export class SigningSession extends Session<Signing> {
  declare readonly body: ProposeBody;
  readonly #host: SigningHost;
  readonly #start: SigningStart;
  /** Who has the proposal; the others get it with the first message for them. */
  readonly #told: Set<PeerId>;
  readonly #approval: Approval | undefined;
  readonly #pace: PaceReader;
  /** What waits for `release`; undefined behind it. */
  #held: (() => void)[] | undefined = [];
  #share: KeyShare | undefined;

  /**
   * @param told peers that have the proposal, beside its author and this node.
   * @throws BAD_MESSAGE when proposal, key and message do not fit.
   */
  constructor(host: SigningHost, start: SigningStart, body: ProposeBody, told: readonly PeerId[]) {
    const deps = machineDeps(host, start);
    const { sealed, key } = start;
    super(host, {
      ...{ sealed, body },
      parties: key.parties.map(({ peerId }) => peerId),
      state: openSigning(start, deps),
      step: (state, input) => stepSigning(state, input, deps),
    });
    this.#host = host;
    this.#start = start;
    this.#share = start.share;
    this.#told = new Set([host.self, sealed.proposal.proposer, ...told]);
    this.#approval = this.#question();
    this.#pace = host.paces.reader(key.keyId);
  }

  /** What this node's operator is asked; undefined when nothing is. */
  get approval(): ApprovalDocument | undefined {
    return this.#approval?.document;
  }

  override start(): void {
    if (this.#approval?.waits === true) {
      this.#tell(this.#approval.document);
      this.#host.say(this.sid, 'note', { what: 'waiting' });
    }
    super.start();
  }

  /** The session outlives this process: what was said of it leaves now, in its order. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const leave of held) leave();
  }

  /**
   * The operator says yes: this node signs.
   * @throws CONFLICT when no answer is awaited; NOT_FOUND, SHARE_CORRUPT, and then it still waits.
   */
  async approve(): Promise<void> {
    const approval = this.#asked();
    const share = await ownShare(this.#start.key, this.#host.shares);
    try {
      approval.approve();
    } catch (error) {
      // Somebody else answered, or the session ended, while the share was read.
      wipe(share.signingShare);
      throw error;
    }
    this.#share = share;
    this.feed({ type: 'approved', share });
    this.#host.say(this.sid, 'note', { what: 'approved' });
  }

  /** The operator says no: this node withdraws. @throws CONFLICT when no answer is awaited. */
  deny(reason: string): void {
    this.#asked().deny(reason);
    const said = reason === '' ? 'denied by an operator' : `denied by an operator: ${reason}`;
    const refusal = { code: 'REFUSED_BY_POLICY', rule: 'approval', reason: said } as const;
    this.feed({ type: 'withdraw', ...refusal });
  }

  /** A holder answered the proposal with a refusal. */
  refused(from: PeerId, refusal: Refusal): void {
    this.feed({ type: 'refused', from, ...refusal });
  }

  /** The last stream to a peer was lost. */
  gone(peer: PeerId): void {
    this.feed({ type: 'gone', peer });
  }

  /**
   * Sees to it that so many holders have the proposal that any `threshold` of all can finish it:
   * when n - threshold of those who know it are gone, one is left (S3). Where operators decide,
   * each of them must hear of it.
   */
  spread(): void {
    const { parties, threshold, policy } = this.#start.key;
    const need = policy === 'approve' ? parties.length : parties.length - threshold + 1;
    for (const { peerId } of parties) {
      const know = parties.filter((party) => this.#told.has(party.peerId)).length;
      if (know >= need) return;
      this.#bring(peerId, null);
    }
  }

  /** A result that another session, or the store, brought. */
  offer(record: Uint8Array): void {
    this.feed({ type: 'result', record });
  }

  /** The arbiter's word: stand back, or go on. */
  rule(standing: Standing | undefined): void {
    this.feed(standing === undefined ? { type: 'resumed' } : { type: 'superseded', ...standing });
  }

  override close(): void {
    super.close();
    this.#approval?.end();
    this.#wipeShare();
  }

  protected perform(effect: Signing['effect']): undefined | Promise<SigningInput> {
    switch (effect.type) {
      case 'signOwn': {
        const { attempt } = effect;
        const { nextTurn } = this.#host.deps;
        return this.#released()
          .then(nextTurn)
          .then(() => ({ type: 'signOwn', attempt }));
      }
      case 'released':
        this.#host.released(this, effect);
        return undefined;
      case 'record':
        this.#host.learnResult(this.sid, effect.result);
        return undefined;
      case 'ignored':
        this.#host.deps.logger.debug(
          { sessionId: this.sid, from: effect.from, reason: effect.reason },
          'a session message was refused',
        );
        return undefined;
      case 'done':
        this.#wipeShare();
        this.#approval?.end();
        this.finish(effect.outcome);
        return undefined;
    }
  }

  protected override send(to: readonly PeerId[], envelope: Uint8Array): void {
    for (const peer of to) this.#bring(peer, envelope);
  }

  #released(): Promise<void> {
    const held = this.#held;
    return held === undefined ? Promise.resolve() : new Promise((resolve) => held.push(resolve));
  }

  #bring(peer: PeerId, envelope: Uint8Array | null): void {
    if (this.#held !== undefined) {
      this.#held.push(() => this.#bring(peer, envelope));
      return;
    }
    if (!this.#told.has(peer)) {
      this.#told.add(peer);
      this.#host.background('propose', this.#host.propose(this, peer, envelope));
    } else if (envelope !== null) {
      this.#host.send(this.sid, [peer], envelope);
    }
  }

  /** Only what a reader of the session later wants. */
  protected override note(kind: string, data: Readonly<Record<string, unknown>>): void {
    this.#pace(kind, data);
    if (kind === 'driving' && typeof data.attempt === 'number' && data.attempt > 1) {
      this.#host.say(this.sid, 'note', { what: 'retrying', attempt: data.attempt });
    } else if (kind === 'culprit' || kind === 'superseded' || kind === 'refused') {
      this.#host.say(this.sid, 'note', { what: kind });
    }
  }

  /** An ended machine never signs; nothing else reads the share. */
  #wipeShare(): void {
    if (this.#share !== undefined) wipe(this.#share.signingShare);
  }

  #question(): Approval | undefined {
    const { sealed, key, message } = this.#start;
    const holds = this.parties.includes(this.#host.self);
    if (!holds || !wantsApproval(key, sealed.proposal.proposer, this.#host.self)) return undefined;
    return new Approval(sealed, key, message, (document) => this.#tell(document));
  }

  #asked(): Approval {
    if (this.#approval !== undefined) return this.#approval;
    throw new BzzzError('CONFLICT', `session ${this.sid} needs no approval on this node`);
  }

  /** Each answer is for the record: who asked for what, and what the operator said. */
  #tell(document: ApprovalDocument): void {
    const { logger, emit } = this.#host.deps;
    logger.info({ sessionId: this.sid, ...document }, `approval: ${document.state}`);
    emit('session.approval', { sessionId: this.sid, ...document });
  }
}

function machineDeps(host: SigningHost, { key, share }: SigningStart): SigningDeps {
  const { random, signer, suites } = host.deps;
  return {
    self: host.self,
    clusterId: host.clusterId,
    random,
    signer,
    open: openEnvelope,
    suite: suiteOf(key.suite, suites),
    timing: host.paces.timing(key.keyId),
    // A holder whose operator decides commits when he has said yes, and not ahead.
    ...(share === undefined || key.policy === 'approve' ? {} : { nonces: host.noncesFor(key) }),
  };
}
