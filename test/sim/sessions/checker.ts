/**
 * What must hold, checked whenever something leaves a process, reaches a disk or is told; by names
 * of the project's invariants. The checker reads frames and disks, and asks no machine.
 */
import { decode } from '@ipld/dag-cbor';
import type { KeyId, PeerId, SessionId } from '../../../src/base/brands.ts';
import { isBadMessage } from '../../../src/base/errors.ts';
import { openMessage, unpack } from '../../../src/mpc/keygen/messages.ts';
import { verifyCertificate } from '../../../src/mpc/keys/certificate.ts';
import { claimedEpoch } from '../../../src/mpc/keys/sharefile.ts';
import { TOPICS, wire } from '../../../src/mpc/party/wire.ts';
import type { KeyInfo } from '../../../src/mpc/types.ts';
import { type Invariant, Violation } from '../violation.ts';
import { openEnvelope } from './envelope.ts';
import type { Host } from './host.ts';
import { Losses } from './losses.ts';
import type { Frame } from './network.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

export interface Stats {
  crashes: number;
  keys: number;
  refusals: number;
  signatures: number;
  failures: number;
}

/** Kinds of packets that are looked into, as they stand in the frame. */
const WATCHED = ['statement', 'refusal'].map((word) => Buffer.from(word));

const ENDS = ['completed', 'failed', 'expired', 'cancelled'];

export class Checker {
  readonly stats: Stats = { crashes: 0, keys: 0, refusals: 0, signatures: 0, failures: 0 };
  /** Identities whose memory was set back or doubled: they may be named, and may lose shares. */
  readonly suspects = new Set<PeerId>();
  /** Who refused which session, as another heard it. */
  readonly refusals = new Set<string>();
  readonly losses: Losses;
  readonly #world: World;
  /** Sessions that each disk attested. */
  readonly #attested = new Map<Host, Set<SessionId>>();
  /** How sessions ended, by process. */
  readonly #ends = new WeakMap<Process, Map<string, string>>();
  /** The one key of each session. */
  readonly #keys = new Map<SessionId, KeyInfo>();
  /** What each change of a key was to make of it. */
  readonly #changes = new Map<SessionId, Pick<KeyInfo, 'keyId' | 'epoch'>>();
  readonly #seen = new WeakSet<Uint8Array>();

  constructor(world: World) {
    this.#world = world;
    this.losses = new Losses(world);
  }

  fail(invariant: Invariant, message: string): never {
    const violation = new Violation(invariant, `${message} (at ${this.#world.now.toFixed(1)} ms)`);
    // Also for a caller that is stopped by it, but inside the code under test.
    this.#world.caught(violation);
    throw violation;
  }

  get keys(): ReadonlyMap<SessionId, KeyInfo> {
    return this.#keys;
  }

