/**
 * What the party service needs of the world, and what it is asked.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Clock, Direct, Gossip, Logger, Random, Signer } from '../base/ports.ts';
import type { RosterView } from '../roster/types.ts';
import type { Keyring } from './keyring.ts';
import type { Keystore } from './keystore.ts';
import type { PartyPool } from './pool.ts';
import type { SessionStore } from './session-store.ts';
import type { Suites } from './suites/types.ts';

/** Public records at their addresses. */
export interface RecordsPort {
  /**
   * Journals, then replicates; resolves when the record is safe here.
   * @param role the `author` spreads it at once; a `witness` keeps it in case the author dies, and
   * may take its time.
   */
  publish(address: string, bytes: Uint8Array, role: 'author' | 'witness'): Promise<void>;
  /**
   * What stands at an address that takes one candidate per author.
   * @param where `local`: only what this node stores; fast. `anywhere`: asks the network too.
   * @returns no candidate when there is none or nobody answered.
   */
  candidates(address: string, where: 'local' | 'anywhere'): Promise<readonly Uint8Array[]>;
}

export interface PartyOptions {
  /** Life of a session for which nothing else is asked, in ms. `BZZZ_SESSION_TIMEOUT` */
  readonly sessionTimeoutMs: number;
  /** The durable boot counter: tells two runs of this node apart. */
  readonly boot: number;
  /** A session without progress for so long is reported. @default 10,000 */
  readonly stallMs?: number;
}

export interface PartyDeps {
  readonly roster: () => RosterView;
  readonly direct: Direct;
  readonly gossip: Gossip;
  readonly clock: Clock;
  readonly random: Random;
  readonly signer: Signer;
  readonly logger: Logger;
  readonly pool: PartyPool;
  readonly keystore: Keystore;
  readonly keyring: Keyring;
  readonly sessions: SessionStore;
  readonly records: RecordsPort;
  readonly suites: Suites;
  /** Tells the node's event log. */
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
  /** Lets written frames leave before a long computation. */
  readonly nextTurn: () => Promise<void>;
}

/** A request for a new key, as it comes from the control socket. */
export interface CreateKeyRequest {
  readonly name: string;
  readonly suite: string;
  readonly threshold: number;
  readonly parties?: number | undefined;
  readonly composition?: Readonly<Record<string, number>> | undefined;
  readonly participants?: readonly string[] | undefined;
  readonly purpose?: string | undefined;
  readonly requesters?: readonly string[] | undefined;
  readonly policy?: 'auto' | 'approve' | undefined;
  readonly ephemeral?: boolean | undefined;
  readonly timeoutMs?: number | undefined;
}

/** A request for a signature. */
export interface SignRequest {
  /** Key name or key id. */
  readonly key: string;
  readonly message: Uint8Array;
  /** Signs again although a result exists. */
  readonly fresh: boolean;
  readonly timeoutMs?: number | undefined;
}

/** Everybody who must hear of a session: its parties and its proposer, without this node. */
export const othersOf = (
  self: PeerId,
  proposer: PeerId,
  parties: readonly PeerId[],
): readonly PeerId[] => [...new Set([...parties, proposer])].filter((peer) => peer !== self);
