/** A cluster of party services in one process, with real suites and envelopes. */
import type { ClusterId, Epoch, PeerId, Term } from '../../../src/base/brands.ts';
import type { Clock, KeyValue, Logger, Signer } from '../../../src/base/ports.ts';
import { extendCertificate, verifyCertificate } from '../../../src/mpc/keys/certificate.ts';
import { Keyring } from '../../../src/mpc/keys/keyring.ts';
import { Keystore } from '../../../src/mpc/keys/keystore.ts';
import { openRetirement } from '../../../src/mpc/keys/retirement.ts';
import { Outbox } from '../../../src/mpc/party/outbox.ts';
import { Party } from '../../../src/mpc/party/party.ts';
import type { PartyDeps, PartyOptions, RecordsPort } from '../../../src/mpc/party/ports.ts';
import { nextTurn } from '../../../src/mpc/party/turn-shell.ts';
import type { PolicyJudge } from '../../../src/mpc/policy/policy-program.ts';
import { type AnnouncedParty, createPool } from '../../../src/mpc/pool.ts';
import { SessionStore } from '../../../src/mpc/sessions/store.ts';
import { SUITE_TABLE } from '../../../src/mpc/suites/index.ts';
import type { Suites } from '../../../src/mpc/suites/types.ts';
import type { Member, Role, RosterView } from '../../../src/roster/types.ts';
import { MemoryNet } from '../../support/memory-net.ts';
import { steadyClock } from '../../support/steady-clock.ts';
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
    now: steadyClock.now,
    after(ms, fn) {
      let open = true;
      running++;
      const done = (): void => {
        if (open) running--;
        open = false;
      };
      const cancel = steadyClock.after(ms, () => {
        done();
        fn();
      });
      return () => {
        done();
        cancel();
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
  /** Whether it runs beside another process with its identity. */
  readonly isTwin: boolean;
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
  /** Addresses that a node looked for in the network. */
  readonly sought: string[] = [];
  /** A slow disk: what a node's look at its own store waits for. */
  slow: (node: string) => Promise<void> = () => Promise.resolve();
  /** A slow network: what a publication waits for. */
  far: (node: string) => Promise<void> = () => Promise.resolve();

  port(node: string): RecordsPort {
    const local = new Map<string, Uint8Array[]>();
    const publish = async (address: string, bytes: Uint8Array, role: string): Promise<void> => {
      await this.far(node);
      this.published.push({ by: node, address, role });
      const all = this.byAddress.get(address) ?? new Map<string, Uint8Array>();
      all.set(Buffer.from(bytes).toString('hex'), bytes);
      this.byAddress.set(address, all);
      local.set(address, [...(local.get(address) ?? []), bytes]);
    };
    return {
      publish,
      complete: (address, bytes) => publish(address, bytes, 'author'),
      keep: async (address, bytes) => {
        if (!local.has(address)) await publish(address, bytes, 'witness');
      },
      candidates: async (address, where) => {
        if (where === 'anywhere') {
          this.sought.push(address);
          return [...(this.byAddress.get(address)?.values() ?? [])];
        }
        const found = local.get(address) ?? [];
        await this.slow(node);
        return found;
      },
    };
  }
}

/** A disk goes back to an earlier day. Only while its node is down. */
export function putBack({ disk }: TestNode, backup: ReadonlyMap<string, Uint8Array>): void {
  disk.clear();
  for (const [key, value] of backup) disk.set(key, value);
}

export interface ClusterOptions {
  readonly roles?: readonly Role[];
  readonly options?: Partial<PartyOptions>;
  /** Each node's policy program. */
  readonly judge?: (name: string) => PolicyJudge;
  /** Other suites than the real ones. */
  readonly suites?: Suites;
  /** Wraps a node's store; for disks that fail. */
  readonly kv?: (name: string, inner: KeyValue) => KeyValue;
}

export class TestCluster {
  readonly net = new MemoryNet();
  readonly records = new SharedRecords();
  readonly nodes: TestNode[] = [];
  readonly #setup: ClusterOptions;
  #processes = 0;
  readonly unavailable = new Map<PeerId, Partial<AnnouncedParty>>();
  /** Why discovery fails, on every node. */
  trouble: string | undefined;
  /** A token told a node where a member is. */
  sighted: (by: PeerId, peer: PeerId, addresses: readonly string[]) => void = () => {};

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
        isTwin: false,
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
    this.#processes++;
    const { name, signer, clock, peerId } = node;
    const inner = memoryKeyValue(node.disk);
    const kv = this.#setup.kv?.(name, inner) ?? inner;
    // No two processes draw alike, also when a boot counter goes back.
    const random = testRandom(`${name} process ${this.#processes}`);
    const logger = recordingLogger(node.log);
    const { direct, gossip } = node.isTwin ? this.net.joinTwin(peerId) : this.net.join(peerId);
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
      pool: createPool(
        {
          parties: () => this.announced(),
          watch: () => () => {},
          trouble: () => this.trouble,
        },
        () => this.roster(),
      ),
      reach: {
        addresses: () => [`/ip4/10.0.0.1/tcp/4750/p2p/${peerId}`],
        sighted: (peer, addresses) => this.sighted(peerId, peer, addresses),
      },
      keystore: await Keystore.open({
        kv: kv.sub('shares'),
        clusterId,
        self: peerId,
        random,
        source,
      }),
      keyring: await Keyring.open({
        kv: kv.sub('keys'),
        wallMs: () => clock.wallMs(),
        verify: (bytes) => verifyCertificate(bytes, clusterId),
        retire: (envelope, known) => openRetirement(envelope, known, clusterId),
        extend: (bytes, link) => extendCertificate(bytes, link, clusterId),
        logger,
      }),
      sessions: await SessionStore.open({
        kv: kv.sub('sessions'),
        clusterId,
        signer,
        clock,
        logger,
      }),
      outbox: await Outbox.open({ kv: kv.sub('results'), logger }),
      records: this.records.port(name),
      suites: this.#setup.suites ?? SUITE_TABLE,
      emit: (kind, data) => void node.events.push({ kind, data }),
      nextTurn,
      ...(this.#setup.judge === undefined ? {} : { judge: this.#setup.judge(name) }),
    };
    node.deps = deps;
    const options = { sessionTimeoutMs: 20_000, ...this.#setup.options, boot: node.boot };
    node.party = new Party(options, deps);
    node.up = true;
    await node.party.start();
    for (const peer of direct.connected()) node.party.peerConnected(peer);
  }

  /** Starts a second process on a copy of a node's disk, in the same run by its boot counter. */
  async copy(node: TestNode): Promise<TestNode> {
    const disk = new Map([...node.disk].map(([key, value]) => [key, value.slice()]));
    const boot = node.boot - 1;
    const own = { clock: countingClock(), log: [], events: [], up: false };
    const twin: TestNode = { ...node, ...own, disk, boot, isTwin: true };
    await this.boot(twin);
    return twin;
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
    if (node.isTwin) this.net.leaveTwin(node.peerId);
    else this.net.leave(node.peerId);
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
export async function until(what: string, check: () => boolean, ms = 60_000): Promise<void> {
  const end = Date.now() + ms;
  while (!check()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Until every node has the certificate of one key. */
export const keyEverywhere = ({ nodes }: TestCluster): Promise<void> =>
  until('the key everywhere', () =>
    nodes.every(({ party }) => {
      const [key, ...more] = party.keys();
      return key !== undefined && key.status !== 'pending' && more.length === 0;
    }),
  );
