/**
 * Which shares this node holds, and the switch from one epoch of a key to the next.
 *
 * | newest epoch names this node | the disk has              | standing | then                |
 * | ---------------------------- | ------------------------- | -------- | ------------------- |
 * | as a party                   | the pending share of it   | active   | takes the old's place |
 * | as a party                   | an active share of it     | active   | signs               |
 * | as a party                   | a share of an older epoch | stale    | never signs         |
 * | as a party                   | nothing, or damaged bytes | lost     | `key repair`        |
 * | as a party, key retired      | nothing: it was wiped     | none     |                     |
 * | not                          | a share of an older epoch | none     | wipes it            |
 *
 * Delegates and temporary parties have theirs in memory, see fleeting.ts.
 *
 * The old share stays until the certificate of the new epoch is on the disk (K2).
 * @module
 */
import type { KeyId, PeerId, SessionId } from '../../base/brands.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { KeyQueue } from '../../base/key-queue.ts';
import type { Clock, Logger } from '../../base/ports.ts';
import type { Role } from '../../roster/types.ts';
import { FleetingShares, isFleeting } from '../keys/fleeting.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import type { Keystore } from '../keys/keystore.ts';
import { copyShare, wipe } from '../keys/sharefile.ts';
import type { KeyInfo, KeyShare } from '../types.ts';

const DELEGATE_MS = 900_000;

/** How this node stands to a key. */
export type ShareStanding = 'active' | 'stale' | 'lost' | 'none';

export interface SharesDeps {
  readonly self: PeerId;
  readonly keystore: Keystore;
  readonly clock: Clock;
  /** Longest life of a delegate's share. @default 15 min */
  readonly delegateMs: number | undefined;
  readonly logger: Logger;
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
}

interface OpenShare {
  readonly epoch: number;
  readonly share: KeyShare;
}

/** Decrypted shares kept; the least recently opened are wiped. */
const OPEN_SHARES = 32;

/** The standing of every key, and the one place where shares change epoch. */
export class ShareBook {
  /** The shares that are in memory only. */
  readonly fleeting: FleetingShares;
  readonly #deps: SharesDeps;
  readonly #standing = new Map<KeyId, ShareStanding>();
  readonly #open = new Map<KeyId, OpenShare>();
  /** One change per key at a time. */
  readonly #changes = new KeyQueue();

  constructor(deps: SharesDeps) {
    this.#deps = deps;
    this.fleeting = new FleetingShares(deps.clock, deps.delegateMs ?? DELEGATE_MS);
  }

  standing(keyId: KeyId): ShareStanding {
    return this.#standing.get(keyId) ?? 'none';
  }

