/**
 * The record store and the resolver of one node, put together: which kinds of record there are,
 * what guards them, and where they lie.
 * @module
 */
import type { KadDHT, KadDHTInit } from '@libp2p/kad-dht';
import { LIMITS } from '../base/limits.ts';
import type { Cancel, Clock, KeyValue, Logger, Random } from '../base/ports.ts';
import type { Choice } from '../base/switch.ts';
import { Counters } from '../dht/counters.ts';
import { RecordGuard } from '../dht/guard.ts';
import type { HybridOptions } from '../dht/hybrid-options.ts';
import { Journal } from '../dht/journal.ts';
import { type DhtOptions, DhtStore } from '../dht/kad.ts';
import { kadInit } from '../dht/options.ts';
import { createRules, type Rule } from '../dht/rules.ts';
import { leaderKind } from '../election/leader-kind.ts';
import { certificateKind } from '../mpc/keys/certificate.ts';
import type { RecordsPort } from '../mpc/party/ports.ts';
import { resultKind } from '../mpc/result.ts';
import { proposalKind } from '../mpc/sessions/proposal-kind.ts';
import { entryRecord, verifyEntryRecord } from '../roster/proof.ts';
import type { RosterService } from '../roster/service.ts';
import { membershipAddress } from '../ucxl/fixed.ts';
import { recordNamespaces } from '../ucxl/namespaces.ts';
import { parseConcrete } from '../ucxl/parse.ts';
import { placeRecord, recordPlace } from '../ucxl/places.ts';
import { type RecordRules, requireKind } from '../ucxl/records.ts';
import { Resolver, type ResolverOptions } from '../ucxl/resolver.ts';
import { rosterKind } from '../ucxl/roster-kind.ts';
import { RecordBackends } from './backends-records.ts';
import { Content } from './content.ts';
import type { BlockStreamsDeps } from './net/block-streams.ts';
import { protocolNames } from './net/protocols.ts';
import type { Store } from './store.ts';

export interface RecordsOptions {
  readonly dht: DhtOptions;
  readonly resolver: ResolverOptions;
  readonly hybrid: HybridOptions;
  /** The backend to begin with. */
  readonly choice: Choice;
}

export interface RecordsDeps {
  readonly store: Store;
  /** A namespace of its own, and one for what waits for the network. */
  readonly journal: KeyValue;
  readonly replays: KeyValue;
  readonly roster: RosterService;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
  /** A record of this node on its way to a place of the store, `seriesId` of its address. */
  readonly waiting: (place: string) => Waiting | undefined;
}

interface Waiting {
  readonly address: string;
  readonly record: Uint8Array;
}

/** What libp2p needs before there is a DHT, and what becomes of it once there is. */
export interface RecordsPlan {
  readonly kad: KadDHTInit;
  readonly guard: RecordGuard;
  open(kad: KadDHT, streams: BlockStreamsDeps): Records;
}

/** The open record layer. */
export interface Records {
  readonly backends: RecordBackends;
  readonly counters: Counters;
  readonly resolver: Resolver;
  readonly content: Content;
  /** Stores a record here, as one of its holders, unless something stands at its address. */
  keep(address: string, bytes: Uint8Array): Promise<void>;
}

