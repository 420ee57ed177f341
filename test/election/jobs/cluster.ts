/** Nodes with a job service in one process. Who leads is said by the test. */
import type { ClusterId, PeerId, Term } from '../../../src/base/brands.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import type { KeyValue, Signer } from '../../../src/base/ports.ts';
import type { Executor, JobOptions } from '../../../src/election/jobs/ports.ts';
import { JobService } from '../../../src/election/jobs/service.ts';
import { JOB_KINDS, type JobDocument } from '../../../src/election/jobs/types.ts';
import { MemoryNet } from '../../support/memory-net.ts';
import { steadyClock, steadySleep } from '../../support/steady-clock.ts';
import { memoryKeyValue, quietLogger, testRandom, testSigner } from '../../support/world.ts';

export const clusterId = 'c1'.repeat(32) as ClusterId;

export const sleep = steadySleep;

export async function until(what: string, holds: () => boolean, limitMs = 60_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(2);
  }
}

/** One execution that came to its end, on a node that lived until then. */
export interface Execution {
  readonly id: string;
  readonly attempt: number;
  readonly by: PeerId;
}

export interface TestEvent {
  readonly by: PeerId;
  readonly kind: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface TestNode {
  readonly peerId: PeerId;
  readonly signer: Signer;
  /** Survives a kill. */
  readonly disk: Map<string, Uint8Array>;
  readonly term: { highest: number };
  alive: { value: boolean };
  leader: { peerId: PeerId; term: Term } | undefined;
  service: JobService;
}

const FAST: Partial<JobOptions> = {
  ...{ leaseMs: 3_000, orphanMs: 60, tickMs: 5, retryMs: 5, submitMs: 15_000, concurrency: 4 },
};

export interface ClusterOptions {
  readonly voters?: number;
  readonly options?: Partial<JobOptions>;
  /** What an executor does before it counts as executed. */
  readonly work?: (node: TestNode, id: string, signal: AbortSignal) => Promise<void>;
  /** After the execution counts and before anybody hears of it. */
  readonly executed?: (node: TestNode, id: string) => void;
  /** Kinds that the node has an executor for. */
  readonly kinds?: (index: number) => readonly (typeof JOB_KINDS)[number][];
}

export class JobCluster {
  readonly net = new MemoryNet();
  readonly nodes: TestNode[] = [];
  readonly executions: Execution[] = [];
  readonly begun: Execution[] = [];
  readonly events: TestEvent[] = [];
  readonly #setup: ClusterOptions;
  voters: PeerId[] = [];

  private constructor(setup: ClusterOptions) {
    this.#setup = setup;
  }

  static async start(count: number, setup: ClusterOptions = {}): Promise<JobCluster> {
    const cluster = new JobCluster(setup);
    for (let i = 0; i < count; i++) {
      const signer = await testSigner(`job node ${i}`);
      cluster.nodes.push({
        ...{ peerId: signer.peerId, signer, disk: new Map(), term: { highest: 0 } },
        ...{ alive: { value: false }, leader: undefined },
      } as unknown as TestNode);
    }
    cluster.voters = cluster.nodes.slice(0, setup.voters ?? count).map(({ peerId }) => peerId);
    for (const node of cluster.nodes) await cluster.boot(node);
    return cluster;
  }

  node(index: number): TestNode {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`no node ${index}`);
    return node;
  }

  async boot(node: TestNode): Promise<void> {
    const alive = { value: true };
    node.alive = alive;
    const index = this.nodes.indexOf(node);
    const { direct } = this.net.join(node.peerId);
    const kinds = this.#setup.kinds?.(index) ?? JOB_KINDS;
    node.service = new JobService(
      {
        ...{ self: node.peerId, clusterId, direct, signer: node.signer, clock: steadyClock },
        voters: () => this.voters,
        members: () => this.nodes.map(({ peerId }) => peerId),
        leader: () => node.leader,
        fence: async (term) => {
          if (term < node.term.highest) throw new BzzzError('STALE_TERM', 'fenced');
          node.term.highest = term;
        },
        ...{ store: mortal(memoryKeyValue(node.disk), alive), logger: quietLogger },
        random: testRandom(`${node.peerId} ${Math.random()}`),
        executors: Object.fromEntries(kinds.map((kind) => [kind, this.#executor(node, alive)])),
        emit: (kind, data) => {
          if (alive.value) this.events.push({ by: node.peerId, kind, data });
        },
      },
      { ...FAST, ...this.#setup.options },
    );
    await node.service.start();
  }

  #executor(node: TestNode, alive: { readonly value: boolean }): Executor {
    return async (subject, signal, { id, attempt }) => {
      this.begun.push({ id, attempt, by: node.peerId });
      await this.#setup.work?.(node, id, signal);
      // A process that was killed does nothing more.
      if (!alive.value) return new Promise<string>(() => {});
      this.executions.push({ id, attempt, by: node.peerId });
      this.#setup.executed?.(node, id);
      return `did ${subject}`;
    };
  }

  /** This node leads; the others hear of it, unless they cannot. */
  promote(node: TestNode, term: number, hear: readonly TestNode[] = this.nodes): void {
    for (const one of hear) one.leader = { peerId: node.peerId, term: term as Term };
    node.service.onDuty.start(term as Term);
  }

  /** SIGKILL: nothing that it does from here on counts. */
  kill(node: TestNode): void {
    node.alive.value = false;
    this.net.leave(node.peerId);
    void node.service.stop();
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.nodes.filter(({ alive }) => alive.value).map(({ service }) => service.stop()),
    );
  }

  jobsAt(node: TestNode): ReadonlyMap<string, JobDocument> {
    return new Map(node.service.list().map((job) => [job.id, job]));
  }

  eventsOf(kind: string): readonly TestEvent[] {
    return this.events.filter((event) => event.kind === kind);
  }

  /** Every attempt that an executor began belongs to one node, and no attempt began twice. */
  doubleAttempts(): readonly string[] {
    const seen = new Map<string, number>();
    for (const { id, attempt } of this.begun) {
      seen.set(`${id}/${attempt}`, (seen.get(`${id}/${attempt}`) ?? 0) + 1);
    }
    return [...seen].filter(([, times]) => times > 1).map(([name]) => name);
  }
}

/** The disk of a process: nothing is written after its end. */
function mortal(kv: KeyValue, alive: { readonly value: boolean }): KeyValue {
  const guard = async (write: () => Promise<void>): Promise<void> => {
    if (!alive.value) throw new BzzzError('DISK_FAILED', 'the process is gone');
    await write();
  };
  return {
    get: (key) => kv.get(key),
    put: (key, value, options) => guard(() => kv.put(key, value, options)),
    del: (key, options) => guard(() => kv.del(key, options)),
    batch: (ops, options) => guard(() => kv.batch(ops, options)),
    entries: (prefix) => kv.entries(prefix),
    sub: (name) => mortal(kv.sub(name), alive),
  };
}
