/**
 * The sessions of this node: opens them, feeds them what comes from the network, carries out what
 * they want, puts them away when they have ended.
 * @module
 */
import type { ClusterId, PeerId, SessionId } from '../../base/brands.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { KeyQueue } from '../../base/key-queue.ts';
import type { Cancel } from '../../base/ports.ts';
import { TokenLedger } from '../join-token.ts';
import { certificateAddress } from '../keys/certificate.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import type { NoncePort } from '../nonces/types.ts';
import type { PolicyContext } from '../policy/policy.ts';
import { RateBook } from '../policy/rate.ts';
import type { RepairStart } from '../repair/types.ts';
import type { OldEpoch } from '../reshare/dealing.ts';
import type { VerifiedResult } from '../result.ts';
import type { EventData, EventKind } from '../sessions/events.ts';
import { isKeygen, isReshare } from '../sessions/proposal.ts';
import type { RememberOptions } from '../sessions/store.ts';
import type { Released } from '../signing/arbiter.ts';
import type { SigningStart } from '../signing/types.ts';
import type {
  DealtProposal,
  KeygenProposal,
  KeyInfo,
  ReshareProposal,
  SealedProposal,
} from '../types.ts';
import { Accusations } from './accusations.ts';
import { type AdmissionContext, policyContext } from './admit.ts';
import { Arbitration } from './arbiter.ts';
import { bringProposal } from './bring.ts';
import { CertificateExchange } from './certificate-exchange.ts';
import { DealtSession } from './dealt-session.ts';
import { EndedSessions } from './ended-sessions.ts';
import { Gatherings } from './gatherings.ts';
import { onHeard, onMissed } from './heard.ts';
import { ImportDesk } from './import-desk.ts';
import { Inbound } from './inbound.ts';
import { KeygenSession } from './keygen-session.ts';
import type { Ended, Live } from './live.ts';
import { SessionNewsService } from './news.ts';
import { NonceExchange } from './nonce-exchange.ts';
import { Openings } from './openings.ts';
import { Paces } from './paces.ts';
import type { PartyDeps, PartyOptions } from './ports.ts';
import { wakeDealt } from './recover.ts';
import { RepairSession } from './repair-session.ts';
import { ReshareSession, requireUnlocked } from './reshare-session.ts';
import { ResultBook } from './result-book.ts';
import { Retirements } from './retirements.ts';
import { SessionMeter } from './session-meter.ts';
import { ShareBook } from './share-book.ts';
import { type SigningHost, SigningSession } from './signing-session.ts';
import { Watch } from './watchdog.ts';
import { type ProposeBody, TOPICS, wire } from './wire.ts';

/** Every kind of session. */
export type AnySession = KeygenSession | ReshareSession | RepairSession | SigningSession;

/** Every session with a machine here. */
export class SessionRegistry implements SigningHost {
  readonly deps: PartyDeps;
  readonly options: PartyOptions;
  readonly self: PeerId;
  readonly clusterId: ClusterId;
  readonly results: ResultBook;
  readonly news: SessionNewsService;
  readonly certificates: CertificateExchange;
  readonly rates = new RateBook();
  readonly shares: ShareBook;
  readonly imports: ImportDesk;
  readonly gatherings: Gatherings;
  readonly meter: SessionMeter;
  readonly accusations: Accusations;
  readonly paces: Paces;
  readonly #told = new KeyQueue();
  readonly #live = new Map<SessionId, AnySession>();
  readonly #ended = new EndedSessions((sid) => this.#live.delete(sid));
  readonly #opening = new Map<SessionId, Promise<void>>();
  readonly #inbound: Inbound;
  readonly #watch: Watch;
  readonly #openings: Openings;
  readonly #nonces: NonceExchange;
  readonly #unsubscribe: Cancel[] = [];
  readonly #admission: AdmissionContext;
  readonly #retirements: Retirements;
  readonly #arbitration: Arbitration;
  #draining = false;
  #closed = false;

