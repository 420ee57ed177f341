/**
 * A signing session on this node: the pure machine of `signing/` on real ports.
 * @module
 */
import type { Millis, PeerId, SessionId } from '../base/brands.ts';
import { openEnvelope } from '../base/envelope.ts';
import { type ErrorCode, toBzzzError } from '../base/errors.ts';
import type { Cancel } from '../base/ports.ts';
import { SessionActor } from './party-actor.ts';
import { type Host, type Live, Waiters } from './party-live.ts';
import type { ProposeBody } from './party-wire.ts';
import { wipe } from './sharefile.ts';
import { openSigning, stepSigning } from './signing/machine.ts';
import { SIGNING_TIMING } from './signing/timing.ts';
import type {
  SigningDeps,
  SigningEffect,
  SigningInput,
  SigningOutcome,
  SigningStart,
  SigningState,
} from './signing/types.ts';
import { suiteOf } from './suites/index.ts';
import { traceEffect } from './trace.ts';
import type { SealedProposal, SignProposal } from './types.ts';

/** What the service does for signing sessions in particular. */
export interface SigningHost extends Host {
  /** A share of this session is about to leave. */
  released(session: SigningSession): void;
  /** A valid result, the best so far. */
  found(session: SigningSession, author: PeerId, record: Uint8Array): void;
}

/** One running signing session. */
export class SigningSession implements Live {
  readonly sid: SessionId;
  readonly sealed: SealedProposal<SignProposal>;
  readonly parties: readonly PeerId[];
  readonly body: ProposeBody;
  readonly #host: SigningHost;
  readonly #start: SigningStart;
  readonly #actor: SessionActor<SigningState, SigningInput, SigningEffect>;
  readonly #waiters = new Waiters<SigningOutcome>();
  #lastProgress: Millis;
  #ended = false;

  /** @throws BAD_MESSAGE when proposal, key and message do not fit. */
  constructor(host: SigningHost, start: SigningStart, body: ProposeBody) {
    const { clock, random, signer, suites } = host.deps;
    this.#host = host;
    this.#start = start;
    this.sid = start.sealed.sid;
    this.sealed = start.sealed;
    this.body = body;
    this.parties = start.key.parties.map(({ peerId }) => peerId);
    this.#lastProgress = clock.now();
    const deps: SigningDeps = {
      self: host.self,
      clusterId: host.clusterId,
      random,
      signer,
      open: openEnvelope,
      suite: suiteOf(start.key.suite, suites),
      timing: SIGNING_TIMING,
    };
    this.#actor = new SessionActor(openSigning(start, deps), {
      clock,
      step: (state, input) => stepSigning(state, input, deps),
      perform: (effect) => {
        traceEffect('sign', this.sid, effect);
        return this.#perform(effect);
      },
      timerInput: (name) => ({ type: 'timer', name }),
      onCrash: (error) => this.#onCrash(error),
    });
  }

  get lastProgress(): Millis {
    return this.#lastProgress;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Nothing is kept for a signature that was not made. */
  get pending(): boolean {
    return false;
  }

  get timers(): number {
    return this.#actor.timers;
  }

  start(): void {
    this.#actor.feed({ type: 'start' });
  }

  receive(from: PeerId, envelope: Uint8Array): void {
    this.#actor.feed({ type: 'message', from, envelope });
  }

  cancel(by: PeerId, reason: string): void {
    this.#actor.feed({ type: 'cancel', by, reason });
  }

  /** A holder answered the proposal with a refusal. */
  refused(from: PeerId, code: ErrorCode): void {
    this.#actor.feed({ type: 'refused', from, code });
  }

  /** A result that another session, or the store, brought. */
  offer(record: Uint8Array): void {
    this.#actor.feed({ type: 'result', record });
  }

  /** The arbiter's word: stand back for `by`, or go on. */
  rule(by: SessionId | undefined): void {
    this.#actor.feed(by === undefined ? { type: 'resumed' } : { type: 'superseded', by });
  }

  onEnd(callback: (outcome: SigningOutcome) => void): Cancel {
    return this.#waiters.add(callback);
  }

  close(): void {
    this.#actor.close();
    this.#wipeShare();
  }

  #perform(effect: SigningEffect): SigningInput | undefined | Promise<SigningInput | undefined> {
    switch (effect.type) {
      case 'send':
        this.#host.send(this.sid, effect.to, effect.envelope);
        return undefined;
      case 'timer':
        this.#actor.setTimer(effect.name, effect.ms);
        return undefined;
      case 'clearTimer':
        this.#actor.clearTimer(effect.name);
        return undefined;
      case 'event':
        this.#onEvent(effect.kind, effect.data);
        return undefined;
      case 'signOwn': {
        const { attempt } = effect;
        return this.#host.deps.nextTurn().then(() => ({ type: 'signOwn', attempt }));
      }
      case 'released':
        this.#host.released(this);
        return undefined;
      case 'record':
        this.#host.found(this, effect.author, effect.record);
        return undefined;
      case 'ignored':
        this.#host.deps.logger.debug(
          { sessionId: this.sid, from: effect.from, reason: effect.reason },
          'a session message was refused',
        );
        return undefined;
      case 'done':
        this.#onDone(effect.outcome);
        return undefined;
    }
  }

  /** Only what a reader of the session later wants goes into the chain: every event costs all. */
  #onEvent(kind: string, data: Readonly<Record<string, unknown>>): void {
    this.#lastProgress = this.#host.deps.clock.now();
    this.#host.progress(this, kind, data);
    if (kind === 'driving' && typeof data.attempt === 'number' && data.attempt > 1) {
      this.#host.say(this.sid, 'note', { what: 'retrying', attempt: data.attempt });
    } else if (kind === 'culprit' || kind === 'superseded' || kind === 'refused') {
      this.#host.say(this.sid, 'note', { what: kind });
    }
  }

  #onDone(outcome: SigningOutcome): void {
    this.#ended = true;
    this.#wipeShare();
    this.#host.over(this, outcome);
    this.#waiters.settle(outcome);
  }

  /** An ended machine never signs; nothing else reads the share. */
  #wipeShare(): void {
    if (this.#start.share !== undefined) wipe(this.#start.share.signingShare);
  }

  #onCrash(thrown: unknown): void {
    const error = toBzzzError(thrown);
    this.#host.deps.logger.error(
      { sessionId: this.sid, code: error.code, cause: String(error.cause ?? '') },
      `signing stopped: ${error.message}`,
    );
    this.#onDone({ state: 'failed', error: error.toShape(), culprits: [], silent: [] });
  }
}
