/**
 * The keys that wait on this node for their parties, because discovery itself fails: prints a token
 * for each, seats whoever joins with it, and has the key made once enough members are near.
 *
 * All of it is in memory: with the client or the daemon the wait is over, and nothing is left.
 * @module
 */
import { BoundedMap } from '../../base/bounded.ts';
import type { ClusterId, PeerId } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import type { Cancel } from '../../base/ports.ts';
import type { Role } from '../../roster/types.ts';
import { type Composition, checkComposition } from '../composition.ts';
import type { PartyPool } from '../pool.ts';
import { selectParties } from '../selection.ts';
import {
  countGathered,
  type Eligible,
  type EndReason,
  type Gathering,
  type GatheringEffect,
  type GatheringInput,
  newGathering,
  over,
  stepGathering,
} from './gathering.ts';
import { JTI_BYTES, sealGatheringToken } from './gathering-token.ts';
import { timeoutOf } from './plan.ts';
import type { CreateKeyRequest, PartyDeps, PartyOptions } from './ports.ts';
import { TOPICS, wire } from './wire.ts';

/** Keys that wait at once, and completed ones that are remembered. */
const MOST = 16;

/** A request that may wait for its parties. */
export interface GatheringWish {
  readonly name: string;
  readonly suite: string;
  readonly composition: Composition;
  readonly timeoutMs: number;
  /** Why discovery cannot be trusted now. */
  readonly trouble: string;
  /** What the client is told when nobody comes. */
  readonly shortage: BzzzError;
}

/** A key that waits here for its parties, for its operator. */
export interface GatheringDocument {
  readonly name: string;
  readonly suite: string;
  readonly threshold: number;
  readonly reason: string;
  readonly need: number;
  /** Members that could be parties now, at most as many as are needed. */
  readonly have: number;
  /** Members that joined with the token. */
  readonly joined: readonly PeerId[];
  readonly token: string;
  readonly expiresAt: string;
}

/** Makes the key with these parties, in the time that is left. */
type Make<T> = (timeoutMs: number, pool: PartyPool) => Promise<T>;

interface Waiting {
  /** The token's id, in hex. */
  readonly jti: string;
  readonly wish: GatheringWish;
  readonly token: string;
  /** By the monotonic clock, and by the wall's. */
  readonly deadline: number;
  readonly expiresAt: number;
  readonly stop: Cancel[];
  readonly complete: (pool: PartyPool, timeoutMs: number) => void;
  readonly fail: (error: BzzzError) => void;
  state: Gathering;
}

const SHORT: ReadonlySet<string> = new Set([
  'INSUFFICIENT_PERSISTENT_PARTIES',
  'INSUFFICIENT_PARTIES',
]);

/**
 * Whether a request that found too few parties may wait for them: only while discovery itself
 * fails, and the roster has as many members as are asked for.
 */
export function gatheringWish(
  request: CreateKeyRequest,
  thrown: unknown,
  options: PartyOptions,
  { pool, roster }: PartyDeps,
): GatheringWish | undefined {
  const trouble = pool.trouble();
  if (trouble === undefined || request.participants !== undefined) return undefined;
  if (!(thrown instanceof BzzzError) || !SHORT.has(thrown.code)) return undefined;
  const composition = checkComposition(request);
  const roles = [...roster().members.values()].map(({ role }) => role);
  for (const [role, count] of composition.byRole) {
    if (roles.filter((other) => other === role).length < count) return undefined;
  }
  const timeoutMs = timeoutOf(request.timeoutMs, options);
  const { name, suite } = request;
  return { name, suite, composition, timeoutMs, trouble, shortage: thrown };
}

/** The gatherings of this node. */
export class Gatherings {
  readonly #deps: PartyDeps;
  readonly #clusterId: ClusterId;
  /** By the token's id. */
  readonly #waiting = new Map<string, Waiting>();
  /** Those that found their parties lately: a party may come to ask for its seat. */
  readonly #complete = new BoundedMap<string, Gathering>(MOST);

  constructor(deps: PartyDeps, clusterId: ClusterId) {
    this.#deps = deps;
    this.#clusterId = clusterId;
  }