  constructor(options: PartyOptions, deps: PartyDeps) {
    this.deps = deps;
    this.options = options;
    this.self = deps.signer.peerId;
    this.clusterId = deps.roster().clusterId;
    this.results = new ResultBook(deps, this.clusterId, () => this.liveSessions > 0);
    this.certificates = new CertificateExchange(deps);
    this.#retirements = new Retirements(deps, this.clusterId);
    this.shares = new ShareBook({ ...deps, self: this.self, delegateMs: options.delegateMs });
    this.#nonces = new NonceExchange({
      ...deps,
      clusterId: this.clusterId,
      self: this.self,
      boot: options.boot,
      openShare: (key) => this.shares.open(key),
      background: (what, work) => this.background(what, work),
    });
    this.imports = new ImportDesk(deps);
    this.gatherings = new Gatherings(deps, this.clusterId);
    this.meter = new SessionMeter(deps.clock);
    this.accusations = new Accusations(deps);
    this.paces = new Paces(deps.clock);
    this.#arbitration = new Arbitration(deps.clock, ({ sid, standing }) => {
      const live = this.#live.get(sid);
      if (live instanceof SigningSession) live.rule(standing);
    });
    this.#openings = new Openings(deps.clock, this.paces);
    this.#watch = new Watch(deps, options.stallMs ?? 10_000, () => this.live());
    this.news = new SessionNewsService({
      ...deps,
      clusterId: this.clusterId,
      heard: (opened) => onHeard(opened, this),
      missed: (opened) => onMissed(opened, this),
      watching: (sealed) => this.#watch.onlook(sealed),
    });
    this.#admission = {
      deps,
      clusterId: this.clusterId,
      self: this.self,
      ledger: new TokenLedger(),
      rates: this.rates,
      shares: this.shares,
      imports: this.imports,
      draining: () => this.#draining,
      liveSessions: () => this.liveSessions,
      nameTaken: (name) => this.nameTaken(name),
      checkUnlocked: (proposal) => this.checkUnlocked(proposal),
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
    const parts = [
      ...[this.#inbound, this.imports, this.#arbitration, this.#watch, this.news],
      ...[this.#openings, this.results, this.gatherings],
    ];
    return parts.reduce((sum, { timers }) => sum + timers, sessions);
  }

  get policy(): PolicyContext {
    return policyContext(this.#admission);
  }

  live(): readonly AnySession[] {
    return [...this.#live.values()];
  }

  find(sid: SessionId): AnySession | undefined {
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
    if (this.deps.keyring.byName(name).length > 0 || this.gatherings.nameTaken(name)) return true;
    return this.live().some(
      (live) =>
        live instanceof KeygenSession &&
        live.sealed.proposal.name === name &&
        (!live.ended || live.pending),
    );
  }

  /** Answers peers from now on. */
  start(): void {
    this.results.resume();
    this.#inbound.start();
    this.#nonces.start();
    this.#unsubscribe.push(
      this.deps.direct.onPeer((peer, live) => {
        if (!live) this.#arbitration.gone(peer);
        for (const session of this.live()) {
          if (live && session instanceof DealtSession) session.met(peer);
          else if (!live && session instanceof SigningSession) session.gone(peer);
        }
      }),
      this.deps.keyring.onChange(() => this.#nonces.prune()),
    );
    this.certificates.start();
    this.imports.start();
    this.gatherings.start();
    this.#retirements.start();
    this.news.start();
    this.#watch.resume();
  }

  /** Refuses new sessions from now on; running ones go on. */
  drain(): void {
    this.#draining = true;
    this.gatherings.drain();
  }

  /** Ends every session's machine, with all that it holds. */
  close(): void {
    this.#closed = true;
    for (const live of this.#live.values()) live.close();
    this.#live.clear();
    this.#ended.clear();
    this.#arbitration.close();
    for (const stop of this.#unsubscribe.splice(0)) stop();
    this.#nonces.close();
    this.shares.close();
    this.#openings.close();
    this.results.close();
    this.#inbound.close();
    this.imports.close();
    this.gatherings.drain();
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

  /** Opens a refresh or a reshare; see {@link openKeygen}. */
  async openReshare(
    sealed: SealedProposal<ReshareProposal>,
    body: ProposeBody,
    old: OldEpoch,
  ): Promise<ReshareSession> {
    const session = new ReshareSession(this, sealed, body, old);
    const taking = !session.parties.includes(this.self);
    await this.#open(session, session.parties.length, { taking, sync: false });
    return session;
  }

  /** Opens the repair of a share. */
  async openRepair(start: RepairStart, body: ProposeBody): Promise<RepairSession> {
    const session = new RepairSession(this, start, body);
    await this.#open(session, session.parties.length, { taking: true, sync: true });
    return session;
  }

  /**
   * One change of an epoch at a time: a seat that agreed to one agrees to no other.
   * @throws CONFLICT.
   */
  checkUnlocked(proposal: ReshareProposal): void {
    requireUnlocked(this.live(), proposal, this.deps.roster());
  }

  /**
   * Opens a signing session.
   * @param told peers that have the proposal.
   * @throws BAD_MESSAGE when proposal, key and message do not fit.
   */
  async openSigning(
    start: SigningStart,
    body: ProposeBody,
    told: readonly PeerId[],
  ): Promise<SigningSession> {
    const session = new SigningSession(this, start, body, told);
    const options = { taking: true, sync: false };
    const remembered = this.#remember(session, start.key.threshold, options);
    // It works while that is written, and says nothing before.
    this.#begin(session);
    try {
      await remembered;
    } catch (error) {
      this.#openings.end(session.sid);
      this.#arbitration.step({ type: 'ended' }, session.sealed);
      throw error;
    }
    if (this.#closed) session.close();
    else session.release();
    return session;
  }

  /** Takes a session that ends in a certificate up again as the disk has it. */
  resumeDealt(sealed: SealedProposal<DealtProposal>): Promise<void> {
    return this.once(sealed.sid, async () => {
      if (this.#live.has(sealed.sid)) return;
      const persisted = await wakeDealt(sealed, this);
      if (persisted === undefined || this.#closed) return;
      const session = this.#dealt(sealed);
      this.#live.set(sealed.sid, session);
      const options = { taking: true, sync: true };
      await this.deps.sessions.remember(sealed, session.parties, session.parties.length, options);
      this.#watch.wake();
      session.resume(persisted);
    });
  }

  #dealt(sealed: SealedProposal<DealtProposal>): KeygenSession | ReshareSession {
    if (isKeygen(sealed)) return new KeygenSession(this, sealed, undefined);
    const entry = isReshare(sealed) ? this.deps.keyring.byId(sealed.proposal.keyId) : undefined;
    if (!isReshare(sealed) || entry === undefined) {
      throw new BzzzError('INTERNAL', `session ${sealed.sid} without its key`);
    }
    return new ReshareSession(this, sealed, undefined, { key: entry.key, hash: entry.hash });
  }

  /** A key, or a new epoch of one, is known: shares and sessions follow. */
  renewed(entry: KeyEntry): void {
    this.#retirements.tell(entry);
    this.background('settle a share', this.shares.settle(entry));
    for (const live of this.live()) {
      if (live.sid === entry.key.sid && live instanceof DealtSession) live.certify(entry.newest);
      else if (live instanceof ReshareSession) live.passedBy(entry);
    }
  }

  publish({ key, certificate }: KeyEntry, role: 'author' | 'witness'): void {
    const address = certificateAddress(key.keyId, this.deps.roster().clusterName);
    this.background('publish certificate', this.deps.records.publish(address, certificate, role));
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

  propose(session: SigningSession, peer: PeerId, first: Uint8Array | null): Promise<void> {
    return bringProposal(session, peer, first, this);
  }

  /** Signatures of a key that can begin now with commitments that are here. */
  readySignatures(key: KeyInfo): number {
    return this.#nonces.ready(key);
  }

  noncesFor(key: KeyInfo): NoncePort {
    return this.#nonces.portFor(key);
  }

  say(sid: SessionId, kind: EventKind, data: EventData = {}): void {
    const said = this.deps.sessions.say(sid, kind, data);
    // Said at once, told in that order: writes of two events may end in another.
    const work = this.#told.run(sid, async () => {
      const opened = await said;
      if (opened === undefined) return;
      this.news.event(opened);
      if (kind !== 'note') this.deps.emit(`session.${kind}`, { sessionId: sid, ...data });
    });
    this.background('session event', Promise.all([said, work]));
  }

  progress({ sid, sealed }: Live, kind: string, data: Readonly<Record<string, unknown>>): void {
    this.meter.event(sid, sealed.proposal.kind, kind, data);
    this.deps.logger.debug({ sessionId: sid, event: kind, ...data }, 'session');
    this.deps.emit('session.progress', { sessionId: sid, event: kind, ...data });
    if (kind === 'culprit' && (data.peerId === this.self || data.party === this.self)) {
      this.accusations.add(sid);
    }
  }

  background(what: string, work: Promise<unknown>): void {
    work.catch((thrown: unknown) => {
      const { code, message } = toBzzzError(thrown);
      this.deps.logger.warn({ what, code }, `${what} failed: ${message}`);
    });
  }

  released({ sealed }: SigningSession, effect: Released): void {
    this.#arbitration.step(effect, sealed);
  }

  /** A valid result that ends a session. Others of the request need not go on. */
  learnResult(sid: SessionId, result: VerifiedResult): void {
    const { requestId } = result.record;
    this.results.keep(sid, result, result.author === this.self ? 'author' : 'witness');
    for (const live of this.live()) {
      if (!(live instanceof SigningSession) || live.sid === sid || live.ended) continue;
      if (live.sealed.proposal.requestId === requestId) live.offer(result.envelope);
    }
  }

  over(live: Live, end: Ended<object>): void {
    const { sid, sealed } = live;
    this.meter.end(sid, sealed.proposal.kind, end);
    const [own, untold] = [sealed.proposal.proposer === this.self, this.#openings.end(sid)];
    if (untold && own) this.news.proposal(live.sealed);
    if (end.state === 'completed') {
      this.background('session evidence', this.deps.sessions.prove(sid));
      if (live instanceof KeygenSession) this.imports.done(live.sealed.proposal);
      const keyId = this.deps.keyring.bySession(sid)?.key.keyId;
      if (untold && !own) this.deps.emit('session.completed', { sessionId: sid });
      else this.say(sid, 'completed', keyId && { keyId });
    } else {
      const { culprits, silent } = end;
      const { code, message } = end.error;
      this.deps.logger.warn({ sessionId: sid, code, culprits, silent }, message);
      this.say(sid, end.state, { code, message: message.slice(0, 512), culprits, silent });
      if (culprits.includes(this.self)) this.accusations.add(sid);
    }
    if (live instanceof SigningSession) this.#arbitration.step({ type: 'ended' }, live.sealed);
    this.#ended.add(live);
  }

  // -- housekeeping

  async #open(session: AnySession, needed: number, options: RememberOptions): Promise<void> {
    await this.#remember(session, needed, options);
    if (this.#closed) session.close();
    else this.#begin(session);
  }

  async #remember(session: AnySession, needed: number, options: RememberOptions): Promise<void> {
    const { sid, sealed, parties } = session;
    // In the map before the first await: it holds the key's name, and a second proposal finds it.
    this.#live.set(sid, session);
    this.meter.begin(sid);
    try {
      // Before it speaks: of what it has signed, a party that forgets it would be blamed.
      await this.deps.sessions.remember(sealed, parties, needed, options);
    } catch (error) {
      session.close();
      this.#live.delete(sid);
      throw error;
    }
  }

  #begin(session: AnySession): void {
    const { sid } = session;
    if (session instanceof SigningSession) {
      this.#openings.add(session.sealed, () => {
        this.#tellProposal(session);
        this.say(sid, 'joined');
      });
      this.#arbitration.step({ type: 'opened' }, session.sealed);
      this.#offerKnown(session);
    } else {
      this.#tellProposal(session);
    }
    session.start();
    for (const { from, envelope } of this.#inbound.takeEarly(sid)) session.receive(from, envelope);
    this.#watch.wake();
  }

  /** What another session brought while this one opened: without it, both would sign (S6). */
  #offerKnown(session: SigningSession): void {
    const { fresh, requestId } = session.sealed.proposal;
    const known = fresh ? undefined : this.results.ofRequest(requestId);
    if (known !== undefined) session.offer(known);
  }

  #tellProposal({ sid, sealed }: Live): void {
    if (sealed.proposal.proposer !== this.self) return;
    this.news.proposal(sealed);
    this.say(sid, 'proposed');
  }

  /** One opening per session at a time; later callers get the first one's outcome. */
  once(sid: SessionId, work: () => Promise<void>): Promise<void> {
    const running = this.#opening.get(sid);
    if (running !== undefined) return running;
    const promise = work().finally(() => this.#opening.delete(sid));
    this.#opening.set(sid, promise);
    return promise;
  }
}
