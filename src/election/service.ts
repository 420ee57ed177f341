/**
 * The election on this node: the machine, its disk and its streams, and what the node asks of it.
 * The leader is a convenience: it makes changes of the roster and keeps the job table. All else
 * works without one.
 * @module
 */
import type { Epoch, PeerId, Term } from '../base/brands.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock, Direct, KeyValue, Logger, Random, Signer } from '../base/ports.ts';
import type { Change } from '../roster/entry.ts';
import type { RosterService } from '../roster/service.ts';
import { ElectionActor } from './actor.ts';
import { Asks } from './asks.ts';
import { Courier } from './courier.ts';
import { serveLeaderRequests } from './desk.ts';
import { type Evidence, EvidenceBook } from './evidence.ts';
import { factsSource } from './facts.ts';
import { Fence } from './fence.ts';
import { TermHistory, type TermRecord } from './history.ts';
import { LeaderWatch } from './leader-watch.ts';
import { ElectionNews, type Emit, type LeaderDuty } from './news.ts';
import { LeaderRequests } from './requests.ts';
import { createSeals } from './seals.ts';
import { type ElectionHealth, electionHealth } from './status.ts';
import { loadHard, saveHard } from './store.ts';
import type {
  ElectionContext,
  ElectionEffect,
  ElectionInput,
  Hard,
  Leadership,
  RosterFacts,
  Timing,
  Trigger,
} from './types.ts';
import { decodeMessage, ELECTION_TOPIC } from './wire.ts';

export interface ElectionDeps {
  readonly roster: RosterService;
  readonly direct: Direct;
  readonly signer: Signer;
  /** A namespace of its own. */
  readonly store: KeyValue;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** One turn of the event loop; see actor.ts. */
  readonly nextTurn: () => Promise<void>;
  readonly timing: Timing;
  /** The voters, the one that should stand first at the front. Advisory. */
  readonly ranking: () => readonly PeerId[];
  /** Compares rosters with a connected peer and extends the shorter one. */
  readonly exchange: (peer: PeerId) => Promise<void>;
  /**
   * `leader.elected`, `leader.changed`, `leader.lost`, `leader.deposed`, `election.refused`,
   * `election.equivocation`.
   */
  readonly emit: Emit;
  /** How long a change is pursued over leaders that come and go, ms. @default 10 s */
  readonly pursuitMs?: number;
}

/** The leader as this node knows it. */
export interface KnownLeader {
  readonly peerId: PeerId;
  readonly term: Term;
  /** Wall clock in ms: since when this node knows. */
  readonly sinceMs: number;
  /** Who voted for it; empty until its certificate has come. */
  readonly votes: readonly PeerId[];
  /** Verified; see certificate.ts. */
  readonly certificate?: Uint8Array;
}

/** What a step brought for the node itself; nothing on the disk or the wire depends on it. */
type News = Exclude<ElectionEffect, { type: 'persist' | 'append' | 'send' | 'offer' | 'exchange' }>;

const PURSUIT_MS = 10_000;
/** A new leader is looked for so long after the old one went. */
const SUCCESSION_TIMEOUTS = 5;

interface Parts {
  readonly hard: Hard;
  readonly fence: Fence;
  readonly history: TermHistory;
  readonly evidence: EvidenceBook;
}

/** Made before the network starts, because it registers handlers; see the methods. */
export class ElectionService {
  readonly name = 'election';
  readonly #deps: ElectionDeps;
  readonly #parts: Parts;
  readonly #watch: LeaderWatch;
  readonly #news: ElectionNews;
  readonly #courier: Courier;
  readonly #asks: Asks;
  readonly #requests: LeaderRequests;
  readonly #actor: ElectionActor;
  #endings: Cancel[] = [];
  #phase: 'made' | 'running' | 'stopped' = 'made';
  #crash: string | undefined;

