/**
 * One process on one host: a party service on ports of the simulator. It may die at every call of
 * a port; from then on none of them does or answers anything, so what is left of its code runs into
 * the void, as that of a killed process does.
 */
import { type Millis, millis } from '../../../src/base/brands.ts';
import type { Cancel, Clock, Logger } from '../../../src/base/ports.ts';
import {
  type Certified,
  extendCertificate,
  verifyCertificate,
} from '../../../src/mpc/keys/certificate.ts';
import { Keyring, type KeyringDeps } from '../../../src/mpc/keys/keyring.ts';
import { Keystore } from '../../../src/mpc/keys/keystore.ts';
import { openRetirement } from '../../../src/mpc/keys/retirement.ts';
import { Outbox } from '../../../src/mpc/party/outbox.ts';
import { Party } from '../../../src/mpc/party/party.ts';
import type { PartyDeps } from '../../../src/mpc/party/ports.ts';
import { staticPool } from '../../../src/mpc/pool.ts';
import { SessionStore } from '../../../src/mpc/sessions/store.ts';
import type { Host } from './host.ts';
import type { Moment } from './plan.ts';
import type { World } from './world.ts';

const NEVER = new Promise<never>(() => {});
/** Wall clocks of hosts differ by up to ten minutes. */
const WALL = Date.UTC(2026, 0, 1);

export class Process {
  readonly host: Host;
  readonly world: World;
  readonly boot: number;
  /** Set when it answers requests. */
  party: Party | undefined;
  deps: PartyDeps | undefined;
  dead = false;
  paused = false;
  /** The world's clock at its start, for deadlines that begin anew. */
  readonly since: number;
  /** Signing sessions that began in this process. */
  readonly machines = new Set<string>();
  #backlog: (() => void)[] = [];

  constructor(host: Host, boot: number) {
    this.host = host;
    this.world = host.world;
    this.boot = boot;
    this.since = host.world.now;
  }

  get runs(): boolean {
    return !this.dead && !this.paused;
  }

  /** Runs `what` after `ms` of world time, when the process lives and is not stopped. */
  later(ms: number, what: () => void): void {
    this.world.at(ms, () => {
      if (this.dead) return;
      if (this.paused) this.#backlog.push(what);
      else what();
    });
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    for (const what of this.#backlog.splice(0)) this.later(0, what);
  }

  /** Never resolves for a dead process. */
  lives(): Promise<void> {
    return this.dead ? NEVER : Promise.resolve();
  }

  /** A call of a port: it may take time, and the process may die of it. */
  async passes(moment: Moment): Promise<void> {
    if (this.dies(moment)) return NEVER;
    const { plan, rng } = this.world;
    const writes = moment === 'write' || moment === 'sync';
    if (writes && !this.world.peaceful && rng.chance(plan.disk)) {
      await new Promise<void>((resolve) => this.later(rng.between(0, plan.diskMs), resolve));
    }
    return this.lives();
  }

  /** Whether the process is dead, perhaps since this instant. */
  dies(moment: Moment): boolean {
    if (!this.dead && this.world.strikes(moment)) {
      this.world.say(this.host, `is struck: ${moment}`);
      this.host.kill(this.world.rng.chance(0.5));
    }
    return this.dead;
  }

  clock(): Clock {
    const { host, world } = this;
    return {
      wallMs: () => Math.floor(WALL + host.wallOffset + host.rate * world.now),
      now: (): Millis => millis(host.rate * world.now),
      after: (ms, fn): Cancel => {
        let open = true;
        this.later(ms / host.rate, () => {
          if (open) fn();
        });
        return () => {
          open = false;
        };
      },
    };
  }

  /** What the daemon does at its start, on this host's disk. */
  async start(): Promise<void> {
    const { host, world } = this;
    const { signer } = host;
    const clock = this.clock();
    const logger = this.#logger();
    const { clusterId } = world;
    const kv = host.disk.port(this);
    const random = world.randomOf(this);
    const verify = (bytes: Uint8Array) => certified(bytes, world);
    const retire: KeyringDeps['retire'] = (envelope, key) =>
      openRetirement(envelope, key, clusterId);
    const extend = (before: Uint8Array, link: Uint8Array) =>
      extendCertificate(before, link, clusterId, { suites: world.suites });
    const source = { kind: 'file' as const, path: 'key', read: async () => KEY.slice() };
    const self = host.id;
    const deps: PartyDeps = {
      roster: () => world.roster,
      direct: world.net.direct(this),
      gossip: world.net.gossip(this),
      ...{ clock, random, signer, logger },
      pool: staticPool(world.announced),
      reach: { addresses: () => [], sighted: () => {} },
      keystore: await Keystore.open({ kv: kv.sub('shares'), clusterId, self, random, source }),
      keyring: await Keyring.open({
        kv: kv.sub('keys'),
        wallMs: clock.wallMs,
        verify,
        extend,
        retire,
        logger,
      }),
      sessions: await SessionStore.open({
        ...{ kv: kv.sub('sessions'), clusterId, signer, clock, logger },
      }),
      outbox: await Outbox.open({ kv: kv.sub('results'), logger }),
      records: world.records.port(this),
      suites: world.suitesOf(host),
      emit: (kind, data) => {
        if (!this.dead) world.checker.told(this, kind, data);
      },
      nextTurn: () => this.#turn(),
    };
    const party = new Party({ sessionTimeoutMs: world.plan.ttlMs, boot: this.boot }, deps);
    this.deps = deps;
    await party.start();
    await this.lives();
    this.party = party;
    for (const peer of deps.direct.connected()) party.peerConnected(peer);
  }

  /** Something else may happen meanwhile, in the seeds that are about it. */
  #turn(): Promise<void> {
    if (!this.world.plan.turns) return this.lives();
    return new Promise((resolve) => this.later(0.01, resolve));
  }

  #logger(): Logger {
    const { world, host } = this;
    const quiet = (fields: object, message: string): void => {
      if (world.traces && !this.dead) world.say(host, `   ${message} ${JSON.stringify(fields)}`);
    };
    const logger: Logger = {
      error: (fields, message) => {
        quiet(fields, message);
        if (!this.dead) world.checker.alarmed(this, message, fields);
      },
      ...{ warn: quiet, info: quiet, debug: quiet },
      child: () => logger,
    };
    return logger;
  }
}

const KEY = new Uint8Array(32).fill(7);

/** Every host verifies the same few certificates at every start; once is enough. */
const known = new Map<string, Certified>();

function certified(bytes: Uint8Array, { clusterId, suites }: World): Certified {
  const name = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const before = known.get(name);
  if (before !== undefined) return before;
  const fresh = verifyCertificate(bytes, clusterId, { suites });
  if (known.size > 256) known.clear();
  known.set(name, fresh);
  return fresh;
}
