/**
 * Exchanges nonce commitments ahead of signatures, in the background: draws pairs for the drivers
 * that ask, and keeps this node's own pool filled for the keys that it signs with.
 *
 * Drawing and checking take about a millisecond a pair, so they are done pair by pair with a turn
 * of the event loop in between.
 * @module
 */
import { BoundedMap } from '../../base/bounded.ts';
import type { ClusterId, KeyId, Millis, PeerId } from '../../base/brands.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { wipe } from '../keys/sharefile.ts';
import { type NonceAsk, openBatch, readAsk, sealBatch, writeAsk } from '../nonces/batch.ts';
import { CommitmentPool } from '../nonces/pool.ts';
import { NonceStock } from '../nonces/stock.ts';
import {
  type Lane,
  NONCE_LIMITS,
  type NoncePort,
  type PooledCommitment,
  type TakenPair,
} from '../nonces/types.ts';
import { suiteOf } from '../suites/index.ts';
import type { NonceCommitment, Suite } from '../suites/types.ts';
import type { KeyInfo, KeyShare } from '../types.ts';
import type { PartyDeps } from './ports.ts';
import { TOPICS } from './wire.ts';

/** Pairs drawn or asked for at a time: small, so that a signature in between waits little. */
const SLICE_PAIRS = 8;
/** A holder that did not answer, or sent nonsense, is left alone for so long, in ms. */
const QUIET_MS = 1_000;
const DISTRUST_MS = 60_000;
/** One that kept a signature waiting is taken last for so long, in ms. */
const SLOW_MS = 5_000;

/** @property boot the durable boot counter. */
export interface NonceExchangeDeps extends PartyDeps {
  readonly clusterId: ClusterId;
  readonly self: PeerId;
  readonly boot: number;
  /** This node's share of the key's epoch, which the caller wipes. */
  readonly openShare: (key: KeyInfo) => Promise<KeyShare | undefined>;
  readonly background: (what: string, work: Promise<unknown>) => void;
}

const laneOf = ({ keyId, epoch }: KeyInfo): Lane => ({ keyId, epoch });

/** Both halves of the exchange, for all keys of this node. */
export class NonceExchange {
  readonly #deps: NonceExchangeDeps;
  readonly #stock: NonceStock;
  readonly #pool = new CommitmentPool(NONCE_LIMITS);
  /** Pairs know nothing of their suite; kept only to wipe them. */
  readonly #suites = new WeakMap<TakenPair, Suite>();
  readonly #filling = new Set<string>();
  readonly #answering = new Set<string>();
  readonly #quietUntil = new Map<string, Millis>();
  readonly #slowUntil = new Map<PeerId, Millis>();
  readonly #wanted = new BoundedMap<KeyId, number>(NONCE_LIMITS.lanes);
  readonly #issued = new Map<PeerId, { count: number; since: Millis }>();
  #closed = false;

  constructor(deps: NonceExchangeDeps) {
    this.#deps = deps;
    const forget = (pair: TakenPair): void => this.#suites.get(pair)?.wipeNonces(pair.nonces);
    this.#stock = new NonceStock({ limits: NONCE_LIMITS, wipe: forget });
  }

  /** Pairs in the stock; 0 after {@link NonceExchange.close}. */
  get pairs(): number {
    return this.#stock.size;
  }

  start(): void {
    this.#deps.direct.handle(TOPICS.nonces, async (from, body) => this.#answer(from, body));
  }

  /** Wipes every pair. */
  close(): void {
    this.#closed = true;
    this.#stock.clear();
    this.#pool.prune(() => true);
  }

  /** A key has a new epoch, or the members changed. */
  prune(): void {
    const { keyring, roster } = this.#deps;
    const view = roster();
    const useless = ({ keyId, epoch }: Lane, peer: PeerId): boolean =>
      keyring.byId(keyId)?.key.epoch !== epoch || view.standing(peer) !== 'member';
    this.#stock.prune(useless);
    this.#pool.prune(useless);
  }

