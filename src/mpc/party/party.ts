/**
 * The party service: the threshold-signing half of a node. It creates keys, signs, and takes part
 * in what other members propose, by itself and under the rules of each key.
 * @module
 */

import type { PeerId, SessionId } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { pause } from '../../base/pause.ts';
import { keyToJson } from '../keys/interchange.ts';
import { type KeyAge, keyAge } from '../keys/key-age.ts';
import { exportKey, type KeyExportFormat, keyPackageOf } from '../keys/key-export.ts';
import { checkInUse } from '../keys/retirement.ts';
import { wipe } from '../keys/sharefile.ts';
import type { KnownSession } from '../sessions/store.ts';
import { suiteOf } from '../suites/index.ts';
import type { KeyInfo, Proposal } from '../types.ts';
import { ownShare } from './admit.ts';
import { changeKey } from './change.ts';
import { DealtSession } from './dealt-session.ts';
import {
  type KeyDocument,
  keyDocument,
  pendingDocument,
  type SessionDocument,
  type SignDocument,
  sessionDocument,
} from './documents.ts';
import { type JoinedDocument, joinGathering } from './gathering-join.ts';
import type { GatheringDocument } from './gatherings.ts';
import { importKey } from './import-desk.ts';
import { KeygenSession } from './keygen-session.ts';
import { makeKey, tellCancel } from './make.ts';
import { repairKey } from './mend.ts';
import { checkSignRequest, requestIdFor } from './plan-signature.ts';
import type {
  ChangeKeyRequest,
  CreateKeyRequest,
  ImportDocument,
  ImportKeyRequest,
  PartyDeps,
  PartyOptions,
  RepairKeyRequest,
  SignRequest,
} from './ports.ts';
import { recoverSessions } from './recover.ts';
import { SessionRegistry } from './registry.ts';
import { type RetireKeyRequest, retireKey } from './retirements.ts';
import type { SessionFigures } from './session-meter.ts';
import { Signatures, type Signed } from './sign.ts';
import { SigningSession } from './signing-session.ts';

/** A cancelled session gets so long to end before it is shown as it is, in ms. */
const CANCEL_MS = 1_000;

