/**
 * What a node says of itself, signed, and the book that every other node keeps of it.
 *
 * The book ages an announcement by the reader's own monotonic clock, from the receipt of a newer
 * word: hosts' clocks need not agree, and a replay makes nobody younger.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, Epoch, PeerId, Term } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Signer } from '../../base/ports.ts';
import type { Resources } from '../../election/score.ts';
import { ROLES, type Role } from '../../roster/types.ts';

/** One node's word about itself. */
export interface Announcement {
  readonly v: 1;
  readonly peerId: PeerId;
  /** Durable boot counter, and a number that grows within the run; see {@link AnnouncementBook}. */
  readonly boot: number;
  readonly seq: number;
  /** 8 random bytes per run, so that two processes with one identity are told apart. */
  readonly run: Uint8Array;
  /** Multiaddrs without a peer id. */
  readonly addrs: readonly string[];
  /** null until the node is admitted. */
  readonly role: Role | null;
  /** Keystore open, accepting sessions. */
  readonly partyReady: boolean;
  readonly draining: boolean;
  readonly capabilities: {
    readonly suites: readonly string[];
    readonly protocols: readonly string[];
  };
  /** Live sessions. */
  readonly load: number;
  /** The highest election term that the node has seen. */
  readonly term?: Term;
  /** Of the host, for the order of candidacies; older versions do not say. */
  readonly resources?: Resources;
  readonly rosterEpoch: Epoch;
  /** Of the effective configuration, to notice hosts that differ; hex or empty. */
  readonly configHash: string;
  readonly version: string;
  readonly name?: string;
}

const words = z.array(z.string().min(1).max(64)).max(32);

const MOST_CPUS = 65_536;
const MOST_LOAD = 1_000_000;
const resources = z.strictObject({
  freeMemory: z.number().min(0).max(1),
  cpus: z.int().min(1).max(MOST_CPUS),
  load1: z.number().min(0).max(MOST_LOAD),
});

const schema = z.strictObject({
  v: z.literal(1),
  peerId: field.peerId,
  boot: field.uint,
  seq: field.uint,
  run: field.bytes(8),
  addrs: z.array(z.string().min(1).max(256)).max(LIMITS.addressesPerPeer),
  role: z.enum(ROLES).nullable(),
  partyReady: z.boolean(),
  draining: z.boolean(),
  capabilities: z.strictObject({ suites: words, protocols: words }),
  load: z.int().min(0).max(1_000_000),
  term: field.term.exactOptional(),
  resources: resources.exactOptional(),
  rosterEpoch: field.epoch,
  configHash: z.string().max(64),
  version: z.string().max(64),
  name: z.string().min(1).max(LIMITS.nameBytes).exactOptional(),
});

/**
 * Readings of the operating system as others accept them: an odd one must not make the whole
 * announcement worthless. Two decimals are enough.
 */
export function boundedResources({ freeMemory, cpus, load1 }: Resources): Resources {
  const within = (n: number, least: number, most: number): number =>
    Number.isNaN(n) ? least : Math.min(most, Math.max(least, n));
  const rounded = (n: number): number => Math.round(n * 100) / 100;
  return {
    freeMemory: rounded(within(freeMemory, 0, 1)),
    cpus: Math.round(within(cpus, 1, MOST_CPUS)),
    load1: rounded(within(load1, 0, MOST_LOAD)),
  };
}

const domain = (clusterId: ClusterId): string => `bzzz/${clusterId}/announce/1`;

/** @throws TOO_LARGE. */
export function sealAnnouncement(
  clusterId: ClusterId,
  signer: Signer,
  announcement: Announcement,
): Uint8Array {
  const sealed = signer.seal(domain(clusterId), encode(announcement));
  if (sealed.length <= LIMITS.announcementBytes) return sealed;
  throw new BzzzError('TOO_LARGE', `an announcement of ${sealed.length} bytes`);
}