  /** Signatures of a key that this node can begin now without asking for commitments. */
  ready(key: KeyInfo): number {
    const left = (peer: PeerId): number => this.#pool.left(laneOf(key), peer);
    const others = key.parties
      .filter(({ peerId }) => peerId !== this.#deps.self)
      .map(({ peerId }) => left(peerId))
      .sort((a, b) => b - a);
    return Math.min(left(this.#deps.self), others[key.threshold - 2] ?? 0);
  }

  /** What one signing session of a key that is held here sees. */
  portFor(key: KeyInfo): NoncePort {
    const lane = laneOf(key);
    const { self, direct } = this.#deps;
    return {
      draw: (usable) => {
        const connected = new Set(direct.connected());
        const others = usable.filter((peer) => connected.has(peer));
        const prompt = others.filter((peer) => !this.#isSlow(peer));
        const drawn =
          this.#pool.draw(lane, self, prompt, key.threshold) ??
          this.#pool.draw(lane, self, others, key.threshold);
        if (this.ready(key) < this.#target(key) / 2) this.#deepen(key);
        this.fill(key);
        return drawn;
      },
      take: (driver, seq, envelope) => this.#stock.take(lane, driver, seq, envelope),
      lost: (holder) => {
        this.#pool.drop(lane, holder);
        this.fill(key);
      },
      slow: (holder) => {
        this.#slowUntil.set(holder, (this.#deps.clock.now() + SLOW_MS) as Millis);
      },
    };
  }

  /** Sees to it that the pool for a key has enough of this node and of those it signs with. */
  fill(key: KeyInfo): void {
    const { self, background } = this.#deps;
    for (const peer of [self, ...this.#companions(key)]) {
      const name = `${key.keyId}/${key.epoch}/${peer}`;
      const left = this.#pool.left(laneOf(key), peer);
      if (this.#closed || left >= this.#target(key) || this.#filling.has(name)) continue;
      if ((this.#quietUntil.get(name) ?? 0) > this.#deps.clock.now()) continue;
      this.#filling.add(name);
      const work = (peer === self ? this.#drawOwn(key) : this.#ask(key, peer)).catch(
        (thrown: unknown) => this.#leaveAlone(name, peer, thrown),
      );
      background(
        'fill the nonce pool',
        work.finally(() => this.#filling.delete(name)),
      );
    }
  }

  /**
   * As many holders as sign beside this one, and one more, the prompt ones first: pairs of all of
   * ten holders would cost more than the signatures that use them. Each driver begins behind its
   * own place in the ring of holders, so that all of them have some of the work.
   */
  #companions({ parties, threshold }: KeyInfo): readonly PeerId[] {
    const { self, direct } = this.#deps;
    const connected = new Set(direct.connected());
    const peers = parties.map(({ peerId }) => peerId);
    const own = peers.indexOf(self);
    const ring = [...peers.slice(own + 1), ...peers.slice(0, own)];
    return ring
      .filter((peer) => connected.has(peer))
      .sort((a, b) => Number(this.#isSlow(a)) - Number(this.#isSlow(b)))
      .slice(0, threshold);
  }

  /** A key that is used now and then needs few pairs; one whose pool runs low needs more. */
  #target({ keyId }: KeyInfo): number {
    return this.#wanted.get(keyId) ?? SLICE_PAIRS / 2;
  }

  #deepen(key: KeyInfo): void {
    this.#wanted.set(key.keyId, Math.min(NONCE_LIMITS.lowWater, 2 * this.#target(key)));
  }

  #isSlow(peer: PeerId): boolean {
    return (this.#slowUntil.get(peer) ?? 0) > this.#deps.clock.now();
  }

  #leaveAlone(name: string, peer: PeerId, thrown: unknown): void {
    const { code, message } = toBzzzError(thrown);
    const { clock, logger } = this.#deps;
    const ms = code === 'BAD_MESSAGE' ? DISTRUST_MS : QUIET_MS;
    if (this.#quietUntil.size >= NONCE_LIMITS.lanes) this.#quietUntil.clear();
    this.#quietUntil.set(name, (clock.now() + ms) as Millis);
    const fields = { peer, code };
    if (code === 'BAD_MESSAGE') logger.warn(fields, `bad nonce commitments: ${message}`);
    else logger.debug(fields, `no nonce commitments: ${message}`);
  }

  // -- as a driver

  async #drawOwn(key: KeyInfo): Promise<void> {
    const { self, boot } = this.#deps;
    const drawn = await this.#draw(key, SLICE_PAIRS, () => {});
    const pairs = this.#issue(key, self, boot, drawn);
    this.#pool.add(laneOf(key), self, pairs);
    if (this.#pool.left(laneOf(key), self) < this.#target(key)) await this.#drawOwn(key);
  }

  async #ask(key: KeyInfo, holder: PeerId): Promise<void> {
    const { direct, self, boot, clusterId } = this.#deps;
    const { keyId, epoch } = key;
    const ask = writeAsk({ keyId, epoch, driverBoot: boot, count: SLICE_PAIRS });
    const envelope = await direct.request(holder, TOPICS.nonces, ask);
    const batch = openBatch(envelope, { clusterId, holder, driver: self });
    const index = key.parties.find(({ peerId }) => peerId === holder)?.index;
    if (batch.keyId !== keyId || batch.epoch !== epoch || index === undefined) {
      throw new BzzzError('BAD_MESSAGE', 'nonce commitments for another key');
    }
    const { holderBoot, first } = batch;
    const pairs = batch.pairs.map(
      (points, i): PooledCommitment => ({
        ...{ author: holder, index, holderBoot, seq: first + i },
        ...points,
      }),
    );
    await this.#check(key, pairs);
    this.#pool.add(laneOf(key), holder, pairs);
    if (this.#pool.left(laneOf(key), holder) < this.#target(key)) await this.#ask(key, holder);
  }

  /** @throws BAD_MESSAGE. */
  async #check(key: KeyInfo, commitments: readonly NonceCommitment[]): Promise<void> {
    const suite = suiteOf(key.suite, this.#deps.suites);
    for (const commitment of commitments) {
      suite.checkCommitment(commitment);
      await this.#deps.nextTurn();
    }
  }

  // -- as a holder

  /** @throws what a driver is told: NOT_FOUND, CONFLICT, REFUSED_BY_POLICY, BUSY. */
  async #answer(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const ask = readAsk(body);
    const { keyring, boot, signer, clusterId } = this.#deps;
    const key = keyring.byId(ask.keyId)?.key;
    if (key === undefined) throw new BzzzError('NOT_FOUND', `key ${ask.keyId} is not known here`);
    this.#checkAsk(from, ask, key);
    const name = `${ask.keyId}/${from}`;
    if (this.#answering.has(name)) throw new BzzzError('BUSY', 'a batch is being drawn already');
    this.#answering.add(name);
    try {
      const drawn = await this.#draw(key, ask.count, () => this.#checkAsk(from, ask, key));
      const pairs = this.#issue(key, from, ask.driverBoot, drawn);
      const { keyId, epoch } = key;
      const batch = {
        ...{ keyId, epoch, driver: from, holderBoot: boot, first: pairs[0]?.seq ?? 0 },
        pairs: pairs.map(({ hiding, binding }) => ({
          hiding: new Uint8Array(hiding),
          binding: new Uint8Array(binding),
        })),
      };
      return sealBatch(batch, clusterId, signer);
    } finally {
      this.#answering.delete(name);
    }
  }

  #checkAsk(from: PeerId, { epoch, count }: NonceAsk, key: KeyInfo): void {
    const { roster, keyring } = this.#deps;
    if (keyring.byId(key.keyId)?.key.epoch !== epoch) {
      throw new BzzzError('CONFLICT', `key ${key.name} is not at epoch ${epoch} here`);
    }
    const holds = key.parties.some(({ peerId }) => peerId === from);
    if (!holds || roster().standing(from) !== 'member') {
      throw new BzzzError('REFUSED_BY_POLICY', `${from} holds no share of key ${key.name}`);
    }
    if (this.#overRate(from, count)) throw new BzzzError('BUSY', 'too many pairs in a second');
  }

  #overRate(driver: PeerId, count: number): boolean {
    const now = this.#deps.clock.now();
    const known = this.#issued.get(driver);
    const second = known !== undefined && now - known.since < 1_000 ? known : undefined;
    return (second?.count ?? 0) + count > NONCE_LIMITS.perSecond;
  }

  #count(driver: PeerId, count: number): void {
    const now = this.#deps.clock.now();
    const known = this.#issued.get(driver);
    if (known !== undefined && now - known.since < 1_000) known.count += count;
    else this.#issued.set(driver, { count, since: now });
  }

  /** Into the stock, with consecutive numbers. */
  #issue(
    key: KeyInfo,
    driver: PeerId,
    driverBoot: number,
    drawn: readonly TakenPair[],
  ): readonly PooledCommitment[] {
    this.#count(driver, drawn.length);
    return drawn.map((pair) => ({
      ...pair.commitment,
      author: this.#deps.self,
      holderBoot: this.#deps.boot,
      seq: this.#stock.add(laneOf(key), driver, driverBoot, pair),
    }));
  }

  /** @param check throws when the pairs are of no use any more. */
  async #draw(key: KeyInfo, count: number, check: () => void): Promise<readonly TakenPair[]> {
    const share = await this.#share(key);
    const suite = suiteOf(key.suite, this.#deps.suites);
    const drawn: TakenPair[] = [];
    try {
      while (drawn.length < count) {
        const pair: TakenPair = suite.commit(share, this.#deps.random);
        this.#suites.set(pair, suite);
        drawn.push(pair);
        await this.#deps.nextTurn();
        if (this.#closed) throw new BzzzError('DRAINING', 'this node is stopping');
        check();
      }
      return drawn;
    } catch (error) {
      for (const { nonces } of drawn) suite.wipeNonces(nonces);
      throw error;
    } finally {
      wipe(share.signingShare);
    }
  }

  async #share(key: KeyInfo): Promise<KeyShare> {
    const share = await this.#deps.openShare(key);
    if (share === undefined) throw new BzzzError('NOT_FOUND', `no share of key ${key.name} here`);
    return share;
  }
}
