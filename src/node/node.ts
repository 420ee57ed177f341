/**
 * One node, put together. Data flows roster -> records -> party; the network carries all three.
 *
 * Order of the start: store, identity, roster, records, party, network, announcements. Handlers are
 * registered before the first connection can come in. The stop is the reverse, behind a drain.
 * @module
 */
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { loadEntrances } from '../../bootstrap/loader.ts';
import { sha256, toHex } from '../base/bytes.ts';
import { encode } from '../base/codec.ts';
import { createSigner } from '../base/envelope.ts';
import { BzzzError } from '../base/errors.ts';
import type { Cancel, Clock, Logger, Random } from '../base/ports.ts';
import { extendCertificate, verifyCertificate } from '../mpc/keys/certificate.ts';
import { KEY_FILE, keyFile, passphraseFile } from '../mpc/keys/keyfile.ts';
import { Keyring } from '../mpc/keys/keyring.ts';
import { Keystore } from '../mpc/keys/keystore.ts';
import { openRetirement } from '../mpc/keys/retirement.ts';
import { Outbox } from '../mpc/party/outbox.ts';
import { Party } from '../mpc/party/party.ts';
import { nextTurn } from '../mpc/party/turn-shell.ts';
import { policyGate } from '../mpc/policy/policy-program.ts';
import { createPool } from '../mpc/pool.ts';
import { SessionStore } from '../mpc/sessions/store.ts';
import { SUITE_TABLE } from '../mpc/suites/index.ts';
import type { Genesis } from '../roster/genesis.ts';
import type { Invitation } from '../roster/invitation.ts';
import { InvitationBook } from '../roster/invitation-book.ts';
import { RosterService } from '../roster/service.ts';
import { Backends } from './backends.ts';
import { hybridOptions, Tuning } from './backends-tuning.ts';
import { makeBackup } from './backup.ts';
import type { Config, Effective } from './config.ts';
import { checkAgainstRoster } from './config-rules.ts';
import type { DataDirPaths } from './datadir.ts';
import { dropInvitation } from './datadir-cluster.ts';
import type { EventLog } from './events.ts';
import { nextBoot } from './identity.ts';
import { Leadership, PROTOCOLS } from './leadership.ts';
import { Network } from './net/network.ts';
import { announcementView, reachPort } from './party-view.ts';
import { checkPolicyProgram, policyProgram } from './policy-program.ts';
import { planRecords, publishRoster, type Records, recordsPort } from './records.ts';
import { keepsSilent } from './restored.ts';
import { openStore, type Store } from './store.ts';

/** What lies in the data directory of this node. */
export interface NodeFiles {
  readonly paths: DataDirPaths;
  readonly key: Ed25519PrivateKey;
  readonly genesis: Genesis;
  /** Present until this node is admitted. */
  readonly invitation: Invitation | undefined;
}

export interface NodeDeps {
  readonly effective: Effective;
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly events: EventLog;
}

/** Running sessions get so long to end at a stop, which as a whole must stay below 5 s. */
const DRAIN_MS = 2_500;
/** A probe of the record store follows a change among the peers by so much. */
const PROBE_SOON_MS = 400;
const ANNOUNCE_TERM_MS = 300;
/** And so often while something is wrong. */
const PROBE_AGAIN_MS = 2_000;

/** Everything that a running node consists of. */
export class Node {
  readonly deps: NodeDeps;
  readonly startedAt: number;
  readonly store: Store;
  readonly roster: RosterService;
  readonly invitations: InvitationBook;
  readonly records: Records;
  readonly party: Party;
  readonly network: Network;
  readonly leadership: Leadership;
  /** Which backends serve this node, and how that is changed. */
  readonly backends: Backends;
  readonly tuning: Tuning;
  /** Seals a backup of this node under a passphrase, which the caller wipes. */
  readonly backup: (passphrase: Uint8Array) => ReturnType<typeof makeBackup>;
  /** Restored from a backup, it does not vote until it was demoted once; see restored.ts. */
  readonly silent: boolean;
  /** Why a joining node will never be admitted. */
  joinRefusal: BzzzError | undefined;
  readonly #ends: Cancel[] = [];
  #probe: Cancel | undefined;
  #announcement: Cancel | undefined;
  readonly #listening = Promise.withResolvers<void>();
  #draining = false;