/** @property dropped requests that found the line full. */
export interface PartyFigures extends SessionFigures {
  readonly running: number;
  readonly waiting: number;
  readonly dropped: number;
}

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
    const { keyring } = this.#deps;
    for (const entry of keyring.list()) await this.#registry.shares.settle(entry);
    keyring.onChange((entry) => this.#registry.renewed(entry));
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
    await this.#registry.results.flush();
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

  /** How sessions ended, where their time went, and what waits. */
  figures(): PartyFigures {
    const { waiting, dropped } = this.#signatures.queue;
    return { ...this.#registry.meter.figures(), running: this.liveSessions, waiting, dropped };
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
    const { sessions } = this.#registry.accusations;
    for (const sid of sessions) reasons.push(`proven faulty in session ${sid}`);
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
   * Gives a key new shares: to the same holders, or to others with another threshold. The key, its
   * id and its name stay.
   * @throws what `changeKey` throws; DRAINING.
   */
  async changeKey(request: ChangeKeyRequest, signal: AbortSignal): Promise<KeyDocument> {
    this.#checkAble();
    return this.key((await changeKey(request, signal, this.#registry)).key.keyId);
  }

  /**
   * Has the others rebuild the share that a holder has lost.
   * @throws what `repairKey` throws; DRAINING.
   */
  async repairKey(request: RepairKeyRequest, signal: AbortSignal): Promise<KeyDocument> {
    this.#checkAble();
    await repairKey(request, signal, this.#registry);
    return this.key(request.key);
  }

  /**
   * Says that nobody shall use a key again, and wipes the share here if asked to.
   * @throws what `retireKey` throws; DRAINING.
   */
  async retireKey(request: RetireKeyRequest): Promise<KeyDocument> {
    this.#checkAble();
    await retireKey(request, this.#registry);
    return this.key(request.key);
  }

  /**
   * Signs a message, or answers with the signature that exists.
   * @throws NOT_FOUND, CONFLICT for the key; what `checkSignRequest` and `Signatures` throw;
   * DRAINING.
   */
  async sign(request: SignRequest, signal: AbortSignal): Promise<SignDocument> {
    this.#checkAble();
    const { clock, keyring, suites } = this.#deps;
    const startedAt = clock.now();
    const entry = keyring.get(request.key);
    const { key } = entry;
    checkInUse(entry);
    const { result, attempts, cached } = await this.#signed(request, key, signal);
    const { requestId } = result;
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

  /** A request that a change of the shares overtakes goes on with the new ones, by itself. */
  async #signed(request: SignRequest, key: KeyInfo, signal: AbortSignal): Promise<Signed> {
    checkSignRequest(request, key, this.#registry.self);
    const requestId = requestIdFor(key, request.message, this.#deps.roster());
    try {
      return await this.#signatures.get(request, key, requestId, signal);
    } catch (error) {
      const now = this.#deps.keyring.byId(key.keyId)?.key;
      if (signal.aborted || now === undefined || now.epoch === key.epoch) throw error;
      return this.#signed(request, now, signal);
    }
  }

  /**
   * Cancels a session of this node's, or withdraws this node from another's.
   * @throws NOT_FOUND; CONFLICT when it has ended or has no machine here.
   */
  async cancel(id: string): Promise<SessionDocument> {
    const { state, sessionId } = this.session(id);
    const live = this.#registry.find(sessionId as SessionId);
    if (live === undefined || live.ended) {
      throw new BzzzError('CONFLICT', `session ${sessionId} is ${state}, and not under way here`, {
        hint: 'only a session under way can be cancelled',
      });
    }
    const { self } = this.#registry;
    const reason = 'cancelled by an operator';
    live.cancel(self, reason);
    if (live instanceof DealtSession && live.sealed.proposal.proposer === self) {
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
    return this.#deps.sessions.list().map((known) => this.#document(known));
  }

  /** @param id or unique prefix. @throws NOT_FOUND; CONFLICT for a prefix of several. */
  session(id: string): SessionDocument {
    return this.#document(this.#deps.sessions.called(id));
  }

  /**
   * This node's operator lets it sign in a session of a key with policy `approve`.
   * @throws NOT_FOUND; CONFLICT when the session waits for no answer here; SHARE_CORRUPT.
   */
  async approve(id: string): Promise<SessionDocument> {
    await this.#waiting(id).approve();
    return this.session(id);
  }

  /**
   * This node's operator keeps it from signing.
   * @param reason for the requester; may be empty. @throws NOT_FOUND, CONFLICT.
   */
  async deny(id: string, reason: string): Promise<SessionDocument> {
    this.#waiting(id).deny(reason);
    return this.session(id);
  }

  /** Every key of the cluster that is known here, and those that wait for their certificate. */
  keys(): readonly KeyDocument[] {
    const { keyring, suites, roster } = this.#deps;
    const { clusterName } = roster();
    const known = keyring
      .list()
      .map((entry) =>
        keyDocument(entry, this.#registry.shares.standing(entry.key.keyId), clusterName, suites),
      );
    const pending = this.#registry.live().flatMap((live) => {
      if (!(live instanceof KeygenSession) || live.attestation === undefined) return [];
      if (keyring.byId(live.attestation.keyId) !== undefined) return [];
      return [pendingDocument(live.sealed, live.attestation, clusterName, suites)];
    });
    return [...known, ...pending];
  }

  /** Names of keys of which a peer has had a share, in any epoch: it may have kept it. */
  keysHeldBy(peer: PeerId): readonly string[] {
    const held = ({ parties }: KeyInfo): boolean => parties.some(({ peerId }) => peerId === peer);
    return this.#deps.keyring
      .list()
      .filter(({ key, history }) => [key, ...history].some(held))
      .map(({ key }) => key.name);
  }

  /** The keys in use, as their upkeep sees them. */
  keyAges(): readonly KeyAge[] {
    const { keyring, clock, roster } = this.#deps;
    const { members } = roster();
    const inUse = keyring.list().filter(({ retirement }) => retirement === undefined);
    return inUse.map((entry) => {
      const standing = this.#registry.shares.standing(entry.key.keyId);
      return keyAge(entry, standing, clock.wallMs(), (peer) => members.has(peer));
    });
  }

  /** @param name or key id. @throws NOT_FOUND; CONFLICT when two keys have the name. */
  key(name: string): KeyDocument {
    const { keyring, suites, roster } = this.#deps;
    const pending = this.keys().find(
      (key) => key.status === 'pending' && (key.name === name || key.keyId === name),
    );
    if (pending !== undefined) return pending;
    const entry = keyring.get(name);
    const standing = this.#registry.shares.standing(entry.key.keyId);
    return keyDocument(entry, standing, roster().clusterName, suites);
  }

  /** @throws NOT_FOUND, CONFLICT; NOT_SUPPORTED when no standard tool reads such a key. */
  exportKey(name: string, format: KeyExportFormat): string {
    const { key } = this.#deps.keyring.get(name);
    return exportKey(key, format, suiteOf(key.suite, this.#deps.suites));
  }

  /**
   * Signatures of a key that this node can begin now in one exchange, with commitments that were
   * exchanged ahead. @throws NOT_FOUND, CONFLICT.
   */
  readySignatures(name: string): number {
    return this.#registry.readySignatures(this.#deps.keyring.get(name).key);
  }

  /**
   * This node's own share, as a key package of the Zcash Foundation's library. It leaves the
   * keystore in plain text: the log and the events say so.
   * @throws NOT_FOUND, CONFLICT; NOT_FOUND for a key without a share here; SHARE_CORRUPT.
   */
  async exportShare(name: string): Promise<string> {
    const { logger, emit, keyring } = this.#deps;
    const { key } = keyring.get(name);
    const share = await ownShare(key, this.#registry.shares);
    try {
      logger.warn({ keyId: key.keyId, name: key.name }, 'a share was exported in plain text');
      emit('key.share-exported', { keyId: key.keyId, name: key.name });
      return keyToJson(keyPackageOf(key, share));
    } finally {
      wipe(share.signingShare);
    }
  }

  /**
   * Hands a delegate's share to its operator, once, as a key package; it is wiped here.
   * @throws NOT_FOUND, CONFLICT for the key; what `ShareBook.take` throws.
   */
  takeShare(name: string): string {
    const { logger, emit, keyring } = this.#deps;
    const { key } = keyring.get(name);
    const share = this.#registry.shares.take(key);
    try {
      logger.info({ keyId: key.keyId, name: key.name }, 'a delegate took its share');
      emit('key.share-taken', { keyId: key.keyId, name: key.name });
      return keyToJson(keyPackageOf(key, share));
    } finally {
      wipe(share.signingShare);
    }
  }

  /** Keys that wait here for their parties, because discovery fails. */
  gatherings(): readonly GatheringDocument[] {
    return this.#registry.gatherings.list();
  }

  /**
   * Takes a seat in a key that waits on another node.
   * @throws what `joinGathering` throws; DRAINING.
   */
  async joinGathering(token: string, signal: AbortSignal): Promise<JoinedDocument> {
    this.#checkAble();
    return joinGathering(token, signal, this.#registry);
  }

  /** @throws what `importKey` throws; DRAINING. */
  async importKey(
    request: ImportKeyRequest,
    signal: AbortSignal,
  ): Promise<ImportDocument<KeyDocument>> {
    this.#checkAble();
    const { keyId, waitingFor } = await importKey(request, signal, this.#registry);
    if (keyId === undefined) return { state: 'waiting', waitingFor, key: null };
    return { state: 'done', waitingFor, key: this.key(keyId) };
  }

  /** Verifies by an implementation that takes no part in signing. @throws NOT_FOUND, CONFLICT. */
  verify(name: string, message: Uint8Array, signature: Uint8Array): boolean {
    const { key } = this.#deps.keyring.get(name);
    return suiteOf(key.suite, this.#deps.suites).verify(key.groupKey, message, signature);
  }

  #waiting(id: string): SigningSession {
    const { sessionId, state } = this.session(id);
    const live = this.#registry.find(sessionId as SessionId);
    if (live instanceof SigningSession) return live;
    throw new BzzzError('CONFLICT', `session ${sessionId} is ${state}, and waits for no answer`);
  }

  #document(known: KnownSession): SessionDocument {
    const { sid, proposal } = known.sealed;
    const live = this.#registry.find(sid);
    const approval = live instanceof SigningSession ? live.approval : undefined;
    const signers = this.#registry.results.signersOf(sid);
    return sessionDocument(known, this.#keyOf(proposal), { approval, signers });
  }

  #keyOf(proposal: Proposal): KeyInfo | undefined {
    return proposal.kind === 'keygen' ? undefined : this.#deps.keyring.byId(proposal.keyId)?.key;
  }

  #checkAble(): void {
    if (this.#registry.draining) throw new BzzzError('DRAINING', 'this node is stopping');
  }
}
