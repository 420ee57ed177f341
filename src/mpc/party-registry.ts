/**
 * The sessions of this node: opens them, feeds them what comes from the network, carries out what
 * they want, puts them away when they have ended.
 * @module
 */
import type { ClusterId, KeyId, Millis, PeerId, RequestId, SessionId } from '../base/brands.ts';
import { toBzzzError } from '../base/errors.ts';
import type { Cancel } from '../base/ports.ts';
import { TokenLedger } from './join-token.ts';
import { type AdmissionContext, policyContext } from './party-admit.ts';
import { CertificateExchange } from './party-certs.ts';
import { Inbound } from './party-inbound.ts';
import { KeygenSession } from './party-keygen.ts';
import type { Ended, Live } from './party-live.ts';
import { SessionNewsService } from './party-news.ts';
import type { PartyDeps, PartyOptions } from './party-ports.ts';
import { wakeKeygen } from './party-recover.ts';
import { ResultBook } from './party-results.ts';
import { type SigningHost, SigningSession } from './party-signing.ts';
import { Watch } from './party-watch.ts';
import { type ProposeBody, TOPICS, wire } from './party-wire.ts';
import type { PolicyContext } from './policy.ts';
import type { EventData, EventKind, OpenedEvent } from './session-events.ts';
import { type ArbiterInput, NO_SESSIONS, stepArbiter } from './signing/arbiter.ts';
import type { SigningStart } from './signing/types.ts';
import type { KeygenProposal, SealedProposal, SignProposal } from './types.ts';

/** Ended sessions that still answer, and the message bytes that they may hold together. */
const ENDED_SESSIONS = 64;
const ENDED_BYTES = 8 * 1_048_576;

/** Every session with a machine here. */
export class SessionRegistry implements SigningHost {
  readonly deps: PartyDeps;
  readonly options: PartyOptions;
  readonly self: PeerId;
  readonly clusterId: ClusterId;
  readonly results: ResultBook;
  readonly news: SessionNewsService;
  readonly certificates: CertificateExchange;
  readonly #live = new Map<SessionId, KeygenSession | SigningSession>();
  /** The live ones that have ended, oldest first. */
  readonly #ended: Live[] = [];
  readonly #opening = new Map<SessionId, Promise<void>>();
  readonly #inbound: Inbound;
  readonly #watch: Watch;
  readonly #admission: AdmissionContext;
  /** Keys whose share is active here. */
  readonly #held = new Set<KeyId>();
  readonly #faults = new Set<string>();
  readonly #rechecks = new Map<RequestId, Cancel>();
  #arbiter = NO_SESSIONS;
  #draining = false;
  #closed = false;