/** Lays down rules and guard; nothing is opened or started. */
export function planRecords(options: RecordsOptions, deps: RecordsDeps): RecordsPlan {
  const { store, journal, roster, clock, random, log } = deps;
  const counters = new Counters();
  const recordRules = rulesOf(roster, counters);
  const namespaces = recordNamespaces(recordRules);
  const rules = createRules(namespaces);
  const waiting = ({ namespace, suffix }: Rule): Uint8Array | undefined => {
    const found = deps.waiting(suffix);
    if (found === undefined) return undefined;
    const { place, value } = placeRecord(recordRules, parseConcrete(found.address), found.record);
    return place.namespace === namespace.name ? value : undefined;
  };
  const guard = new RecordGuard(store.db, {}, { rules, clock, log, counters, waiting });
  return {
    kad: kadInit(roster.view.tag, namespaces, counters),
    guard,
    open(kad, streams) {
      const { self } = roster;
      const shared = { self, rules, guard, clock, random, log, counters };
      const ownWrites = new Journal({ disk: journal, ...shared });
      const replication = options.dht.replication ?? LIMITS.replication;
      const backends = new RecordBackends(
        { choice: options.choice, hybrid: options.hybrid, replication },
        {
          ...{ ...shared, journal: ownWrites, disk: deps.replays, emit: deps.emit },
          members: () => [...roster.view.members.keys()],
          dht: (members) =>
            new DhtStore(options.dht, { ...shared, journal: ownWrites, kad, members }),
        },
      );
      const content = new Content(
        { replication, ...republishing(options.dht) },
        {
          ...{ self, clock, random, log, streams, disk: store.root.sub('blocks') },
          ...{ providers: backends.dht.providers, repairer: backends.dht.repairer },
          protocol: protocolNames(roster.view.tag).blocks,
          members: () => backends.members(),
        },
      );
      backends.choice.onChange(() => content.membersChanged());
      const resolver = new Resolver(options.resolver, {
        store: backends.store,
        pieces: content.blocks,
        rules: recordRules,
        self: roster.self,
        clock,
        logger: log,
      });
      const keep = async (address: string, record: Uint8Array): Promise<void> => {
        const target = parseConcrete(address);
        const place = recordPlace(recordRules, requireKind(recordRules, target), target);
        const key = rules.key(place.namespace, place.suffix);
        if (await guard.isStored(key)) return;
        await guard.store(key, placeRecord(recordRules, target, record).value);
      };
      return { backends, resolver, counters, content, keep };
    },
  };
}

const republishing = ({ republishMs }: DhtOptions) =>
  republishMs === undefined ? {} : { republishMs };

function rulesOf(roster: RosterService, counters: Counters): RecordRules {
  const { clusterId, clusterName } = roster.view;
  return {
    kinds: [
      certificateKind(clusterId, clusterName),
      proposalKind(clusterId, clusterName),
      resultKind(clusterName, clusterId),
      rosterKind(clusterName, (epoch, bytes) => verifyEntryRecord(roster.chain, epoch, bytes)),
      leaderKind(clusterName, { chain: () => roster.chain, ahead: () => counters.add('ahead') }),
    ],
    isKnown: (peer) => roster.view.standing(peer) !== 'stranger',
  };
}

/** Records as the party service uses them. */
export function recordsPort({ resolver, keep }: Records): RecordsPort {
  return {
    async publish(address, bytes, as) {
      await resolver.publish(address, bytes, { background: as === 'witness' });
    },
    async complete(address, bytes) {
      await resolver.publish(address, bytes, { shared: true });
    },
    keep,
    async candidates(address, where) {
      const options = where === 'local' ? { localOnly: true } : {};
      const copies = await resolver.candidates(address, options);
      return copies.map(({ bytes }) => bytes);
    },
  };
}

/** Whoever asked for the change is answered first. */
const PUBLISH_AFTER_MS = 250;

export interface PublishDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether it is this node's turn: all voters at once would be as many times the work. */
  readonly isTurn: () => boolean;
}

/** Stands roster entries at their addresses, if it is this node's turn to. */
export interface RosterPublisher {
  /** Once more the newest: whoever should have may have died before. */
  newest(): void;
  stop(): void;
}

/** Publishes every entry from here on. */
export function publishRoster(
  roster: RosterService,
  records: Records,
  { clock, log, isTurn }: PublishDeps,
): RosterPublisher {
  const publish = (epoch: number): void => {
    const bytes = entryRecord(roster.chain, epoch);
    if (bytes === undefined || !isTurn()) return;
    const address = membershipAddress(roster.view.clusterName, epoch);
    records.resolver.publish(address, bytes).catch((error: unknown) => {
      log.warn({ epoch, error: String(error) }, 'a roster entry was not published');
    });
  };
  if (roster.view.epoch === 0) publish(0);
  const waiting = new Set<Cancel>();
  const publishSoon = (epochs: readonly number[]): void => {
    const cancel = clock.after(PUBLISH_AFTER_MS, () => {
      waiting.delete(cancel);
      for (const epoch of epochs) publish(epoch);
    });
    waiting.add(cancel);
  };
  const unsubscribe = roster.onChange((_view, added) => {
    publishSoon(added.map(({ body }) => body.epoch));
  });
  return {
    newest() {
      const { epoch } = roster.view;
      publishSoon([epoch - 2, epoch - 1, epoch].filter((n) => n >= 0));
    },
    stop() {
      unsubscribe();
      for (const cancel of waiting) cancel();
    },
  };
}
