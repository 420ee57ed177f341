/**
 * A key generation on this node: the pure machine of `keygen/` on real ports.
 * @module
 */
import type { KeyId, Millis, PeerId, SessionId } from '../base/brands.ts';
import { openEnvelope } from '../base/envelope.ts';
import { type ErrorShape, toBzzzError } from '../base/errors.ts';
import type { Cancel } from '../base/ports.ts';
import { certificateAddress } from './certificate.ts';
import {
  type Attestation,
  checkPending,
  createKeygen,
  type KeygenDeps,
  type KeygenEffect,
  type KeygenInput,
  type KeygenOutcome,
  type KeygenState,
  type PersistedKeygen,
  resumeKeygen,
  stepKeygen,
} from './keygen/index.ts';
import { SessionActor } from './party-actor.ts';
import { encodeAttestation } from './party-attestation.ts';
import { type Host, type Live, Waiters } from './party-live.ts';
import { activateIfPending } from './party-recover.ts';
import type { ProposeBody } from './party-wire.ts';
import { suiteOf } from './suites/index.ts';
import { traceEffect } from './trace.ts';
import type { KeygenProposal, KeyShare, SealedProposal } from './types.ts';

type Store = Extract<KeygenEffect, { readonly type: 'store' }>;

/** One running key generation. */
export class KeygenSession implements Live {
  readonly sid: SessionId;
  readonly sealed: SealedProposal<KeygenProposal>;
  readonly parties: readonly PeerId[];
  readonly body: ProposeBody | undefined;
  readonly #host: Host;
  readonly #actor: SessionActor<KeygenState, KeygenInput, KeygenEffect>;
  readonly #machineDeps: KeygenDeps;
  readonly #waiters = new Waiters<KeygenOutcome>();
  /** Why the proposer gave the session up; the machine knows only that it was cancelled. */
  #reason: ErrorShape | undefined;
  #lastProgress: Millis;
  #ended = false;
  #pending = false;
  #attestation: Attestation | undefined;

  constructor(host: Host, sealed: SealedProposal<KeygenProposal>, body: ProposeBody | undefined) {
    const { clock, random, signer, suites } = host.deps;
    this.#host = host;
    this.sid = sealed.sid;
    this.sealed = sealed;
    this.body = body;
    this.parties = sealed.proposal.parties.map(({ peerId }) => peerId);
    this.#lastProgress = clock.now();
    this.#machineDeps = {
      self: host.self,
      clusterId: host.clusterId,
      random,
      signer,
      open: openEnvelope,
      suite: suiteOf(sealed.proposal.suite, suites),
    };
    this.#actor = new SessionActor(createKeygen(sealed, this.#machineDeps), {
      clock,
      step: (state, input) => stepKeygen(state, input, this.#machineDeps),
      perform: (effect) => {
        traceEffect('keygen', this.sid, effect);
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

  get pending(): boolean {
    return this.#pending;
  }

  get timers(): number {
    return this.#actor.timers;
  }

  /** What this party attested, while the certificate is awaited. */
  get attestation(): Attestation | undefined {
    return this.#attestation;
  }

  start(): void {
    this.#actor.feed({ type: 'start' });
  }

  /** Takes the session up again as the disk has it. @throws BAD_MESSAGE for damaged bytes. */
  resume(persisted: PersistedKeygen): void {
    const { state, effects } = resumeKeygen(persisted, this.#machineDeps);
    this.#attestation = persisted.attestation;
    this.#actor.begin(state, effects);
  }

  receive(from: PeerId, envelope: Uint8Array): void {
    this.#actor.feed({ type: 'message', from, envelope });
  }

  /** A certificate that came on another way. */
  certify(certificate: Uint8Array): void {
    this.#actor.feed({ type: 'certificate', certificate });
  }

  cancel(by: PeerId, reason: string): void {
    this.#actor.feed({ type: 'cancel', by, reason });
  }

  /** Ends it as its proposer, for a reason of its own. */
  giveUp(reason: ErrorShape): void {
    if (this.#ended) return;
    this.#reason ??= reason;
    this.cancel(this.#host.self, reason.message);
  }

  onEnd(callback: (outcome: KeygenOutcome) => void): Cancel {
    return this.#waiters.add(callback);
  }

  close(): void {
    this.#actor.close();
  }

  #perform(effect: KeygenEffect): KeygenInput | undefined | Promise<KeygenInput | undefined> {
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
      case 'store':
        return this.#store(effect);
      case 'wipe':
        this.#attestation = undefined;
        return this.#host.deps.keystore.dropPending(this.sid).then(() => undefined);
      case 'done':
        this.#onDone(effect.outcome, effect.pending);
        return undefined;
    }
  }

  async #store(effect: Store): Promise<KeygenInput> {
    const { name } = effect;
    try {
      if (effect.name === 'accepted') await this.#storeAccepted();
      else if (effect.name === 'share') await this.#storeShare(effect.share, effect.attestation);
      else if (effect.name === 'refusal') {
        await this.#host.deps.sessions.putRefusal(this.sid, effect.refusal);
      } else await this.#storeCertificate(effect.certificate, effect.keyInfo.keyId);
      return { type: 'stored', name };
    } catch (thrown) {
      const error = toBzzzError(thrown, 'DISK_FAILED');
      const { logger } = this.#host.deps;
      logger.error({ sessionId: this.sid, store: name, code: error.code }, error.message);
      return { type: 'storeFailed', name, error: error.toShape() };
    }
  }

  /** The promise never to start this session a second time. */
  async #storeAccepted(): Promise<void> {
    const options = { taking: true, sync: true };
    await this.#host.deps.sessions.remember(
      this.sealed,
      this.parties,
      this.parties.length,
      options,
    );
    this.#host.say(this.sid, 'joined');
    this.#host.say(this.sid, 'started');
  }

