/**
 * A session that ends in a certificate, on this node: the pure machine of `keygen/` on real ports.
 * What becomes of the certificate differs, see keygen-session.ts and reshare-session.ts.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { type ErrorShape, toBzzzError } from '../../base/errors.ts';
import {
  type Attestation,
  checkPending,
  createKeygen,
  type Dealing,
  type DealingDeps,
  type KeygenDeps,
  type KeygenEffect,
  type KeygenInput,
  type KeygenOutcome,
  type KeygenState,
  type PersistedKeygen,
  resumeKeygen,
  stepKeygen,
} from '../keygen/index.ts';
import { isFleeting } from '../keys/fleeting.ts';
import { seatPeers } from '../sessions/proposal.ts';
import { suiteOf } from '../suites/index.ts';
import type { DealtProposal, KeyInfo, KeyShare, SealedProposal } from '../types.ts';
import { encodeAttestation } from './attestation.ts';
import type { Host } from './live.ts';
import { type KindOf, Session } from './session.ts';
import type { ProposeBody } from './wire.ts';

type Store = Extract<KeygenEffect, { readonly type: 'store' }>;

/** What tells one kind of session from another. */
export interface DealtKind {
  /** Of the shares that come out. */
  readonly epoch: number;
  /** Undefined for a new key. */
  readonly dealing: ((deps: DealingDeps) => Dealing) | undefined;
  /** Makes the certificate durable, and the share that it certifies active. */
  certified(certificate: Uint8Array, key: KeyInfo): Promise<void>;
}

type Dealt<P extends DealtProposal> = KindOf<
  P,
  KeygenState,
  KeygenInput,
  KeygenEffect,
  KeygenOutcome
>;

/** One running session. */
export abstract class DealtSession<P extends DealtProposal> extends Session<Dealt<P>> {
  readonly #kind: DealtKind;
  readonly #deps: KeygenDeps;
  #pending = false;
  #attestation: Attestation | undefined;

  constructor(
    host: Host,
    sealed: SealedProposal<P>,
    body: ProposeBody | undefined,
    kind: DealtKind,
  ) {
    const deps = machineDeps(host, sealed.proposal, kind);
    super(host, {
      sealed,
      body,
      parties: seatPeers(sealed.proposal),
      state: createKeygen(sealed, deps),
      step: (state, input) => stepKeygen(state, input, deps),
    });
    this.#kind = kind;
    this.#deps = deps;
  }

  override get pending(): boolean {
    return this.#pending;
  }

  /** What this party attested, while the certificate is awaited. */
  get attestation(): Attestation | undefined {
    return this.#attestation;
  }

  /** Takes the session up again as the disk has it. @throws BAD_MESSAGE for damaged bytes. */
  resume(persisted: PersistedKeygen): void {
    const step = resumeKeygen(persisted, this.#deps);
    this.#attestation = persisted.attestation;
    this.begin(step);
  }

  /** A certificate that came on another way. */
  certify(certificate: Uint8Array): void {
    this.feed({ type: 'certificate', certificate });
  }

  /** A stream to a peer opened. */
  met(peer: PeerId): void {
    this.feed({ type: 'met', peer });
  }

  /** Ends it for good: no certificate of it can come any more, and what it holds is wiped. */
  protected abandon(error: ErrorShape): void {
    const waits = !this.ended || this.#pending;
    this.close();
    this.host.background('forget a share', this.#wipePending());
    if (waits) this.finish({ state: 'failed', error, culprits: [], silent: [] });
  }

  override close(): void {
    super.close();
    this.#pending = false;
  }

  protected perform(effect: Dealt<P>['effect']): undefined | Promise<KeygenInput | undefined> {
    switch (effect.type) {
      case 'store':
        return this.#store(effect);
      case 'wipe':
        this.#attestation = undefined;
        return this.#wipePending();
      case 'done':
        this.#pending = effect.pending;
        // What is kept for a certificate that nobody waits for is not shown as a key to come.
        if (!effect.pending) this.#attestation = undefined;
        this.finish(effect.outcome);
        return undefined;
    }
  }

  async #wipePending(): Promise<undefined> {
    const { keystore, sessions } = this.host.deps;
    this.host.shares.fleeting.dropPending(this.sid);
    await keystore.dropPending(this.sid);
    await sessions.dropConsent(this.sid);
  }

  async #store(effect: Store): Promise<KeygenInput> {
    const { name } = effect;
    try {
      await this.#write(effect);
      return { type: 'stored', name };
    } catch (thrown) {
      const error = toBzzzError(thrown, 'DISK_FAILED');
      const { logger } = this.host.deps;
      logger.error({ sessionId: this.sid, store: name, code: error.code }, error.message);
      return { type: 'storeFailed', name, error: error.toShape() };
    }
  }

  async #write(effect: Store): Promise<void> {
    const { sessions } = this.host.deps;
    switch (effect.name) {
      case 'accepted':
        await this.#storeAccepted();
        return;
      case 'share':
        await this.#storeShare(effect.share, effect.attestation);
        return;
      case 'consent':
        await sessions.putConsent(this.sid, encodeAttestation(effect.attestation));
        this.#attestation = effect.attestation;
        return;
      case 'refusal':
        await sessions.putRefusal(this.sid, effect.refusal);
        return;
      case 'certificate':
        await this.#kind.certified(effect.certificate, effect.keyInfo);
        this.#attestation = undefined;
    }
  }

  /** The promise never to start this session a second time. */
  async #storeAccepted(): Promise<void> {
    const options = { taking: true, sync: true };
    await this.host.deps.sessions.remember(this.sealed, this.parties, this.parties.length, options);
    this.host.say(this.sid, 'joined');
    this.host.say(this.sid, 'started');
  }

  async #storeShare(share: KeyShare, attestation: Attestation): Promise<void> {
    const { suite } = this.#deps;
    const { parties } = this.sealed.proposal;
    if (isFleeting(parties.find(({ peerId }) => peerId === this.host.self)?.role)) {
      // The share stays in memory; that this party attested must outlive the process (K4).
      checkPending(suite, this.host.shares.fleeting.putPending(this.sid, share), attestation);
      const consent = encodeAttestation(attestation);
      await this.host.deps.sessions.putConsent(this.sid, consent);
      this.#attestation = attestation;
      return;
    }
    const stored = { share, epoch: this.#kind.epoch, attached: encodeAttestation(attestation) };
    await this.host.deps.keystore.putPending(this.sid, stored, (back) => {
      checkPending(suite, back, attestation);
      return true;
    });
    this.#attestation = attestation;
  }

  protected override note(kind: string): void {
    if (kind === 'phase' || kind === 'resumed' || kind === 'bad-message') return;
    this.host.say(this.sid, 'note', { what: kind });
  }
}

function machineDeps(host: Host, { suite: name }: DealtProposal, kind: DealtKind): KeygenDeps {
  const { self, clusterId, deps } = host;
  const { random, signer, suites } = deps;
  const suite = suiteOf(name, suites);
  const dealing = kind.dealing?.({ clusterId, open: openEnvelope, suite });
  return {
    ...{ self, clusterId, random, signer, open: openEnvelope, suite },
    ...(dealing === undefined ? {} : { dealing }),
  };
}