/** @throws BAD_MESSAGE: form, signature, another cluster's, or signed by somebody else. */
export function openAnnouncement(clusterId: ClusterId, sealed: Uint8Array): Announcement {
  if (sealed.length > LIMITS.announcementBytes) {
    throw new BzzzError('BAD_MESSAGE', `an announcement of ${sealed.length} bytes`);
  }
  const { signer, payload } = openEnvelope(domain(clusterId), sealed);
  const announcement = decode('announcement', schema, payload, LIMITS.announcementBytes);
  if (announcement.peerId !== signer) {
    throw new BzzzError('BAD_MESSAGE', `${signer} announces ${announcement.peerId}`);
  }
  return announcement;
}

/** An announcement with its envelope, which is passed on as it came. */
export interface Entry {
  readonly announcement: Announcement;
  readonly sealed: Uint8Array;
  /** Reader's monotonic clock, ms. */
  readonly receivedAt: number;
}

/**
 * @property isNew it is what the book says of the peer now.
 * @property isCopy another run said as much before it: two processes announce with one identity, or
 * an old copy of its data directory was brought back.
 */
export interface Verdict {
  readonly isNew: boolean;
  readonly isCopy: boolean;
}

/** A word as it came. `own`: over the connection with the very peer that it is about. */
export interface Word {
  readonly announcement: Announcement;
  readonly sealed: Uint8Array;
  /** How old its giver says it is, ms; it can only make it older. */
  readonly ageMs?: number;
  readonly own?: boolean;
}

/** What is known of a peer. `runs`: the last number of each run, hex, latest heard last. */
interface Page {
  readonly entry: Entry;
  readonly runs: ReadonlyMap<string, number>;
}

/** Runs of one peer whose last number is remembered. */
const RUNS = 4;

/**
 * Newest word of every peer. Pure: the caller tells the time.
 *
 * | word of                              | is new when                                  |
 * | ------------------------------------ | -------------------------------------------- |
 * | a known run, number not higher       | never                                        |
 * | a higher boot, or the same one       | always: of twins whoever spoke last          |
 * | a lower boot, from the peer itself   | always: its disk went back to an earlier day |
 * | a lower boot, second-hand            | never: it is late, or a replay               |
 *
 * Numbers of two runs do not compare. If they did, a host would count as gone after its twin was
 * stopped, until it had spoken as often as that one.
 */
export class AnnouncementBook {
  readonly #pages = new Map<PeerId, Page>();
  readonly #maxAgeMs: number;

  constructor(maxAgeMs: number = LIMITS.announceAgeMs) {
    this.#maxAgeMs = maxAgeMs;
  }

  /** Takes an opened announcement in. */
  take({ announcement, sealed, ageMs = 0, own = false }: Word, nowMs: number): Verdict {
    const { peerId, boot, seq } = announcement;
    const run = toHex(announcement.run);
    const known = this.#pages.get(peerId);
    const runs = new Map(known?.runs);
    const latest = known?.entry.announcement;
    const inOrder = latest === undefined || boot >= latest.boot || own;
    const isNew = inOrder && seq > (runs.get(run) ?? -1);
    const isCopy =
      latest !== undefined && inOrder && boot <= latest.boot && toHex(latest.run) !== run;
    if (isNew) {
      runs.delete(run);
      runs.set(run, seq);
      const [oldest] = runs.keys();
      if (runs.size > RUNS && oldest !== undefined) runs.delete(oldest);
      const entry = { announcement, sealed, receivedAt: nowMs - Math.max(0, ageMs) };
      this.#pages.set(peerId, { entry, runs });
    }
    return { isNew, isCopy };
  }

  /** The newest word of a peer, however old. */
  get(peer: PeerId): Entry | undefined {
    return this.#pages.get(peer)?.entry;
  }

  isFresh(peer: PeerId, nowMs: number): boolean {
    const entry = this.get(peer);
    return entry !== undefined && nowMs - entry.receivedAt < this.#maxAgeMs;
  }

  /** What stands within its 30 s. */
  fresh(nowMs: number): readonly Entry[] {
    const entries = [...this.#pages.values()].map(({ entry }) => entry);
    return entries.filter((entry) => nowMs - entry.receivedAt < this.#maxAgeMs);
  }

  /** Forgets those who are no members any more. */
  keep(isMember: (peer: PeerId) => boolean): void {
    for (const peer of this.#pages.keys()) if (!isMember(peer)) this.#pages.delete(peer);
  }
}