  /** Every epoch of a key that some disk knows, the newest last. */
  epochs(keyId: KeyId): readonly KeyInfo[] {
    this.disks();
    const all = [...this.#keys.values()].filter((key) => key.keyId === keyId);
    return all.sort((a, b) => a.epoch - b.epoch);
  }

  // -- what leaves a process

  sent(process: Process, frame: Frame): void {
    this.#inside(() => this.#sent(process, frame));
  }

  /** What is found inside the code under test is not thrown there: it could not be caught. */
  #inside(look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#world.caught(error);
    }
  }

  #sent(process: Process, { topic, body }: Frame): void {
    // Most frames are of no interest; to read each would cost more than the machines do.
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    if (topic !== TOPICS.message || !WATCHED.some((word) => text.includes(word))) return;
    const { sid, envelope } = wire.readMessage(body);
    const { host } = process;
    // A repair has refusals of its own; they promise nothing.
    const sealed = process.deps?.sessions.get(sid)?.sealed;
    if (sealed?.proposal.kind === 'repair') return;
    if (sealed?.proposal.kind === 'reshare') {
      const { keyId, keyEpoch } = sealed.proposal;
      this.#changes.set(sid, { keyId, epoch: keyEpoch + 1 });
    }
    const packet = attempt(() => unpack(envelope));
    if (packet?.kind === 'statement') this.#states(host, sid, packet.body);
    if (packet?.kind === 'refusal') this.#refuses(host, sid, packet.body);
  }

  /** K1: the share is synced before anybody hears that it is there. */
  #states(host: Host, sid: SessionId, body: Uint8Array): void {
    const { author } = this.#open('statement', body);
    if (author !== host.id) return;
    if (!this.#holds(host, sid)) {
      this.fail('K1', `${host.name} states that its key is ready, and its disk has no share`);
    }
    const all = this.#attested.get(host) ?? new Set();
    this.#attested.set(host, all.add(sid));
  }

  /** A refusal is durable before it is said, and who attested never refuses. */
  #refuses(host: Host, sid: SessionId, body: Uint8Array): void {
    const { author } = this.#open('refusal', body);
    if (author !== host.id) return;
    this.stats.refusals++;
    if (!host.disk.isSynced(`sessions!r/${sid}`)) {
      this.fail('K4', `${host.name} refuses, and its disk does not know`);
    }
    if (this.#attested.get(host)?.has(sid) === true && !this.suspects.has(host.id)) {
      this.fail('K4', `${host.name} refuses what it attested`);
    }
  }

  #open<K extends 'statement' | 'refusal'>(kind: K, body: Uint8Array) {
    return openMessage(this.#world.clusterId, openEnvelope, kind, body);
  }

  // -- what disks have

  /** A share of a session: pending under its id, or active under the key's, in its epoch. */
  #holds({ disk, id }: Host, sid: SessionId): boolean {
    if (disk.isSynced(`shares!p/${sid}`)) return true;
    const key = this.#keys.get(sid);
    // A seat without a share attests that it agrees.
    if (key === undefined) return disk.isSynced(`sessions!k/${sid}`);
    if (key.parties.every(({ peerId }) => peerId !== id)) return true;
    const name = `shares!a/${key.keyId}`;
    const record = disk.contents.get(name);
    return record !== undefined && disk.isSynced(name) && claimedEpoch(record, name) === key.epoch;
  }

  /** Whether a later epoch of the key is certified: then this one's shares have done their work. */
  #isPast({ keyId, epoch }: KeyInfo): boolean {
    return [...this.#keys.values()].some((key) => key.keyId === keyId && key.epoch > epoch);
  }

  /** Whether this change was refused, so that it is never certified, and another took its place. */
  #isReplaced(sid: SessionId): boolean {
    const change = this.#changes.get(sid);
    const isRefused = [...this.refusals].some((refusal) => refusal.startsWith(sid));
    if (change === undefined || !isRefused) return false;
    return [...this.#keys.values()].some(
      (key) => key.keyId === change.keyId && key.epoch >= change.epoch && key.sid !== sid,
    );
  }

  /** K2, K4: looks at every disk. */
  disks(): void {
    for (const host of this.#world.list) this.#certificates(host);
    for (const [host, sids] of this.#attested) {
      for (const sid of sids) this.#keeps(host, sid);
    }
    for (const [sid, key] of this.#keys) this.#shared(sid, key);
  }

  #certificates(host: Host): void {
    for (const key of host.disk.keys('keys!c/')) this.#certified(host, key);
  }

  /** A key exists: nobody knows another one of its session. */
  #certified({ disk }: Host, key: string): void {
    const bytes = disk.contents.get(key);
    if (bytes === undefined || this.#seen.has(bytes)) return;
    this.#seen.add(bytes);
    const { certificate } = decode<{ readonly certificate: Uint8Array }>(bytes);
    const { clusterId, suites } = this.#world;
    const { keyInfo, history } = verifyCertificate(certificate, clusterId, { suites });
    for (const one of [...history, keyInfo]) this.#exists(one);
  }

  #exists(key: KeyInfo): void {
    const known = this.#keys.get(key.sid);
    if (known !== undefined && known.keyId !== key.keyId) {
      this.fail('K4', `two keys of session ${key.sid.slice(0, 8)} are certified`);
    }
    for (const { keyId, epoch, sid } of this.#keys.values()) {
      if (keyId !== key.keyId || epoch !== key.epoch || sid === key.sid) continue;
      this.fail('K4', `two epochs ${epoch} of key ${key.name} are certified`);
    }
    if (known === undefined) this.stats.keys++;
    this.#keys.set(key.sid, key);
  }

  /** K2, K4: what was attested is kept, whatever others refuse. */
  #keeps(host: Host, sid: SessionId): void {
    if (this.suspects.has(host.id) || this.#holds(host, sid) || this.#isReplaced(sid)) return;
    const key = this.#keys.get(sid);
    if (key !== undefined && (this.#isPast(key) || this.losses.has(host, key))) return;
    this.fail('K2', `${host.name} has lost the share that it attested`);
  }

  /** K2, K4: the newest epoch of a key has all its shares. */
  #shared(sid: SessionId, key: KeyInfo): void {
    if (key.parties.some(({ peerId }) => this.suspects.has(peerId)) || this.#isPast(key)) return;
    for (const { peerId } of key.parties) {
      const host = this.#world.list.find(({ id }) => id === peerId);
      if (host === undefined || this.#holds(host, sid) || this.losses.has(host, key)) continue;
      this.fail('K4', `key ${key.name} is certified, and ${host.name} has no share of it`);
    }
  }

  // -- what is told

  told(process: Process, kind: string, data: Readonly<Record<string, unknown>>): void {
    this.#inside(() => this.#told(process, kind, data));
  }

  #told(process: Process, kind: string, data: Readonly<Record<string, unknown>>): void {
    const { host } = process;
    if (this.#world.traces) this.#world.say(host, `   ${kind} ${JSON.stringify(data)}`);
    this.#named(host, kind, data);
    // A later certificate may leave this epoch out.
    if (kind === 'key.refreshed') this.#certificates(host);
    if (kind === 'key.repaired') this.losses.mended(process, String(data.keyId) as KeyId);
    if (data.event === 'refused') this.refusals.add(`${data.sessionId} ${data.peerId}`);
    if (data.event === 'started') process.machines.add(String(data.sessionId));
    const [, end = ''] = kind.split('.');
    if (data.author !== undefined || !ENDS.includes(end)) return;
    const ends = this.#ends.get(process) ?? new Map<string, string>();
    const before = ends.get(String(data.sessionId));
    if (before !== undefined && end !== 'completed') {
      this.fail('S1', `a session that is ${before} at ${host.name} becomes ${end}`);
    }
    this.#ends.set(process, ends.set(String(data.sessionId), end));
  }

  /** S5: nobody is named who did nothing. */
  #named(host: Host, kind: string, data: Readonly<Record<string, unknown>>): void {
    const culprits = Array.isArray(data.culprits) ? data.culprits.map(String) : [];
    if (data.event === 'culprit') culprits.push(String(data.peerId ?? data.party));
    if (kind === 'party.faulty' || kind === 'party.reported') culprits.push(host.id);
    for (const culprit of culprits) {
      if (this.suspects.has(culprit as PeerId)) continue;
      this.fail('S5', `${host.name} hears ${culprit.slice(-4)} named, who is honest (${kind})`);
    }
  }

  /** The service wants an operator to look: only faults of disks and copies may bring it there. */
  alarmed({ host }: Process, message: string, fields: object): void {
    const code = 'code' in fields ? fields.code : undefined;
    if (this.suspects.size > 0 || code === 'DISK_FAILED') return;
    if ('keyId' in fields && this.losses.list.some((loss) => loss.host === host)) return;
    this.#inside(() => {
      this.fail('ANSWER', `${host.name} raises the alarm: ${message} ${JSON.stringify(fields)}`);
    });
  }

  died(host: Host): void {
    this.stats.crashes++;
    this.disks();
    this.#world.say(host, '   (disks looked at)');
  }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isBadMessage(error)) return undefined;
    throw error;
  }
}
