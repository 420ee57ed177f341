/** One cluster of party services under one seed: time, hosts, and what is written down. */
import type { ClusterId, Epoch, PeerId, Term } from '../../../src/base/brands.ts';
import { sha256, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import type { Random, Signer } from '../../../src/base/ports.ts';
import type { AnnouncedParty } from '../../../src/mpc/pool.ts';
import type { Suites } from '../../../src/mpc/suites/types.ts';
import type { Member, RosterView } from '../../../src/roster/types.ts';
import { testSigner } from '../../support/world.ts';
import { Agenda } from '../agenda.ts';
import { createRng, type Rng } from '../random.ts';
import { Violation } from '../violation.ts';
import { Checker } from './checker.ts';
import { Disk } from './disk.ts';
import { Host } from './host.ts';
import { Network } from './network.ts';
import { type Moment, type Plan, planOf } from './plan.ts';
import type { Process } from './process.ts';
import { Records } from './records.ts';
import type { Wish } from './requests.ts';
import { ledgerSuite, lying } from './suite.ts';

const MAX_CRASHES = 12;
/** A run that has more events than this does not end by itself. */
const MAX_EVENTS = 40_000;

const SIGNERS: readonly Signer[] = await Promise.all(
  Array.from({ length: 8 }, (_, i) => testSigner(`host ${i}`)),
);

export class World {
  readonly rng: Rng;
  readonly plan: Plan;
  readonly checker: Checker;
  readonly net: Network;
  readonly records: Records;
  readonly suites: Suites;
  readonly #liars: Suites;
  readonly clusterId = toHex(sha256(utf8Bytes('simulated cluster'))) as ClusterId;
  readonly roster: RosterView;
  readonly list: Host[] = [];
  readonly lines: string[] = [];
  /** Everything that was asked, oldest first. */
  readonly wishes: Wish[] = [];
  readonly #seed: number;
  readonly traces: boolean;
  readonly #agenda = new Agenda<() => void>();
  now = 0;
  events = 0;
  /** Nothing dies, nothing is lost or late. */
  peaceful = true;
  #crashes = 0;
  #unique = 0;
  /** What a callback threw: the run ends with it. */
  #thrown: { readonly what: unknown } | undefined;

  /** @param trace writes down what happens; slow. */
  constructor(seed: number, trace: boolean) {
    this.#seed = seed;
    this.traces = trace;
    this.rng = createRng(seed);
    this.plan = planOf(this.rng, createRng(~seed));
    this.checker = new Checker(this);
    this.net = new Network(this);
    this.records = new Records(this);
    const suite = ledgerSuite((invariant, message) => this.checker.fail(invariant, message));
    this.suites = new Map([[suite.name, suite]]);
    this.#liars = new Map([[suite.name, lying(suite)]]);
    const signers = SIGNERS.slice(0, this.plan.hosts);
    this.roster = this.#rosterOf(signers.map(({ peerId }) => peerId));
    for (const signer of signers) this.addHost(signer, new Disk());
  }

  addHost(signer: Signer, disk: Disk): Host {
    const host = new Host(this, this.list.length, signer, disk);
    this.list.push(host);
    return host;
  }

  /** What the processes of a host compute with. */
  suitesOf({ index }: Host): Suites {
    return this.plan.liar && index === 0 ? this.#liars : this.suites;
  }

  get announced(): readonly AnnouncedParty[] {
    const suites = [...this.suites.keys()];
    return [...this.roster.members.values()].map(({ peerId, role }) => ({
      ...{ peerId, role, suites },
      ...{ ready: true, draining: false, fresh: true },
    }));
  }

  /** Every process draws its own numbers, also when it runs on a copied disk. */
  randomOf(process: Process): Random {
    const host = process.host.index;
    const rng = createRng(this.#seed * 1_000_003 + host * 10_007 + this.unique());
    return { bytes: (length) => Uint8Array.from({ length }, () => rng.below(256)) };
  }

  unique(): number {
    return ++this.#unique;
  }

  // -- time

  at(ms: number, what: () => void): void {
    this.#agenda.add(this.now + ms, what);
  }

  /** Lets `ms` pass, or less if `done` says so; it is asked after every event. */
  async run(ms: number, done: () => boolean = () => false): Promise<boolean> {
    const until = this.now + ms;
    // All that hangs on an event runs before the next: nothing here waits for a real clock.
    await turn();
    while (this.#agenda.nextAt <= until) {
      this.now = this.#agenda.nextAt;
      this.events++;
      this.#agenda.take()?.();
      await turn();
      if (this.#thrown !== undefined) throw this.#thrown.what;
      if (done()) return true;
      if (this.events > MAX_EVENTS) this.checker.fail('LOOP', 'the cluster does not come to rest');
    }
    this.now = until;
    return done();
  }

  /** Ends the run with what somebody threw where nobody could catch it. */
  caught(thrown: unknown): void {
    this.#thrown ??= { what: thrown };
  }

  // -- faults

  strikes(moment: Moment): boolean {
    if (this.peaceful || this.#crashes >= MAX_CRASHES) return false;
    return this.rng.chance(this.plan.hazards[moment] ?? 0);
  }

  died(host: Host): void {
    this.#crashes++;
    this.checker.died(host);
    this.net.died(host, this.rng.chance(this.plan.notice));
    if (this.peaceful) return;
    this.at(this.rng.exponential(this.plan.awayMs), () => host.start());
  }

  /** Ends every fault. */
  calm(): void {
    this.peaceful = true;
    this.net.loss = 0;
    for (const host of this.list) host.disk.full = false;
    this.net.heal();
  }

  // -- the trace

  say(host: Host | undefined, text: string): void {
    if (!this.traces) return;
    this.lines.push(`${this.now.toFixed(1).padStart(9)} ${(host?.name ?? '').padEnd(3)} ${text}`);
  }

  #rosterOf(peers: readonly PeerId[]): RosterView {
    const members = new Map(
      peers.map((peerId): [PeerId, Member] => [
        peerId,
        { peerId, role: 'persistent', voter: false, noVoter: false, since: 0 as Epoch },
      ]),
    );
    return {
      clusterId: this.clusterId,
      ...{ clusterName: 'lab', tag: 'lab', founder: peers[0] as PeerId },
      ...{ epoch: 1 as Epoch, term: 0 as Term, head: new Uint8Array(32) },
      members,
      ...{ voters: [], recoveries: [] },
      standing: (peer) => (members.has(peer) ? 'member' : 'stranger'),
    };
  }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** What a run that threw has found. */
export function asViolation(thrown: unknown): Violation {
  if (thrown instanceof Violation) return thrown;
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return new Violation('ANSWER', `something threw: ${text}`);
}