  /**
   * Brings the disk in line with the newest epoch of a key. Calling it again is harmless.
   * @throws DISK_FAILED.
   */
  settle(entry: KeyEntry): Promise<ShareStanding> {
    const { keyId } = entry.key;
    return this.#changes.run(keyId, async () => {
      try {
        return await this.#settle(entry);
      } finally {
        // What was decrypted may be of the epoch before.
        this.#forget(keyId);
      }
    });
  }

  /**
   * This node's share of the given epoch of a key; the caller wipes it.
   * @returns undefined when there is none, or one of another epoch only. @throws SHARE_CORRUPT.
   */
  async open({ keyId, epoch }: Pick<KeyInfo, 'keyId' | 'epoch'>): Promise<KeyShare | undefined> {
    await this.#changes.settled(keyId);
    const fleeting = this.fleeting.open(keyId, epoch);
    if (fleeting !== undefined) return fleeting;
    const known = this.#open.get(keyId);
    if (known?.epoch === epoch) return copyShare(known.share);
    const stored = await this.#deps.keystore.share(keyId);
    if (stored === undefined) return undefined;
    if (stored.epoch === epoch) {
      this.#keep(keyId, { epoch, share: stored.share });
      return copyShare(stored.share);
    }
    wipe(stored.share.signingShare);
    return undefined;
  }

  /** Wipes what is in memory. */
  close(): void {
    this.fleeting.close();
    for (const keyId of [...this.#open.keys()]) this.#forget(keyId);
  }

  /** Decrypting takes longer than signing; the few keys in use stay open, in memory only. */
  #keep(keyId: KeyId, opened: OpenShare): void {
    this.#forget(keyId);
    this.#open.set(keyId, opened);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= OPEN_SHARES) return;
      this.#forget(oldest);
    }
  }

  #forget(keyId: KeyId): void {
    const opened = this.#open.get(keyId);
    if (opened !== undefined) wipe(opened.share.signingShare);
    this.#open.delete(keyId);
  }

  /**
   * Hands a delegate's share out, once: the caller has the only copy, and wipes it.
   * @throws NOT_FOUND when it is not here any more; REFUSED_BY_POLICY for a share that does not
   * leave.
   */
  take({ keyId, name, parties }: KeyInfo): KeyShare {
    const role = parties.find(({ peerId }) => peerId === this.#deps.self)?.role;
    if (role === 'persistent' || role === 'temporary') {
      throw new BzzzError('REFUSED_BY_POLICY', `this node is a ${role} party of key ${name}`, {
        why: 'only a delegate hands its share to its operator',
        details: { rule: 'role' },
      });
    }
    const share = this.fleeting.take(keyId);
    if (share === undefined) {
      throw new BzzzError('NOT_FOUND', `no share of key ${name} is held for its operator`, {
        why: 'it is handed out once, at most 15 minutes after the key was made',
      });
    }
    this.#standing.set(keyId, 'none');
    return share;
  }

  /** Destroys this node's share of a retired key. @throws DISK_FAILED. */
  async wipe(entry: KeyEntry): Promise<void> {
    this.#forget(entry.key.keyId);
    const taken = this.fleeting.take(entry.key.keyId);
    if (taken !== undefined) wipe(taken.signingShare);
    await this.#deps.keystore.dropActive(entry.key.keyId);
    await this.settle(entry);
  }

  async #settle({ key, retirement }: KeyEntry): Promise<ShareStanding> {
    const { self, keystore } = this.#deps;
    const { keyId, sid, epoch, parties } = key;
    const role = parties.find(({ peerId }) => peerId === self)?.role;
    const isParty = role !== undefined;
    if (role !== undefined && isFleeting(role)) return this.#settleFleeting(key, role);
    let now: ShareStanding;
    try {
      const held = (await this.#activate(sid, keyId))
        ? await keystore.activeEpoch(keyId)
        : undefined;
      if (held !== undefined && !isParty && held < epoch) await keystore.dropActive(keyId);
      if (!isParty || (held === undefined && retirement !== undefined)) now = 'none';
      else if (held === undefined) now = 'lost';
      else now = held === epoch ? 'active' : 'stale';
    } catch (thrown) {
      const error = toBzzzError(thrown, 'DISK_FAILED');
      if (error.code !== 'SHARE_CORRUPT') throw error;
      now = isParty ? 'lost' : 'none';
    }
    this.#note(key, now);
    return now;
  }

  #settleFleeting(key: KeyInfo, role: Role): ShareStanding {
    const { emit } = this.#deps;
    const { keyId, name } = key;
    const gone = (): void => {
      this.#standing.set(keyId, 'none');
      emit('key.share-expired', { keyId, name });
    };
    const now = this.fleeting.activate(key, role, gone) ? 'active' : 'none';
    this.#standing.set(keyId, now);
    return now;
  }

  /** @returns whether the key has an active share now. */
  async #activate(sid: SessionId, keyId: KeyId): Promise<boolean> {
    try {
      await this.#deps.keystore.activate(sid, keyId);
      return true;
    } catch (error) {
      // Neither pending nor active.
      if (error instanceof BzzzError && error.code === 'NOT_FOUND') return false;
      throw error;
    }
  }

  #note({ keyId, name, epoch }: KeyEntry['key'], now: ShareStanding): void {
    const before = this.#standing.get(keyId);
    this.#standing.set(keyId, now);
    if (before === now || (now !== 'stale' && now !== 'lost')) return;
    const { logger, emit } = this.#deps;
    const what = now === 'lost' ? 'is gone' : `is older than its epoch ${epoch}`;
    logger.error({ keyId, name, epoch }, `the share of key ${name} ${what}`);
    emit(`key.${now}`, { keyId, name, epoch });
  }
}
