/** A cluster of party services in one process, with real suites and envelopes. */
import type { ClusterId, Epoch, PeerId, Term } from '../../../src/base/brands.ts';
import { millis } from '../../../src/base/brands.ts';
import type { Clock, KeyValue, Logger, Signer } from '../../../src/base/ports.ts';
import { verifyCertificate } from '../../../src/mpc/certificate.ts';
import { Keyring } from '../../../src/mpc/keyring.ts';
import { Keystore } from '../../../src/mpc/keystore.ts';
import { Party } from '../../../src/mpc/party.ts';
import type { PartyDeps, PartyOptions, RecordsPort } from '../../../src/mpc/party-ports.ts';
import { type AnnouncedParty, createPool } from '../../../src/mpc/pool.ts';
import { SessionStore } from '../../../src/mpc/session-store.ts';
import { SUITE_TABLE } from '../../../src/mpc/suites/index.ts';
import { nextTurn } from '../../../src/mpc/turn-shell.ts';
import type { Member, Role, RosterView } from '../../../src/roster/types.ts';
import { MemoryNet } from '../../support/memory-net.ts';
import { memoryKeyValue, testRandom, testSigner } from '../../support/world.ts';

export const clusterId = 'c1'.repeat(32) as ClusterId;

/** A clock that counts the timers that run. */
export interface CountingClock extends Clock {
  readonly running: () => number;
}

export function countingClock(): CountingClock {
  let running = 0;
  return {
    wallMs: () => Date.now(),
    now: () => millis(performance.now()),
    after(ms, fn) {
      let open = true;
      running++;
      const done = (): void => {
        if (open) running--;
        open = false;
      };
      const timer = setTimeout(() => {
        done();
        fn();
      }, ms);
      timer.unref();
      return () => {
        done();
        clearTimeout(timer);
      };
    },
    running: () => running,
  };
}

export interface TestNode {
  readonly name: string;
  readonly peerId: PeerId;
  readonly signer: Signer;
  readonly role: Role;
  /** The disk: survives a restart. */
  readonly disk: Map<string, Uint8Array>;
  readonly clock: CountingClock;
  readonly log: string[];
  readonly events: { readonly kind: string; readonly data: Readonly<Record<string, unknown>> }[];
  party: Party;
  deps: PartyDeps;
  boot: number;
  up: boolean;
}

/** One address space for all nodes; `reach` tells whether a node sees the network. */
export class SharedRecords {
  readonly byAddress = new Map<string, Map<string, Uint8Array>>();
  readonly published: { readonly by: string; readonly address: string; readonly role: string }[] =
    [];

  port(node: string): RecordsPort {
    const local = new Map<string, Uint8Array[]>();
    return {
      publish: async (address, bytes, role) => {
        this.published.push({ by: node, address, role });
        const all = this.byAddress.get(address) ?? new Map<string, Uint8Array>();
        all.set(Buffer.from(bytes).toString('hex'), bytes);
        this.byAddress.set(address, all);
        local.set(address, [...(local.get(address) ?? []), bytes]);
      },
      candidates: async (address, where) =>
        where === 'local'
          ? (local.get(address) ?? [])
          : [...(this.byAddress.get(address)?.values() ?? [])],
    };
  }
}

export interface ClusterOptions {
  readonly roles?: readonly Role[];
  readonly options?: Partial<PartyOptions>;
  /** Wraps a node's store; for disks that fail. */
  readonly kv?: (name: string, inner: KeyValue) => KeyValue;
}

export class TestCluster {
  readonly net = new MemoryNet();
  readonly records = new SharedRecords();
  readonly nodes: TestNode[] = [];
  readonly #setup: ClusterOptions;
  readonly unavailable = new Map<PeerId, Partial<AnnouncedParty>>();

  constructor(setup: ClusterOptions = {}) {
    this.#setup = setup;
  }

