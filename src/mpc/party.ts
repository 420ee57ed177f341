/**
 * The party service: the threshold-signing half of a node. It creates keys, signs, and takes part
 * in what other members propose, by itself and under the rules of each key.
 * @module
 */

import type { PeerId, SessionId } from '../base/brands.ts';
import { toHex } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { pause } from '../base/pause.ts';
import { exportKey, type KeyExportFormat } from './key-export.ts';
import {
  type KeyDocument,
  keyDocument,
  pendingDocument,
  type SessionDocument,
  type SignDocument,
  sessionDocument,
} from './party-documents.ts';
import { KeygenSession } from './party-keygen.ts';
import { makeKey, tellCancel } from './party-make.ts';
import { checkSignRequest, requestIdFor } from './party-plan.ts';
import type { CreateKeyRequest, PartyDeps, PartyOptions, SignRequest } from './party-ports.ts';
import { recoverSessions } from './party-recover.ts';
import { SessionRegistry } from './party-registry.ts';
import { Signatures } from './party-sign.ts';
import { suiteOf } from './suites/index.ts';
import type { KeyInfo, Proposal } from './types.ts';

/** A cancelled session gets so long to end before it is shown as it is, in ms. */
const CANCEL_MS = 1_000;

/** What the daemon composes and the control socket asks. */
export class Party {
  readonly name = 'party';
  readonly #deps: PartyDeps;
  readonly #registry: SessionRegistry;
  readonly #signatures: Signatures;
  #started = false;

  constructor(options: PartyOptions, deps: PartyDeps) {
    this.#deps = deps;
    this.#registry = new SessionRegistry(options, deps);
    this.#signatures = new Signatures(this.#registry);
  }

  /** Takes up what the last run left, then answers peers. */
  async start(): Promise<void> {
    for (const keyId of await this.#deps.keystore.activeKeys()) this.#registry.holds(keyId);
    this.#deps.keyring.onChange(({ key, certificate }) => {
      const live = this.#registry.find(key.sid);
      if (live instanceof KeygenSession) live.certify(certificate);
    });
    this.#registry.start();
    await recoverSessions(this.#registry);
    this.#started = true;
  }

  /** Refuses new sessions and waits for the running ones, at most `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.#registry.drain();
    const { clock } = this.#deps;
    const end = clock.now() + graceMs;
    while (this.#registry.liveSessions > 0 && clock.now() < end) {
      await pause(clock, 20);
    }
  }

  async stop(): Promise<void> {
    this.#started = false;
    this.#registry.drain();
    this.#registry.close();
  }

  /** Call it whenever a stream to a member has opened: keys are learned from it. */
  peerConnected(peer: PeerId): void {
    this.#registry.background('learn keys', this.#registry.certificates.pull(peer));
  }

  /** Sessions under way. */
  get liveSessions(): number {
    return this.#registry.liveSessions;
  }

  get draining(): boolean {
    return this.#registry.draining;
  }

  /** Timers of the service and all its sessions; 0 when nothing is under way. */
  get timers(): number {
    return this.#registry.timers;
  }

