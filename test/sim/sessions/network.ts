/**
 * Streams and gossip between processes. Frames are delayed, overtaken, doubled and lost; directions
 * are cut, with or without either side noticing. A message of `Direct` is tried again until its
 * time is over, as the real one is; what was lost on the way is lost.
 */
import type { PeerId } from '../../../src/base/brands.ts';
import { BzzzError, toBzzzError } from '../../../src/base/errors.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import type { Direct, DirectHandler, Gossip, NoteHandler } from '../../../src/base/ports.ts';
import { TOPICS } from '../../../src/mpc/party/wire.ts';
import type { Host } from './host.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

interface Endpoint {
  readonly handlers: Map<string, DirectHandler>;
  readonly notes: Map<string, NoteHandler>;
  readonly watchers: Set<(peer: PeerId, live: boolean) => void>;
  readonly subscriptions: Map<string, Parameters<Gossip['subscribe']>>;
}

export interface Frame {
  readonly from: PeerId;
  readonly to: PeerId;
  readonly topic: string;
  readonly body: Uint8Array;
}

/** A message on its way until it is answered or its time is over. */
interface Parcel {
  readonly source: Process;
  readonly frame: Frame;
  readonly answered: (target: Process, answer: Uint8Array | undefined) => void;
  readonly failed: (target: Process, error: BzzzError) => void;
  /** Who took it ran no more before it answered. */
  readonly lost: () => void;
  /** Who has got it, and gets it no second time. */
  readonly heardBy: Set<Process>;
  over: boolean;
}

const REMEMBERED = 150;