  async #storeShare(share: KeyShare, attestation: Attestation): Promise<void> {
    const { suite } = this.#machineDeps;
    const stored = { share, epoch: 0, attached: encodeAttestation(attestation) };
    await this.#host.deps.keystore.putPending(this.sid, stored, (back) => {
      checkPending(suite, back, attestation);
      return true;
    });
    this.#attestation = attestation;
  }

  async #storeCertificate(certificate: Uint8Array, keyId: KeyId): Promise<void> {
    const { keyring, clock, records, roster, logger, emit } = this.#host.deps;
    await keyring.add(certificate, clock.wallMs());
    if (await activateIfPending(this.sealed, keyId, this.#host)) this.#host.holds(keyId);
    // The key exists all the same; what is lost is this node's part in it, and it must be told.
    else if (this.parties.includes(this.#host.self)) {
      logger.error({ sessionId: this.sid, keyId }, 'the key is certified, but its share is gone');
    }
    this.#attestation = undefined;
    const { name } = this.sealed.proposal;
    logger.info({ sessionId: this.sid, keyId, name }, 'a key was made');
    emit('key.created', { keyId, name, sessionId: this.sid });
    const address = certificateAddress(keyId, roster().clusterName);
    const role = this.sealed.proposal.proposer === this.#host.self ? 'author' : 'witness';
    this.#host.background('publish certificate', records.publish(address, certificate, role));
  }

  #onEvent(kind: string, data: Readonly<Record<string, unknown>>): void {
    this.#lastProgress = this.#host.deps.clock.now();
    this.#host.progress(this, kind, data);
    if (kind === 'phase' || kind === 'resumed' || kind === 'bad-message') return;
    this.#host.say(this.sid, 'note', { what: kind });
  }

  #onDone(outcome: KeygenOutcome, pending: boolean): void {
    const reason = this.#reason;
    const end: KeygenOutcome =
      outcome.state === 'completed' || reason === undefined
        ? outcome
        : { ...outcome, state: 'failed', error: reason };
    this.#ended = true;
    this.#pending = pending;
    this.#host.over(this, end);
    this.#waiters.settle(end);
  }

  #onCrash(thrown: unknown): void {
    const error = toBzzzError(thrown);
    this.#host.deps.logger.error(
      { sessionId: this.sid, code: error.code, cause: String(error.cause ?? '') },
      `key generation stopped: ${error.message}`,
    );
    const silent: readonly PeerId[] = [];
    this.#onDone({ state: 'failed', error: error.toShape(), culprits: [], silent }, false);
  }
}