  constructor(options: PartyOptions, deps: PartyDeps) {
    this.deps = deps;
    this.options = options;
    this.self = deps.signer.peerId;
    this.clusterId = deps.roster().clusterId;
    this.results = new ResultBook(deps, this.clusterId);
    this.certificates = new CertificateExchange(deps);
    this.#watch = new Watch(deps, options.stallMs ?? 10_000, () => this.live());
    this.news = new SessionNewsService({
      ...deps,
      clusterId: this.clusterId,
      heard: (opened) => this.#onHeard(opened),
      watching: (sealed) => this.#watch.onlook(sealed),
    });
    this.#admission = {
      deps,
      clusterId: this.clusterId,
      self: this.self,
      ledger: new TokenLedger(),
      draining: () => this.#draining,
      liveSessions: () => this.liveSessions,
      nameTaken: (name) => this.nameTaken(name),
      learnKeys: (from) => this.certificates.pull(from),
    };
    this.#inbound = new Inbound(this, this.#admission);
  }

  /** Sessions that have not ended. */
  get liveSessions(): number {
    return this.live().filter(({ ended }) => !ended).length;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Timers of all sessions and of the service; none is left when nothing runs. */
  get timers(): number {
    const sessions = this.live().reduce((sum, { timers }) => sum + timers, 0);
    const { timers } = this.#inbound;
    return sessions + timers + this.#rechecks.size + this.#watch.timers + this.news.timers;
  }

  /** What was proven against this node by its peers (S4). */
  get faults(): readonly string[] {
    return [...this.#faults];
  }

  get policy(): PolicyContext {
    return policyContext(this.#admission);
  }

  live(): readonly (KeygenSession | SigningSession)[] {
    return [...this.#live.values()];
  }

  find(sid: SessionId): KeygenSession | SigningSession | undefined {
    return this.#live.get(sid);
  }

  has(sid: SessionId): boolean {
    return this.#live.has(sid);
  }

  /** Sees to the end of a session that others run. */
  onlook(sealed: SealedProposal): void {
    this.#watch.onlook(sealed);
  }

  nameTaken(name: string): boolean {
    if (this.deps.keyring.byName(name).length > 0) return true;
    return this.live().some(
      (live) =>
        live instanceof KeygenSession &&
        live.sealed.proposal.name === name &&
        (!live.ended || live.pending),
    );
  }

  /** Answers peers from now on. */
  start(): void {
    this.#inbound.start();
    this.certificates.start();
    this.news.start();
    this.#watch.resume();
  }

  /** Refuses new sessions from now on; running ones go on. */
  drain(): void {
    this.#draining = true;
  }

  /** Ends every session's machine, with all that it holds. */
  close(): void {
    this.#closed = true;
    for (const live of this.#live.values()) live.close();
    this.#live.clear();
    this.#ended.length = 0;
    for (const cancel of this.#rechecks.values()) cancel();
    this.#rechecks.clear();
    this.#inbound.close();
    this.news.close();
    this.#watch.close();
  }

  /** Opens a key generation that this node may take part in. The machine remembers it durably. */
  async openKeygen(
    sealed: SealedProposal<KeygenProposal>,
    body: ProposeBody,
  ): Promise<KeygenSession> {
    const session = new KeygenSession(this, sealed, body);
    // A party takes part from its durable `accepted` on; a proposer that is none, from now.
    const taking = !session.parties.includes(this.self);
    await this.#open(session, session.parties.length, { taking, sync: false });
    return session;
  }

  /** Opens a signing session. @throws BAD_MESSAGE when proposal, key and message do not fit. */
  async openSigning(start: SigningStart, body: ProposeBody): Promise<SigningSession> {
    const session = new SigningSession(this, start, body);
    await this.#open(session, start.key.threshold, { taking: true, sync: false });
    return session;
  }

  /** Takes a key generation up again as the disk has it. */
  resumeKeygen(sealed: SealedProposal<KeygenProposal>): Promise<void> {
    return this.once(sealed.sid, async () => {
      if (this.#live.has(sealed.sid)) return;
      const persisted = await wakeKeygen(sealed, this);
      if (persisted === undefined || this.#closed) return;
      const session = new KeygenSession(this, sealed, undefined);
      this.#live.set(sealed.sid, session);
      const options = { taking: true, sync: true };
      await this.deps.sessions.remember(sealed, session.parties, session.parties.length, options);
      this.#watch.wake();
      session.resume(persisted);
    });
  }

  // -- what sessions want

  send(sid: SessionId, to: readonly PeerId[], envelope: Uint8Array): void {
    const body = wire.message(sid, envelope);
    for (const peer of to) {
      if (peer === this.self) continue;
      this.deps.direct.send(peer, TOPICS.message, body).catch((error: unknown) => {
        const { code } = toBzzzError(error);
        this.deps.logger.debug({ sessionId: sid, peer, code }, 'a session message was not heard');
      });
    }
  }

  say(sid: SessionId, kind: EventKind, data: EventData = {}): void {
    const work = this.deps.sessions.say(sid, kind, data).then((opened) => {
      if (opened === undefined) return;
      this.news.event(opened);
      if (kind !== 'note') this.deps.emit(`session.${kind}`, { sessionId: sid, ...data });
    });
    this.background('session event', work);
  }

  progress({ sid }: Live, kind: string, data: Readonly<Record<string, unknown>>): void {
    this.deps.logger.debug({ sessionId: sid, event: kind, ...data }, 'session');
    this.deps.emit('session.progress', { sessionId: sid, event: kind, ...data });
    if (kind === 'culprit' && (data.peerId === this.self || data.party === this.self)) {
      this.#faulty(sid);
    }
  }

  background(what: string, work: Promise<unknown>): void {
    work.catch((thrown: unknown) => {
      const { code, message } = toBzzzError(thrown);
      this.deps.logger.warn({ what, code }, `${what} failed: ${message}`);
    });
  }

  holds(keyId: KeyId): void {
    this.#held.add(keyId);
  }

  isHeld(keyId: KeyId): boolean {
    return this.#held.has(keyId);
  }

  released(session: SigningSession): void {
    this.#arbitrate('released', session);
  }

  found(session: SigningSession, author: PeerId, record: Uint8Array): void {
    const { requestId } = session.sealed.proposal;
    this.results.keep(session.sid, requestId, record);
    const address = this.results.address(requestId);
    const role = author === this.self ? 'author' : 'witness';
    this.background('publish result', this.deps.records.publish(address, record, role));
    for (const other of this.live()) {
      if (!(other instanceof SigningSession) || other === session || other.ended) continue;
      if (other.sealed.proposal.requestId === requestId) other.offer(record);
    }
  }

  over(live: Live, end: Ended<object>): void {
    const { sid } = live;
    if (end.state === 'completed') {
      this.background('session evidence', this.deps.sessions.prove(sid));
      const key = this.deps.keyring.bySession(sid)?.key;
      this.say(sid, 'completed', key === undefined ? {} : { keyId: key.keyId });
    } else {
      const { error, culprits, silent } = end;
      const { code } = error;
      this.deps.logger.warn({ sessionId: sid, code, culprits, silent }, error.message);
      this.say(sid, end.state, { code, message: error.message.slice(0, 512), culprits, silent });
      if (culprits.includes(this.self)) this.#faulty(sid);
    }
    if (live instanceof SigningSession) this.#arbitrate('ended', live);
    this.#putAway(live);
  }

  /**
   * A signing session's beginning, with the result if this node has one: in memory, or on its disk
   * from before a restart (S6).
   */
  async signingStart(
    sealed: SealedProposal<SignProposal>,
    parts: Pick<SigningStart, 'key' | 'message' | 'share'>,
  ): Promise<SigningStart> {
    const { boot } = this.options;
    const { fresh, requestId } = sealed.proposal;
    const known = fresh
      ? undefined
      : await this.results.find(requestId, parts.key, parts.message, 'local');
    return { sealed, boot, ...parts, ...(known === undefined ? {} : { result: known.envelope }) };
  }

  #onHeard({ event }: OpenedEvent): void {
    const { sid, author, kind, data } = event;
    if (kind !== 'note') {
      this.deps.emit(`session.${kind}`, { sessionId: sid, author, ...data });
    }
    if (data.culprits?.includes(this.self) === true) {
      this.deps.emit('party.reported', { sessionId: sid, by: author });
    }
    if (data.keyId !== undefined && this.deps.keyring.byId(data.keyId) === undefined) {
      this.background('learn key', this.certificates.pull(author));
    }
  }

  // -- housekeeping

  async #open(
    session: KeygenSession | SigningSession,
    needed: number,
    options: { readonly taking: boolean; readonly sync: boolean },
  ): Promise<void> {
    const { sid, sealed, parties } = session;
    // In the map before the first await: it holds the key's name, and a second proposal finds it.
    this.#live.set(sid, session);
    try {
      await this.deps.sessions.remember(sealed, parties, needed, options);
    } catch (error) {
      session.close();
      this.#live.delete(sid);
      throw error;
    }
    if (this.#closed) {
      session.close();
      return;
    }
    if (sealed.proposal.proposer === this.self) {
      this.news.proposal(sealed);
      this.say(sid, 'proposed');
    }
    if (session instanceof SigningSession) {
      this.say(sid, 'joined');
      this.#arbitrate('opened', session);
    }
    session.start();
    for (const { from, envelope } of this.#inbound.takeEarly(sid)) session.receive(from, envelope);
    this.#watch.wake();
  }

  /** One opening per session at a time; later callers get the first one's outcome. */
  once(sid: SessionId, work: () => Promise<void>): Promise<void> {
    const running = this.#opening.get(sid);
    if (running !== undefined) return running;
    const promise = work().finally(() => this.#opening.delete(sid));
    this.#opening.set(sid, promise);
    return promise;
  }

  #arbitrate(type: ArbiterInput['type'], session: SigningSession): void {
    const { fresh, requestId } = session.sealed.proposal;
    if (fresh) return;
    const now: Millis = this.deps.clock.now();
    const step = stepArbiter(this.#arbiter, { type, requestId, sid: session.sid, now });
    this.#arbiter = step.state;
    this.#rechecks.get(requestId)?.();
    this.#rechecks.delete(requestId);
    if (step.recheckMs !== undefined) {
      const tick = (): void => this.#arbitrate('tick', session);
      this.#rechecks.set(requestId, this.deps.clock.after(step.recheckMs, tick));
    }
    for (const { sid, by } of step.rulings) {
      const live = this.#live.get(sid);
      if (live instanceof SigningSession) live.rule(by);
    }
  }

  /** Ended sessions answer for a while; how long depends on how many end, not on time. */
  #putAway(live: Live): void {
    if (live.pending || this.#ended.includes(live)) return;
    this.#ended.push(live);
    const size = (one: Live): number => one.body?.message?.length ?? 0;
    let bytes = this.#ended.reduce((sum, one) => sum + size(one), 0);
    while (this.#ended.length > 1 && (this.#ended.length > ENDED_SESSIONS || bytes > ENDED_BYTES)) {
      const oldest = this.#ended.shift();
      if (oldest === undefined) return;
      bytes -= size(oldest);
      oldest.close();
      this.#live.delete(oldest.sid);
    }
  }

  #faulty(sid: SessionId): void {
    if (this.#faults.has(sid)) return;
    this.#faults.add(sid);
    this.deps.logger.error({ sessionId: sid }, 'peers proved this node faulty');
    this.deps.emit('party.faulty', { sessionId: sid });
  }
}