  /** Why this node takes part in no new session; empty when it does. */
  unready(): readonly string[] {
    const reasons: string[] = [];
    if (!this.#started) reasons.push('the party service has not started');
    if (this.#registry.draining) reasons.push('draining');
    for (const sid of this.#registry.faults) reasons.push(`proven faulty in session ${sid}`);
    return reasons;
  }

  /**
   * Makes a new key. Everything wrong with the request is found before anything leaves (R39).
   * @throws what `makeKey` throws; DRAINING.
   */
  async createKey(request: CreateKeyRequest, signal: AbortSignal): Promise<KeyDocument> {
    this.#checkAble();
    return this.key(await makeKey(request, signal, this.#registry));
  }

  /**
   * Signs a message, or answers with the signature that exists.
   * @throws NOT_FOUND, CONFLICT for the key; what `checkSignRequest` and `Signatures` throw;
   * DRAINING.
   */
  async sign(request: SignRequest, signal: AbortSignal): Promise<SignDocument> {
    this.#checkAble();
    const { clock, keyring, roster, suites } = this.#deps;
    const startedAt = clock.now();
    const { key } = keyring.get(request.key);
    checkSignRequest(request, key, this.#registry.self);
    const requestId = requestIdFor(key, request.message, roster());
    const { result, attempts, cached } = await this.#signatures.get(
      request,
      key,
      requestId,
      signal,
    );
    return {
      signature: toHex(result.signature),
      publicKey: toHex(suiteOf(key.suite, suites).publicKeyBytes(key.groupKey)),
      suite: key.suite,
      messageHash: toHex(result.messageHash),
      signers: result.signers,
      sessionId: result.sid,
      address: this.#registry.results.address(requestId),
      requestId,
      attempts,
      cached,
      elapsedMs: Math.round((clock.now() - startedAt) * 100) / 100,
    };
  }

  /**
   * Cancels a session of this node's, or withdraws this node from another's.
   * @throws NOT_FOUND; CONFLICT when it has ended or has no machine here.
   */
  async cancel(id: string): Promise<SessionDocument> {
    const { state } = this.session(id);
    const live = this.#registry.find(id as SessionId);
    if (live === undefined || live.ended) {
      throw new BzzzError('CONFLICT', `session ${id} is ${state}, and not under way here`, {
        hint: 'only a session under way can be cancelled',
      });
    }
    const { self } = this.#registry;
    const reason = 'cancelled by an operator';
    live.cancel(self, reason);
    if (live instanceof KeygenSession && live.sealed.proposal.proposer === self) {
      tellCancel(live, reason, this.#registry);
    }
    await new Promise<void>((resolve) => {
      const stop = this.#deps.clock.after(CANCEL_MS, resolve);
      live.onEnd(() => {
        stop();
        resolve();
      });
    });
    return this.session(id);
  }

  /** Newest first. */
  sessions(): readonly SessionDocument[] {
    return this.#deps.sessions
      .list()
      .map((known) => sessionDocument(known, this.#keyOf(known.sealed.proposal)));
  }

  /** @throws NOT_FOUND. */
  session(id: string): SessionDocument {
    const known = this.#deps.sessions.get(id as SessionId);
    if (known === undefined) throw new BzzzError('NOT_FOUND', `no session ${id}`);
    return sessionDocument(known, this.#keyOf(known.sealed.proposal));
  }

  /** Every key of the cluster that is known here, and those that wait for their certificate. */
  keys(): readonly KeyDocument[] {
    const { keyring, suites, roster } = this.#deps;
    const { clusterName } = roster();
    const known = keyring
      .list()
      .map((entry) =>
        keyDocument(entry, this.#registry.isHeld(entry.key.keyId), clusterName, suites),
      );
    const pending = this.#registry.live().flatMap((live) => {
      if (!(live instanceof KeygenSession) || live.attestation === undefined) return [];
      if (keyring.byId(live.attestation.keyId) !== undefined) return [];
      return [pendingDocument(live.sealed, live.attestation, clusterName, suites)];
    });
    return [...known, ...pending];
  }

  /** @param name or key id. @throws NOT_FOUND; CONFLICT when two keys have the name. */
  key(name: string): KeyDocument {
    const { keyring, suites, roster } = this.#deps;
    const pending = this.keys().find(
      (key) => key.status === 'pending' && (key.name === name || key.keyId === name),
    );
    if (pending !== undefined) return pending;
    const entry = keyring.get(name);
    return keyDocument(entry, this.#registry.isHeld(entry.key.keyId), roster().clusterName, suites);
  }

  /** @throws NOT_FOUND, CONFLICT; NOT_SUPPORTED when no standard tool reads such a key. */
  exportKey(name: string, format: KeyExportFormat): string {
    const { key } = this.#deps.keyring.get(name);
    return exportKey(key, format, suiteOf(key.suite, this.#deps.suites));
  }

  /** Verifies by an implementation that takes no part in signing. @throws NOT_FOUND, CONFLICT. */
  verify(name: string, message: Uint8Array, signature: Uint8Array): boolean {
    const { key } = this.#deps.keyring.get(name);
    return suiteOf(key.suite, this.#deps.suites).verify(key.groupKey, message, signature);
  }

  #keyOf(proposal: Proposal): KeyInfo | undefined {
    return proposal.kind === 'sign' ? this.#deps.keyring.byId(proposal.keyId)?.key : undefined;
  }

  #checkAble(): void {
    if (this.#registry.draining) throw new BzzzError('DRAINING', 'this node is stopping');
  }
}
