/**
 * Shares that are never on a disk: those of delegates and of temporary parties.
 *
 * | share of  | key certified    | `key share`        | 15 min (delegate) | the process ends |
 * | --------- | ---------------- | ------------------ | ----------------- | ---------------- |
 * | delegate  | in memory, signs | handed out, wiped  | wiped             | gone             |
 * | temporary | in memory, signs | refused            | -                 | gone             |
 *
 * A share that was handed out comes back with `sign --share`, for that signature alone. What a
 * restart costs is the share and nothing else: that this party attested is on the disk (K4).
 * @module
 */
import type { KeyId, SessionId } from '../../base/brands.ts';
import type { Cancel, Clock } from '../../base/ports.ts';
import type { Role } from '../../roster/types.ts';
import type { KeyShare } from '../types.ts';
import { copyShare, wipe } from './sharefile.ts';

interface Held {
  readonly share: KeyShare;
  readonly epoch: number;
  readonly stop: Cancel;
}

/** Whether a party of this role keeps its share in memory only. */
export const isFleeting = (role: Role | undefined): boolean =>
  role === 'delegate' || role === 'temporary';

/** The shares of one process. Each is wiped when it leaves. */
export class FleetingShares {
  readonly #clock: Clock;
  readonly #delegateMs: number;
  readonly #pending = new Map<SessionId, KeyShare>();
  readonly #active = new Map<KeyId, Held>();

  /** @param delegateMs the longest life of a delegate's share. */
  constructor(clock: Clock, delegateMs: number) {
    this.#clock = clock;
    this.#delegateMs = delegateMs;
  }

  /** Keeps a copy until the certificate comes. @returns what is held now, to be checked (K1). */
  putPending(sid: SessionId, share: KeyShare): KeyShare {
    this.dropPending(sid);
    const held = copyShare(share);
    this.#pending.set(sid, held);
    return held;
  }

  dropPending(sid: SessionId): void {
    const share = this.#pending.get(sid);
    if (share !== undefined) wipe(share.signingShare);
    this.#pending.delete(sid);
  }

  /**
   * The key is certified. Calling it again is harmless.
   * @param gone is called when a delegate's time is over.
   * @returns whether a share of the key is here.
   */
  activate(
    {
      sid,
      keyId,
      epoch,
    }: { readonly sid: SessionId; readonly keyId: KeyId; readonly epoch: number },
    role: Role,
    gone: () => void,
  ): boolean {
    const share = this.#pending.get(sid);
    if (share === undefined) return this.#active.has(keyId);
    this.#pending.delete(sid);
    this.#drop(keyId);
    const end = (): void => {
      this.#drop(keyId);
      gone();
    };
    const stop = role === 'delegate' ? this.#clock.after(this.#delegateMs, end) : () => {};
    this.#active.set(keyId, { share, epoch, stop });
    return true;
  }

  /** A copy, for one signature; the caller wipes it. */
  open(keyId: KeyId, epoch: number): KeyShare | undefined {
    const held = this.#active.get(keyId);
    return held?.epoch === epoch ? copyShare(held.share) : undefined;
  }

  /** Hands the share out: the caller has the only copy, and wipes it. */
  take(keyId: KeyId): KeyShare | undefined {
    const held = this.#active.get(keyId);
    if (held === undefined) return undefined;
    const share = copyShare(held.share);
    this.#drop(keyId);
    return share;
  }

  close(): void {
    for (const sid of [...this.#pending.keys()]) this.dropPending(sid);
    for (const keyId of [...this.#active.keys()]) this.#drop(keyId);
  }

  #drop(keyId: KeyId): void {
    const held = this.#active.get(keyId);
    if (held === undefined) return;
    held.stop();
    wipe(held.share.signingShare);
    this.#active.delete(keyId);
  }
}
