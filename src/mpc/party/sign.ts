/**
 * Gets a signature as its requester: the one that exists, one under way, or a new one.
 * @module
 */

import type { RequestId } from '../../base/brands.ts';
import { checkSigning } from '../policy/policy.ts';
import { checkProgram } from '../policy/policy-program.ts';
import { checkRate } from '../policy/rate.ts';
import { toSignatureResult } from '../result.ts';
import { tooFewHolders } from '../too-few.ts';
import type { KeyInfo, SignatureResult } from '../types.ts';
import { planSignature } from './plan-signature.ts';
import type { SignRequest } from './ports.ts';
import { missingOf } from './presence.ts';
import type { SessionRegistry } from './registry.ts';
import { RequestQueue } from './request-queue.ts';
import { broughtShare } from './share-brought.ts';
import { SigningSession } from './signing-session.ts';
import { failureError, throwIfGone, waitForEnd } from './wait.ts';

/**
 * A session that takes longer, and longer than others of its key, looks whether the network has an
 * answer already. In ms.
 */
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
  readonly #queue = new RequestQueue();

  constructor(registry: SessionRegistry) {
    this.#registry = registry;
  }

  /** Requests that wait for their turn, and those that found the line full. */
  get queue(): Pick<RequestQueue, 'waiting' | 'dropped'> {
    return this.#queue;
  }

  /**
   * @param request has passed `checkSignRequest`.
   * @throws INSUFFICIENT_PARTIES when too few holders are connected; BUSY when many wait;
   * REFUSED_BY_POLICY when too many holders refuse; SESSION_FAILED, SESSION_EXPIRED, CANCELLED;
   * INTERRUPTED.
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

  /**
   * Here, or at its address. A holder only looks here: the others answer its proposal with the
   * result if they have it, and a session that takes longer looks around. After a change of the
   * epoch the holders may be others, who have seen nothing of what was signed before.
   */
  async #known(
    { message }: SignRequest,
    key: KeyInfo,
    requestId: RequestId,
  ): Promise<Signed | undefined> {
    const { results, self } = this.#registry;
    const holds = key.epoch === 0 && key.parties.some(({ peerId }) => peerId === self);
    const found =
      (await results.find(requestId, key, message, 'local')) ??
      (holds ? undefined : await results.find(requestId, key, message, 'anywhere'));
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
        await this.#registry.results.held(requestId);
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

  /** Opens a session when its turn has come. Where operators decide, nobody waits for a turn. */
  async #open(request: SignRequest, key: KeyInfo, signal: AbortSignal): Promise<SigningSession> {
    if (key.policy === 'approve') return this.#begin(request, key, signal);
    const leave = await this.#queue.enter(key.keyId, signal);
    try {
      const session = await this.#begin(request, key, signal);
      session.onEnd(leave);
      return session;
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #begin(request: SignRequest, key: KeyInfo, signal: AbortSignal): Promise<SigningSession> {
    const registry = this.#registry;
    const { deps, self, options } = registry;
    await this.#enoughHolders(key, signal);
    const { sealed, body } = planSignature(request, key, options, deps);
    const { message } = request;
    checkSigning(sealed.proposal, key, message, registry.policy);
    checkRate(key, self, registry.rates, deps.clock.now());
    await checkProgram(deps.judge, sealed, key, message);
    const holders = key.parties.map(({ peerId }) => peerId);
    const share =
      request.share !== undefined
        ? broughtShare(request.share, key, self, deps.suites)
        : holders.includes(self)
          ? await registry.shares.open(key)
          : undefined;
    const parts = { key, message, ...(share === undefined ? {} : { share }) };
    const start = { sealed, boot: options.boot, ...parts };
    const session = await registry.openSigning(start, body, []);
    session.spread();
    return session;
  }

  /** @throws INSUFFICIENT_PARTIES, INTERRUPTED. */
  async #enoughHolders({ parties, threshold, name }: KeyInfo, signal: AbortSignal): Promise<void> {
    const holders = parties.map(({ peerId }) => peerId);
    const missing = await missingOf(holders, threshold, this.#registry.deps, signal);
    const have = holders.length - missing.length;
    if (have >= threshold) return;
    throw tooFewHolders(`${have} of ${threshold} holders connected`, {
      why: `key ${name} needs ${threshold} holders`,
      ...{ need: threshold, have, missing },
    });
  }

  /** Somebody may have signed this while this node was away. */
  #lookAround(
    session: SigningSession,
    { message }: SignRequest,
    key: KeyInfo,
    requestId: RequestId,
  ): void {
    const { results, deps, paces } = this.#registry;
    const look = async (): Promise<void> => {
      const found = await results.find(requestId, key, message, 'anywhere');
      if (found !== undefined) session.offer(found.envelope);
    };
    const stop = deps.clock.after(paces.longMs(key.keyId, LOOK_MS), () => {
      this.#registry.background('look for a result', look());
    });
    session.onEnd(stop);
  }

  async #outcome(session: SigningSession, signal: AbortSignal, gone: () => void): Promise<Signed> {
    const outcome = await waitForEnd(session, signal, gone);
    if (outcome.state !== 'completed') throw failureError(outcome, session.sid);
    const { result, attempts } = outcome;
    await this.#registry.results.held(result.requestId);
    // Another session of the same request was the one that signed: a holder answered with it.
    const existed = result.sid !== session.sid;
    return { result, attempts: existed ? 0 : attempts, cached: existed };
  }

  #cancel(session: SigningSession): void {
    session.cancel(this.#registry.self, 'its client went away');
  }
}
