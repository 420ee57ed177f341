/** Election services of one process over a net in memory, with the real machine and real seals. */
import type { PeerId, Term } from '../../src/base/brands.ts';
import { toHex } from '../../src/base/bytes.ts';
import type { KeyValue, Signer } from '../../src/base/ports.ts';
import { type ElectionDeps, ElectionService } from '../../src/election/service.ts';
import type { Timing } from '../../src/election/types.ts';
import { systemRandom } from '../../src/node/system.ts';
import { entriesFrom } from '../../src/roster/chain.ts';
import type { Change } from '../../src/roster/entry.ts';
import { RosterService } from '../../src/roster/service.ts';
import * as paper from '../roster/support.ts';
import { MemoryNet } from '../support/memory-net.ts';
import { steadyClock, steadySleep } from '../support/steady-clock.ts';
import { memoryKeyValue, quietLogger } from '../support/world.ts';

const ms = (n: number) => n as Timing['timeoutMs'];
export const TIMING: Timing = {
  heartbeatMs: ms(25),
  timeoutMs: ms(400),
  staggerMs: ms(60),
  retryMs: ms(20),
  minTermMs: ms(0),
};

export const SIGNERS = [paper.ada, paper.ben, paper.cyd, paper.dov, paper.eve] as const;

export const sleep = steadySleep;

export async function until(what: string, holds: () => boolean, limitMs = 60_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(5);
  }
}

export interface LabNode {
  readonly signer: Signer;
  readonly peerId: PeerId;
  readonly roster: RosterService;
  readonly election: ElectionService;
  readonly events: { readonly kind: string; readonly data: Readonly<Record<string, unknown>> }[];
  /** Duties: terms that began and ended, in order. */
  readonly duties: string[];
  alive: boolean;
}

export interface LabSettings {
  readonly timing?: Partial<Timing>;
  readonly pursuitMs?: number;
  readonly store?: (store: KeyValue) => KeyValue;
  readonly nextTurn?: () => Promise<void>;
}

export const admit = (signer: Signer): Change => paper.admit(signer);

/** Stop it after each test. */
export class ElectionLab {
  readonly net = new MemoryNet();
  readonly nodes: LabNode[] = [];
  readonly #disks = new Map<PeerId, Map<string, Uint8Array>>();
  readonly #entries: readonly Uint8Array[];

  /** @param voters how many of SIGNERS vote; @param members how many belong to the cluster. */
  constructor(voters: number, members = voters) {
    const others = SIGNERS.slice(1);
    const chain = paper.chainWith([
      ...others.slice(0, members - 1).map((signer) => paper.admit(signer)),
      ...others.slice(0, voters - 1).map((signer) => paper.promote(signer)),
    ]);
    this.#entries = paper.bytesOf(chain);
  }

  /** All of them, started; the first `count` members. */
  async start(count: number, settings: LabSettings = {}): Promise<readonly LabNode[]> {
    for (const signer of SIGNERS.slice(0, count)) await this.make(signer, settings);
    await Promise.all(this.nodes.map((node) => node.election.start()));
    return this.nodes;
  }

  /** A node on its old disk, if it had one; not started. */
  async make(signer: Signer, settings: LabSettings = {}): Promise<LabNode> {
    const { peerId } = signer;
    const disk = this.#disks.get(peerId) ?? new Map<string, Uint8Array>();
    this.#disks.set(peerId, disk);
    const root = memoryKeyValue(disk);
    const rosterDeps = { store: root.sub('roster'), clock: steadyClock, logger: quietLogger };
    const { bytes: genesis } = paper.genesisOf();
    const roster = await RosterService.open({ genesis }, { ...rosterDeps, signer });
    await roster.extend(this.#entries);
    const events: LabNode['events'] = [];
    const duties: string[] = [];
    const { direct } = this.net.join(peerId);
    const deps: ElectionDeps = {
      ...{ roster, direct, signer, clock: steadyClock, random: systemRandom, logger: quietLogger },
      store: (settings.store ?? ((store) => store))(root.sub('election')),
      nextTurn: settings.nextTurn ?? (() => new Promise((resolve) => setImmediate(resolve))),
      timing: { ...TIMING, ...settings.timing },
      ranking: () => roster.view.voters,
      exchange: (peer) => this.#exchange(peerId, peer),
      emit: (kind, data) => void events.push({ kind, data }),
      ...(settings.pursuitMs === undefined ? {} : { pursuitMs: settings.pursuitMs }),
    };
    const election = await ElectionService.open(deps);
    roster.useCertifier(election);
    election.onDuty({
      start: (term: Term) => void duties.push(`start ${term}`),
      stop: (term: Term) => void duties.push(`stop ${term}`),
    });
    const node: LabNode = { signer, peerId, roster, election, events, duties, alive: true };
    const at = this.nodes.findIndex((old) => old.peerId === peerId);
    if (at < 0) this.nodes.push(node);
    else this.nodes[at] = node;
    return node;
  }

  async #exchange(from: PeerId, to: PeerId): Promise<void> {
    const [a, b] = [from, to].map((peer) => this.nodes.find((node) => node.peerId === peer));
    if (a === undefined || b?.alive !== true || !a.alive) throw new Error(`${to} is away`);
    await sleep(2);
    await a.roster.extend(entriesFrom(b.roster.chain, 1));
    await b.roster.extend(entriesFrom(a.roster.chain, 1));
  }

  get living(): readonly LabNode[] {
    return this.nodes.filter((node) => node.alive);
  }

  /** SIGKILL: nothing it says arrives any more, and the others see its streams close. */
  async kill(node: LabNode): Promise<void> {
    node.alive = false;
    this.net.leave(node.peerId);
    await node.election.stop();
  }

  /** Once every living node knows the same leader, which is one of them. */
  async leader(among: readonly LabNode[] = this.living, above = 0): Promise<LabNode> {
    let found: LabNode | undefined;
    await until('one leader', () => {
      const [first, ...others] = among.map((node) => node.election.leader());
      if (first === undefined || first.term <= above) return false;
      found = among.find((node) => node.peerId === first.peerId);
      return (
        found?.election.isLeader === true &&
        others.every((o) => o?.term === first.term && o.peerId === first.peerId)
      );
    });
    if (found === undefined) throw new Error('no leader');
    return found;
  }

  async follower(): Promise<LabNode> {
    const leader = await this.leader();
    const other = this.living.find((node) => node !== leader);
    if (other === undefined) throw new Error('no follower');
    return other;
  }

  /** Once every living node has the same head. */
  async agreed(): Promise<void> {
    await until('one chain', () => {
      const heads = new Set(this.living.map((node) => toHex(node.roster.view.head)));
      return heads.size === 1;
    });
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) {
      await node.election.stop();
      await node.roster.close();
    }
  }
}
