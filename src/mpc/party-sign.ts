/**
 * Gets a signature as its requester: the one that exists, one under way, or a new one.
 * @module
 */

import type { PeerId, RequestId } from '../base/brands.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import { pause } from '../base/pause.ts';
import { planSignature } from './party-plan.ts';
import type { SignRequest } from './party-ports.ts';
import type { SessionRegistry } from './party-registry.ts';
import { SigningSession } from './party-signing.ts';
import { failureError, throwIfGone, waitForEnd } from './party-wait.ts';
import { TOPICS, wire } from './party-wire.ts';
import { checkSigning } from './policy.ts';
import { toSignatureResult } from './result.ts';
import type { KeyInfo, SignatureResult } from './types.ts';

/** Holders that are just connecting get so long, in ms. */
const CONNECT_MS = 2_000;
const CONNECT_POLL_MS = 25;
/** A session that takes longer looks whether the network has an answer already, in ms. */
const LOOK_MS = 300;

/** A signature and how it was come by. */
export interface Signed {
  readonly result: SignatureResult;
  /** 0 when it existed. */
  readonly attempts: number;
  readonly cached: boolean;
}

interface Running {
  readonly session: Promise<SigningSession>;
  clients: number;
}

/** Requests of this node's clients; equal ones share a session. */
export class Signatures {
  readonly #registry: SessionRegistry;
  readonly #running = new Map<RequestId, Running>();

  constructor(registry: SessionRegistry) {
    this.#registry = registry;
  }

  /**
   * @param request has passed `checkSignRequest`.
   * @throws INSUFFICIENT_PARTIES when too few holders are connected; BUSY; REFUSED_BY_POLICY when
   * too many holders refuse; SESSION_FAILED, SESSION_EXPIRED, CANCELLED; INTERRUPTED.
   */
  async get(
    request: SignRequest,
    key: KeyInfo,
    requestId: RequestId,
    signal: AbortSignal,
  ): Promise<Signed> {
    throwIfGone(signal);
    if (request.fresh) {
      const session = await this.#open(request, key, signal);
      return this.#outcome(session, signal, () => this.#cancel(session));
    }
    const known = await this.#known(request, key, requestId);
    if (known !== undefined) return known;
    throwIfGone(signal);
    const underway = await this.#underway(requestId, signal);
    if (underway !== undefined) return underway;
    const running = this.#join(request, key, requestId, signal);
    running.clients++;
    const leave = (session: SigningSession): void => {
      running.clients--;
      if (running.clients === 0) this.#cancel(session);
    };
    const session = await running.session;
    return this.#outcome(session, signal, () => leave(session));
  }