export class Network {
  loss = 0;
  /** What was sent, newest last; for replays. */
  readonly frames: Frame[] = [];
  readonly #world: World;
  readonly #cut = new Set<string>();
  /** Streams that both ends take for open, by indices of hosts. */
  readonly #open = new Set<string>();
  readonly #endpoints = new WeakMap<Process, Endpoint>();
  /** Not acknowledged yet: they go again whenever a stream comes up. */
  #underway: Parcel[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  #endpoint(process: Process): Endpoint {
    const known = this.#endpoints.get(process);
    if (known !== undefined) return known;
    const fresh: Endpoint = {
      handlers: new Map(),
      notes: new Map(),
      watchers: new Set(),
      subscriptions: new Map(),
    };
    this.#endpoints.set(process, fresh);
    return fresh;
  }

  #passes(from: Host, to: Host): boolean {
    return !this.#cut.has(`${from.index} ${to.index}`);
  }

  // -- links

  /** Cuts the directions for which `is` says so, and mends all others. */
  cut(is: (from: number, to: number) => boolean, noticed: boolean): void {
    const { list } = this.#world;
    this.#cut.clear();
    for (const a of list) {
      for (const b of list) {
        if (a === b || !is(a.index, b.index)) continue;
        this.#cut.add(`${a.index} ${b.index}`);
        if (noticed) this.part(a, b);
      }
    }
    for (const host of list) this.joinAll(host);
  }

  heal(): void {
    this.cut(() => false, false);
    this.#flush();
  }

  /** Both ends learn that the stream between them is gone. */
  part(a: Host, b: Host): void {
    if (!this.#open.delete(pair(a, b))) return;
    this.#tell(a, b, false);
  }

  joinAll(host: Host): void {
    const { rng, list } = this.#world;
    for (const other of list) {
      if (other !== host && other.id !== host.id) this.#join(host, other, rng.between(0, 40));
    }
  }

  #join(a: Host, b: Host, after: number): void {
    this.#world.at(after, () => {
      if (!a.up || !b.up || !this.#passes(a, b) || !this.#passes(b, a)) return;
      if (!this.#open.has(pair(a, b))) {
        this.#open.add(pair(a, b));
        this.#tell(a, b, true);
      }
      this.#world.records.meet(a, b);
      this.#flush();
    });
  }

  #tell(a: Host, b: Host, live: boolean): void {
    for (const [self, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const { process } = self;
      process?.later(this.#world.rng.between(0, 10), () => {
        for (const watch of this.#endpoint(process).watchers) watch(other.id, live);
        if (live) process.party?.peerConnected(other.id);
      });
    }
  }

  /** A dead process's streams close; whoever does not notice takes them for open. */
  died(host: Host, noticed: boolean): void {
    for (const other of this.#world.list) {
      if (other !== host && noticed) this.part(host, other);
    }
  }

  // -- messages

  direct(process: Process): Direct {
    const { host } = process;
    const world = this.#world;
    const endpoint = this.#endpoint(process);
    const deliver = async (
      ...[to, topic, body, ttlMs]: [PeerId, string, Uint8Array, number]
    ): Promise<Uint8Array | undefined> => {
      if (process.dies('send')) return process.lives().then(() => undefined);
      if (topic === TOPICS.nonces && !world.plan.pools) {
        throw new BzzzError('PEER_UNREACHABLE', 'this seed is about signing without a pool');
      }
      const frame = { from: host.id, to, topic, body: body.slice() };
      world.checker.sent(process, frame);
      this.#remember(frame);
      const answer = this.#carry(process, frame, ttlMs);
      if (process.dies('sent')) return process.lives().then(() => undefined);
      return answer;
    };
    return {
      send: async (to, topic, body, ttlMs = LIMITS.directTtlMs) => {
        await deliver(to, topic, body, ttlMs).catch((error: unknown) => {
          // A handler's failure is the receiver's affair; only reachability is the sender's.
          if (toBzzzError(error).code === 'PEER_UNREACHABLE') throw error;
        });
      },
      request: async (to, topic, body, timeoutMs = LIMITS.directRequestMs) => {
        if (process.dies('request')) return process.lives().then(() => new Uint8Array());
        const answer = await deliver(to, topic, body, timeoutMs);
        if (process.dies('asked')) return process.lives().then(() => new Uint8Array());
        return answer ?? new Uint8Array();
      },
      handle: (topic, handler) => void endpoint.handlers.set(topic, handler),
      note: (to, topic, body) => {
        if (process.dies('send')) return false;
        const frame = { from: host.id, to, topic, body: body.slice() };
        world.checker.sent(process, frame);
        for (const target of this.#targets(process, to)) {
          if (!this.#loses()) this.#arrive(target, () => this.#note(target, frame));
        }
        return true;
      },
      onNote: (topic, handler) => void endpoint.notes.set(topic, handler),
      connected: () => [
        ...new Set(
          world.list
            .filter((other) => other !== host && this.#open.has(pair(host, other)))
            .map(({ id }) => id),
        ),
      ],
      onPeer: (listener) => {
        endpoint.watchers.add(listener);
        return () => void endpoint.watchers.delete(listener);
      },
    };
  }

  gossip(process: Process): Gossip {
    const endpoint = this.#endpoint(process);
    const { plan, rng } = this.#world;
    const heard = (): boolean => rng.chance(plan.gossip) && !this.#loses();
    return {
      publish: async (topic, body) => {
        await process.passes('send');
        const copy = body.slice();
        for (const other of this.#world.list) {
          const target = other.process;
          if (target === undefined || target === process || !heard()) continue;
          if (!this.#passes(process.host, other)) continue;
          this.#arrive(target, () => {
            const [, accept, handler] = this.#endpoint(target).subscriptions.get(topic) ?? [];
            if (accept?.(process.host.id, copy)) handler?.(process.host.id, copy);
          });
        }
      },
      subscribe: (...args) => void endpoint.subscriptions.set(args[0], args),
    };
  }

  /** Delivers a frame of before once more. */
  replay(frame: Frame): void {
    for (const { id, process } of this.#world.list) {
      if (id === frame.to && process !== undefined) {
        this.#arrive(process, () => void this.#handle(process, frame).catch(() => {}));
      }
    }
  }

  #remember(frame: Frame): void {
    this.frames.push(frame);
    if (this.frames.length > REMEMBERED) this.frames.shift();
  }

  #targets(source: Process, to: PeerId): readonly Process[] {
    return this.#world.list.flatMap((host) => {
      const { process } = host;
      const heard = host.id === to && process !== undefined && this.#passes(source.host, host);
      return heard ? [process] : [];
    });
  }

  #loses(): boolean {
    const { peaceful, plan, rng } = this.#world;
    return !peaceful && rng.chance(plan.drop + this.loss);
  }

  #delay(): number {
    const { plan, rng, peaceful } = this.#world;
    if (!peaceful && rng.chance(plan.straggle)) return rng.between(0, plan.straggleMs);
    return 0.05 + Math.min(rng.exponential(plan.delay), 40);
  }

  #arrive(target: Process, what: () => void): void {
    target.later(this.#delay(), what);
  }

  #note(target: Process, { from, topic, body }: Frame): void {
    this.#endpoint(target).notes.get(topic)?.(from, body.slice());
  }

  async #handle(target: Process, { from, topic, body }: Frame): Promise<Uint8Array | undefined> {
    const handler = this.#endpoint(target).handlers.get(topic);
    if (handler === undefined) throw new BzzzError('BAD_MESSAGE', `no handler for ${topic}`);
    return handler(from, body.slice());
  }

  #carry(source: Process, frame: Frame, ttlMs: number): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      const parcel: Parcel = {
        source,
        frame,
        heardBy: new Set(),
        over: false,
        answered: (target, answer) => this.#back(parcel, target, () => resolve(answer)),
        failed: (target, error) => this.#back(parcel, target, () => reject(error)),
        lost: () => {
          if (parcel.over) return;
          parcel.over = true;
          reject(new BzzzError('PEER_UNREACHABLE', `${frame.to} did not answer`));
        },
      };
      source.later(ttlMs, parcel.lost);
      this.#underway.push(parcel);
      this.#try(parcel);
    });
  }

  #try(parcel: Parcel): void {
    if (parcel.over || parcel.source.dead) return;
    const { rng, plan, peaceful } = this.#world;
    for (const target of this.#targets(parcel.source, parcel.frame.to)) {
      if (parcel.heardBy.has(target)) continue;
      if (this.#loses()) {
        // The stream is reset, and what was not acknowledged goes again with the next one.
        parcel.source.later(200, () => this.#try(parcel));
        continue;
      }
      const times = !peaceful && rng.chance(plan.duplicate) ? 2 : 1;
      for (let i = 0; i < times; i++) {
        this.#arrive(target, () => {
          if (i === 0 && parcel.heardBy.has(target)) return;
          parcel.heardBy.add(target);
          this.#take(parcel, target);
        });
      }
    }
  }

  #take(parcel: Parcel, target: Process): void {
    this.#handle(target, parcel.frame).then(
      (answer) => {
        if (!target.dies('answer')) parcel.answered(target, answer);
      },
      (thrown: unknown) => parcel.failed(target, toBzzzError(thrown)),
    );
  }

  /** The answer's way back; it too goes again until it arrives. */
  #back(parcel: Parcel, target: Process, what: () => void): void {
    if (!this.#passes(target.host, parcel.source.host) || this.#loses()) {
      if (!parcel.over) target.later(200, () => this.#back(parcel, target, what));
      return;
    }
    parcel.source.later(this.#delay(), () => {
      if (parcel.over) return;
      parcel.over = true;
      what();
    });
  }

  #flush(): void {
    this.#underway = this.#underway.filter(({ over, source }) => !over && !source.dead);
    for (const parcel of this.#underway) {
      const { heardBy } = parcel;
      if (heardBy.size > 0 && [...heardBy].every(({ dead }) => dead)) parcel.lost();
      else this.#try(parcel);
    }
  }
}

const pair = (a: Host, b: Host): string =>
  a.index < b.index ? `${a.index} ${b.index}` : `${b.index} ${a.index}`;