  private constructor(parts: Omit<Parts, 'keystore' | 'keyring' | 'sessions'>, deps: NodeDeps) {
    this.deps = deps;
    this.startedAt = deps.clock.now();
    this.store = parts.store;
    this.roster = parts.roster;
    this.invitations = parts.invitations;
    this.records = parts.records;
    this.party = parts.party;
    this.network = parts.network;
    this.leadership = parts.leadership;
    this.backends = parts.backends;
    this.tuning = parts.tuning;
    this.backup = parts.backup;
    this.silent = parts.silent;
  }

  /**
   * Opens and connects everything; nothing listens yet.
   * @throws STORE_LOCKED, WRONG_PASSPHRASE, KEYSTORE_LOCKED, LOOSE_PERMISSIONS, BAD_MESSAGE for a
   * damaged roster, DISK_FAILED. What was opened is closed again.
   */
  static async open(files: NodeFiles, deps: NodeDeps): Promise<Node> {
    const store = await openStore(files.paths.db);
    try {
      return await openOn(store, files, deps, (parts) => new Node(parts, deps));
    } catch (thrown) {
      await store.close();
      throw thrown;
    }
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Why this node takes part in nothing new; empty when it is ready. */
  unready(): readonly string[] {
    const reasons = [...this.party.unready()];
    if (this.joinRefusal !== undefined) reasons.push(`not admitted: ${this.joinRefusal.message}`);
    else if (this.roster.standing === 'removed') reasons.push('removed from the roster');
    else if (this.roster.standing !== 'member') reasons.push('not admitted yet');
    return reasons;
  }

  /** Resolves when others can reach this node; before that it has no address to give away. */
  get listening(): Promise<void> {
    return this.#listening.promise;
  }

  async start(): Promise<void> {
    const { roster, party, network, records, deps } = this;
    await party.start();
    await records.backends.start();
    await records.content.start();
    await network.start();
    this.#listening.resolve();
    await this.leadership.start();
    this.#ends.push(
      roster.onChange((view) => {
        records.backends.membersChanged();
        records.content.membersChanged();
        deps.events.emit('roster.changed', { epoch: view.epoch, members: view.members.size });
        this.#announce();
        this.#probeSoon();
        if (roster.standing === 'removed') this.#removed();
      }),
      network.direct.onPeer((peer, live) => {
        if (live) party.peerConnected(peer);
        this.#probeSoon();
      }),
      // What the new backend is like is asked soon, and not after an interval.
      records.backends.choice.onChange(() => this.#probeSoon()),
      this.#publishRoster(),
      this.leadership.onLeader(() => this.#announceLater()),
    );
    this.#announce();
    this.#probeEvery();
  }

  /**
   * Announces that it is draining, lets running sessions end, and ends everything.
   * @param force leaves out the drain.
   */
  async stop(force: () => boolean): Promise<void> {
    this.#draining = true;
    if (!force()) {
      // First, and before anybody hears of a drain: a cluster without a leader waits.
      await this.leadership.handOver();
      await this.network.announcer.flush({ partyReady: false, draining: true });
      await this.party.drain(DRAIN_MS);
    }
    for (const end of this.#ends) end();
    this.#probe?.();
    this.#announcement?.();
    await this.leadership.stop();
    await this.party.stop();
    await this.records.content.stop();
    await this.records.backends.stop();
    await this.network.stop();
    await this.roster.close();
    await this.store.close();
  }

  /** The leader does it; without an election whoever votes. */
  #publishRoster(): Cancel {
    const { roster, records, leadership, deps } = this;
    const isTurn = () =>
      leadership.isEnabled
        ? leadership.election.isLeader
        : roster.view.voters.includes(roster.self);
    const publisher = publishRoster(roster, records, { ...deps, isTurn });
    const unsubscribe = leadership.onLeader(() => publisher.newest());
    return () => {
      unsubscribe();
      publisher.stop();
    };
  }

  #removed(): void {
    const { log, events } = this.deps;
    const { code, message, hint } = removedError(this.roster.view.clusterName);
    log.error({ code, hint }, message);
    events.emit('roster.removed', { code, message });
  }

  #announce(): void {
    const partyReady = this.unready().length === 0;
    const { isEnabled } = this.leadership;
    const term = isEnabled ? { term: this.leadership.election.term } : {};
    this.network.announcer.update({ partyReady, draining: this.#draining, ...term });
  }

  /** The term is no news that others wait for, while whoever leads now has much to do. */
  #announceLater(): void {
    this.#announcement ??= this.deps.clock.after(ANNOUNCE_TERM_MS, () => {
      this.#announcement = undefined;
      this.#announce();
    });
  }

  #probeSoon(ms = PROBE_SOON_MS): void {
    this.#probe?.();
    this.#probe = this.deps.clock.after(ms, () => this.#probeNow());
  }

  #probeEvery(): void {
    this.#probe?.();
    const { healthCheckMs } = this.tuning;
    this.#probe = this.deps.clock.after(healthCheckMs, () => this.#probeNow());
  }

  #probeNow(): void {
    // `probe` reports failures in its result; it rejects only when the node is stopping.
    this.records.backends.probe().then(
      ({ status }) => (status === 'healthy' ? this.#probeEvery() : this.#probeSoon(PROBE_AGAIN_MS)),
      (error: unknown) => this.deps.log.debug({ error: String(error) }, 'probe ended'),
    );
  }
}