  static async start(count: number, setup: ClusterOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(setup);
    for (let i = 0; i < count; i++) {
      const name = `node${i}`;
      const signer = await testSigner(name);
      cluster.nodes.push({
        name,
        peerId: signer.peerId,
        signer,
        role: setup.roles?.[i] ?? 'persistent',
        disk: new Map(),
        clock: countingClock(),
        log: [],
        events: [],
        boot: 0,
        up: false,
      } as unknown as TestNode);
    }
    for (const node of cluster.nodes) await cluster.boot(node);
    return cluster;
  }

  node(i: number): TestNode {
    const node = this.nodes[i];
    if (node === undefined) throw new Error(`no node ${i}`);
    return node;
  }

  roster(): RosterView {
    const members = new Map(
      this.nodes.map(({ peerId, role }): [PeerId, Member] => [
        peerId,
        { peerId, role, voter: false, noVoter: false, since: 0 as Epoch },
      ]),
    );
    return {
      clusterId,
      clusterName: 'lab',
      tag: 'lab',
      founder: this.node(0).peerId,
      epoch: 1 as Epoch,
      term: 0 as Term,
      head: new Uint8Array(32),
      members,
      voters: [],
      recoveries: [],
      standing: (peer) => (members.has(peer) ? 'member' : 'stranger'),
    };
  }

  /** Starts a node on what its disk holds. */
  async boot(node: TestNode): Promise<void> {
    node.boot++;
    const { name, signer, clock, peerId } = node;
    const inner = memoryKeyValue(node.disk);
    const kv = this.#setup.kv?.(name, inner) ?? inner;
    const random = testRandom(`${name} boot ${node.boot}`);
    const logger = recordingLogger(node.log);
    const { direct, gossip } = this.net.join(peerId);
    const key = new Uint8Array(32).fill(7);
    const source = { kind: 'file' as const, path: 'memory', read: async () => new Uint8Array(key) };
    const deps: PartyDeps = {
      roster: () => this.roster(),
      direct,
      gossip,
      clock,
      random,
      signer,
      logger,
      pool: createPool({ parties: () => this.announced(), watch: () => () => {} }, () =>
        this.roster(),
      ),
      keystore: await Keystore.open({
        kv: kv.sub('shares'),
        clusterId,
        self: peerId,
        random,
        source,
      }),
      keyring: await Keyring.open({
        kv: kv.sub('keys'),
        verify: (bytes) => verifyCertificate(bytes, clusterId).keyInfo,
        logger,
      }),
      sessions: await SessionStore.open({
        kv: kv.sub('sessions'),
        clusterId,
        signer,
        clock,
        logger,
      }),
      records: this.records.port(name),
      suites: SUITE_TABLE,
      emit: (kind, data) => void node.events.push({ kind, data }),
      nextTurn,
    };
    node.deps = deps;
    const options = { sessionTimeoutMs: 20_000, ...this.#setup.options, boot: node.boot };
    node.party = new Party(options, deps);
    node.up = true;
    await node.party.start();
    for (const peer of direct.connected()) node.party.peerConnected(peer);
  }

  announced(): readonly AnnouncedParty[] {
    return this.nodes.map(({ peerId, role, up }) => ({
      peerId,
      role,
      ready: true,
      draining: false,
      suites: [...SUITE_TABLE.keys()],
      fresh: up,
      ...this.unavailable.get(peerId),
    }));
  }

  /** SIGKILL: nothing more leaves, nothing is tidied up but this process's timers. */
  async kill(node: TestNode): Promise<void> {
    this.net.leave(node.peerId);
    node.up = false;
    await node.party.stop();
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) if (node.up) await this.kill(node);
  }
}

function recordingLogger(lines: string[]): Logger {
  const at =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const logger: Logger = {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: () => logger,
  };
  return logger;
}

export const forever = (): AbortSignal => new AbortController().signal;

/** Waits until `check` holds. */
export async function until(what: string, check: () => boolean, ms = 8_000): Promise<void> {
  const end = Date.now() + ms;
  while (!check()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
