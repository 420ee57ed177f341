/**
 * A cluster of real daemons that break down at chosen steps of their sessions: killed, stopped, or
 * cut off without a word. `at-step.mjs` is the part of it inside the daemons.
 */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, projectRoot, type TestNode, until } from '../cluster.ts';
import { Lan, lanMissing } from '../netns.ts';
import { CALM_TTL_MS, newKey } from './protocols.ts';

export type Fault = 'kill' | 'stop' | 'cut';
export type Kind = 'keygen' | 'sign' | 'reshare' | 'repair';

/** What a daemon wrote before it broke down. */
export interface Fired {
  readonly name: string;
  readonly effect: string;
  /** Wall time, ms. */
  readonly at: number;
}

export interface KeyView {
  readonly keyId: string;
  readonly name: string;
  readonly sessionId: string;
  readonly status: string;
  readonly epoch: number;
  readonly threshold: number;
  readonly parties: readonly { readonly peerId: string }[];
}

export interface SessionView {
  readonly sessionId: string;
  readonly kind: string;
  readonly state: string;
  readonly culprits?: readonly string[];
}

const ENDED = new Set(['completed', 'failed', 'expired', 'cancelled']);
/** A machine under load may take so long to come to rest, ms. */
const REST_MS = 240_000;

/** Changes of hands after which another key takes the place of one, well before it has no room. */
const MOVES = 25;

/** Why links cannot be cut here; undefined when they can. */
export const cutMissing = lanMissing();

export class FaultRig {
  readonly cluster: Cluster;
  readonly #lan: Lan | undefined;
  readonly #dir: string;
  #plans = 0;
  #moved = 1;
  /** Told of once, and not waited for again: the next case is not to blame. */
  readonly #stuck = new Set<string>();

  private constructor(cluster: Cluster, lan: Lan | undefined, dir: string) {
    this.cluster = cluster;
    this.#lan = lan;
    this.#dir = dir;
  }

  /** `n` daemons, on a LAN of their own where the machine allows it. */
  static async start(n: number): Promise<FaultRig> {
    const dir = mkdtempSync(join(tmpdir(), 'bzzz-faults-'));
    const lan = cutMissing === undefined ? new Lan(n) : undefined;
    const preload = `--import ${join(projectRoot, 'test/support/faults/at-step.mjs')}`;
    const env = { NODE_OPTIONS: preload, FAULT_DIR: dir };
    try {
      const cluster = await Cluster.start(n, env, (i) => lan?.place(i));
      return new FaultRig(cluster, lan, dir);
    } catch (thrown) {
      lan?.remove();
      throw thrown;
    }
  }

  get nodes(): readonly TestNode[] {
    return this.cluster.nodes;
  }

  node(i: number): TestNode {
    return this.cluster.node(i);
  }