/** What a host that was taken off the roster is told, in the log and by every refusal. */
export const removedError = (cluster: string): BzzzError =>
  new BzzzError('REMOVED_FROM_ROSTER', `this host was removed from the roster of ${cluster}`);

interface Parts {
  readonly store: Store;
  readonly roster: RosterService;
  readonly invitations: InvitationBook;
  readonly records: Records;
  readonly keystore: Keystore;
  readonly keyring: Keyring;
  readonly sessions: SessionStore;
  readonly party: Party;
  readonly network: Network;
  readonly leadership: Leadership;
  readonly backends: Backends;
  readonly tuning: Tuning;
  readonly backup: Node['backup'];
  readonly silent: boolean;
}

async function openOn(
  store: Store,
  files: NodeFiles,
  deps: NodeDeps,
  make: (parts: Omit<Parts, 'keystore' | 'keyring' | 'sessions'>) => Node,
): Promise<Node> {
  const { clock, random, log, events } = deps;
  const signer = createSigner(files.key);
  const logOf = (component: string): Logger => log.child({ component });
  const boot = await nextBoot(store.root.sub('node'));
  const roster = await openRoster(store, files, deps);
  const silent = await keepsSilent({
    ...{ store: store.root.sub('node'), roster, logger: logOf('roster') },
  });
  const { config: asked } = deps.effective;
  const config = silent ? { ...asked, electionEnabled: false } : asked;
  const invitations = new InvitationBook({
    ...{ store: store.root.sub('invitations'), roster, signer, random, clock },
  });
  const emit: EventLog['emit'] = (kind, data) => events.emit(kind, data);
  const tuning = new Tuning(config);
  const outbox = await Outbox.open({ kv: store.root.sub('results'), logger: logOf('mpc') });
  const plan = planRecords(recordsOptions(config), {
    ...{ store, roster, clock, random, log: logOf('dht'), emit },
    ...{ journal: store.root.sub('records'), replays: store.root.sub('hybrid') },
    waiting: (place) => outbox.at(place),
  });
  let node: Node | undefined;
  const network = await Network.create(
    {
      ...(await networkOptions(files, deps)),
      boot,
      fallbackThreshold: () => tuning.thresholdErrors,
      state: {
        partyReady: false,
        draining: false,
        suites: [...SUITE_TABLE.keys()],
        protocols: PROTOCOLS,
        load: 0,
        configHash: configHash(config),
      },
    },
    {
      ...{ roster, invitations, signer, clock, random, log: logOf('network') },
      ...{ store: store.root.sub('network'), kad: plan.kad, datastore: plan.guard },
      emit,
      joinRefused: (reason) => {
        if (node !== undefined) node.joinRefusal = reason;
      },
      ...(config.electionEnabled ? { election: lateElection(() => node) } : {}),
    },
  );
  const records = plan.open(network.host.services.dht, network);
  const { clusterId } = roster.view;
  const self = signer.peerId;
  const source =
    config.keyPassphraseFile === undefined
      ? keyFile(`${files.paths.dir}/${KEY_FILE}`, random)
      : passphraseFile(config.keyPassphraseFile);
  const keystore = await Keystore.open({
    ...{ kv: store.root.sub('shares'), clusterId, self, random, source },
  });
  const keyring = await Keyring.open({
    kv: store.root.sub('keys'),
    wallMs: () => clock.wallMs(),
    verify: (certificate) => verifyCertificate(certificate, clusterId),
    retire: (envelope, known) => openRetirement(envelope, known, clusterId),
    extend: (certificate, link) => extendCertificate(certificate, link, clusterId),
    logger: logOf('keys'),
  });
  const sessions = await SessionStore.open({
    ...{ kv: store.root.sub('sessions'), clusterId, signer, clock, logger: logOf('sessions') },
  });
  const party = new Party(
    {
      sessionTimeoutMs: config.sessionTimeout,
      signPolicy: config.signPolicy,
      delegateMs: config.delegateTtl,
      boot,
    },
    {
      ...{ direct: network.direct, gossip: network.gossip, clock, random, signer },
      ...{ keystore, keyring, sessions, outbox, suites: SUITE_TABLE, nextTurn },
      roster: () => roster.view,
      logger: logOf('mpc'),
      pool: createPool(
        announcementView(() => node, network),
        () => roster.view,
      ),
      reach: reachPort(network),
      records: recordsPort(records),
      ...(await judgeOf(config, clock, logOf('policy'))),
      emit,
    },
  );
  const leadership = await Leadership.open({
    ...{ config, roster, network, records, signer, clock, random, logOf },
    ...{ store: store.root, party: () => party, emit },
  });
  const parts = { store: store.root, keystore, roster, files, boot, clock, random };
  const backup: Node['backup'] = (passphrase) => makeBackup(passphrase, parts);
  const components = [records.backends, network.discovery];
  const backends = new Backends({ components, emit, log: logOf('backends') });
  node = make({
    ...{ store, roster, invitations, records, party, network, leadership, backends, tuning },
    ...{ backup, silent },
  });
  forgetInvitationOnceAdmitted(node, files, log);
  return node;
}

