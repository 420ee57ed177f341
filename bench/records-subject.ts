/**
 * A cluster of libp2p nodes in a few processes, to write records to and read them from: the
 * daemon's record store, or kad-dht alone.
 * @module
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Host, Kind, Reply, Request } from './records-host.ts';

/** So many nodes share a process. */
const PER_PROCESS = 13;
const HOST = join(import.meta.dirname, 'records-host.ts');

/** One process, and what it was asked and has not answered. */
class Process {
  readonly #child: ChildProcess;
  readonly #open = new Map<number, (reply: Reply) => void>();
  #asked = 0;

  constructor() {
    this.#child = fork(HOST, { serialization: 'advanced' });
    this.#child.on('message', (reply: Reply) => this.#open.get(reply.id)?.(reply));
    this.#child.on('exit', () => {
      for (const [id, tell] of this.#open) tell({ id, error: 'the process is gone' });
    });
  }

  /** @throws what went wrong there, as text. */
  async ask(request: Request): Promise<readonly Host[] | number | null> {
    const id = this.#asked++;
    const answered = new Promise<Reply>((resolve) => this.#open.set(id, resolve));
    this.#child.send({ id, ...request });
    const reply = await answered;
    this.#open.delete(id);
    if ('error' in reply) throw new Error(reply.error);
    return reply.value;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.disconnect();
    await gone;
  }
}

/** Nodes count from 0 over all processes. */
export class Subject {
  readonly size: number;
  readonly #processes: readonly Process[];

  private constructor(size: number, processes: readonly Process[]) {
    this.size = size;
    this.#processes = processes;
  }

  /** Everybody connected to everybody, and routing tables as full as the library has them. */
  static async start(kind: Kind, size: number): Promise<Subject> {
    const processes: Process[] = [];
    const all: (readonly Host[])[] = [];
    for (let first = 0; first < size; first += PER_PROCESS) {
      const process = new Process();
      const count = Math.min(PER_PROCESS, size - first);
      processes.push(process);
      all.push((await process.ask({ op: 'start', kind, first, count })) as readonly Host[]);
    }
    const ids = all.flat().map(({ id }) => id);
    for (const [i, process] of processes.entries()) {
      await process.ask({ op: 'mesh', earlier: all.slice(0, i).flat(), all: ids });
    }
    await Promise.all(processes.map((process) => process.ask({ op: 'full' })));
    return new Subject(size, processes);
  }

  /** @returns ms, as that process measured it. */
  async put(node: number, record: number): Promise<number> {
    return (await this.#ask('put', node, record)) as number;
  }

  /** @returns ms. @throws when it was not found in 6 s. */
  async get(node: number, record: number): Promise<number> {
    return (await this.#ask('get', node, record)) as number;
  }

  /** From now on these leave connections open and answer nothing. */
  async unplug(nodes: readonly number[]): Promise<void> {
    for (const node of nodes) await this.#ask('unplug', node);
  }

  async plug(nodes: readonly number[]): Promise<void> {
    for (const node of nodes) await this.#ask('plug', node);
  }

  /** Closes every connection of theirs; no routing table is told. */
  async die(nodes: readonly number[]): Promise<void> {
    await Promise.all(nodes.map((node) => this.#ask('die', node)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.end()));
  }

  #ask(op: 'put' | 'get' | 'unplug' | 'plug' | 'die', node: number, record = 0) {
    const process = this.#processes[Math.floor(node / PER_PROCESS)];
    if (process === undefined) throw new Error(`there is no node ${node}`);
    const within = node % PER_PROCESS;
    const named = op === 'put' || op === 'get';
    return process.ask(named ? { op, node: within, record } : { op, node: within });
  }
}