  named(name: string): TestNode {
    const node = this.nodes.find((each) => each.name === name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** The effects of a node's latest session of a kind. */
  steps(i: number, kind: Kind): readonly string[] {
    const file = join(this.#dir, `${this.node(i).name}.steps`);
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    const own = lines.map((line) => line.split(' ')).filter(([of]) => of === kind);
    const last = own.at(-1)?.[1];
    return own.flatMap(([, sid, effect = '']) => (sid === last ? [effect] : []));
  }

  /** The first of `nodes` that comes to the step breaks down there. */
  lay(kind: Kind, step: number, fault: Fault, nodes: readonly number[]): void {
    if (fault === 'cut') this.#lan?.split([]);
    rmSync(join(this.#dir, 'fired'), { force: true });
    const names = nodes.map((i) => this.node(i).name);
    const cuts = Object.fromEntries(
      nodes.map((i) => [this.node(i).name, this.#lan?.cutCommand(i) ?? []]),
    );
    const plan = { id: ++this.#plans, kind, step, fault, nodes: names, cuts };
    // Daemons look for it at any instant: half a plan must never be there.
    writeFileSync(join(this.#dir, 'plan.next'), JSON.stringify(plan));
    renameSync(join(this.#dir, 'plan.next'), join(this.#dir, 'plan'));
  }

  /** What has happened; undefined while nothing has. */
  fired(): Fired | undefined {
    const file = join(this.#dir, 'fired');
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Fired) : undefined;
  }

  /** Nothing happens any more. @returns false when a node has come to its step after all. */
  lift(): boolean {
    try {
      rmSync(join(this.#dir, 'plan'));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  /** Who has no process now; of a fault's other nodes this is always a defect. */
  get down(): readonly string[] {
    return this.nodes.filter(({ running }) => !running).map(({ name }) => name);
  }

  /** The node is back: restarted, woken, plugged in again. */
  async restore(node: TestNode, fault: Fault): Promise<void> {
    if (fault === 'stop') await node.kill('SIGCONT');
    else if (fault === 'cut') this.#lan?.heal();
    else {
      await node.ended();
      await node.start();
    }
  }

  /** Whoever is not there comes back. */
  async revive(): Promise<void> {
    this.lift();
    for (const node of this.nodes) {
      if (node.running) await node.kill('SIGCONT');
      else await node.start();
    }
    await this.whole();
  }

  /** No cable is out, and everybody sees everybody. */
  async whole(): Promise<void> {
    this.#lan?.heal();
    await this.cluster.meshed();
  }

  sign(node: TestNode, key: string, message: string, timeoutMs: number): Promise<Signed> {
    const body = { key, message, encoding: 'utf8', timeoutMs };
    return node.post<Signed>('/v1/sign', body, 120_000);
  }

  /** The key that is handed on. */
  get moving(): string {
    return `moving-${this.#moved}`;
  }

  /** A key whose certificates have room for many changes; none may change hands for ever. */
  async freshMoving(): Promise<void> {
    const keys = await this.node(0).get<KeyView[]>('/v1/keys');
    const now = keys.find(({ name }) => name === this.moving);
    if (now !== undefined && now.epoch < MOVES) return;
    if (now !== undefined) this.#moved++;
    const participants = this.nodes.slice(0, 3).map(({ peerId }) => peerId);
    await this.node(0).post('/v1/keys', newKey(this.moving, participants, 2, CALM_TTL_MS));
    await this.agreed(this.moving);
  }

  /** S1: waits until no node has a session that has not ended. */
  async ended(what: string): Promise<readonly SessionView[]> {
    let open: (SessionView & { readonly node: string })[] = [];
    const all = until(
      `${what}: all sessions have ended`,
      async () => {
        const lists = await Promise.all(
          this.nodes.map(async (node) => {
            const list = await node.get<SessionView[]>('/v1/sessions');
            return list.map((session) => ({ ...session, node: node.name }));
          }),
        );
        const running = lists.flat().filter(({ state }) => !ENDED.has(state));
        open = running.filter(({ sessionId }) => !this.#stuck.has(sessionId));
        return open.length === 0 && lists.flat();
      },
      REST_MS,
      100,
    );
    return all.catch((error: Error) => {
      const which = open.map(({ node, kind, sessionId, state }) => {
        this.#stuck.add(sessionId);
        return `${node} ${kind} ${sessionId.slice(0, 8)} ${state}`;
      });
      throw new Error(`${error.message}; open: ${which.join(', ')}`, { cause: error.cause });
    });
  }

  /** The views of a key, once no node waits for anything and all have the same epoch. */
  async agreed(name: string): Promise<readonly (KeyView | undefined)[]> {
    let seen = '';
    const views = until(
      `${name}: one key and one epoch everywhere`,
      async () => {
        const found = await Promise.all(
          this.nodes.map(async (node) => {
            const keys = await node.get<KeyView[]>('/v1/keys');
            return keys.find((key) => key.name === name);
          }),
        );
        const marks = found.map((key) => (key === undefined ? 'none' : markOf(key)));
        seen = found.map((key) => `${key?.status ?? 'none'}@${key?.epoch ?? ''}`).join(' ');
        const waits = found.some((key, i) => key !== undefined && isWaiting(key, this.node(i)));
        return !waits && new Set(marks).size === 1 && found;
      },
      REST_MS,
      100,
    );
    return views.catch((error: Error) => {
      throw new Error(`${error.message}; ${seen}`, { cause: error.cause });
    });
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) {
      if (node.running) await node.kill('SIGCONT');
    }
    await this.cluster.stop();
    this.#lan?.remove();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

export interface Signed {
  readonly signature: string;
}

/** A share of the key's epoch is due here, and has not come. */
const isWaiting = ({ status, parties }: KeyView, { peerId }: TestNode): boolean =>
  status === 'pending' ||
  (status !== 'active' && status !== 'lost' && parties.some((party) => party.peerId === peerId));

const markOf = ({ keyId, sessionId, epoch }: KeyView): string => `${keyId} ${sessionId} ${epoch}`;