  private constructor(parts: Parts, deps: ElectionDeps) {
    const { roster, direct, signer, clock, logger, exchange, emit } = deps;
    const chain = () => roster.chain;
    this.#deps = deps;
    this.#parts = parts;
    this.#watch = new LeaderWatch(clock, (error) => this.#log(error, 'a leader listener failed'));
    this.#news = new ElectionNews({
      ...{ self: signer.peerId, chain, direct, clock, logger, emit, watch: this.#watch },
      ...{ history: parts.history, evidence: parts.evidence },
      witnessed: (votes) => void this.#actor.feed({ type: 'votes', votes }),
    });
    this.#courier = new Courier({ direct, chain, exchange, logger });
    this.#asks = new Asks(clock, (input) => this.#actor.feed(input));
    this.#requests = new LeaderRequests({
      ...{ self: signer.peerId, roster, direct, clock, logger, exchange },
      ...{ watch: this.#watch, asks: this.#asks },
      pursuitMs: deps.pursuitMs ?? PURSUIT_MS,
      patienceMs: SUCCESSION_TIMEOUTS * deps.timing.timeoutMs,
    });
    const seals = createSeals(roster.view.clusterId, signer);
    this.#actor = new ElectionActor(parts.hard, {
      ...{ clock, nextTurn: deps.nextTurn, facts: factsSource(chain) },
      context: (facts) => this.#context(facts, seals),
      perform: (effect) => this.#perform(effect),
      onCrash: (error) => this.#crashed(error),
    });
    this.#register();
  }

  /**
   * Reads what the disk has and registers handlers; nothing happens before {@link start}.
   * @throws DISK_FAILED: it is damaged, and this node could vote twice. SCHEMA_TOO_NEW.
   */
  static async open(deps: ElectionDeps): Promise<ElectionService> {
    const { store, clock, logger } = deps;
    const hard = await loadHard(store);
    const fence = await Fence.open(store, hard.term);
    const history = await TermHistory.open({ store: store.sub('history'), clock, logger });
    const evidence = await EvidenceBook.open(store.sub('evidence'), logger);
    return new ElectionService({ hard, fence, history, evidence }, deps);
  }

  async start(): Promise<void> {
    if (this.#phase !== 'made') throw new BzzzError('INTERNAL', 'the election was started before');
    const { roster, direct } = this.#deps;
    this.#phase = 'running';
    this.#endings = [
      roster.onChange(() => this.#actor.poke()),
      direct.onPeer((peer, live) => void this.#actor.feed({ type: 'link', peer, live })),
    ];
    this.#actor.start();
    for (const peer of direct.connected()) this.#actor.feed({ type: 'link', peer, live: true });
  }

  /** Resolves when the last write is over. Whoever waits gets DRAINING. */
  async stop(): Promise<void> {
    if (this.#phase === 'stopped') return;
    this.#phase = 'stopped';
    for (const end of this.#endings) end();
    this.#news.stop();
    this.#end(new BzzzError('DRAINING', 'this host is stopping'));
    await this.#actor.close();
    this.#parts.history.end();
    await this.#parts.history.flush();
  }

  // -- who leads

  /** The highest term that this node knows of, durably. */
  get term(): Term {
    return this.#parts.fence.term;
  }

  get isLeader(): boolean {
    return this.#watch.current?.leader === this.#self;
  }

  leader(): KnownLeader | undefined {
    const known = this.#watch.current;
    if (known === undefined) return undefined;
    const { leader, term } = known;
    const [line] = this.#parts.history.records;
    const proof = this.#news.proofOf(term);
    return {
      ...{ peerId: leader, term, votes: proof?.voters ?? [] },
      sinceMs: line?.since ?? this.#deps.clock.wallMs(),
      ...(proof === undefined ? {} : { certificate: proof.bytes }),
    };
  }

  /** Newest first. */
  history(): readonly TermRecord[] {
    return this.#parts.history.records;
  }

  /** Two votes of one voter in one term, where that was seen. */
  evidence(): readonly Evidence[] {
    return this.#parts.evidence.all;
  }

  /** What the leader knows of a member; undefined elsewhere, and for one that was not heard. */
  standingOf(peer: PeerId): { readonly term: Term; readonly epoch: Epoch } | undefined {
    const { state } = this.#actor;
    if (state.role !== 'leader') return undefined;
    const ack = state.acks.get(peer);
    return ack === undefined ? undefined : { term: state.hard.term, epoch: ack.epoch };
  }

  /** Called with undefined while nobody leads. @returns a function that ends the subscription. */
  onLeader(listener: (leadership: Leadership | undefined) => void): Cancel {
    return this.#watch.onChange(listener);
  }

  /** Starts and stops with this node's leadership, at once if it leads now. */
  onDuty(duty: LeaderDuty): void {
    this.#news.addDuty(duty);
  }

  health(): ElectionHealth {
    return electionHealth({
      leadership: this.#watch.current,
      lostMs: this.#news.lostMs,
      voters: this.#deps.roster.view.voters,
      missing: this.#requests.missing(),
      crash: this.#crash,
    });
  }

  /** Metrics: messages dropped because too many waited, and acts that were refused. */
  get counters(): { readonly dropped: number; readonly refused: number } {
    return { dropped: this.#actor.dropped, refused: this.#news.ignored };
  }

  // -- what the node asks for

  /**
   * Has a change of the roster certified, by whoever leads; see pursuit.ts. Resolves when the
   * roster here has it.
   * @throws NOT_A_VOTER: only voters change the roster, but for a member that leaves. NO_LEADER,
   * TIMEOUT: within the deadline; it may still be done. The refusal: see roster/membership.ts.
   */
  propose(change: Change, invitationId?: Uint8Array): Promise<Epoch> {
    return this.#requests.propose(change, invitationId);
  }

  /**
   * Hands leadership over, to the best of the others or to `to`.
   * @returns who leads then.
   * @throws NOT_A_VOTER, NO_LEADER, TIMEOUT; CONFLICT: too early in the term, or one is under way;
   * PEER_UNREACHABLE: nobody fit is connected; REFUSED_BY_POLICY: the only voter.
   */
  async transfer(
    to?: PeerId,
    options: { readonly force?: boolean } = {},
  ): Promise<{ readonly peerId: PeerId; readonly term: Term }> {
    const { leader, term } = await this.#requests.transfer(to, options.force ?? false);
    return { peerId: leader, term };
  }

  /** Gives leadership up to nobody in particular. @returns the term that ends. @throws as above. */
  stepDown(): Promise<{ readonly term: Term }> {
    return this.#requests.stepDown();
  }

  /** Stands for election now, if nobody leads as far as the others know. */
  campaign(trigger: Trigger): void {
    this.#actor.feed({ type: 'campaign', trigger });
  }

  /** Before this process ends or leaves: whoever can takes the lead over. Never throws. */
  handOver(timeoutMs: number): Promise<void> {
    return this.#requests.handOver(timeoutMs);
  }

  /**
   * For every act of a leader: resolves when an act of `term` may be carried out here.
   * @throws STALE_TERM: a newer leader was seen. DISK_FAILED.
   */
  async fence(term: Term): Promise<void> {
    await this.#parts.fence.pass(term);
  }

  // -- inside

  get #self(): PeerId {
    return this.#deps.signer.peerId;
  }

  #register(): void {
    const { direct, roster } = this.#deps;
    direct.onNote(ELECTION_TOPIC, (from, body) => this.#hear(from, body));
    direct.handle(ELECTION_TOPIC, async (from, body) => {
      this.#hear(from, body);
      return undefined;
    });
    serveLeaderRequests({
      ...{ direct, roster },
      leader: () => (this.#phase === 'running' ? this.#watch.current : undefined),
      certificate: (term) => this.#news.proofOf(term)?.bytes,
      propose: (change, id, waitMs) => this.#requests.proposeHere(change, id, waitMs),
      transfer: (to, force) => this.#requests.transferHere(to, force),
      stepDown: () => this.#requests.stepDownHere(),
    });
  }

  #hear(from: PeerId, body: Uint8Array): void {
    if (this.#phase !== 'running') return;
    this.#actor.feed({ type: 'message', from, message: decodeMessage(body) });
  }

  #context(roster: RosterFacts, seals: ElectionContext['seals']): ElectionContext {
    const { clock, random, timing, ranking } = this.#deps;
    const chance = () => random.bytes(4).reduce((sum, byte) => (sum + byte) / 256, 0);
    const now = clock.now();
    return { self: this.#self, now, chance, timing, roster, seals, ranking: ranking() };
  }

  #perform(effect: ElectionEffect): undefined | Promise<ElectionInput | undefined> {
    switch (effect.type) {
      case 'persist':
        return this.#persist(effect.hard);
      case 'append':
        return this.#append(effect.entry);
      case 'send':
        this.#courier.send(effect.to, effect.message);
        break;
      case 'offer':
        this.#courier.offer(effect.to, effect.epoch, effect.term);
        break;
      case 'exchange':
        this.#courier.exchange(effect.with);
        break;
      default:
        this.#tell(effect);
    }
    return undefined;
  }

  /**
   * The rest of the node hears of it when the effects behind are on their way: proofs, logs and
   * listeners take longer than a message to another voter.
   */
  #tell(news: News): void {
    queueMicrotask(() => {
      try {
        this.#told(news);
      } catch (thrown) {
        this.#crashed(thrown);
      }
    });
  }

  #told(news: News): void {
    switch (news.type) {
      case 'done':
        this.#asks.done(news.id, news.epoch);
        break;
      case 'refused':
        this.#asks.refused(news.id, news.error);
        break;
      case 'leader':
        this.#news.leader(news);
        break;
      case 'elected':
        this.#news.elected(news);
        break;
      case 'deposed':
        this.#news.deposed(news);
        break;
      case 'evidence':
        this.#news.evidence(news);
        break;
      case 'ignored':
        this.#news.refused(news);
    }
  }

  async #persist(hard: Hard): Promise<undefined> {
    await saveHard(this.#deps.store, hard);
    this.#parts.fence.reached(hard.term);
  }

  async #append(entry: Uint8Array): Promise<ElectionInput | undefined> {
    try {
      await this.#deps.roster.extend([entry]);
      return undefined;
    } catch (thrown) {
      const error = toBzzzError(thrown);
      this.#deps.logger.debug({ error: error.toShape() }, 'an entry was not appended');
      return { type: 'append-failed', error };
    }
  }

  /** This node must not vote by what it cannot keep: it takes no part any more. */
  #crashed(error: unknown): void {
    this.#crash = toBzzzError(error).message;
    this.#log(error, 'the election stopped on this host');
    this.#news.leader({ type: 'leader', leadership: null, trigger: 'manual' });
    this.#news.stop();
    const { code } = toBzzzError(error);
    const why = this.#crash;
    this.#end(new BzzzError(code, 'the election stopped on this host', { why, cause: error }));
  }

  #end(reason: BzzzError): void {
    this.#asks.end(reason);
    this.#watch.end(reason);
  }

  #log(error: unknown, message: string): void {
    this.#deps.logger.error({ error: toBzzzError(error).toShape() }, message);
  }
}
