/**
 * `bzzz demo`: the main job on one machine, with real daemons and real kills, told line by line.
 * @module
 */
import { createPublicKey, verify } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BzzzError } from '../../base/errors.ts';
import type { KeyDocument, ResolveDocument, SignDocument, StatusDocument } from '../services.ts';
import { DemoCluster, type DemoNode, eventually } from './demo-cluster.ts';
import { installationRoot } from './version.ts';

/** What the caller of the demo wants. */
export interface DemoOptions {
  /** Persistent nodes, 5 to 10; an observer comes on top. */
  readonly nodes: number;
  /** Leave the files for a look; the daemons are stopped all the same. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
}

/** What the demo did, for `--json`. Times in ms. */
export interface DemoReport {
  readonly nodes: number;
  readonly threshold: number;
  readonly keyId: string;
  readonly signature: string;
  readonly address: string;
  readonly meshMs: number;
  /** Until the cluster had made five voters of its members. */
  readonly votersMs: number;
  /** Who led at the end. */
  readonly leader: { readonly peerId: string; readonly term: number };
  readonly keygenMs: number;
  readonly signMs: number;
  readonly survivedKillsMs: number;
  readonly totalMs: number;
  /** Where the files are, with `--keep`. */
  readonly folder?: string;
}

const KEY = 'demo';
const VOTERS = 5;

/** @throws BAD_USAGE for fewer than 5 nodes; INTERRUPTED; whatever a step failed with. */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  if (!Number.isInteger(options.nodes) || options.nodes < 5 || options.nodes > 10) {
    throw new BzzzError('BAD_USAGE', `--nodes ${options.nodes} is not between 5 and 10`, {
      hint: 'two signers are killed, and a majority must be left: give 5',
    });
  }
  const cluster = await DemoCluster.create();
  try {
    const aborted = new Promise<never>((_, reject) => {
      const stop = () => reject(new BzzzError('INTERRUPTED', 'the demo was interrupted'));
      if (options.signal.aborted) stop();
      options.signal.addEventListener('abort', stop, { once: true });
    });
    return await Promise.race([new Demo(cluster, options).run(), aborted]);
  } finally {
    await cluster.remove(options.keep);
  }
}

class Demo {
  readonly #cluster: DemoCluster;
  readonly #options: DemoOptions;
  readonly #started = performance.now();
  readonly #threshold: number;

  constructor(cluster: DemoCluster, options: DemoOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#threshold = Math.floor(options.nodes / 2) + 1;
  }

  async run(): Promise<DemoReport> {
    const { nodes } = this.#options;
    const message = await readFile(join(installationRoot(), 'README.md'));
    const [observer, meshMs] = await this.#timed(() => this.#gather());
    this.#say(`${nodes} daemons and an observer found each other in ${meshMs} ms`);

    const [first, votersMs] = await this.#timed(() => this.#voters());
    this.#say(`${VOTERS} of them vote, ${this.#nameOf(first)} leads: ${votersMs} ms`);

    const [key, keygenMs] = await this.#timed(() => this.#createKey());
    this.#say(
      `a ${this.#threshold}-of-${nodes} ed25519 key exists, in no place whole: ${keygenMs} ms`,
    );
    this.#say(`  ${key.address}`);

