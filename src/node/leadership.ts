/**
 * The election on this node and everything that hangs on it: who may decide on petitions, what the
 * leader does all the time, the job table, the certificate at its address. Switched off, nothing of
 * it exists but the recovery of a roster, and the rest of the node does not notice.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import { pause } from '../base/pause.ts';
import type { Cancel, Clock, KeyValue, Logger, Random, Signer } from '../base/ports.ts';
import { type DutyHealth, DutyRunner } from '../election/duty.ts';
import { JobService } from '../election/jobs/service.ts';
import { LeaderPublisher } from '../election/leader-publisher.ts';
import { rehearse } from '../election/rehearsal.ts';
import { ElectionService } from '../election/service.ts';
import type { Party } from '../mpc/party/party.ts';
import { nextTurn } from '../mpc/party/turn-shell.ts';
import { SUITE_TABLE } from '../mpc/suites/index.ts';
import { RecoveryService } from '../roster/recovery.ts';
import type { RosterService } from '../roster/service.ts';
import type { Config } from './config.ts';
import { executorsOf } from './executors.ts';
import type { Network } from './net/network.ts';
import { Observer } from './observing.ts';
import type { Records } from './records.ts';
import { refreshDuty } from './refreshes.ts';
import { Repairs } from './repairs.ts';
import { upkeep } from './upkeep.ts';

export interface LeadershipDeps {
  readonly config: Config;
  readonly roster: RosterService;
  readonly network: Network;
  readonly records: Records;
  /** Made after the election, which knows of no keys. */
  readonly party: () => Party;
  /** The root: every part takes a namespace of its own. */
  readonly store: KeyValue;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logOf: (component: string) => Logger;
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
}

interface Elected {
  readonly election: ElectionService;
  readonly observer: Observer;
}

/** Protocols whose announcement counts as a capability. */
export const PROTOCOLS: readonly string[] = ['mpc/1', 'election/1'];

/** The stagger is what one vote takes on a loaded LAN; a refused pre-vote waits as long. */
const STAGGER_MS = 20;
/** Of the 5 s that a stop may take. */
const HAND_OVER_MS = 1_000;
const DUTIES_AFTER_MS = 300;
/** A node that led ends no earlier: what its end costs the others would hold up the next leader. */
const SUCCESSION_MS = 150;
const REHEARSE_AFTER_MS = 2_000;
/** So many make the code of a failover warm; together they take a third of a second of one core. */
const REHEARSALS = 12;
/** A leader without a stream for so long is gone, whatever the timer of the machine says. */
const GONE_MS = 2_000;

/** See above. Handlers are registered when it is made; nothing happens before `start`. */
export class Leadership {
  readonly recovery: RecoveryService;
  readonly #election: ElectionService | undefined;
  readonly #jobs: JobService | undefined;
  readonly #voters: DutyRunner | undefined;
  /** Without a setting nobody refreshes keys on a schedule. */
  readonly #keys: DutyRunner | undefined;
  readonly #publisher: LeaderPublisher;
  readonly #deps: LeadershipDeps;
  #searching: Cancel | undefined;
  #beginning: Cancel | undefined;
  #rehearsing: Cancel | undefined;
  #stopped = false;