  /** Here, or at its address: a holder may have been away when it was signed. */
  async #known(
    { message }: SignRequest,
    key: KeyInfo,
    requestId: RequestId,
  ): Promise<Signed | undefined> {
    const { results } = this.#registry;
    const found =
      (await results.find(requestId, key, message, 'local')) ??
      (await results.find(requestId, key, message, 'anywhere'));
    if (found === undefined) return undefined;
    return { result: toSignatureResult(found), attempts: 0, cached: true };
  }

  /** Another node's session of this request that runs here already: its result is the answer. */
  async #underway(requestId: RequestId, signal: AbortSignal): Promise<Signed | undefined> {
    const { self } = this.#registry;
    for (const live of this.#registry.live()) {
      if (!(live instanceof SigningSession) || live.ended) continue;
      const { proposal } = live.sealed;
      if (proposal.requestId !== requestId || proposal.fresh || proposal.proposer === self)
        continue;
      const outcome = await waitForEnd(live, signal, () => {});
      if (outcome.state === 'completed') {
        return { result: outcome.result, attempts: outcome.attempts, cached: false };
      }
    }
    return undefined;
  }

  #join(request: SignRequest, key: KeyInfo, requestId: RequestId, signal: AbortSignal): Running {
    const known = this.#running.get(requestId);
    if (known !== undefined) return known;
    const running: Running = { session: this.#open(request, key, signal), clients: 0 };
    this.#running.set(requestId, running);
    const gone = (): void => {
      if (this.#running.get(requestId) === running) this.#running.delete(requestId);
    };
    running.session.then((session) => {
      session.onEnd(gone);
      this.#lookAround(session, request, key, requestId);
    }, gone);
    return running;
  }

  async #open(request: SignRequest, key: KeyInfo, signal: AbortSignal): Promise<SigningSession> {
    const registry = this.#registry;
    const { deps, self, options } = registry;
    await this.#enoughHolders(key, signal);
    const { sealed, body } = planSignature(request, key, options, deps);
    checkSigning(sealed.proposal, key, request.message, registry.policy);
    const holders = key.parties.map(({ peerId }) => peerId);
    const share = holders.includes(self)
      ? (await deps.keystore.share(key.keyId))?.share
      : undefined;
    const { message } = request;
    // The proposal leaves before the first message of the machine, so nobody has to ask for it.
    const frame = wire.propose(body);
    const answers = holders
      .filter((peer) => peer !== self)
      .map((peer) => this.#propose(peer, frame));
    const parts = { key, message, ...(share === undefined ? {} : { share }) };
    const start = { sealed, boot: options.boot, ...parts };
    const session = await registry.openSigning(start, body);
    for (const answer of answers) {
      registry.background(
        'propose',
        answer.then(({ peer, refusal }) => {
          if (refusal !== undefined) session.refused(peer, refusal.code);
        }),
      );
    }
    return session;
  }

  /** Silence of a holder is no refusal: it may come later. */
  async #propose(
    peer: PeerId,
    frame: Uint8Array,
  ): Promise<{ readonly peer: PeerId; readonly refusal: BzzzError | undefined }> {
    const { direct, logger } = this.#registry.deps;
    try {
      return { peer, refusal: wire.readAnswer(await direct.request(peer, TOPICS.propose, frame)) };
    } catch (thrown) {
      const { code, message } = toBzzzError(thrown);
      logger.debug({ peer, code }, `a holder did not answer: ${message}`);
      return { peer, refusal: undefined };
    }
  }

  /** @throws INSUFFICIENT_PARTIES, INTERRUPTED. */
  async #enoughHolders({ parties, threshold, name }: KeyInfo, signal: AbortSignal): Promise<void> {
    const { deps, self } = this.#registry;
    const { clock, direct } = deps;
    const end = clock.now() + CONNECT_MS;
    for (;;) {
      throwIfGone(signal);
      const connected = new Set<PeerId>([self, ...direct.connected()]);
      const missing = parties.filter(({ peerId }) => !connected.has(peerId));
      const have = parties.length - missing.length;
      if (have >= threshold) return;
      if (clock.now() >= end) {
        throw new BzzzError('INSUFFICIENT_PARTIES', `${have} of ${threshold} holders connected`, {
          why: `key ${name} needs ${threshold} holders`,
          hint: 'start the holders that are missing; `bzzz peers` shows who is connected',
          details: { need: threshold, have, missing: missing.map(({ peerId }) => peerId) },
        });
      }
      await pause(clock, CONNECT_POLL_MS);
    }
  }

  /** Somebody may have signed this while this node was away. */
  #lookAround(
    session: SigningSession,
    { message }: SignRequest,
    key: KeyInfo,
    requestId: RequestId,
  ): void {
    const { results, deps } = this.#registry;
    const look = async (): Promise<void> => {
      const found = await results.find(requestId, key, message, 'anywhere');
      if (found !== undefined) session.offer(found.envelope);
    };
    const stop = deps.clock.after(LOOK_MS, () => {
      this.#registry.background('look for a result', look());
    });
    session.onEnd(stop);
  }

  async #outcome(session: SigningSession, signal: AbortSignal, gone: () => void): Promise<Signed> {
    const outcome = await waitForEnd(session, signal, gone);
    if (outcome.state !== 'completed') throw failureError(outcome, session.sid);
    const { result, attempts } = outcome;
    // Another session of the same request may have been the one that signed.
    return { result, attempts, cached: false };
  }

  #cancel(session: SigningSession): void {
    session.cancel(this.#registry.self, 'its client went away');
  }
}
