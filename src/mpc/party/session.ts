/**
 * What all kinds of sessions have in common on this node: a pure machine whose inputs and effects
 * pass through one actor, and an end for which others wait.
 * @module
 */
import type { Millis, PeerId, SessionId } from '../../base/brands.ts';
import { type ErrorShape, toBzzzError } from '../../base/errors.ts';
import type { Cancel } from '../../base/ports.ts';
import type { CommonEffect, Proposal, SealedProposal, SessionInput, Step } from '../types.ts';
import { SessionActor } from './actor.ts';
import { type Ended, type Host, type Live, Waiters } from './live.ts';
import { traceEffect } from './trace.ts';
import type { ProposeBody } from './wire.ts';

/** The words of one kind of machine, beside those that all know. */
export interface Kind {
  readonly proposal: Proposal;
  readonly state: object;
  readonly input: object;
  readonly effect: { readonly type: string };
  /** What a completed session has. */
  readonly completed: object;
}

/** The words of a machine, by the types of its proposal, state, inputs, effects and outcomes. */
export interface KindOf<
  P extends Proposal,
  S extends object,
  I extends object,
  E extends { readonly type: string },
  O extends { readonly state: string },
> extends Kind {
  readonly proposal: P;
  readonly state: S;
  readonly input: I;
  readonly effect: Exclude<E, CommonEffect>;
  readonly completed: Extract<O, { readonly state: 'completed' }>;
}

type Input<K extends Kind> = SessionInput | K['input'];
type Effect<K extends Kind> = CommonEffect | K['effect'];

/** The input that follows from an effect, before all that wait. */
export type Following<K extends Kind> = Input<K> | undefined | Promise<Input<K> | undefined>;

/** A machine at its beginning. */
export interface Machine<K extends Kind> {
  readonly sealed: SealedProposal<K['proposal']>;
  readonly parties: readonly PeerId[];
  readonly body: ProposeBody | undefined;
  readonly state: K['state'];
  readonly step: (state: K['state'], input: Input<K>) => Step<K['state'], Effect<K>>;
}

/** One running session of any kind. */
export abstract class Session<K extends Kind> implements Live {
  readonly sid: SessionId;
  readonly sealed: SealedProposal<K['proposal']>;
  readonly parties: readonly PeerId[];
  readonly body: ProposeBody | undefined;
  protected readonly host: Host;
  readonly #actor: SessionActor<K['state'], Input<K>, Effect<K>>;
  readonly #waiters = new Waiters<Ended<K['completed']>>();
  /** Why the proposer gave the session up; the machine knows only that it was cancelled. */
  #reason: ErrorShape | undefined;
  #lastProgress: Millis;
  #ended = false;

  constructor(host: Host, { sealed, parties, body, state, step }: Machine<K>) {
    const { clock } = host.deps;
    this.host = host;
    this.sid = sealed.sid;
    this.sealed = sealed;
    this.parties = parties;
    this.body = body;
    this.#lastProgress = clock.now();
    this.#actor = new SessionActor<K['state'], Input<K>, Effect<K>>(state, {
      clock,
      step,
      perform: (effect) => {
        traceEffect(sealed.proposal.kind, this.sid, effect);
        return isCommon(effect) ? this.#performCommon(effect) : this.perform(effect);
      },
      timerInput: (name) => ({ type: 'timer', name }),
      beforeTimer: () => host.deps.nextTurn(),
      onCrash: (error) => this.#onCrash(error),
    });
  }

  get lastProgress(): Millis {
    return this.#lastProgress;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Most sessions leave nothing behind that waits. */
  get pending(): boolean {
    return false;
  }

  get timers(): number {
    return this.#actor.timers;
  }

  start(): void {
    this.feed({ type: 'start' });
  }

  receive(from: PeerId, envelope: Uint8Array): void {
    this.feed({ type: 'message', from, envelope });
  }

  cancel(by: PeerId, reason: string): void {
    this.feed({ type: 'cancel', by, reason });
  }

  /** Ends it as its proposer, for a reason of its own. */
  giveUp(reason: ErrorShape): void {
    if (this.#ended) return;
    this.#reason ??= reason;
    this.cancel(this.host.self, reason.message);
  }

  onEnd(callback: (end: Ended<K['completed']>) => void): Cancel {
    return this.#waiters.add(callback);
  }

  close(): void {
    this.#actor.close();
  }

  protected feed(input: Input<K>): void {
    this.#actor.feed(input);
  }

  /** Goes on from a step that was taken elsewhere. */
  protected begin({ state, effects }: Step<K['state'], Effect<K>>): void {
    this.#actor.begin(state, effects);
  }

  /** Carries out an effect that only this kind of machine knows. */
  protected abstract perform(effect: K['effect']): Following<K>;

  protected send(to: readonly PeerId[], envelope: Uint8Array): void {
    this.host.send(this.sid, to, envelope);
  }

  /** What goes into this node's chain of the session. Every event costs all nodes. */
  protected note(_kind: string, _data: Readonly<Record<string, unknown>>): void {}

  /** The machine reported an end, perhaps once more. */
  protected finish(outcome: Ended<K['completed']>): void {
    const reason = this.#reason;
    const end: Ended<K['completed']> =
      outcome.state === 'completed' || reason === undefined
        ? outcome
        : { ...outcome, state: 'failed', error: reason };
    this.#ended = true;
    this.host.over(this, end);
    this.#waiters.settle(end);
  }

  #performCommon(effect: CommonEffect): undefined {
    switch (effect.type) {
      case 'send':
        this.send(effect.to, effect.envelope);
        return undefined;
      case 'timer':
        this.#actor.setTimer(effect.name, effect.ms);
        return undefined;
      case 'clearTimer':
        this.#actor.clearTimer(effect.name);
        return undefined;
      case 'event':
        this.#lastProgress = this.host.deps.clock.now();
        this.host.progress(this, effect.kind, effect.data);
        this.note(effect.kind, effect.data);
        return undefined;
    }
  }

  #onCrash(thrown: unknown): void {
    const error = toBzzzError(thrown);
    this.host.deps.logger.error(
      { sessionId: this.sid, code: error.code, cause: String(error.cause ?? '') },
      `${this.sealed.proposal.kind} stopped: ${error.message}`,
    );
    this.close();
    this.finish({ state: 'failed', error: error.toShape(), culprits: [], silent: [] });
  }
}

const COMMON: ReadonlySet<string> = new Set<CommonEffect['type']>([
  'send',
  'timer',
  'clearTimer',
  'event',
]);

const isCommon = (effect: { readonly type: string }): effect is CommonEffect =>
  COMMON.has(effect.type);
