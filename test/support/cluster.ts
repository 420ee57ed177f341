/**
 * Real daemons as child processes, driven by the real command line. Each node has its own data
 * directory and loopback port; nothing is shared but the machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient } from '../../src/node/control/client.ts';
import { freePort } from './free-port.ts';

export const projectRoot = resolve(import.meta.dirname, '../..');
export const bzzzPath = join(projectRoot, 'bin/bzzz');

/** Daemons under way; none outlives the test process, also when a hook times out. */
const daemons = new Set<ChildProcess>();
process.once('exit', () => {
  for (const daemon of daemons) daemon.kill('SIGKILL');
});

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly elapsedMs: number;
}

/** Runs a program to its end. */
export function run(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string | Uint8Array; cwd?: string } = {},
): Promise<Ran> {
  return new Promise((done, fail) => {
    const started = performance.now();
    const child = spawn(command, args, {
      env: { ...process.env, ...options.env },
      cwd: options.cwd ?? projectRoot,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.once('error', fail);
    child.once('close', (code) =>
      done({ code, stdout, stderr, elapsedMs: performance.now() - started }),
    );
    child.stdin.on('error', () => {});
    child.stdin.end(options.input);
  });
}

/**
 * Polls until `probe` gives something other than undefined or false.
 * @param everyMs the pause between two looks; long where a look asks many daemons.
 */
export async function until<T>(
  what: string | (() => string),
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 180_000,
  everyMs = 50,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (thrown) {
      last = thrown;
    }
    if (performance.now() > end) {
      const named = typeof what === 'string' ? what : what();
      throw new Error(`${named}: not within ${timeoutMs} ms`, { cause: last });
    }
    await sleep(everyMs);
  }
}

/** Where a daemon runs, if not on the machine's own loopback. */
export interface TestPlace {
  /** Put in front of the command: `ip netns exec NAME`. */
  readonly prefix: readonly string[];
  /** Multiaddr. */
  readonly listen: string;
}

export class TestNode {
  readonly name: string;
  readonly home: string;
  readonly port: number;
  readonly dataDir: string;
  readonly logFile: string;
  peerId = '';
  #env: NodeJS.ProcessEnv;
  readonly #place: TestPlace;
  #child: ChildProcess | undefined;
  /** It was sent a signal that ends it. */
  #ending = false;

  constructor(
    name: string,
    home: string,
    port: number,
    env: NodeJS.ProcessEnv,
    place: TestPlace = { prefix: [], listen: `/ip4/127.0.0.1/tcp/${port}` },
  ) {
    this.#place = place;
    this.name = name;
    this.home = home;
    this.port = port;
    this.dataDir = join(home, 'data');
    this.logFile = join(home, 'log');
    this.#env = env;
  }

  get env(): NodeJS.ProcessEnv {
    return {
      HOME: this.home,
      BZZZ_DATA_DIR: this.dataDir,
      BZZZ_LISTEN: this.#place.listen,
      BZZZ_MDNS_ENABLED: 'false',
      BZZZ_NODE_NAME: this.name,
      ...this.#env,
    };
  }

  /** Changes the environment of the next start. */
  setEnv(env: NodeJS.ProcessEnv): void {
    this.#env = { ...this.#env, ...env };
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} is not running`);
    return pid;
  }

  get running(): boolean {
    return (
      this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
    );
  }

  /** Runs `bzzz ARGS` on this node. */
  cli(args: readonly string[], input?: string | Uint8Array): Promise<Ran> {
    return run(bzzzPath, args, { env: this.env, ...(input === undefined ? {} : { input }) });
  }

  /** Runs `bzzz ARGS --json` and gives the document. Throws what it printed when it failed. */
  async json<T>(args: readonly string[], input?: string | Uint8Array): Promise<T> {
    const ran = await this.cli([...args, '--json'], input);
    if (ran.code !== 0) {
      throw new Error(
        `${this.name}: bzzz ${args.join(' ')} -> ${ran.code}\n${ran.stderr}${ran.stdout}`,
      );
    }
    return JSON.parse(ran.stdout) as T;
  }

  /** Asks the control socket without a process in between: for polling. */
  get<T>(path: string): Promise<T> {
    return this.control(30_000).call<T>('GET', path);
  }

  /** Like `get`; throws the daemon's error with its code. */
  post<T>(path: string, json: unknown = {}, timeoutMs = 60_000): Promise<T> {
    return this.control(timeoutMs).call<T>('POST', path, { json });
  }

  get socketPath(): string {
    return join(this.dataDir, 'control.sock');
  }

  control(timeoutMs: number, signal?: AbortSignal): ControlClient {
    const options = { socketPath: this.socketPath, timeoutMs };
    return new ControlClient(signal === undefined ? options : { ...options, signal });
  }

  /** Starts the daemon without waiting for it. */
  spawn(env: NodeJS.ProcessEnv = {}): void {
    const log = createWriteStream(this.logFile, { flags: 'a' });
    const [command = bzzzPath, ...args] = [...this.#place.prefix, bzzzPath, 'daemon'];
    const child = spawn(command, args, {
      env: { ...process.env, ...this.env, ...env },
      cwd: projectRoot,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
    this.#child = child;
    this.#ending = false;
    daemons.add(child);
    child.once('exit', (code, signal) => {
      daemons.delete(child);
      if (this.#child === child && !this.#ending) void this.#tellEnd(code, signal);
    });
  }

  /** A daemon that ends though nobody ended it is the first thing to know of a failed test. */
  async #tellEnd(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    // Tests have it exit on its own with 0, or kill itself at a certain step.
    if (code === 0 || signal === 'SIGKILL') return;
    // What it wrote last is still on its way to the file.
    await sleep(100);
    const end = await this.log();
    process.stderr.write(`${this.name} ended by itself: ${code ?? signal}\n${end}\n`);
  }

  /** Starts the daemon and waits until it is ready (a member that takes sessions). */
  async start(env: NodeJS.ProcessEnv = {}): Promise<void> {
    this.spawn(env);
    await this.ready();
  }

  async ready(timeoutMs = 300_000): Promise<void> {
    try {
      await until(
        `${this.name} ready`,
        async () => {
          if (!this.running) throw new Error(`${this.name} ended`);
          return (await this.get<{ ready: boolean }>('/v1/status')).ready;
        },
        timeoutMs,
      );
    } catch (thrown) {
      process.stderr.write(`${this.name} is not ready; its log:\n${await this.log()}\n`);
      throw thrown;
    }
  }

  /** Sends a signal and waits for the end of the process, unless it only stops it. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || !this.running) return null;
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') {
      child.kill(signal);
      return null;
    }
    this.#ending = true;
    const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
    child.kill(signal);
    return ended;
  }

  /** Resolves when the process has ended by itself. */
  ended(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.running) return Promise.resolve();
    return new Promise((done) => child.once('exit', () => done()));
  }

  async log(): Promise<string> {
    return (await readFile(this.logFile, 'utf8').catch(() => '')).slice(-4_000);
  }
}

interface SeenPeer {
  readonly name?: string;
  readonly ready: boolean;
  readonly connected: boolean;
}

const glimpseOf = ({ name, ready, connected }: SeenPeer): SeenPeer => ({
  ...(name === undefined ? {} : { name }),
  ...{ ready, connected },
});

/** `n` nodes of one cluster; node 0 is the founder. */
export class Cluster {
  readonly nodes: TestNode[] = [];
  readonly home: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #places: (index: number) => TestPlace | undefined;

  private constructor(
    home: string,
    env: NodeJS.ProcessEnv,
    places: (index: number) => TestPlace | undefined,
  ) {
    this.home = home;
    this.#env = env;
    this.#places = places;
  }

  /**
   * Founder and `n - 1` persistent members, all running, admitted and connected to all.
   * @param places where the node of an index runs; loopback when undefined.
   */
  static async start(
    n: number,
    env: NodeJS.ProcessEnv = {},
    places: (index: number) => TestPlace | undefined = () => undefined,
  ): Promise<Cluster> {
    const home = mkdtempSync(join(tmpdir(), 'bzzz-test-'));
    const cluster = new Cluster(home, env, places);
    try {
      const founder = await cluster.#create();
      const { peerId } = await founder.json<{ peerId: string }>(['init', '--cluster', 'lab']);
      founder.peerId = peerId;
      await founder.start();
      await Promise.all(Array.from({ length: n - 1 }, () => cluster.add()));
      await cluster.meshed();
      await cluster.#settled();
      return cluster;
    } catch (thrown) {
      await cluster.stop();
      throw thrown;
    }
  }

  async #create(): Promise<TestNode> {
    const port = await freePort();
    const name = `n${this.nodes.length + 1}`;
    const home = join(this.home, name);
    mkdirSync(home, { mode: 0o700 });
    const node = new TestNode(name, home, port, this.#env, this.#places(this.nodes.length));
    this.nodes.push(node);
    return node;
  }

  /** One more host: invited (by the founder unless said), joined, started and ready. */
  async add(
    role = 'persistent',
    env: NodeJS.ProcessEnv = {},
    by: TestNode = this.founder,
  ): Promise<TestNode> {
    const node = await this.prepare(role, by);
    await node.start(env);
    node.peerId = (await node.json<{ peerId: string }>(['status'])).peerId;
    return node;
  }

  /** Like `add`, but the daemon is not started. */
  async prepare(role = 'persistent', by: TestNode = this.founder): Promise<TestNode> {
    const { invitation } = await by.json<{ invitation: string }>(['invite', '--role', role]);
    return this.enlist(invitation);
  }

  /** One more host that has an invitation; its daemon is not started. */
  async enlist(invitation: string): Promise<TestNode> {
    const node = await this.#create();
    await node.json(['join', invitation]);
    return node;
  }

  get founder(): TestNode {
    return this.node(0);
  }

  node(i: number): TestNode {
    const node = this.nodes[i];
    if (node === undefined) throw new Error(`no node ${i}`);
    return node;
  }

  /** Waits until every running node, or each of `watchers`, sees every other one ready. */
  async meshed(timeoutMs = 300_000, watchers = this.nodes): Promise<void> {
    const running = this.nodes.filter((node) => node.running);
    const watching = watchers.filter((node) => node.running);
    let views: readonly (readonly SeenPeer[])[] = [];
    await until(
      () => `full mesh, ${JSON.stringify(views)}`,
      async () => {
        const seen = watching.map((node) => node.get<SeenPeer[]>('/v1/peers'));
        views = (await Promise.all(seen)).map((view) => view.map(glimpseOf));
        return views.every(
          (view) =>
            view.filter((peer) => peer.connected && peer.ready).length >= running.length - 1,
        );
      },
      timeoutMs,
    );
  }

  /**
   * Waits until the leader has made as many voters as it would by itself. Two or four voters, which
   * it passes through, stand no loss that one or three would not.
   */
  async #settled(): Promise<void> {
    const off = [this.#env.BZZZ_ELECTION_ENABLED, this.#env.BZZZ_AUTO_PROMOTE].includes('false');
    if (off) return;
    const wanted = Math.min(5, this.nodes.length - (this.nodes.length % 2 === 0 ? 1 : 0));
    await until(
      `${wanted} voters`,
      async () => {
        const { members } = await this.founder.get<{ members: { voter: boolean }[] }>('/v1/roster');
        return members.filter(({ voter }) => voter).length === wanted;
      },
      300_000,
    );
  }

  /** Kills what runs and removes every file. */
  async stop(): Promise<void> {
    await Promise.all(
      this.nodes.map(async (node) => {
        if (node.running) await node.kill('SIGKILL');
      }),
    );
    if (process.env.TEST_KEEP === undefined) {
      rmSync(this.home, { recursive: true, force: true });
    }
  }
}
