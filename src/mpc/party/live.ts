/**
 * What the party service and its running sessions know of each other.
 * @module
 */
import type { ClusterId, Millis, PeerId, SessionId } from '../../base/brands.ts';
import type { Cancel } from '../../base/ports.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import type { EventData, EventKind } from '../sessions/events.ts';
import type { Failure, SealedProposal } from '../types.ts';
import type { ImportDesk } from './import-desk.ts';
import type { PartyDeps, PartyOptions } from './ports.ts';
import type { ShareBook } from './share-book.ts';
import type { ProposeBody } from './wire.ts';

/** How a session ended, of whatever kind. */
export type Ended<C> = (C & { readonly state: 'completed' }) | Failure;

/** A session with a machine on this node. */
export interface Live {
  readonly sid: SessionId;
  readonly sealed: SealedProposal;
  readonly parties: readonly PeerId[];
  /** What its parties need to take part; undefined for one that came back from the disk. */
  readonly body: ProposeBody | undefined;
  /** When the machine last reported something. */
  readonly lastProgress: Millis;
  /** Whether it has ended; it may still answer those who missed the end. */
  readonly ended: boolean;
  /** Keeps a share for a certificate that may come; never put away. */
  readonly pending: boolean;
  /** Running timers. */
  readonly timers: number;
  receive(from: PeerId, envelope: Uint8Array): void;
  cancel(by: PeerId, reason: string): void;
  /** Drops the machine and everything it holds. */
  close(): void;
}

/** What a running session may ask of the service. */
export interface Host {
  readonly deps: PartyDeps;
  readonly options: PartyOptions;
  readonly self: PeerId;
  readonly clusterId: ClusterId;
  /** Hands an envelope to the network, in order per peer; silence is not an error. */
  send(sid: SessionId, to: readonly PeerId[], envelope: Uint8Array): void;
  /** Says something in this node's chain of the session, and tells the others. */
  say(sid: SessionId, kind: EventKind, data?: EventData): void;
  /** Something happened in the machine: for `session watch` and the log. */
  progress(live: Live, kind: string, data: Readonly<Record<string, unknown>>): void;
  /** Runs work nobody waits for; its failure is logged. */
  background(what: string, work: Promise<unknown>): void;
  /** Shares of keys from elsewhere that this node's operator brought. */
  readonly imports: ImportDesk;
  /** Which shares are here. */
  readonly shares: ShareBook;
  /** Stands a key's certificate at its address; a failure is logged. */
  publish(entry: KeyEntry, role: 'author' | 'witness'): void;
  /** The machine reported an end, perhaps once more. */
  over(live: Live, end: Ended<object>): void;
}

/** Those who wait for the end of a session. Callbacks are called once each. */
export class Waiters<T> {
  readonly #waiting = new Set<(end: T) => void>();
  #end: T | undefined;

  /** Calls back with the end, at once when it is there. */
  add(callback: (end: T) => void): Cancel {
    if (this.#end !== undefined) {
      callback(this.#end);
      return () => {};
    }
    this.#waiting.add(callback);
    return () => void this.#waiting.delete(callback);
  }

  /** The first end counts for those who wait; later ones are evidence for the record. */
  settle(end: T): void {
    this.#end ??= end;
    for (const callback of this.#waiting) callback(end);
    this.#waiting.clear();
  }
}