  private constructor(elected: Elected | undefined, deps: LeadershipDeps) {
    const { roster, network, records, signer, clock, logOf } = deps;
    this.#deps = deps;
    this.#election = elected?.election;
    this.recovery = new RecoveryService({
      ...{ roster, signer, clock, direct: network.direct, logger: logOf('roster') },
    });
    const log = logOf('election');
    const chain = () => roster.chain;
    this.#publisher = new LeaderPublisher(
      {},
      { resolver: records.resolver, chain, signer, clock, log },
    );
    if (elected === undefined) return;
    const { election, observer } = elected;
    const jobs = jobsOf(election, deps);
    this.#jobs = jobs;
    const duty = upkeep(
      { autoPromote: deps.config.autoPromote, minTermMs: deps.config.minTerm },
      {
        ...{ roster, network, election, observer, clock, logger: log },
        settled: () => jobs.settled,
      },
    );
    this.#voters = new DutyRunner(duty, { clock, logger: log });
    const { keyRefresh } = deps.config;
    if (keyRefresh === undefined) return;
    const refreshes = refreshDuty(keyRefresh, {
      keys: () => deps.party().keyAges(),
      submit: (subject, id) => jobs.submit('refresh', subject, id),
      ...{ clock, logger: log },
    });
    this.#keys = new DutyRunner(refreshes, { clock, logger: log });
  }

  /** @throws DISK_FAILED, SCHEMA_TOO_NEW: what the disk has of the election. */
  static async open(deps: LeadershipDeps): Promise<Leadership> {
    if (!deps.config.electionEnabled) return new Leadership(undefined, deps);
    const { config, roster, network, signer, store, clock, random, logOf, emit } = deps;
    let observer: Observer | undefined;
    const election = await ElectionService.open({
      ...{ roster, direct: network.direct, signer, store: store.sub('election') },
      ...{ clock, random, logger: logOf('election'), nextTurn, emit },
      timing: {
        heartbeatMs: config.heartbeatInterval,
        timeoutMs: config.electionTimeout,
        minTermMs: config.minTerm,
        ...{ staggerMs: STAGGER_MS, retryMs: STAGGER_MS },
      },
      ranking: () => observer?.ranking() ?? roster.view.voters,
      exchange: (peer) => network.admission.exchange(peer),
    });
    observer = observerOf(deps, election);
    roster.useCertifier(election);
    return new Leadership({ election, observer }, deps);
  }

  /** @throws NO_LEADER: it is switched off by the configuration. */
  get election(): ElectionService {
    return this.#election ?? switchedOff();
  }

  get isEnabled(): boolean {
    return this.#election !== undefined;
  }

  get jobs(): JobService {
    return this.#jobs ?? switchedOff();
  }

  /** The leader's duties on this node; none elsewhere. */
  duties(): readonly DutyHealth[] {
    const duties = [this.#voters, this.#keys, this.#jobs];
    return duties.flatMap((duty) => duty?.health() ?? []);
  }

  async start(): Promise<void> {
    await this.recovery.start();
    const [election, jobs, voters] = [this.#election, this.#jobs, this.#voters];
    if (election === undefined || jobs === undefined || voters === undefined) return;
    await jobs.start();
    const { clock } = this.#deps;
    election.onDuty({
      start: (term, won) => {
        // Changes that waited for a leader go first; upkeep can wait a moment.
        this.#beginning = clock.after(DUTIES_AFTER_MS, () => {
          this.#publisher.elected(won);
          jobs.onDuty.start(term);
          voters.promote(term);
          this.#keys?.promote(term);
        });
      },
      stop: (term) => {
        this.#beginning?.();
        this.#publisher.deposed();
        void jobs.onDuty.stop(term);
        void voters.demote(term);
        void this.#keys?.demote(term);
      },
    });
    await election.start();
    this.#search(election);
    this.#rehearse();
  }

  /** Once the start is over, before anything can fail that did not fail at the start. */
  #rehearse(): void {
    const { clock, random, logOf } = this.#deps;
    const rehearsal = { random, nextTurn, isOver: () => this.#stopped };
    this.#rehearsing = clock.after(REHEARSE_AFTER_MS, () => {
      rehearse(REHEARSALS, rehearsal).catch((error: unknown) => {
        logOf('election').warn({ error: String(error) }, 'a rehearsed election failed');
      });
    });
  }

  /** A leader that discovery has lost as well is looked for no longer (R99). */
  #search(election: ElectionService): void {
    const { clock, network, roster } = this.#deps;
    const leader = election.leader()?.peerId;
    const known = leader !== undefined && leader !== roster.self;
    const gone = known && network.presence.absentMs(leader) > GONE_MS;
    if (gone) election.campaign('discovery');
    this.#searching = clock.after(GONE_MS, () => this.#search(election));
  }

  /** Calls back when another node leads, or none. @returns a function that ends it. */
  onLeader(listener: () => void): Cancel {
    return this.#election?.onLeader(listener) ?? (() => undefined);
  }

  /** Before the end, or before this node leaves: another voter leads. Never throws. */
  async handOver(): Promise<void> {
    const led = this.#election?.isLeader ?? false;
    await this.#election?.handOver(HAND_OVER_MS);
    if (led) await pause(this.#deps.clock, SUCCESSION_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#rehearsing?.();
    this.#searching?.();
    this.#beginning?.();
    await this.#election?.stop();
    await this.#jobs?.stop();
    await this.recovery.stop();
  }
}

function switchedOff(): never {
  throw new BzzzError('NO_LEADER', 'the election is switched off on this host', {
    why: 'BZZZ_ELECTION_ENABLED is false',
    hint: 'remove that setting on every host and start the daemons again',
  });
}

function observerOf(deps: LeadershipDeps, election: ElectionService): Observer {
  const { roster, network, clock, config } = deps;
  return new Observer({
    ...{ self: roster.self, network, clock, weights: config.electionWeights },
    roster: () => roster.view,
    known: { suites: [...SUITE_TABLE.keys()], protocols: PROTOCOLS },
    term: () => election.term,
    history: () => election.history(),
  });
}

function jobsOf(election: ElectionService, deps: LeadershipDeps): JobService {
  const { roster, network, records, party, store, signer, clock, random, logOf, emit } = deps;
  const jobs = new JobService({
    ...{ self: roster.self, clusterId: roster.view.clusterId, direct: network.direct },
    ...{ signer, clock, random, emit, store: store.sub('jobs'), logger: logOf('jobs') },
    voters: () => roster.view.voters,
    members: () => [...roster.view.members.keys()] as readonly PeerId[],
    leader: () => election.leader(),
    fence: (term) => election.fence(term),
    executors: executorsOf(records, party, () => repairs),
  });
  const repairs: Repairs = new Repairs({
    ...{ self: roster.self, clock, direct: network.direct },
    repairer: records.backends.dht.repairer,
    leader: () => election.leader()?.peerId,
    submit: (subject) => jobs.submit('repair', subject),
    log: logOf('dht'),
    alsoRepair: () => records.content.membersChanged(),
  });
  return jobs;
}
