/**
 * A throw-away cluster on this machine: real daemons as child processes, loopback only, one folder
 * that disappears. The demo drives it through the control sockets, as an operator would.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BzzzError } from '../../base/errors.ts';
import { ControlClient } from '../control/client.ts';
import { dataDirPaths } from '../datadir.ts';
import type { PeerDocument, StatusDocument } from '../services.ts';

const CALL_MS = 90_000;
const MESH_MS = 120_000;
const POLL_MS = 50;
/** Below the ephemeral range, so that no outgoing socket takes a port of a node that restarts. */
const FIRST_PORT = 24_000;
const LAST_PORT = 31_000;

/** One host of the demo. */
export class DemoNode {
  readonly name: string;
  readonly client: ControlClient;
  peerId = '';
  readonly #dir: string;
  readonly #port: number;
  #child: ChildProcess | undefined;

  constructor(name: string, dir: string, port: number) {
    this.name = name;
    this.#dir = dir;
    this.#port = port;
    const { socket } = dataDirPaths(dir);
    this.client = new ControlClient({ socketPath: socket, timeoutMs: CALL_MS, patienceMs: 10_000 });
  }

  get running(): boolean {
    return this.#child !== undefined && ended(this.#child) === undefined;
  }

  /** Runs a command that needs no daemon, such as `init` and `join`. */
  async command(...args: readonly string[]): Promise<void> {
    const child = this.#spawn([...args, '--json'], 'ignore');
    const code = await exitOf(child);
    if (code !== 0) {
      throw new BzzzError('INTERNAL', `${this.name}: bzzz ${args[0]} ended with ${code}`);
    }
  }

  /** Starts the daemon; its log goes to a file beside the data directory. */
  async start(): Promise<void> {
    const log = await open(`${this.#dir}.log`, 'a', 0o600);
    this.#child = this.#spawn(['daemon'], log.fd);
    await log.close();
  }

  /** Waits until the node is a member that takes part in sessions. */
  async ready(): Promise<void> {
    const status = await eventually(`${this.name} is ready`, async () => {
      if (!this.running) throw new BzzzError('INTERNAL', await this.#lastWords());
      const now = await this.client.call<StatusDocument>('GET', '/v1/status');
      return now.ready ? now : undefined;
    });
    this.peerId = status.peerId;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Sends a signal that ends the process, and waits for the end. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.running) return;
    const exit = exitOf(child);
    child.kill(signal);
    await exit;
  }

  #spawn(args: readonly string[], output: number | 'ignore'): ChildProcess {
    const main = process.argv[1];
    if (main === undefined) throw new BzzzError('INTERNAL', 'this process has no main program');
    return spawn(process.execPath, [...process.execArgv, main, ...args], {
      stdio: ['ignore', output, output],
      env: {
        ...withoutSettings(process.env),
        BZZZ_DATA_DIR: this.#dir,
        BZZZ_LISTEN: `/ip4/127.0.0.1/tcp/${this.#port}`,
        BZZZ_MDNS_ENABLED: 'false',
        BZZZ_NODE_NAME: this.name,
      },
    });
  }

  async #lastWords(): Promise<string> {
    const log = await readFile(`${this.#dir}.log`, 'utf8');
    return `${this.name} ended; its log says: ${log.trim().split('\n').slice(-3).join(' ')}`;
  }
}

/** All hosts of the demo and the folder that they live in. */
export class DemoCluster {
  readonly folder: string;
  readonly nodes: DemoNode[] = [];
  #port = FIRST_PORT + (process.pid % 200) * 32;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<DemoCluster> {
    return new DemoCluster(await mkdtemp(join(tmpdir(), 'bzzz-demo-')));
  }

  /** The first host: makes the cluster. */
  async found(): Promise<DemoNode> {
    const founder = await this.#add('node1');
    await founder.command('init', '--cluster', 'demo');
    await founder.start();
    await founder.ready();
    return founder;
  }

  /** One more host, admitted by an invitation of the founder. It is started, not yet ready. */
  async join(founder: DemoNode, role: 'persistent' | 'observer'): Promise<DemoNode> {
    const node = await this.#add(role === 'observer' ? 'observer' : `node${this.nodes.length + 1}`);
    const { invitation } = await founder.client.call<{ invitation: string }>(
      'POST',
      '/v1/invitations',
      { json: { role } },
    );
    await node.command('join', invitation);
    await node.start();
    return node;
  }

  /** Waits until every running node sees every other one connected and ready. */
  async meshed(): Promise<void> {
    const running = this.nodes.filter((node) => node.running);
    await Promise.all(running.map((node) => node.ready()));
    await eventually('everybody sees everybody', async () => {
      const views = await Promise.all(
        running.map((node) => node.client.call<PeerDocument[]>('GET', '/v1/peers')),
      );
      const full = views.every(
        (view) => view.filter((peer) => peer.connected && peer.ready).length >= running.length - 1,
      );
      return full || undefined;
    });
  }

  /** Leaves no process; and no file, unless `keep`. */
  async remove(keep: boolean): Promise<void> {
    for (const node of this.nodes) node.signal('SIGCONT');
    await Promise.all(this.nodes.map((node) => node.end(keep ? 'SIGTERM' : 'SIGKILL')));
    if (!keep) await rm(this.folder, { recursive: true, force: true });
  }

  async #add(name: string): Promise<DemoNode> {
    const dir = join(this.folder, name);
    await mkdir(dir, { mode: 0o700 });
    const node = new DemoNode(name, dir, await this.#freePort());
    this.nodes.push(node);
    return node;
  }

  async #freePort(): Promise<number> {
    while (this.#port < LAST_PORT) {
      const port = this.#port++;
      if (await isFree(port)) return port;
    }
    throw new BzzzError('INTERNAL', `no free port below ${LAST_PORT}`);
  }
}

/** Polls until there is an answer. @throws TIMEOUT with the last error as its cause. */
export async function eventually<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + MESH_MS;
  let cause: unknown;
  while (performance.now() < end) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (thrown) {
      if (thrown instanceof BzzzError && thrown.code === 'INTERNAL') throw thrown;
      cause = thrown;
    }
    await sleep(POLL_MS);
  }
  throw new BzzzError('TIMEOUT', `${what}: not within ${MESH_MS} ms`, { cause });
}

/** The demo's nodes have their own settings; the caller's would join them to another cluster. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const foreign = /^(?:BZZZ|RUSTLE)_/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !foreign.test(name)));
}

const ended = (child: ChildProcess): number | string | undefined =>
  child.exitCode ?? child.signalCode ?? undefined;

const exitOf = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve, reject) => {
    if (ended(child) !== undefined) return resolve(child.exitCode);
    child.once('error', reject);
    child.once('exit', (code) => resolve(code));
  });

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