    const asked = this.#node(1);
    const [signed, signMs] = await this.#timed(() => this.#sign(asked, message));
    this.#say(
      `${asked.name} had README.md signed by ${signed.signers.length} of them: ${signMs} ms`,
    );
    this.#verify(key, message, signed);

    const second = Buffer.concat([message, Buffer.from('\nsigned once more\n')]);
    const [survived, survivedKillsMs] = await this.#timed(() => this.#signThroughKills(second));
    this.#say(`its request was finished by the others: ${survivedKillsMs} ms, kills included`);
    this.#verify(key, second, survived);
    const leader = await this.#leader();
    this.#say(`  ${this.#nameOf(leader)} leads now, elected in term ${leader.term}`);

    await this.#resolveAt(observer, key.address);
    await this.#resolveAt(observer, survived.address);
    const totalMs = Math.round(performance.now() - this.#started);
    this.#say(`done in ${(totalMs / 1_000).toFixed(1)} s`);
    const report = {
      ...{ nodes, threshold: this.#threshold, keyId: key.keyId, meshMs, keygenMs, signMs },
      ...{ votersMs, leader: { peerId: leader.peerId, term: leader.term } },
      ...{ signature: survived.signature, address: survived.address, survivedKillsMs, totalMs },
    };
    return this.#options.keep ? { ...report, folder: this.#cluster.folder } : report;
  }

  async #gather(): Promise<DemoNode> {
    const founder = await this.#cluster.found();
    for (let i = 1; i < this.#options.nodes; i++) await this.#cluster.join(founder, 'persistent');
    const observer = await this.#cluster.join(founder, 'observer');
    await this.#cluster.meshed();
    return observer;
  }

  async #voters(): Promise<LeaderShape> {
    await eventually(`${VOTERS} voters`, async () => {
      const { voters } = await this.#node(0).client.call<StatusDocument>('GET', '/v1/status');
      return voters >= VOTERS ? voters : undefined;
    });
    return this.#leader();
  }

  /** A node that lives, as another one knows it. */
  #leader(): Promise<LeaderShape> {
    const alive = this.#cluster.nodes.filter(({ running }) => running);
    return eventually('a leader', async () => {
      const status = await alive[0]?.client.call<StatusDocument>('GET', '/v1/status');
      const leader = status?.leader ?? undefined;
      return alive.some(({ peerId }) => peerId === leader?.peerId) ? leader : undefined;
    });
  }

  #nameOf({ peerId }: LeaderShape): string {
    return this.#cluster.nodes.find((node) => node.peerId === peerId)?.name ?? peerId;
  }

  #createKey(): Promise<KeyDocument> {
    const json = {
      ...{ name: KEY, suite: 'ed25519' },
      ...{ threshold: this.#threshold, parties: this.#options.nodes },
    };
    return this.#node(0).client.call('POST', '/v1/keys', { json });
  }

  #sign(node: DemoNode, message: Uint8Array): Promise<SignDocument> {
    const json = { key: KEY, message: Buffer.from(message).toString('hex') };
    return node.client.call('POST', '/v1/sign', { json });
  }

  /**
   * A node asks while all but one other are frozen, so that it cannot be finished; it and the
   * frozen leader are killed; the rest wakes up, elects, and must finish what was begun.
   */
  async #signThroughKills(message: Uint8Array): Promise<SignDocument> {
    const leader = await this.#leader();
    const signers = this.#cluster.nodes.slice(0, this.#options.nodes);
    const victim = signers.find(({ peerId }) => peerId === leader.peerId);
    const [witness, proposer, ...others] = signers.filter((node) => node !== victim);
    if (witness === undefined || proposer === undefined || victim === undefined) {
      throw new BzzzError('INTERNAL', 'nobody is left to kill');
    }
    const rest = [victim, ...others];
    for (const node of rest) node.signal('SIGSTOP');
    const request = this.#sign(proposer, message).catch((cause: unknown) => cause);
    await eventually('the request runs at a second node', async () => {
      const sessions = await witness.client.call<readonly SessionShape[]>('GET', '/v1/sessions');
      return sessions.find((s) => s.initiator === proposer.peerId && !ENDED.has(s.state));
    });
    await Promise.all([proposer.end('SIGKILL'), victim.end('SIGKILL')]);
    await request;
    this.#say(`${proposer.name} asked again and was killed; so was the leader, ${victim.name}`);
    for (const node of this.#cluster.nodes) node.signal('SIGCONT');
    return this.#sign(witness, message);
  }

  #verify(key: KeyDocument, message: Uint8Array, signed: SignDocument): void {
    const x = Buffer.from(key.publicKey, 'hex').toString('base64url');
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    if (!verify(null, message, publicKey, Buffer.from(signed.signature, 'hex'))) {
      throw new BzzzError('INTERNAL', 'node:crypto does not accept the signature');
    }
    this.#say('  node:crypto verifies it with the group key');
  }

  async #resolveAt(observer: DemoNode, address: string): Promise<void> {
    // A result is brought to its address behind the answer, by another node if its author died.
    const found = await eventually(`${address} at the observer`, () =>
      observer.client.call<ResolveDocument>('GET', '/v1/records/resolve', { query: { address } }),
    );
    this.#say(
      `the observer, which took no part, resolves ${found.size} bytes from ${found.source}`,
    );
    this.#say(`  ${address}`);
  }

  #node(i: number): DemoNode {
    const node = this.#cluster.nodes[i];
    if (node === undefined) throw new BzzzError('INTERNAL', `the demo has no node ${i + 1}`);
    return node;
  }

  async #timed<T>(work: () => Promise<T>): Promise<[T, number]> {
    const started = performance.now();
    const value = await work();
    return [value, Math.round(performance.now() - started)];
  }

  #say(line: string): void {
    this.#options.print(line);
  }
}

type LeaderShape = NonNullable<StatusDocument['leader']>;

interface SessionShape {
  readonly initiator: string;
  readonly state: string;
}

const ENDED: ReadonlySet<string> = new Set(['completed', 'failed', 'expired', 'cancelled']);