  /** Running timers. */
  get timers(): number {
    return this.#waiting.size;
  }

  /** Answers members that come with a token. */
  start(): void {
    this.#deps.direct.handle(TOPICS.join, async (from, bytes) => {
      const jti = toHex(wire.readJoin(bytes));
      const waiting = this.#waiting.get(jti);
      return waiting === undefined ? this.#seatLate(jti, from) : this.#seat(waiting, from);
    });
  }

  /** Whether a key of this name waits here. */
  nameTaken(name: string): boolean {
    return [...this.#waiting.values()].some(({ wish }) => wish.name === name);
  }

  list(): readonly GatheringDocument[] {
    return [...this.#waiting.values()].map((waiting) => this.#document(waiting));
  }

  /** Ends them all: this node takes part in nothing new, or stops. */
  drain(): void {
    for (const waiting of this.#waiting.values()) {
      this.#step(waiting, { type: 'end', reason: 'draining' });
    }
  }

  /**
   * Waits for the parties of a key.
   * @param make is called at once when they are there, before anything else can take the name.
   * @throws the shortage at the deadline; INTERRUPTED when the client goes; DRAINING; BUSY when
   * too many keys wait; what `make` throws.
   */
  gather<T>(wish: GatheringWish, signal: AbortSignal, make: Make<T>): Promise<T> {
    if (this.#waiting.size >= MOST) {
      throw new BzzzError('BUSY', `${MOST} keys wait for their parties already`);
    }
    return new Promise((resolve, reject) => {
      const waiting = this.#open(wish, {
        complete: (pool, timeoutMs) => resolve(make(timeoutMs, pool)),
        fail: reject,
      });
      const gone = (): void => void this.#step(waiting, { type: 'end', reason: 'gone' });
      const { clock, pool, direct } = this.#deps;
      const late = (): void => void this.#step(waiting, { type: 'end', reason: 'deadline' });
      signal.addEventListener('abort', gone, { once: true });
      waiting.stop.push(
        () => signal.removeEventListener('abort', gone),
        clock.after(wish.timeoutMs, late),
        pool.watch(() => this.#look(waiting)),
        direct.onPeer(() => this.#look(waiting)),
      );
      this.#tell(waiting);
    });
  }

  #open(wish: GatheringWish, ends: Pick<Waiting, 'complete' | 'fail'>): Waiting {
    const { random, signer, clock, reach } = this.#deps;
    const { name, suite, composition, timeoutMs } = wish;
    const jti = new Uint8Array(random.bytes(JTI_BYTES));
    const { threshold, parties, byRole } = composition;
    const terms = { jti, name, suite, threshold, parties, ttlMs: timeoutMs };
    const addresses = reach.addresses();
    const waiting: Waiting = {
      ...{ jti: toHex(jti), wish, ...ends, stop: [] },
      token: sealGatheringToken(this.#clusterId, { ...terms, addresses }, signer),
      deadline: clock.now() + timeoutMs,
      expiresAt: clock.wallMs() + timeoutMs,
      state: newGathering(byRole, this.#ownSeat(composition)),
    };
    this.#waiting.set(waiting.jti, waiting);
    return waiting;
  }

  /** The proposer is a party where its role is asked for, as its operator expects. */
  #ownSeat({ byRole }: Composition): ReadonlyMap<PeerId, Role> {
    const { roster, signer } = this.#deps;
    const role = roster().members.get(signer.peerId)?.role;
    return role !== undefined && byRole.has(role) ? new Map([[signer.peerId, role]]) : new Map();
  }

  /** @returns the answer. @throws what the joining member is told. */
  #seat(waiting: Waiting, from: PeerId): Uint8Array {
    const role = this.#deps.roster().members.get(from)?.role;
    const before = waiting.state;
    const [effect] = this.#step(waiting, { type: 'join', peer: from, role });
    if (effect?.type === 'refuse') throw effect.error;
    if (waiting.state !== before) {
      this.#deps.logger.info({ name: waiting.wish.name, peer: from }, 'a member joined for a key');
    }
    const { need, have } = this.#counts(waiting);
    this.#look(waiting);
    return wire.joinAnswer({ need, have });
  }

  /** @throws SESSION_EXPIRED unless it has become a party already. */
  #seatLate(jti: string, from: PeerId): Uint8Array {
    const state = this.#complete.get(jti);
    if (state === undefined) throw over();
    const [effect] = stepGathering(state, { type: 'join', peer: from, role: undefined }).effects;
    if (effect?.type === 'refuse') throw effect.error;
    return wire.joinAnswer({ need: state.seats.size, have: state.seats.size });
  }

  #look(waiting: Waiting): void {
    this.#step(waiting, { type: 'look', eligible: this.#eligible(waiting) });
  }

  #eligible({ wish: { composition, suite } }: Waiting): Eligible {
    return new Map(
      [...composition.byRole.keys()].map((role) => [
        role,
        this.#deps.pool.eligible(suite, role).map(({ peerId }) => peerId),
      ]),
    );
  }

  #counts(waiting: Waiting): { readonly need: number; readonly have: number } {
    return countGathered(waiting.wish.composition.byRole, this.#eligible(waiting));
  }

  #step(waiting: Waiting, input: GatheringInput): readonly GatheringEffect[] {
    const { state, effects } = stepGathering(waiting.state, input);
    waiting.state = state;
    for (const effect of effects) {
      if (effect.type === 'complete') this.#make(waiting, effect.parties);
      if (effect.type === 'ended') this.#end(waiting, effect.reason);
    }
    return effects;
  }

  /** The name is free from here on, until `complete` has taken it in the same turn. */
  #make(waiting: Waiting, parties: ReadonlySet<PeerId>): void {
    this.#close(waiting);
    this.#complete.set(waiting.jti, waiting.state);
    const { pool, clock } = this.#deps;
    const left = Math.max(1, Math.floor(waiting.deadline - clock.now()));
    const chosen: PartyPool = {
      ...pool,
      eligible: (suite, role) =>
        pool.eligible(suite, role).filter(({ peerId }) => parties.has(peerId)),
    };
    waiting.complete(chosen, left);
  }

  #end(waiting: Waiting, reason: EndReason): void {
    this.#close(waiting);
    const { name } = waiting.wish;
    this.#deps.logger.info({ name, reason }, 'a key waits for its parties no more');
    if (reason === 'gone') waiting.fail(new BzzzError('INTERRUPTED', 'the request was withdrawn'));
    else if (reason === 'deadline') waiting.fail(this.#shortage(waiting));
    else waiting.fail(new BzzzError('DRAINING', `key ${name} still waited for its parties`));
  }

  /** As it is now, with what made the node wait. */
  #shortage({ wish: { trouble, shortage, composition, suite } }: Waiting): BzzzError {
    let now = shortage;
    try {
      selectParties(composition, suite, this.#deps.pool, new Uint8Array(32));
    } catch (thrown) {
      now = toBzzzError(thrown);
    }
    return new BzzzError(now.code, now.message, {
      why: [trouble, now.why ?? ''].filter((part) => part !== '').join('; '),
      hint: 'give --timeout 10m, and meanwhile run `bzzz session join TOKEN` on other hosts',
      details: { ...now.details, trouble },
    });
  }

  #close(waiting: Waiting): void {
    for (const stop of waiting.stop.splice(0)) stop();
    this.#waiting.delete(waiting.jti);
  }

  #tell(waiting: Waiting): void {
    const { name, token, reason, need, have } = this.#document(waiting);
    const { logger, emit } = this.#deps;
    logger.warn({ name, need, have, reason }, 'a key waits for its parties: discovery fails');
    emit('session.gathering', { name, token, reason, need, have });
  }

  #document(waiting: Waiting): GatheringDocument {
    const { wish, token, state, expiresAt } = waiting;
    const { name, suite, composition, trouble } = wish;
    const { signer } = this.#deps;
    return {
      ...{ name, suite, threshold: composition.threshold, reason: trouble },
      ...this.#counts(waiting),
      joined: [...state.seats.keys()].filter((peer) => peer !== signer.peerId),
      token,
      expiresAt: new Date(expiresAt).toISOString(),
    };
  }
}