/** The operator's own program, when one is set. @throws BAD_CONFIG, LOOSE_PERMISSIONS. */
async function judgeOf({ policyProgram: path }: Config, clock: Clock, logger: Logger) {
  if (path === undefined) return {};
  await checkPolicyProgram(path);
  return { judge: policyGate(policyProgram(path, clock), { clock, logger }) };
}

/** The network asks for the leader before there is an election: nobody leads then. */
const lateElection = (node: () => Node | undefined) => ({
  leader: () => node()?.leadership.election.leader()?.peerId,
  handOver: async () => node()?.leadership.handOver(),
});

async function openRoster(store: Store, files: NodeFiles, deps: NodeDeps): Promise<RosterService> {
  const { genesis, invitation, key } = files;
  const begin = {
    genesis: genesis.bytes,
    ...(invitation === undefined ? {} : { checkpoint: invitation.checkpoint }),
  };
  const roster = await RosterService.open(begin, {
    store: store.root.sub('roster'),
    signer: createSigner(key),
    clock: deps.clock,
    logger: deps.log.child({ component: 'roster' }),
  });
  if (roster.standing === 'stranger' && invitation === undefined) {
    throw new BzzzError('NOT_INITIALISED', 'this host is no member and has no invitation', {
      hint: 'ask a voter for `bzzz invite`, then run `bzzz join STRING`',
    });
  }
  const { clusterName, members } = roster.view;
  checkAgainstRoster(deps.effective, { clusterName, role: members.get(roster.self)?.role });
  return roster;
}

function recordsOptions(config: Config) {
  return {
    dht: { replication: config.replication, republishMs: config.republishInterval },
    hybrid: hybridOptions(config),
    choice: { backend: config.dhtBackend, percent: config.rolloutPercent },
    resolver: {
      cacheEnabled: config.cacheEnabled,
      cacheMaxBytes: config.cacheMaxBytes,
      cacheTtlMs: config.cacheTtl,
    },
  };
}

async function networkOptions({ key, invitation }: NodeFiles, deps: NodeDeps) {
  const { effective, version, log } = deps;
  const { config } = effective;
  const entrances = await loadEntrances(
    { nodes: config.bootstrapNodes, file: config.bootstrapFile },
    { log: log.child({ component: 'bootstrap' }) },
  );
  return {
    ...{ key, version, invitation, entrances },
    name: config.nodeName,
    listen: config.listen,
    announce: config.announceAddrs,
    maxConnections: config.maxConnections,
    mdns: config.mdnsEnabled,
    discoveryRefreshMs: config.discoveryRefresh,
    discoveryBackend: config.discoveryBackend,
    announceIntervalMs: config.announceInterval,
  };
}

/** Of the settings that should be the same on every host, to notice hosts that differ. */
const configHash = ({ replication, sessionTimeout, signPolicy }: Config): string =>
  toHex(sha256(encode({ replication, sessionTimeout, signPolicy }))).slice(0, 16);

/** Its secret is of no more use, and a file that holds one should not stay. */
function forgetInvitationOnceAdmitted(node: Node, { paths, invitation }: NodeFiles, log: Logger) {
  if (invitation === undefined) return;
  const forget = (): void => {
    if (node.roster.standing !== 'member') return;
    stop();
    dropInvitation(paths).catch((error: unknown) => {
      log.warn({ error: String(error) }, 'the used invitation could not be removed');
    });
  };
  const stop = node.roster.onChange(forget);
  forget();
}
